"""Random configurations of a space, many at a time."""

import jax
import numpy as np

from metajax.space import Space
from metajax.types import Key

_BLOCK = 32  # so that one small program, which a search needs anyway, draws any number


def random_encodings(space: Space, key: Key, n: int) -> np.ndarray:
    """Returns encodings f32[n, width] of random configurations.

    Args:
        space: The space.
        key: Random key.
        n: Their number, a multiple of 32.
    """
    blocks = (space.sample(jax.random.fold_in(key, number), _BLOCK) for number in range(n // _BLOCK))
    return np.concatenate([np.asarray(space.encode(configs)) for configs in blocks])
