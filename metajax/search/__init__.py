"""Search through a predictor: the best configurations of a model (``maximize``), and what to train next (``Proposer``)."""

from metajax.search._acquire import ACQUISITIONS, acquire
from metajax.search._anova import anova
from metajax.search._ask_tell import AskTell
from metajax.search._certify import Certify
from metajax.search._design import complementary, representative
from metajax.search._enumerate import Enumerate
from metajax.search._gradient import Gradient
from metajax.search._heuristics import Evolve, Random
from metajax.search._maximize import maximize
from metajax.search._peers import OptunaProposer, RandomProposer
from metajax.search._propose import Proposer, recommend
from metajax.search._query import Found, Maximizer, Query
from metajax.search._reinforce import Reinforce
from metajax.search._strategies import Acquisition, DiverseBatch, Knowledge, Strategy

__all__ = [
    "ACQUISITIONS",
    "Acquisition",
    "AskTell",
    "Certify",
    "DiverseBatch",
    "Enumerate",
    "Evolve",
    "Found",
    "Gradient",
    "Knowledge",
    "Maximizer",
    "OptunaProposer",
    "Proposer",
    "Query",
    "Random",
    "RandomProposer",
    "Reinforce",
    "Strategy",
    "acquire",
    "anova",
    "complementary",
    "maximize",
    "recommend",
    "representative",
]
