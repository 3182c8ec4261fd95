"""SuperNets: differentiable architecture search on a weight-sharing network, measured against the truth."""

from metajax.supernet import baselines, diagnosis, events, regularizers, relaxations, spaces, truth
from metajax.supernet._driver import Outcome, run
from metajax.supernet._method import SupernetMethod
from metajax.supernet._methods import METHODS
from metajax.supernet._model import SuperNet
from metajax.supernet._parts import accuracy_on, sampler
from metajax.supernet._paths import distill_from_first, mean_over_paths
from metajax.supernet._protocols import MakeLoss, Moment, OverPaths, Relaxation
from metajax.supernet._recipe import MakeNetwork, Recipe
from metajax.supernet._search import EPOCH_STEPS, compose_search
from metajax.supernet._state import Search, SearchInfo, SearchState
from metajax.supernet._strengths import decide

__all__ = [
    "EPOCH_STEPS",
    "METHODS",
    "MakeLoss",
    "MakeNetwork",
    "Moment",
    "Outcome",
    "OverPaths",
    "Recipe",
    "Relaxation",
    "Search",
    "SearchInfo",
    "SearchState",
    "SuperNet",
    "SupernetMethod",
    "accuracy_on",
    "baselines",
    "compose_search",
    "decide",
    "diagnosis",
    "distill_from_first",
    "events",
    "mean_over_paths",
    "regularizers",
    "relaxations",
    "run",
    "sampler",
    "spaces",
    "truth",
]
