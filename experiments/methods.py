"""The few-shot methods by name: their settings, and how each is built from a body and a head."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from metajax import bilevel, fewshot, nn
from metajax.types import Key, Params


class Networks(NamedTuple):
    """What methods are built from.

    Attributes:
        body: ``(flatten, context) -> Functional`` from inputs to features.
        head: ``(outputs, features) -> Functional`` from features to scores.
        features: of a body that is not flattened.
        classes: of the training data, for the baselines.
        example: shape and type of one input, for running statistics.
    """

    body: Callable[..., nn.Functional]
    head: Callable[[int, int], nn.Functional]
    features: int
    classes: int
    example: Any = None


# Settings for a few thousand steps on a CPU, not those of the papers (preset `paper` of `experiments.fewshot.omniglot`): they
# take fewer training queries and more tasks. The inner rates are for a loss that is the mean over the support. MAML's
# published rates are 2.0 on such a loss; `fewshot.inner_rates` compares them with smaller ones on validation tasks.
_ADAPTING = {"outer_rate": 1e-3, "tasks": 16, "chunk": 1, "train_queries": 5}
_FEW = {**_ADAPTING, "inner_rate": 0.4, "inner_steps": 1, "test_steps": 3}
_MANY = {**_ADAPTING, "inner_rate": 0.1, "inner_steps": 5, "test_steps": 5}
_SOLVED = {"outer_rate": 1e-3, "tasks": 8, "chunk": 1, "train_queries": 5, "inner_rate": 0.0, "inner_steps": 0}
_SOLVED = {**_SOLVED, "test_steps": 0, "train_ways": 20}

SETTINGS: dict[str, dict[str, Any]] = {
    "maml": _FEW,
    "fomaml": _FEW,
    "reptile": {
        **_ADAPTING,
        "inner_rate": 1e-3,
        "inner_steps": 5,
        "test_steps": 50,
        "outer_rate": 1.0,
        "train_queries": 10,
    },
    "anil": _FEW,
    "boil": _FEW,
    "meta-sgd": {**_FEW, "test_steps": 1},
    "maml++": {**_ADAPTING, "inner_rate": 0.1, "inner_steps": 5, "test_steps": 5, "tasks": 8},
    "imaml": {**_ADAPTING, "inner_rate": 0.1, "inner_steps": 16, "test_steps": 16},
    "cavia": {**_FEW, "inner_rate": 1.0},
    "protonet": _SOLVED,
    "r2d2": _SOLVED,
    "metaoptnet-ridge": _SOLVED,
    "metaoptnet-svm": _SOLVED,
    "linear-probe": {**_SOLVED, "test_steps": 100},
    "nearest-centroid": _SOLVED,
}
BASELINES = ("linear-probe", "nearest-centroid")
_CONTEXT = 100


def settings(method: str, ways: int) -> dict[str, Any]:
    """The settings of a method at this number of ways, complete."""
    own = SETTINGS[method]
    if own is _FEW and ways > 10:
        own = _MANY
    elif method == "meta-sgd" and ways > 10:
        own = {**own, "inner_rate": 0.1}
    return {"train_ways": ways, **own}


def make(config: Any, networks: Networks, steps: int) -> tuple[fewshot.Method, Callable[[Key], Params]]:
    """The method of a filled config, and the initial parameters that it takes."""
    name, rate, inner, test = config.method, config.inner_rate, config.inner_steps, config.test_steps
    outer = optax.adam(schedule(config, steps))
    body, chunk = networks.body(False), config.chunk
    if name in BASELINES:
        head = networks.head(networks.classes, networks.features)
        build = {"linear-probe": fewshot.linear_probe, "nearest-centroid": fewshot.nearest_centroid}[name]
        extra = {"test_steps": test} if name == "linear-probe" else {}
        return build(body.apply, head.apply, outer, **extra), nn.chain(body, head).init
    if name in SOLVERS:
        flat = networks.body(True)
        embed = nn.running(flat, networks.example) if config.batch_norm == "running" else flat.apply
        extra = {"ways": max(config.ways, config.train_ways)} if name == "metaoptnet-svm" else {}
        return SOLVERS[name](embed, outer, chunk=chunk, **extra), flat.init
    if name == "cavia":
        init, apply = nn.chain(networks.body(False, _CONTEXT), networks.head(config.ways, networks.features))
        see = lambda p, x: apply(p["params"], x, p["context"])
        loss = fewshot.cross_entropy(see)
        return fewshot.cavia(loss, _CONTEXT, optax.sgd(rate), outer, inner, test, chunk), init
    head = networks.head(config.ways, networks.features)
    init, apply = nn.chain(body, head)
    loss, descent = fewshot.cross_entropy(apply), optax.sgd(rate)
    if name in ("maml", "fomaml"):
        estimator = bilevel.first_order() if name == "fomaml" else None
        if config.adapt_norms:
            return fewshot.maml(loss, descent, outer, inner, test, estimator, chunk=chunk), init
        return fewshot.partial_maml(loss, descent, outer, _no_norm, inner, test, estimator, chunk), init
    if name == "anil":
        return fewshot.anil(body.apply, fewshot.cross_entropy(head.apply), descent, outer, inner, test, chunk), init
    if name == "boil":
        return fewshot.boil(loss, descent, outer, inner, test, chunk), init
    if name == "meta-sgd":
        return fewshot.meta_sgd(loss, rate, outer, inner, test, chunk), init
    if name == "imaml":
        return fewshot.imaml(loss, descent, outer, 2.0, inner, test, chunk=chunk), init
    if name == "reptile":
        towards = optax.sgd(optax.linear_schedule(config.outer_rate, 0.0, steps))
        adam = optax.adam(rate, b1=0.0)
        minibatch = 10 if config.ways <= 10 else 20  # as in the authors' commands for 5 and for 20 ways
        return fewshot.reptile(loss, adam, towards, inner, minibatch, test, chunk), init
    if name == "maml++":
        norms = lambda path: not _no_norm(path)
        return fewshot.maml_plus_plus(loss, rate, outer, inner, steps // 10, per_step=norms, chunk=chunk), init
    raise KeyError(name)


def _no_norm(path: str) -> bool:
    return "norms" not in path


def schedule(config: Any, steps: int) -> optax.ScalarOrSchedule:
    """The outer rate: constant, halved at intervals, or annealed by a cosine (in MAML++ to a hundredth, as its authors do)."""
    if config.cosine:
        return optax.cosine_decay_schedule(config.outer_rate, steps, 0.01 if config.method == "maml++" else 0.0)
    if config.halve_every is not None:
        return optax.exponential_decay(config.outer_rate, config.halve_every, 0.5, staircase=True)
    return config.outer_rate


SOLVERS: dict[str, Callable[..., fewshot.Method]] = {
    "protonet": fewshot.protonet,
    "r2d2": fewshot.r2d2,
    "metaoptnet-ridge": lambda embed, outer, chunk: fewshot.metaoptnet_ridge(embed, outer, chunk=chunk),
    "metaoptnet-svm": fewshot.metaoptnet,
}
