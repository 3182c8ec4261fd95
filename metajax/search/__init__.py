"""Search through a predictor."""

from metajax.search._acquire import ACQUISITIONS, acquire
from metajax.search._anova import anova
from metajax.search._design import representative, warm_start
from metajax.search._maximize import Found, maximize
from metajax.search._propose import Proposer, recommend

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
