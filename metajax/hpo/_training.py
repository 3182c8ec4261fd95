"""Supervised training with learned components in any of its slots, as one bilevel problem."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from metajax._typing import AnyArray, checked
from metajax.bilevel import Descent, Inner, Problem
from metajax.nn import Functional, one_hot
from metajax.types import Hyper, InputError, Key, Params, stream

SLOTS = ("inputs", "labels", "loss", "weights", "penalty")
"""Where a learned component can act on training, in the order in which they do: on the inputs, on the target labels, as the
loss of each example, as the weights of the examples, as a penalty of the parameters."""


class IndexedBatch(NamedTuple):
    """A batch of examples that knows which examples of the training data they are.

    Attributes:
        x: The inputs; the leading axis counts the examples. Inner batches have a further axis of steps in front.
        y: Classes as integers from 0, or targets of a regression.
        index: The row of each example in the training data. Components with an entry for each example read it.

    Example:
        >>> batch = IndexedBatch(jnp.ones((2, 3)), jnp.array([0, 1]), jnp.array([5, 7]))
        >>> batch.index.tolist()  # rows 5 and 7 of the training data
        [5, 7]
    """

    x: Float[Array, "..."]
    y: Int[Array, "*steps examples"] | Float[Array, "*steps examples"]
    index: Int[Array, "*steps examples"]


class Component(NamedTuple):
    """Something that is learned in one slot of training.

    Attributes:
        init: ``(key) -> hyper``, the hyperparameters at the start. Wherever it can be, training then is as if the component
            were not there.
        apply: How it acts; its arguments differ from slot to slot. ``inputs``: ``(hyper, x, key) -> x``. ``labels``:
            ``(hyper, targets f32[n, k], index) -> targets``. ``loss``: ``(hyper, outputs f32[n, k], targets) -> f32[n]``.
            ``weights``: ``(hyper, losses f32[n], batch) -> f32[n]``. ``penalty``: ``(hyper, params) -> scalar``.

    Example:
        >>> temperature = Component(lambda key: jnp.zeros(()), lambda h, outputs, y: cross_entropy(outputs * jnp.exp(h), y))
        >>> loss = temperature.apply(temperature.init(jax.random.key(0)), jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))
        >>> round(float(loss[0]), 3)  # the logarithm of 2
        0.693
    """

    init: Callable[[Key], Hyper]
    apply: Callable[..., Any]


class HyperProblem(NamedTuple):
    """A bilevel problem together with the hyperparameters at which its search begins.

    Attributes:
        problem: The bilevel problem, for any estimator that follows the steps of a descent.
        init: ``(key) -> hyper``, the first hyperparameters.
    """

    problem: Problem[Descent]
    init: Callable[[Key], dict[str, Hyper]]


def training_problem(
    network: Functional,
    optimizer: optax.GradientTransformation | Callable[[Hyper], optax.GradientTransformation],
    classes: int | None,
    **components: Component,
) -> HyperProblem:
    """Makes a bilevel problem of supervised training with learned components.

    The inner loss is ``mean_i weight_i · loss_i + penalty`` with whatever components are given; the outer loss is the plain
    mean loss of held-out examples, without any component. Both take ``IndexedBatch``es. ``info`` of the outer loss holds the
    accuracy of a classifier.

    Args:
        network: ``apply(params, x)`` returns logits of shape ``[n, classes]``, or ``[n, 1]`` for a regression.
        optimizer: The optimizer of the weights, or a function of ``hyper`` that returns it where learning rates or decays
            are searched too; add what it reads to the dictionary that ``init`` returns.
        classes: The number of classes, for cross-entropy with labels from 0 to ``classes - 1``; ``None`` for half the squared
            error.
        **components: What is learned, by slot: ``inputs``, ``labels``, ``loss``, ``weights``, ``penalty``.

    Returns:
        The problem and the first hyperparameters, a dictionary with an entry for each component.

    Raises:
        InputError: If there is no such slot.

    Example:
        >>> from metajax import bilevel, hpo, nn
        >>> network = nn.functional(lambda rngs: nn.MLP(2, (8,), 3, rngs=rngs))
        >>> problem = hpo.training_problem(network, optax.sgd(0.1), 3, weights=hpo.example_weights(10), penalty=hpo.l2())
        >>> hyper = problem.init(jax.random.key(0))
        >>> batch = hpo.IndexedBatch(jnp.ones((4, 2)), jnp.zeros(4, jnp.int32), jnp.arange(4))
        >>> steps = jax.tree.map(lambda a: jnp.stack([a, a]), batch)
        >>> result = jax.jit(bilevel.unroll()(problem.problem))(hyper, None, steps, batch, jax.random.key(1))
        >>> (result.grad["weights"] != 0).tolist()  # four of the ten examples were in the batch
        [True, True, True, True, False, False, False, False, False, False]
    """
    unknown = [name for name in components if name not in SLOTS]
    if unknown:
        raise InputError(f"training_problem: components must be among {', '.join(SLOTS)}, got {unknown[0]!r}")
    plain = squared_error if classes is None else cross_entropy

    def targets(y: jax.Array) -> jax.Array:
        return y[:, None] if classes is None else one_hot(y, classes)

    def use(slot: str, hyper: Hyper, *args: Any) -> Any:
        return components[slot].apply(hyper[slot], *args)

    def inner_loss(hyper: Hyper, params: Params, batch: IndexedBatch, key: Key):
        x = use("inputs", hyper, batch.x, key) if "inputs" in components else batch.x
        target = targets(batch.y)
        target = use("labels", hyper, target, batch.index) if "labels" in components else target
        outputs = network.apply(params, x)
        losses = use("loss", hyper, outputs, target) if "loss" in components else plain(outputs, target)
        weights = use("weights", hyper, losses, batch) if "weights" in components else 1.0
        loss = jnp.mean(weights * losses)
        return loss + (use("penalty", hyper, params) if "penalty" in components else 0.0), {}

    def outer_loss(hyper: Hyper, params: Params, batch: IndexedBatch, key: Key):
        outputs = network.apply(params, batch.x)
        info = {}
        if classes is not None:
            info = {"accuracy": jnp.mean(jnp.argmax(outputs, -1) == batch.y, dtype=outputs.dtype)}
        return jnp.mean(plain(outputs, targets(batch.y))), info

    def init(key: Key) -> dict[str, Hyper]:
        return {name: component.init(stream(key, name)) for name, component in components.items()}

    optimizer_of = optimizer if callable(optimizer) else lambda hyper: optimizer
    inner = Inner.descent(inner_loss, lambda hyper, key: network.init(key), optimizer_of)
    return HyperProblem(Problem(inner, outer_loss), init)


@checked
def cross_entropy(outputs: Float[AnyArray, "n k"], targets: Float[AnyArray, "n k"]) -> Float[Array, " n"]:
    """The cross-entropy of each example, from logits and target probabilities of shape ``[n, k]``."""
    return -jnp.sum(targets * jax.nn.log_softmax(outputs), axis=-1)


@checked
def squared_error(outputs: Float[AnyArray, "n k"], targets: Float[AnyArray, "n k"]) -> Float[Array, " n"]:
    """Half the squared distance of each example, from outputs and targets of shape ``[n, k]``."""
    return 0.5 * jnp.sum(jnp.square(outputs - targets), axis=-1)
