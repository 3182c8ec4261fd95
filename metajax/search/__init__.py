"""Search through a predictor."""

from metajax.search.acquire import ACQUISITIONS, acquire
from metajax.search.anova import anova
from metajax.search.design import representative, warm_start
from metajax.search.maximize import Found, maximize
from metajax.search.propose import Proposer, recommend

__all__ = [
    "ACQUISITIONS",
    "Found",
    "Proposer",
    "acquire",
    "anova",
    "maximize",
    "recommend",
    "representative",
    "warm_start",
]
