"""Search through a predictor."""

from metajax.search._acquire import ACQUISITIONS, acquire
from metajax.search._anova import anova
from metajax.search._certify import Certify
from metajax.search._design import representative, warm_start
from metajax.search._enumerate import Enumerate
from metajax.search._gradient import Gradient
from metajax.search._heuristics import Evolve, Random
from metajax.search._maximize import maximize
from metajax.search._propose import Proposer, recommend
from metajax.search._query import Found, Query, SearchMethod
from metajax.search._reinforce import Reinforce

__all__ = [
    "ACQUISITIONS",
    "Certify",
    "Enumerate",
    "Evolve",
    "Found",
    "Gradient",
    "Proposer",
    "Query",
    "Random",
    "Reinforce",
    "SearchMethod",
    "acquire",
    "anova",
    "maximize",
    "recommend",
    "representative",
    "warm_start",
]
