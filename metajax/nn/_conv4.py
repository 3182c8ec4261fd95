"""The four-layer convolutional network of the few-shot literature."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn._convolution import normalized_convolution
from metajax.nn._layers import Convolution, Moments, TransductiveBatchNorm, max_pool, moments
from metajax.types import InputError


class Conv4(nnx.Module):
    """Four times 3x3 convolution, batch norm, ReLU; then features, or class scores.

    Batch norm uses the statistics of its batch (transductive), of the first ``reference`` examples, or fixed ones.

    Args:
        ways: Number of classes; ``None`` ends in the features.
        channels: Channels of the input images.
        width: Filters in each layer.
        pool: Halve the size by 2x2 max-pooling (mini-ImageNet) instead of by stride 2 (MAML on Omniglot).
        flatten: Keep all positions as features instead of their mean; only without ``ways``.
        context: Size of a task's context vector (CAVIA), which scales and shifts the third layer (FiLM); 0 for none.
        leak: Slope of the activation below zero, >= 0; 0 is the ReLU, 0.01 the leaky ReLU of MAML++'s code.
        rngs: Random streams of the initial weights.

    Raises:
        InputError: If ``flatten`` is given with ``ways``.

    References:
        Finn et al. 2017, arXiv:1703.03400, appendix A; Vinyals et al. 2016, arXiv:1606.04080; Zintgraf et al. 2019,
        arXiv:1810.03642, section 4.2.

    Example:
        >>> from metajax import nn
        >>> init, apply = nn.functional(lambda rngs: Conv4(5, width=8, rngs=rngs))
        >>> jax.jit(apply)(init(jax.random.key(0)), jnp.ones((3, 28, 28, 1))).shape
        (3, 5)
    """

    def __init__(
        self,
        ways: int | None,
        channels: int = 1,
        width: int = 64,
        pool: bool = False,
        flatten: bool = False,
        context: int = 0,
        leak: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        if ways is not None and flatten:
            raise InputError(
                f"Conv4: flatten must be False with ways={ways}, because the head takes the features' mean; use ways=None to "
                "flatten"
            )
        sizes, stride = (channels, width, width, width, width), 1 if pool else 2
        pairs = zip(sizes[:-1], sizes[1:])
        self.convolutions: nnx.List[Convolution] = nnx.List(
            [Convolution(a, b, stride=stride, rngs=rngs) for a, b in pairs]
        )
        self.norms: nnx.List[TransductiveBatchNorm] = nnx.List([TransductiveBatchNorm(width) for _ in range(4)])
        self.film: nnx.Linear | None = nnx.Linear(context, 2 * width, rngs=rngs) if context else None
        self.head: nnx.Linear | None = None if ways is None else nnx.Linear(width, ways, rngs=rngs)
        self.pool: bool = pool
        self.flatten: bool = flatten
        self.leak: float = leak

    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        reference: int | None = None,
        statistics: Sequence[Moments] | None = None,
        report: bool = False,
    ) -> Any:
        """Returns logits f32[n, ways], or features f32[n, d].

        Args:
            x: Images f32[n, height, width, channels].
            context: Context of the task f32[context], where the network was made with one.
            reference: Batch norm takes the statistics of the first ``reference`` examples only.
            statistics: Fixed statistics of each batch norm, first layer first, instead of the batch's own.
            report: Return a pair of the output and the batch's own statistics, as ``statistics`` takes them.
        """
        used: list[Moments] = []
        for layer, (convolution, norm) in enumerate(zip(self.convolutions, self.norms)):
            if statistics is not None or report:
                x = convolution(x)
                used.append(moments(x) if report else Moments(*(statistics or ())[layer]))
                x = norm.fixed(x, used[-1])
            else:
                x = _normalized(convolution, norm, x, reference)
            if layer == 2 and self.film is not None and context is not None:
                scale, shift = jnp.split(self.film(context), 2)
                x = x * (1 + scale) + shift
            x = jax.nn.leaky_relu(x, self.leak) if self.leak else jax.nn.relu(x)
            x = max_pool(x) if self.pool else x
        x = x.reshape(x.shape[0], -1) if self.flatten else jnp.mean(x, axis=(1, 2))
        x = x if self.head is None else self.head(x)
        return (x, tuple(used)) if report else x


def _normalized(layer: Convolution, norm: TransductiveBatchNorm, x: jax.Array, reference: int | None) -> jax.Array:
    """Batch norm of a convolution; a bias before it has no effect."""
    kernel = layer.kernel[...]
    if kernel[..., 0].size > kernel.shape[-1]:
        return norm(layer(x), reference)
    return normalized_convolution(x, kernel, norm.scale[...], norm.bias[...], layer.stride, reference=reference)
