"""The leaves of a state: what a checkpoint can keep, how each is stored, and how it is made again bit by bit."""

from typing import Any

import jax
import numpy as np

from metajax._typing import is_key
from metajax.run._identity import digest
from metajax.types import InputError


def check_leaves(state: Any) -> None:
    """Raises an ``InputError`` if a state holds something that a checkpoint cannot keep."""
    named_leaves(state)


def named_leaves(state: Any) -> dict[str, tuple[str, Any]]:
    """Returns every leaf with its path in the state, under a name for Orbax that is unique whatever the paths are."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    named = {f"leaf_{i:05d}": (jax.tree_util.keystr(path), leaf) for i, (path, leaf) in enumerate(leaves)}
    for path, leaf in named.values():
        kind = None if isinstance(leaf, jax.Array) else np.asarray(leaf).dtype
        if kind is not None and kind.kind != "b" and not jax.numpy.issubdtype(kind, np.number):
            raise InputError(
                f"checkpoint: state{path} must be a JAX or NumPy array of numbers, a random key, or a Python number "
                f"of at most 64 bits, got {type(leaf).__name__} ({kind})"
            )
    return named


def kind_of(path: str, leaf: Any) -> tuple[str, str, tuple[int, ...]]:
    """Returns the path, type and shape of a leaf."""
    array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    return path, str(array.dtype), tuple(array.shape)


def digest_of(leaf: Any) -> str:
    """Returns the SHA-256 of the bytes of a leaf."""
    return digest(np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf))


def stored(leaf: Any) -> Any:
    """Returns what Orbax stores: arrays of JAX as they are, others as bytes, because JAX lacks some of their types."""
    if isinstance(leaf, jax.Array):
        return leaf
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)


def abstract(leaf: Any) -> Any:
    """Returns the type and shape in which Orbax is to load a leaf."""
    if isinstance(leaf, jax.Array):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
    return np.empty(np.asarray(leaf).nbytes, np.uint8)


def restored(like: Any, loaded: Any) -> Any:
    """Returns a leaf as it was before it was stored."""
    if isinstance(like, jax.Array):
        return loaded
    array = np.asarray(like)
    array = np.asarray(loaded).view(array.dtype).reshape(array.shape)
    if isinstance(like, np.ndarray):
        return array.copy()
    return array[()] if isinstance(like, np.generic) else type(like)(array.item())


def mismatch(saved: list[Any], expected: list[Any]) -> str:
    """Returns in words the first leaf that differs."""
    words = lambda kind: f"{kind[1]}{list(kind[2])}"
    saved_kinds, expected_kinds = ({kind[0]: kind for kind in kinds} for kinds in (saved, expected))
    for path in [*expected_kinds, *saved_kinds]:
        a, b = saved_kinds.get(path), expected_kinds.get(path)
        if a != b:
            return f"state{path}: {words(a) if a else 'nothing'} there, {words(b) if b else 'nothing'} expected"
    return "its arrays are in another order"
