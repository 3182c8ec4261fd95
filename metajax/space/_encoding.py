"""Configurations <-> encodings: the one layout that the SuperNet and the meta-learner both read.

The encoding is the domains' blocks side by side in the order of the space: one-hot for ``Categorical``, one number in
the unit interval for ``Float`` and ``Integer``, multi-hot for ``Subset``. Blocks of inactive domains are zero.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from metajax.space._rows import padded
from metajax.types import InputError

if TYPE_CHECKING:
    from metajax.space._space import Configs, Space


def encode(space: "Space", configs: "Configs") -> jax.Array:
    """f32[n, width] from a struct of arrays."""
    missing = [name for name in space.domains if name not in configs]
    if missing:
        raise InputError(f"encode: configs lacks {missing}; the space has {list(space.domains)}")
    columns = {name: jnp.asarray(configs[name]) for name in space.domains}
    for name, domain in space.domains.items():
        if columns[name].ndim != 1 + len(domain.shape) or columns[name].shape[1:] != domain.shape:
            accepted = ", ".join(["n", *map(str, domain.shape)])
            raise InputError(
                f"encode: the column of {name} has shape {columns[name].shape}; accepted is ({accepted}), as configs makes it"
            )
    return _encode(space, columns)


@padded
def _encode(space: "Space", configs: "Configs") -> jax.Array:
    active = space.active(configs)
    blocks = [
        d.encode(jnp.asarray(configs[name])).astype(jnp.float32) * active[name][:, None].astype(jnp.float32)
        for name, d in space.domains.items()
    ]
    return jnp.concatenate(blocks, axis=-1)


def decode(space: "Space", encodings: Any) -> "Configs":
    """The nearest configurations: argmax, rounding, threshold at a half."""
    encodings = jnp.atleast_2d(jnp.asarray(encodings, jnp.float32))
    if encodings.shape[-1] != space.width:
        raise InputError(f"decode: encodings have width {encodings.shape[-1]}, the space has {space.width}")
    return _decode(space, encodings)


@padded
def _decode(space: "Space", encodings: jax.Array) -> "Configs":
    return space.canonical({name: d.decode(encodings[:, space.slices[name]]) for name, d in space.domains.items()})
