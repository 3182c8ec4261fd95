"""Layers that stay fast and exact when their weights are vmapped and differentiated twice."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn._convolution import convolution


def materialize(x: jax.Array) -> jax.Array:
    """``x``, and its derivative, as values that XLA keeps in memory.

    On a CPU XLA fuses elementwise producers into every consumer and computes them again for each element that is read: a pool
    reads nine, and chains of such readers multiply. A product with the identity is not fused; other backends need none.

    Args:
        x: f32[..., c], with few channels, so that the product costs as little as a copy.
    """
    return x @ jnp.eye(x.shape[-1], dtype=x.dtype) if jax.default_backend() == "cpu" else x


def dense(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``x @ kernel``: f32[..., c] and f32[c, out] -> f32[..., out].

    The kernel's gradient is a product of two matrices. XLA makes of that of ``x @ kernel`` a product over several axes, for
    which it copies both, transposed, on a CPU.
    """
    rows = x.reshape(1, -1, 1, x.shape[-1])
    return convolution(rows, kernel[None, None]).reshape(*x.shape[:-1], kernel.shape[-1])


def separable(
    x: jax.Array, kernels: Sequence[tuple[jax.Array, jax.Array]], stride: int = 1, dilation: int = 1
) -> jax.Array:
    """Convolutions of every channel for itself and then 1 x 1, "SAME" padding; several of them side by side.

    Up to 32 channels the two steps are one convolution with the product of their kernels: more arithmetic, and on a CPU
    still several times faster than a convolution with a group for every channel.

    Args:
        x: f32[n, h, w, c].
        kernels: ``(depth [k, k, c] with k odd, point [c, out])`` of each.

    Returns:
        f32[n, h / stride, w / stride, out of all kernels].
    """
    channels = x.shape[-1]
    if channels <= 32:
        whole = jnp.concatenate([depth[..., None] * point for depth, point in kernels], axis=-1)
        return convolution(x, whole, stride, dilation, symmetric=True)
    pad, layout = dilation * (kernels[0][0].shape[0] // 2), ("NHWC", "HWIO", "NHWC")

    def run(depth: jax.Array) -> jax.Array:
        padding, apart = ((pad, pad), (pad, pad)), (dilation, dilation)
        kernel = depth[:, :, None]
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), padding, None, apart, layout, channels)

    return jnp.concatenate([dense(run(depth), point) for depth, point in kernels], axis=-1)


def standardize(x: jax.Array, eps: float = 1e-5, reference: int | None = None) -> jax.Array:
    """Batch normalization by the statistics of this batch, over all axes but the last, without scale and shift.

    Args:
        reference: take the statistics of the first ``reference`` examples only (default: of all).
    """
    axes, seen = tuple(range(x.ndim - 1)), x[:reference]
    mean = jnp.mean(seen, axis=axes, keepdims=True)
    variance = jnp.mean(jnp.square(seen - mean), axis=axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + eps)


class Moments(NamedTuple):
    """Mean and variance of each channel, f32[channels]."""

    mean: jax.Array
    variance: jax.Array


def moments(x: jax.Array) -> Moments:
    """The mean and the variance of f32[..., channels] over all axes but the last."""
    axes = tuple(range(x.ndim - 1))
    return Moments(jnp.mean(x, axis=axes), jnp.var(x, axis=axes))


@jax.custom_jvp
def max_pool(x: jax.Array) -> jax.Array:
    """The largest of each 2 x 2 window, [n, h, w, c] -> [n, h//2, w//2, c]; a last odd row or column is left out.

    The derivative is that of ``jnp.max``: equal entries of a window share it. ``jnp.max`` itself divides by the number of
    entries that equal the largest. Where XLA computes an entry a second time and rounds it another way, that number is zero
    and the gradient NaN; here the derivative reads the entries that were compared.
    """
    return jnp.max(_windows(x), axis=(2, 4))


def _windows(x: jax.Array) -> jax.Array:
    """[n, h, w, c] -> [n, h//2, 2, w//2, 2, c]."""
    n, height, width, channels = x.shape
    h, w = height // 2, width // 2
    return x[:, : 2 * h, : 2 * w].reshape(n, h, 2, w, 2, channels)


@max_pool.defjvp
def _max_pool_jvp(primals, tangents):
    (x,), (moved,) = primals, tangents
    windows = jax.lax.optimization_barrier(_windows(x))
    largest = jnp.max(windows, axis=(2, 4), keepdims=True)
    chosen = (windows == jax.lax.stop_gradient(largest)).astype(x.dtype)
    share = chosen / jnp.maximum(jnp.sum(chosen, axis=(2, 4), keepdims=True), 1)
    return largest[:, :, 0, :, 0], jnp.sum(share * _windows(moved), axis=(2, 4))


class Convolution(nnx.Module):
    """A ``size`` x ``size`` convolution, "SAME" padding."""

    def __init__(self, channels: int, out: int, size: int = 3, stride: int = 1, bias: bool = True, *, rngs: nnx.Rngs):
        scale = (channels * size * size) ** -0.5
        self.kernel = nnx.Param(scale * jax.random.truncated_normal(rngs.params(), -2, 2, (size, size, channels, out)))
        self.bias = nnx.Param(jnp.zeros(out)) if bias else None
        self.stride = stride

    def __call__(self, x: jax.Array) -> jax.Array:
        y = convolution(x, self.kernel[...], self.stride)
        return y if self.bias is None else y + self.bias[...]


class TransductiveBatchNorm(nnx.Module):
    """Batch normalization that always uses the statistics of the batch it is given, in training and in evaluation.

    This is the mode of the MAML paper; a score obtained with it depends on the other queries of the episode. With
    ``reference=n`` only the first n examples, the support, give the statistics.
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs | None = None):
        self.scale, self.bias = nnx.Param(jnp.ones(features)), nnx.Param(jnp.zeros(features))

    def __call__(self, x: jax.Array, reference: int | None = None) -> jax.Array:
        return standardize(x, reference=reference) * self.scale[...] + self.bias[...]

    def fixed(self, x: jax.Array, statistics: Moments, eps: float = 1e-5) -> jax.Array:
        """Normalizes by given statistics instead of those of ``x``."""
        return (x - statistics.mean) * jax.lax.rsqrt(statistics.variance + eps) * self.scale[...] + self.bias[...]
