"""What every value of every choice is worth, and the decision by it."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from metajax._typing import checked
from metajax.space import Space
from metajax.supernet._logits import choice_runs, choice_slices, choice_values
from metajax.types import InputError, Scalar


@checked
def open_values(space: Space, excluded_values: Sequence[Any] = ()) -> Float[Array, " {space.width}"]:
    """Returns f32[width], 1 where a value is searched and 0 for the excluded ones.

    It raises an InputError that names an excluded value that no choice has, or a choice that would be left without a value.
    """
    mask, excluded = np.ones(space.width, np.float32), set()
    for name, part in choice_slices(space):
        choices = choice_values(space, name)
        excluded_here = [value for value in excluded_values if value in choices]
        mask[[part.start + choices.index(value) for value in excluded_here]] = 0.0
        excluded.update(excluded_here)
        if not mask[part].any():
            raise InputError(
                f"compose_search: excluded_values must leave every choice a value, but {tuple(excluded_values)} "
                f"excludes all of {name!r}, {choices}"
            )
    unknown = [value for value in excluded_values if value not in excluded]
    if unknown:
        raise InputError(
            f"compose_search: excluded_values must be values of the space, but no choice has {unknown[0]!r}"
        )
    return jnp.asarray(mask, jnp.ones(()).dtype)


@checked
def relative_entropy(space: Space, strengths: Float[Array, " {space.width}"]) -> Scalar:
    """Returns the mean over choices of the entropy of their strengths, as a share of the largest possible."""
    shares = []
    for columns, shape in choice_runs(space):
        if shape is not None:
            block = strengths[columns].reshape(shape)
            block = block / jnp.maximum(jnp.sum(block, axis=1, keepdims=True), 1e-12)
            entropy = -jnp.sum(jnp.where(block > 0, block * jnp.log(jnp.where(block > 0, block, 1.0)), 0.0), axis=1)
            shares.append(entropy / math.log(max(shape[1], 2)))
    return jnp.mean(jnp.concatenate(shares))


def decide(space: Space, strengths: ArrayLike, threshold: float = 0.0) -> dict[str, Any]:
    """Returns the architecture that takes the strongest value of every choice.

    Args:
        space: The space that was searched.
        strengths: The strengths, f32[width], as ``Search.strengths`` returns them.
        threshold: The strength below which a choice that has the value ``"none"`` takes it: where no strength reaches the
            threshold (FairDARTS keeps operations above .85).

    Returns:
        The configuration, ``{choice: value}``.

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> space = cell_space(2)  # none, skip, conv1x1, conv3x3, avg_pool
        >>> strengths = [0.0, 0.2, 0.7, 0.1, 0.3]
        >>> decide(space, strengths), decide(space, strengths, threshold=0.85)
        ({'edge_0_1': 'conv1x1'}, {'edge_0_1': 'none'})
    """
    values = np.asarray(strengths)
    config = space.decode(jnp.asarray(values)[None])[0]
    for name, part in choice_slices(space):
        if "none" in choice_values(space, name) and values[part].max() < threshold:
            config[name] = "none"
    return config
