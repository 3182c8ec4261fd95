"""What zero-cost proxies share: the layers of a network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from metajax.types import InputError, Params, Scalar

Apply = Callable[[Params, jax.Array], jax.Array]
"""``(params, x) -> logits f32[n, classes]``, such as ``SuperNet.build(config).apply``."""
Loss = Callable[[jax.Array, jax.Array], Scalar]
"""``(logits, labels) -> scalar``."""
Images = Float[Array, "n ..."]
"""A batch of inputs."""
Layers = list[jax.Array]
"""The weights of the layers, one array each."""


def layers_of(params: Params) -> tuple[Layers, Callable[[Layers], Params]]:
    """Returns the layers of a network, and the function that puts others in their place."""
    leaves, tree = jax.tree.flatten(params)
    indices = [i for i, leaf in enumerate(leaves) if jnp.ndim(leaf) > 1]
    if not indices:
        raise InputError(
            "proxies: params must have a layer, that is at least one array of two or more dimensions, but has none"
        )

    def join(layers: Layers) -> Params:
        filled = dict(zip(indices, layers))
        return tree.unflatten([filled.get(i, leaf) for i, leaf in enumerate(leaves)])

    return [leaves[i] for i in indices], join


def wide(x: jax.Array) -> jax.Array:
    """Returns the array in float64 where that is enabled, else in float32."""
    return x.astype(jax.dtypes.canonicalize_dtype(np.float64))
