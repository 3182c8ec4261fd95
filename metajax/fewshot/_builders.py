"""Builders that several few-shot methods share, and the settings that their recipes begin with.

The settings are for a few thousand steps on a CPU. They are not those of the papers, which ``experiments.fewshot.omniglot`` has
as preset ``paper``: they take fewer training queries and more tasks. The inner rates are for a loss that is the mean over the
support. MAML's published rates are 2.0 on such a loss; ``experiments.fewshot.inner_rates`` compares them with smaller ones on
validation tasks.
"""

from collections.abc import Callable
from typing import Any

import jax
import optax

from metajax import nn
from metajax.fewshot import parameters
from metajax.fewshot._method import Method
from metajax.fewshot._recipe import Network, Recipe
from metajax.types import InputError, Key, Params

BuiltMethod = tuple[Method, Callable[[Key], Params]]
"""A method, and a function from a key to its initial parameters."""

ONE_STEP: dict[str, Any] = {"inner_rate": 0.4, "inner_steps": 1, "test_steps": 3}
"""One large inner step."""
FIVE_STEPS: dict[str, Any] = {"inner_rate": 0.1, "inner_steps": 5, "test_steps": 5}
"""Five small inner steps."""
ADAPTED: dict[str, Any] = {"family": "gradient", **ONE_STEP, "many_ways": {**FIVE_STEPS, "inner_rate": 0.4}}
"""The settings of methods that adapt by gradient: one step on few ways, five on many, with a rate that validation tasks chose
(``experiments.fewshot.inner_rates``)."""
SOLVED: dict[str, Any] = {"family": "features", "tasks": 8, "train_ways": 20}
"""The settings of methods that solve a task in closed form on features."""


def outer_optimizer(recipe: Recipe, network: Network) -> optax.GradientTransformation:
    """Returns the optimizer that the caller chose, or Adam with the recipe's schedule."""
    return network.outer_optimizer or optax.adam(recipe.schedule(network.steps))


def whole_network(recipe: Recipe, network: Network) -> nn.Functional:
    """Returns body and head as one network, with an output for each way."""
    return nn.chain(network.body(flatten=False, context=0), network.scores(recipe.ways))


def has_norms(model: nn.Functional) -> bool:
    """Returns whether the model has parameters of batch norms."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return any(parameters.is_norm(path) for path in parameters.paths(shapes))


def by_descent(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds a method with MAML's arguments."""
    model = whole_network(recipe, network)
    method = recipe.function(
        network.loss(model.apply),
        optax.sgd(recipe.inner_rate),
        outer_optimizer(recipe, network),
        inner_steps=recipe.inner_steps,
        test_steps=recipe.test_steps,
        chunk=recipe.chunk,
        **recipe.options,
    )
    return method, model.init


def on_features(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds a method with a head in closed form."""
    body = network.body(flatten=True, context=0)
    embed: Any = body.apply
    if recipe.batch_norm == "running":
        if network.example is None:
            raise InputError(
                "build: example must be a batch of inputs or its shape with batch_norm='running', got None"
            )
        embed = nn.running(body, network.example)
    return recipe.function(embed, outer_optimizer(recipe, network), chunk=recipe.chunk, **recipe.options), body.init
