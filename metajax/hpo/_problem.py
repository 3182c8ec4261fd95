"""Supervised training with hyperparameters in any of its places, as one bilevel problem."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel import Descent, Inner, Problem
from metajax.nn import Functional, one_hot
from metajax.types import Hyper, InputError, Key, stream

PLACES = ("inputs", "labels", "loss", "weights", "penalty")


class Examples(NamedTuple):
    """A batch: x f32[n, ...], y i32[n] (classes) or f32[n], and the number of each example in the training data i32[n]."""

    x: jax.Array
    y: jax.Array
    index: jax.Array


class Part(NamedTuple):
    """What is learned in one place of training.

    Attributes:
        init: ``(key) -> hyper``, the start: as if the part were not there, wherever it can be.
        apply: by place: ``inputs`` ``(h, x, key) -> x``; ``labels`` ``(h, targets f32[n, k], index) -> targets``; ``loss``
            ``(h, outputs f32[n, k], targets) -> f32[n]``; ``weights`` ``(h, losses f32[n], batch) -> f32[n]``; ``penalty``
            ``(h, params) -> scalar``.
    """

    init: Callable[[Key], Hyper]
    apply: Callable[..., Any]


class Training(NamedTuple):
    """A bilevel problem and its first hyperparameters, ``init(key) -> hyper``: one entry for each part."""

    problem: Problem[Descent]
    init: Callable[[Key], dict[str, Hyper]]


def problem(
    network: Functional,
    optimizer: optax.GradientTransformation | Callable[[Hyper], optax.GradientTransformation],
    classes: int | None,
    **parts: Part,
) -> Training:
    """Learning on ``Examples`` under the parts; the outer loss is the plain one, of other examples without any part.

    Args:
        network: ``(init, apply)`` with ``apply(params, x) -> f32[n, classes]`` (``[n, 1]`` for regression).
        optimizer: of the weights; a function of ``hyper`` where rates or decays are searched too: add what it reads to the
            dictionary that ``init`` returns.
        classes: cross-entropy with so many classes (labels are 0 to ``classes - 1``), or ``None`` for half the squared error.
        parts: by place: ``inputs``, ``labels``, ``loss``, ``weights``, ``penalty``.

    Raises:
        InputError: on another place.

    Example:
        >>> from metajax import bilevel, hpo, nn
        >>> network = nn.functional(lambda rngs: nn.MLP(2, (8,), 3, rngs=rngs))
        >>> made = hpo.problem(network, optax.sgd(0.1), 3, weights=hpo.example_weights(10), penalty=hpo.l2())
        >>> hyper = made.init(jax.random.key(0))
        >>> sorted(hyper), hyper["weights"].shape
        (['penalty', 'weights'], (10,))
        >>> batch = Examples(jnp.ones((4, 2)), jnp.zeros(4, jnp.int32), jnp.arange(4))
        >>> steps = jax.tree.map(lambda a: jnp.stack([a, a]), batch)
        >>> found = bilevel.unroll()(made.problem)(hyper, None, steps, batch, jax.random.key(1))
        >>> bool((found.grad["weights"][:4] != 0).all()), bool((found.grad["weights"][4:] == 0).all())
        (True, True)
    """
    unknown = [name for name in parts if name not in PLACES]
    if unknown:
        raise InputError(f"problem: no place {unknown[0]!r}; accepted are {', '.join(PLACES)}")

    def targets(y: jax.Array) -> jax.Array:
        return y[:, None] if classes is None else one_hot(y, classes)

    plain = squared_error if classes is None else cross_entropy
    use = lambda place, hyper, *given: parts[place].apply(hyper[place], *given)

    def inner_loss(hyper: Any, params: Any, batch: Examples, key: Key):
        x = use("inputs", hyper, batch.x, key) if "inputs" in parts else batch.x
        goal = targets(batch.y)
        goal = use("labels", hyper, goal, batch.index) if "labels" in parts else goal
        outputs = network.apply(params, x)
        losses = use("loss", hyper, outputs, goal) if "loss" in parts else plain(outputs, goal)
        weights = use("weights", hyper, losses, batch) if "weights" in parts else 1.0
        loss = jnp.mean(weights * losses)
        return loss + (use("penalty", hyper, params) if "penalty" in parts else 0.0), {}

    def outer_loss(hyper: Any, params: Any, batch: Examples, key: Key):
        outputs = network.apply(params, batch.x)
        info = {}
        if classes is not None:
            info = {"accuracy": jnp.mean(jnp.argmax(outputs, -1) == batch.y, dtype=outputs.dtype)}
        return jnp.mean(plain(outputs, targets(batch.y))), info

    def init(key: Key) -> dict[str, Hyper]:
        return {name: part.init(stream(key, name)) for name, part in parts.items()}

    made = optimizer if callable(optimizer) else lambda hyper: optimizer
    return Training(Problem(Inner.descent(inner_loss, lambda hyper, key: network.init(key), made), outer_loss), init)


def cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """f32[n]: of logits f32[n, k] to probabilities f32[n, k]."""
    return -jnp.sum(targets * jax.nn.log_softmax(outputs), axis=-1)


def squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """f32[n]: half the squared distance of f32[n, k] and f32[n, k]."""
    return 0.5 * jnp.sum(jnp.square(outputs - targets), axis=-1)
