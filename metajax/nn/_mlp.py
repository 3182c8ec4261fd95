"""The multilayer perceptron."""

from collections.abc import Callable, Sequence

import jax
from flax import nnx


class MLP(nnx.Module):
    """Dense layers with an activation between them.

    Args:
        features: Number of inputs.
        hidden: Sizes of the hidden layers; ``()`` makes a linear model.
        out: Number of outputs.
        activation: Function between the layers.
        rngs: Random streams of the initial weights.

    Example:
        >>> from metajax import nn
        >>> init, apply = nn.functional(lambda rngs: MLP(1, (40, 40), 1, rngs=rngs))
        >>> apply(init(jax.random.key(0)), jax.numpy.ones((5, 1))).shape
        (5, 1)
    """

    def __init__(
        self,
        features: int,
        hidden: Sequence[int],
        out: int,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        *,
        rngs: nnx.Rngs,
    ):
        sizes = (features, *hidden, out)
        self.layers: nnx.List[nnx.Linear] = nnx.List(
            [nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:])]
        )
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns outputs f32[..., out] of inputs f32[..., features]."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)
