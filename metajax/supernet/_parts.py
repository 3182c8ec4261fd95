"""The examples of a search: batches of its training and validation parts, and accuracies on the latter."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from metajax.nn import Functional
from metajax.types import Key, Params, Scalar

JUDGED_IMAGES = 2000
"""Validation examples by which the SuperNet judges an architecture."""
JUDGED_BATCH = 250
"""Examples at a time; batch norm goes by the batch."""

Part = tuple[Any, Any]
"""``(x, labels)``, array-likes that share their leading axis."""
Accuracy = Callable[[Params, jax.Array], Scalar]
"""``(params, encoding) -> accuracy`` on validation examples."""


class Augment(Protocol):
    """Changes training examples at random."""

    def __call__(self, x: jax.Array, key: Key, /) -> jax.Array:
        """Returns examples of the same shape.

        Args:
            x: A batch of examples.
            key: The randomness of this batch.
        """
        ...


def steps_in_epoch(training: Part, batch_size: int, inner_steps: int = 1) -> int:
    """Returns the number of search steps in which the training part is seen once, at least 1."""
    return max(1, len(training[1]) // (batch_size * inner_steps))


BATCH_AXES = (1, 0, None)
"""The axes of what ``sampler`` returns along which devices share it: examples, except for the whole validation part."""


def sampler(
    parts: Sequence[Part], batch_size: int, inner_steps: int = 1, augment: Augment | None = None
) -> Callable[[Key], Any]:
    """Returns a sampler of a search's batches, which draws on the device.

    Args:
        parts: The training part and the validation part, each as ``(x, labels)``; further parts are ignored.
        batch_size: The number of examples of a batch, drawn with replacement.
        inner_steps: The number of training batches of one step.
        augment: The function that changes training batches at random.

    Returns:
        A function ``key -> (training batches [inner_steps, batch_size, ...], validation batch, validation part)``.

    Example:
        >>> x, y = jnp.zeros((9, 4, 4, 1)), jnp.arange(9)
        >>> inner, outer, whole = sampler([(x, y), (x, y)], batch_size=4, inner_steps=2)(jax.random.key(0))
        >>> inner[0].shape, outer[0].shape, whole[0].shape
        ((2, 4, 4, 4, 1), (4, 4, 4, 1), (9, 4, 4, 1))
    """

    def draw(key: Key, part: Part) -> Part:
        rows = jax.random.randint(key, (batch_size,), 0, len(part[1]))
        return part[0][rows], part[1][rows]

    def sample(training: Part, validation: Part, key: Key) -> Any:
        inner_key, outer_key, augmentation_key = jax.random.split(key, 3)

        def inner(draw_key: Key, augment_key: Key) -> Part:
            x, y = draw(draw_key, training)
            return (x if augment is None else augment(x, augment_key)), y

        if inner_steps == 1:
            batches = jax.tree.map(lambda a: a[None], inner(inner_key, augmentation_key))
        else:
            keys = zip(jax.random.split(inner_key, inner_steps), jax.random.split(augmentation_key, inner_steps))
            batches = jax.tree.map(lambda *a: jnp.stack(a), *(inner(*pair) for pair in keys))
        return batches, draw(outer_key, validation), validation

    # a Partial, so that the arrays are arguments of the compiled program and not constants in it
    training, validation = (jax.tree.map(jnp.asarray, tuple(part)) for part in parts[:2])
    return Partial(sample, training, validation)


def accuracy_on(network: Functional, part: Part) -> Accuracy:
    """Returns a function that measures the accuracy of encodings on examples.

    Args:
        network: The network, with ``apply(params, x, encoding) -> logits``.
        part: The examples, ``(x, labels)``. The first 2,000 count, in batches of 250, whose statistics batch norm uses.
            Examples that do not fill a batch are left out.

    Returns:
        A function ``(params, encoding) -> accuracy``, which is a ``jax.tree_util.Partial`` of the examples.

    Example:
        >>> network = Functional(lambda key: {}, lambda params, x, encoding: x * encoding)
        >>> accuracy = accuracy_on(network, (jnp.eye(3), jnp.arange(3)))
        >>> float(accuracy({}, jnp.ones(3))), round(float(accuracy({}, jnp.zeros(3))), 2)
        (1.0, 0.33)
    """
    size = min(JUDGED_BATCH, len(part[1]))
    count = min(JUDGED_IMAGES, len(part[1])) // size
    batches = jax.tree.map(lambda a: jnp.asarray(a[: count * size]).reshape(count, size, *a.shape[1:]), tuple(part))

    def accuracy(batches: Any, params: Params, encoding: jax.Array) -> Scalar:
        correct = lambda xy: jnp.argmax(network.apply(params, xy[0], encoding), axis=-1) == xy[1]
        return jnp.mean(jax.lax.map(correct, batches), dtype=jnp.float32)

    return Partial(accuracy, batches)
