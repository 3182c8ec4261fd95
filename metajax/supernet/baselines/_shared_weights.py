"""From a searched SuperNet to one architecture by the accuracies of its shared weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from metajax.space import Space
from metajax.supernet._protocols import Evaluate
from metajax.supernet.baselines._trail import Trail
from metajax.types import Params, Scalar


def best_of(space: Space, evaluate: Evaluate, encodings: Float[Array, "n width"] | np.ndarray) -> Trail:
    """Evaluates configurations that were drawn elsewhere, such as by a controller.

    Args:
        space: The space of architectures.
        evaluate: A function ``encodings -> (values, seconds)``.
        encodings: The encodings of the configurations, f32[n, width], one-hot.

    Returns:
        All configurations with their values; ``best`` is the best of them.

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> first = lambda encodings: (np.asarray(encodings)[:, 0], np.zeros(len(encodings)))
        >>> best_of(cell_space(2), first, np.eye(5)[[3, 0, 1]]).best
        {'edge_0_1': 'none'}
    """
    values, costs = evaluate(encodings)
    return Trail(space.decode(np.asarray(encodings)), np.asarray(values, np.float64), np.cumsum(costs))


def by_shared_weights(accuracy: Callable[[Params, jax.Array], Scalar], params: Params) -> Evaluate:
    """Returns an ``Evaluate`` that asks a SuperNet with its shared weights, at no cost.

    Args:
        accuracy: A function ``(params, encoding) -> scalar``, such as ``Outcome.single_path``. The arrays of a
            ``jax.tree_util.Partial`` are not constants of the compiled program.
        params: The shared weights.

    Returns:
        A function ``encodings f32[n, width] -> (values f32[n], seconds 0)``.

    Example:
        >>> evaluate = by_shared_weights(lambda params, encoding: params @ encoding, jnp.asarray([1.0, 2.0]))
        >>> evaluate(np.eye(2, dtype=np.float32))[0].tolist()
        [1.0, 2.0]
    """
    score = jax.jit(lambda accuracy, params, encodings: jax.lax.map(lambda e: accuracy(params, e), encodings))
    judge = accuracy if isinstance(accuracy, Partial) else Partial(accuracy)

    def evaluate(encodings: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        rows = jnp.asarray(encodings)
        size = 1 if len(rows) == 1 else 16  # two sizes, two programs
        padded = jnp.concatenate([rows, jnp.repeat(rows[-1:], -len(rows) % size, axis=0)])
        values = [np.asarray(score(judge, params, padded[i : i + size])) for i in range(0, len(padded), size)]
        return np.concatenate(values)[: len(rows)], np.zeros(len(rows))

    return evaluate
