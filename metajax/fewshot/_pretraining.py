"""The recipes of ``fewshot.baselines``, which train on all classes at once."""

from metajax import nn
from metajax.fewshot._builders import SOLVED, BuiltMethod, outer_optimizer
from metajax.fewshot._recipe import Network, Recipe
from metajax.fewshot.baselines import linear_probe, nearest_centroid


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds a method that trains on all classes at once. Some of them take steps in a test."""
    body, head = network.body(flatten=False, context=0), network.scores(network.classes)
    steps = {"test_steps": recipe.test_steps} if recipe.test_steps else {}
    method = recipe.function(body.apply, head.apply, outer_optimizer(recipe, network), **steps, **recipe.options)
    return method, nn.chain(body, head).init


RECIPES = {
    "linear-probe": Recipe(_build, linear_probe, **{**SOLVED, "family": "pretraining"}, test_steps=100),
    "nearest-centroid": Recipe(_build, nearest_centroid, **{**SOLVED, "family": "pretraining"}),
}
"""The recipes of this file by the names of the methods."""
