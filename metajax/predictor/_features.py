"""Columns that a model reads in place of the encoding: differentiable, so that a search by gradient goes through them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor._spec import Spec


class Features(NamedTuple):
    """Columns that are computed from encodings.

    Attributes:
        name: Name for tables.
        apply: f[n, width] -> f[n, columns], pure and differentiable.
        blocks: int[columns], the number of the block of each column; columns of one block share a length scale.
        width: Width of the encodings.
    """

    name: str
    apply: Callable[[jax.Array], jax.Array]
    blocks: np.ndarray
    width: int


def with_features(spec: Spec, features: Features, keep_encoding: bool = False) -> Spec:
    """A model that reads features in place of the encoding.

    Columns of context stay as they are. The result has no formula, so it is not certified.

    Args:
        spec: The model.
        features: What it reads, such as ``predictor.architectures.path_features(space)``.
        keep_encoding: Whether it also reads the encoding.

    Returns:
        The spec ``"<spec> on <features>"``.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import predictor
        >>> from metajax.space import Integer, Space
        >>> distance = predictor.Features("distance", lambda x: jnp.abs(x - 0.5), np.zeros(1, int), 1)
        >>> spec = predictor.with_features(predictor.ridge(penalty=1e-3), distance)
        >>> space = Space({"n": Integer(0, 10)})
        >>> trials = predictor.Trials.from_arrays(space, space.at(range(11)), [abs(n - 5) for n in range(11)])
        >>> spec.name, predictor.choose(trials, [spec], "value").r2[spec.name] > 0.99
        ('ridge1 on distance', True)
    """

    def read(x):
        encoding, context = x[:, : features.width], x[:, features.width :]
        return jnp.concatenate([features.apply(encoding), *([encoding] if keep_encoding else []), context], axis=1)

    def number(blocks):
        encoding, context = blocks[: features.width], blocks[features.width :]
        first = int(features.blocks.max()) + 1
        columns = jnp.asarray(features.blocks, blocks.dtype)
        # A block without columns has no influence.
        return jnp.concatenate([columns, *([encoding + first] if keep_encoding else []), context + first])

    def fit(key, x, y, weight, blocks, start=None):
        return spec.fit(key, read(x), y, weight, number(jnp.asarray(blocks)), start)

    name = f"{spec.name} on {features.name}" + (" and choices" if keep_encoding else "")
    return Spec(name, fit, lambda params, x: spec.apply(params, read(x)), max_rows=spec.max_rows)
