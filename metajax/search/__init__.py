"""Search through a predictor."""

from metajax.search._acquire import ACQUISITIONS, acquire
from metajax.search._anova import anova
from metajax.search._ask_tell import AskTell
from metajax.search._certify import Certify
from metajax.search._design import representative, warm_start
from metajax.search._enumerate import Enumerate
from metajax.search._gradient import Gradient
from metajax.search._heuristics import Evolve, Random
from metajax.search._maximize import maximize
from metajax.search._peers import OptunaProposer, RandomProposer
from metajax.search._propose import Proposer, recommend
from metajax.search._query import Found, Query, SearchMethod
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
    "OptunaProposer",
    "Proposer",
    "Query",
    "Random",
    "RandomProposer",
    "Reinforce",
    "SearchMethod",
    "Strategy",
    "acquire",
    "anova",
    "maximize",
    "recommend",
    "representative",
    "warm_start",
]
