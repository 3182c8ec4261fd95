"""The few-shot methods by name: their settings, and one builder for each kind of method."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from metajax import nn
from metajax.fewshot import parameters
from metajax.fewshot._anil import anil
from metajax.fewshot._boil import boil
from metajax.fewshot._cavia import cavia
from metajax.fewshot._imaml import imaml
from metajax.fewshot._maml import fomaml, maml
from metajax.fewshot._maml_plus_plus import maml_plus_plus
from metajax.fewshot._meta_sgd import meta_sgd
from metajax.fewshot._metaoptnet import metaoptnet
from metajax.fewshot._method import Method
from metajax.fewshot._protonet import protonet
from metajax.fewshot._recipe import Network, Recipe
from metajax.fewshot._reptile import reptile
from metajax.fewshot._ridge import metaoptnet_ridge, r2d2
from metajax.fewshot.baselines import linear_probe, nearest_centroid
from metajax.types import InputError, Key, Params

Built = tuple[Method, Callable[[Key], Params]]

MULTI_STEP_PART = 10
"""MAML++ counts the loss after every inner step in the first 1/10 of the outer steps, as its authors do."""


def _outer(recipe: Recipe, network: Network) -> optax.GradientTransformation:
    """The optimizer that the caller chose, or Adam with the recipe's schedule."""
    return network.outer_optimizer or optax.adam(recipe.schedule(network.steps))


def _whole(recipe: Recipe, network: Network) -> nn.Functional:
    """Body and head as one network, with an output for each way."""
    return nn.chain(network.body(flatten=False, context=0), network.scores(recipe.ways))


def _has_norms(model: nn.Functional) -> bool:
    """Whether the model has parameters of batch norms."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return any(parameters.is_norm(path) for path in parameters.paths(shapes))


def _by_descent(recipe: Recipe, network: Network) -> Built:
    """A method with MAML's arguments."""
    model = _whole(recipe, network)
    method = recipe.function(
        network.loss(model.apply),
        optax.sgd(recipe.inner_rate),
        _outer(recipe, network),
        inner_steps=recipe.inner_steps,
        test_steps=recipe.test_steps,
        chunk=recipe.chunk,
        **recipe.options,
    )
    return method, model.init


def _maml(recipe: Recipe, network: Network) -> Built:
    """MAML of either order, whose inner steps may leave batch norms alone."""
    if not recipe.adapt_norms and _has_norms(_whole(recipe, network)):
        still = {"adapted": lambda path: not parameters.is_norm(path)}
        recipe = dataclasses.replace(recipe, options={**recipe.options, **still})
    return _by_descent(recipe, network)


def _reptile(recipe: Recipe, network: Network) -> Built:
    """Reptile with its own optimizers: an inner Adam, and outer gradient descent whose rate falls to zero."""
    model = _whole(recipe, network)
    adam = optax.adam(recipe.inner_rate, b1=0.0)
    towards = network.outer_optimizer or optax.sgd(optax.linear_schedule(recipe.outer_rate, 0.0, network.steps))
    loss_fn, steps = network.loss(model.apply), (recipe.inner_steps, recipe.test_steps)
    method = reptile(loss_fn, adam, towards, steps[0], test_steps=steps[1], chunk=recipe.chunk, **recipe.options)
    return method, model.init


def _anil(recipe: Recipe, network: Network) -> Built:
    """ANIL, which takes body and head apart."""
    body, head = network.body(flatten=False, context=0), network.scores(recipe.ways)
    descent, steps = optax.sgd(recipe.inner_rate), (recipe.inner_steps, recipe.test_steps)
    loss_fn, outer = network.loss(head.apply), _outer(recipe, network)
    return anil(body.apply, loss_fn, descent, outer, *steps, recipe.chunk, **recipe.options), nn.chain(body, head).init


def _meta_sgd(recipe: Recipe, network: Network) -> Built:
    """Meta-SGD, which takes an initial rate in place of an optimizer."""
    model = _whole(recipe, network)
    loss_fn, outer, steps = network.loss(model.apply), _outer(recipe, network), (recipe.inner_steps, recipe.test_steps)
    return meta_sgd(loss_fn, recipe.inner_rate, outer, *steps, recipe.chunk, **recipe.options), model.init


def _maml_plus_plus(recipe: Recipe, network: Network) -> Built:
    """MAML++ with batch norms for each step, and the multi-step loss in the first part of the training."""
    model = _whole(recipe, network)
    own = {
        "multi_step_until": network.steps // MULTI_STEP_PART,
        "per_step": parameters.is_norm if _has_norms(model) else None,
        **recipe.options,
    }
    loss_fn, outer = network.loss(model.apply), _outer(recipe, network)
    return maml_plus_plus(loss_fn, recipe.inner_rate, outer, recipe.inner_steps, chunk=recipe.chunk, **own), model.init


