"""SuperNets: differentiable architecture search on a weight-sharing network, measured against the truth."""

from metajax.supernet import baselines, diagnosis, events, regularizers, relaxations, spaces, truth
from metajax.supernet._methods import METHODS, recipe
from metajax.supernet._model import SuperNet
from metajax.supernet._recipe import SAMPLED, Recipe
from metajax.supernet._relaxations import Moment, Relaxation, Score
from metajax.supernet._search import (
    EPOCH,
    Event,
    Parts,
    Regularizer,
    Search,
    SearchState,
    decide,
    distilled,
    entropy,
    mean_over_paths,
    search,
)

__all__ = [
    "EPOCH",
    "METHODS",
    "SAMPLED",
    "Event",
    "Moment",
    "Parts",
    "Recipe",
    "Regularizer",
    "Relaxation",
    "Score",
    "Search",
    "SearchState",
    "SuperNet",
    "baselines",
    "decide",
    "diagnosis",
    "distilled",
    "entropy",
    "events",
    "mean_over_paths",
    "recipe",
    "regularizers",
    "relaxations",
    "search",
    "spaces",
    "truth",
]
