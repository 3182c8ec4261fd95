"""The four-layer convolutional network of the few-shot literature."""

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn.layers import Convolution, TransductiveBatchNorm


class Conv4(nnx.Module):
    """Four times 3x3 convolution with stride 2, batch norm, ReLU; spatial mean; linear (MAML's network for Omniglot).

    Batch norm uses the statistics of the batch given (transductive).

    Args:
        ways: classes.
        channels: of the input images.
        width: filters in each layer.

    References:
        Finn et al. 2017, arXiv:1703.03400, appendix A; Vinyals et al. 2016, arXiv:1606.04080.
    """

    def __init__(self, ways: int, channels: int = 1, width: int = 64, *, rngs: nnx.Rngs):
        sizes = (channels, width, width, width, width)
        self.convolutions = nnx.List([Convolution(a, b, stride=2, rngs=rngs) for a, b in zip(sizes[:-1], sizes[1:])])
        self.norms = nnx.List([TransductiveBatchNorm(width) for _ in range(4)])
        self.head = nnx.Linear(width, ways, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[n, height, width, channels] -> logits f32[n, ways]."""
        for convolution, norm in zip(self.convolutions, self.norms):
            x = jax.nn.relu(norm(convolution(x)))
        return self.head(jnp.mean(x, axis=(1, 2)))