def _cavia(recipe: Recipe, network: Network) -> Built:
    """CAVIA, whose body takes the context as a second input."""
    body, head = network.body(flatten=False, context=recipe.options["size"]), network.scores(recipe.ways)
    init, apply = nn.chain(body, head)
    loss_fn = network.loss(lambda p, x: apply(p["params"], x, p["context"]))
    method = cavia(
        loss_fn,
        inner_optimizer=optax.sgd(recipe.inner_rate),
        outer_optimizer=_outer(recipe, network),
        inner_steps=recipe.inner_steps,
        test_steps=recipe.test_steps,
        chunk=recipe.chunk,
        **recipe.options,
    )
    return method, init


def _on_features(recipe: Recipe, network: Network) -> Built:
    """A method with a head in closed form."""
    body = network.body(flatten=True, context=0)
    embed: Any = body.apply
    if recipe.batch_norm == "running":
        if network.example is None:
            raise InputError(
                "build: example must be a batch of inputs or its shape with batch_norm='running', got None"
            )
        embed = nn.running(body, network.example)
    return recipe.function(embed, _outer(recipe, network), chunk=recipe.chunk, **recipe.options), body.init


def _svm(recipe: Recipe, network: Network) -> Built:
    """MetaOptNet, which is faster where the number of ways is known."""
    ways = {"ways": max(recipe.ways, recipe.train_ways or recipe.ways)}
    return _on_features(dataclasses.replace(recipe, options={**ways, **recipe.options}), network)


def _pretrained(recipe: Recipe, network: Network) -> Built:
    """A method that trains on all classes at once; some take steps in a test."""
    body, head = network.body(flatten=False, context=0), network.scores(network.classes)
    steps = {"test_steps": recipe.test_steps} if recipe.test_steps else {}
    method = recipe.function(body.apply, head.apply, _outer(recipe, network), **steps, **recipe.options)
    return method, nn.chain(body, head).init


# Settings for a few thousand steps on a CPU, not those of the papers (which `experiments.fewshot.omniglot` has as preset
# `paper`): they take fewer training queries and more tasks. The inner rates are for a loss that is the mean over the support.
# MAML's published rates are 2.0 on such a loss; `experiments.fewshot.inner_rates` compares them with smaller ones on
# validation tasks.
_FEW: dict[str, Any] = {"inner_rate": 0.4, "inner_steps": 1, "test_steps": 3}
_FIVE: dict[str, Any] = {"inner_rate": 0.1, "inner_steps": 5, "test_steps": 5}
_ADAPTED: dict[str, Any] = {"family": "gradient", **_FEW, "many_ways": _FIVE}
_SOLVED: dict[str, Any] = {"family": "features", "tasks": 8, "train_ways": 20}
_PRETRAINED: dict[str, Any] = {**_SOLVED, "family": "pretraining"}

METHODS: Mapping[str, Recipe] = {
    "maml": Recipe(_maml, maml, **_ADAPTED),
    "fomaml": Recipe(_maml, fomaml, **_ADAPTED),
    "reptile": Recipe(
        _reptile,
        reptile,
        "gradient",
        {"batch": 10},
        inner_rate=1e-3,
        inner_steps=5,
        test_steps=50,
        outer_rate=1.0,
        train_queries=10,
        many_ways={"options": {"batch": 20}},  # as in the authors' commands for 5 and for 20 ways
    ),
    "anil": Recipe(_anil, anil, **_ADAPTED),
    "boil": Recipe(_by_descent, boil, **_ADAPTED),
    "meta-sgd": Recipe(_meta_sgd, meta_sgd, "gradient", **{**_FEW, "test_steps": 1}, many_ways={"inner_rate": 0.1}),
    "maml++": Recipe(_maml_plus_plus, maml_plus_plus, "gradient", **_FIVE, tasks=8, final_share=0.01),
    "imaml": Recipe(_by_descent, imaml, "gradient", {"strength": 2.0}, inner_rate=0.1, inner_steps=16, test_steps=16),
    "cavia": Recipe(_cavia, cavia, "gradient", {"size": 100}, **{**_FEW, "inner_rate": 1.0}),
    "protonet": Recipe(_on_features, protonet, **_SOLVED),
    "r2d2": Recipe(_on_features, r2d2, **_SOLVED),
    "metaoptnet-ridge": Recipe(_on_features, metaoptnet_ridge, **_SOLVED),
    "metaoptnet-svm": Recipe(_svm, metaoptnet, **_SOLVED),
    "linear-probe": Recipe(_pretrained, linear_probe, **_PRETRAINED, test_steps=100),
    "nearest-centroid": Recipe(_pretrained, nearest_centroid, **_PRETRAINED),
}
"""Every few-shot method by name, with settings for a few thousand steps on a CPU."""
