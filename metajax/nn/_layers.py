"""Layers that stay fast and exact when their weights are vmapped and differentiated twice."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.nn._convolution import convolution
from metajax.nn._on_cpu import FUSED_CHANNELS


@checked
def materialize(x: Float[AnyArray, "*axes c"]) -> Float[Array, "*axes c"]:
    """Returns ``x`` as a value that XLA keeps in memory, and so its derivative.

    On a CPU XLA fuses elementwise producers into every consumer and computes them again for each element that is read: a pool
    reads nine, and chains of such readers multiply. A product with the identity is not fused; other backends need none.

    Args:
        x: An array with few channels, so that the product costs as little as a copy.

    Returns:
        The same values.

    Example:
        >>> jax.jit(materialize)(jnp.array([[1.0, 2.0]])).tolist()
        [[1.0, 2.0]]
    """
    x = jnp.asarray(x)
    return x @ jnp.eye(x.shape[-1], dtype=x.dtype) if jax.default_backend() == "cpu" else x


@checked
def dense(x: Float[AnyArray, "*axes c"], kernel: Float[AnyArray, "c out"]) -> Float[Array, "*axes out"]:
    """Returns ``x @ kernel``, with a faster gradient of the kernel.

    The kernel's gradient is a product of two matrices. The one that JAX makes of ``x @ kernel`` is a product over several
    axes, for which XLA copies both operands, transposed, on a CPU.

    Args:
        x: Inputs, channels last.
        kernel: The weights.

    Returns:
        Outputs, channels last.

    Example:
        >>> dense(jnp.ones((2, 3, 4)), jnp.ones((4, 5))).shape
        (2, 3, 5)
    """
    rows = x.reshape(1, -1, 1, x.shape[-1])
    return convolution(rows, kernel[None, None]).reshape(*x.shape[:-1], kernel.shape[-1])


@checked
def separable(
    x: Float[AnyArray, "n h w c"],
    kernels: Sequence[tuple[Float[AnyArray, "size size c"], Float[AnyArray, "c _"]]],
    stride: int = 1,
    dilation: int = 1,
) -> Float[Array, "n rows columns out"]:
    """Separable convolutions, several of them side by side: of every channel for itself, and then 1 x 1.

    Up to ``FUSED_CHANNELS`` channels the two steps are one convolution with the product of their kernels: more arithmetic,
    and on a CPU still several times faster than a convolution with a group for every channel.

    Args:
        x: Images, channels last.
        kernels: ``(depth [k, k, c] with k odd, point [c, out])`` of each convolution.
        stride: Pixels from one output to the next, >= 1.
        dilation: Pixels from one position of a kernel to the next, >= 1.

    Returns:
        Images with the outputs of all convolutions as channels, "SAME" padding.

    Example:
        >>> kernel = jnp.ones((3, 3, 4)), jnp.ones((4, 5))
        >>> separable(jnp.ones((1, 8, 8, 4)), [kernel, kernel], stride=2).shape
        (1, 4, 4, 10)
    """
    x, channels = jnp.asarray(x), x.shape[-1]
    if channels <= FUSED_CHANNELS:
        full_kernel = jnp.concatenate([depth[..., None] * point for depth, point in kernels], axis=-1)
        return convolution(x, full_kernel, stride, dilation, symmetric=True)
    pad, layout = dilation * (kernels[0][0].shape[0] // 2), ("NHWC", "HWIO", "NHWC")

    def run(depth: AnyArray) -> jax.Array:
        padding, dilations = ((pad, pad), (pad, pad)), (dilation, dilation)
        kernel = jnp.asarray(depth)[:, :, None]
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, None, dilations, layout, channels)

    return jnp.concatenate([dense(run(depth), point) for depth, point in kernels], axis=-1)


@checked
def standardize(
    x: Float[AnyArray, "*axes c"], eps: float = 1e-5, reference: int | None = None
) -> Float[Array, "*axes c"]:
    """Normalizes by the statistics of the batch, over all axes but the last, without scale and shift.

    Args:
        x: Values, channels last.
        eps: Number that is added to the variance, > 0.
        reference: Take the statistics of the first ``reference`` examples only; ``None`` takes those of all.

    Returns:
        Values of mean 0 and variance 1 in each channel.

    References:
        Ioffe and Szegedy 2015, arXiv:1502.03167 (batch normalization).

    Example:
        >>> standardize(jnp.array([[1.0], [3.0]])).round(2).tolist()
        [[-1.0], [1.0]]
    """
    x = jnp.asarray(x)
    axes, examples = tuple(range(x.ndim - 1)), x[:reference]
    mean = jnp.mean(examples, axis=axes, keepdims=True)
    variance = jnp.mean(jnp.square(examples - mean), axis=axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + eps)


class Moments(NamedTuple):
    """Mean and variance of each channel.

    Attributes:
        mean: f32[channels].
        variance: f32[channels].
    """

    mean: jax.Array
    variance: jax.Array


def moments(x: jax.Array) -> Moments:
    """Returns the mean and the variance of f32[..., channels] over all axes but the last."""
    axes = tuple(range(x.ndim - 1))
    return Moments(jnp.mean(x, axis=axes), jnp.var(x, axis=axes))


@checked
def max_pool(x: Float[AnyArray, "n h w c"]) -> Float[Array, "n rows columns c"]:
    """Returns the largest of each 2 x 2 window; a last odd row or column is left out.

    The derivative is that of ``jnp.max``: equal entries of a window share it. ``jnp.max`` itself divides by the number of
    entries that equal the largest. Where XLA computes an entry a second time and rounds it another way, that number is zero
    and the gradient NaN; here the derivative reads the entries that were compared.

    Args:
        x: Images, channels last.

    Returns:
        Images of half the size, rounded down.

    Example:
        >>> max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
        [[5.0, 7.0], [13.0, 15.0]]
    """
    return _pool(x)


@jax.custom_jvp
def _pool(x: jax.Array) -> jax.Array:
    """``max_pool``, with its own derivative."""
    return jnp.max(_windows(x), axis=(2, 4))


def _windows(x: jax.Array) -> jax.Array:
    """Cuts [n, h, w, c] into windows [n, h//2, 2, w//2, 2, c]."""
    n, height, width, channels = x.shape
    h, w = height // 2, width // 2
    return x[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, channels)


@_pool.defjvp
def _pool_jvp(primals, tangents):
    """Equal entries of a window share the derivative."""
    (x,), (tangent,) = primals, tangents
    windows = jax.lax.optimization_barrier(_windows(x))
    largest = jnp.max(windows, axis=(2, 4), keepdims=True)
    chosen = (windows == jax.lax.stop_gradient(largest)).astype(x.dtype)
    share = chosen / jnp.maximum(jnp.sum(chosen, axis=(2, 4), keepdims=True), 1)
    return largest[:, :, 0, :, 0], jnp.sum(share * _windows(tangent), axis=(2, 4))


class Convolution(nnx.Module):
    """A convolution layer with "SAME" padding, truncated normal weights and a bias of zero.

    Args:
        channels: Channels of the input.
        out: Channels of the output.
        size: Height and width of the kernel.
        stride: Pixels from one output to the next.
        bias: Whether there is a bias.
        rngs: Random streams of the initial weights.

    Example:
        >>> layer = Convolution(3, 8, stride=2, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((1, 6, 6, 3))).shape
        (1, 3, 3, 8)
    """

    def __init__(self, channels: int, out: int, size: int = 3, stride: int = 1, bias: bool = True, *, rngs: nnx.Rngs):
        scale = (channels * size * size) ** -0.5
        kernel = scale * jax.random.truncated_normal(rngs.params(), -2, 2, (size, size, channels, out))
        self.kernel: nnx.Param[jax.Array] = nnx.Param(kernel)
        self.bias: nnx.Param[jax.Array] | None = nnx.Param(jnp.zeros(out)) if bias else None
        self.stride: int = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns f32[n, ceil(h / stride), ceil(w / stride), out] of images f32[n, h, w, channels]."""
        y = convolution(x, self.kernel[...], self.stride)
        return y if self.bias is None else y + self.bias[...]


class TransductiveBatchNorm(nnx.Module):
    """Batch normalization that always uses the statistics of its batch, in training and in evaluation.

    This is the mode of the MAML paper; a score obtained with it depends on the other queries of the episode. With
    ``reference=n`` only the first n examples, the support, give the statistics.

    Args:
        features: Number of channels.
        rngs: Not used; every layer takes it.

    References:
        Finn et al. 2017, arXiv:1703.03400.

    Example:
        >>> norm = TransductiveBatchNorm(1)
        >>> norm(jnp.array([[1.0], [3.0]])).round(2).tolist()
        [[-1.0], [1.0]]
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs | None = None):
        self.scale: nnx.Param[jax.Array] = nnx.Param(jnp.ones(features))
        self.bias: nnx.Param[jax.Array] = nnx.Param(jnp.zeros(features))

    def __call__(self, x: jax.Array, reference: int | None = None) -> jax.Array:
        """Normalizes f32[..., features] by the statistics of the batch, or of its first ``reference`` examples."""
        return standardize(x, reference=reference) * self.scale[...] + self.bias[...]

    def fixed(self, x: jax.Array, statistics: Moments, eps: float = 1e-5) -> jax.Array:
        """Normalizes by given statistics instead of those of ``x``."""
        return (x - statistics.mean) * jax.lax.rsqrt(statistics.variance + eps) * self.scale[...] + self.bias[...]
