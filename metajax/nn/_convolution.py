"""Convolution, implemented by what is fast where it runs.

With a vmapped kernel XLA's convolution becomes a grouped one, which runs 5 to 9 times slower on a CPU than a batched matrix
product of patches; with a shared kernel XLA's convolution is often the faster one, and its derivatives are much faster than
those of patches, slices padded and summed. To have both, a convolution is a primitive of its own (``_primitives``), which
chooses how it is computed when it is lowered or batched (``_on_cpu``) among several implementations (``_forms``).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.nn._forms import Form, all_patches
from metajax.nn._primitives import output_primitive
from metajax.types import InputError


def patches(x: jax.Array, size: int, stride: int = 1) -> jax.Array:
    """Returns all ``size`` x ``size`` patches with "SAME" padding: [n, ceil(h/stride), ceil(w/stride), size²·c].

    The channel order is that of a kernel [size, size, c, out] reshaped to [size²·c, out].
    """
    height, width = x.shape[1:3]
    return all_patches(x, Form(size, stride, height, width))


@checked
def convolution(
    x: Float[AnyArray, "n h w c"],
    kernel: Float[AnyArray, "size size channels out"],
    stride: int = 1,
    dilation: int = 1,
    symmetric: bool = False,
) -> Float[Array, "n rows columns out"]:
    """Convolution with "SAME" padding; images and kernels may both be vmapped, and differentiated in any order.

    Args:
        x: Images, channels last.
        kernel: The kernel, of the same type.
        stride: Pixels from one output to the next, >= 1.
        dilation: Pixels from one position of the kernel to the next, >= 1.
        symmetric: As much padding before as after, as in PyTorch, also where a stride leaves pixels over.

    Returns:
        Images with ``ceil(h / stride)`` rows and ``ceil(w / stride)`` columns.

    Raises:
        InputError: If images and kernel have other channels or types.

    Example:
        >>> convolution(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5)))[0, 0, :2, 0].tolist()  # a corner, an edge
        [8.0, 12.0]
    """
    size, _, channels, _ = kernel.shape
    if x.dtype != kernel.dtype or x.shape[-1] != channels:
        raise InputError(
            "convolution: x and kernel must have the same dtype, and the last axis of x must equal the third of "
            f"kernel (channels), got x {x.dtype}{x.shape} and kernel {kernel.dtype}{kernel.shape}"
        )
    height, width = x.shape[1:3]
    return output_primitive.bind(x, kernel, form=Form(size, stride, height, width, dilation, symmetric))


@checked
def normalized_convolution(
    x: Float[AnyArray, "n h w c"],
    kernel: Float[AnyArray, "size size c out"],
    scale: Float[AnyArray, " out"],
    shift: Float[AnyArray, " out"],
    stride: int = 1,
    eps: float = 1e-5,
    reference: int | None = None,
) -> Float[Array, "n rows columns out"]:
    """A convolution followed by batch norm, without a pass over the output for its statistics.

    The channels that the convolution makes have the mean m·K and the variance diag(KᵀCK), where m and C are mean and
    covariance of the input's patches; so batch norm is another kernel and a shift. It is exact, and several times less memory
    traffic where a patch has fewer numbers than the output has channels, as in the first layer of a network (a fifth of MAML's
    step); elsewhere the covariance costs more than it saves.

    Args:
        x: Images, channels last.
        kernel: The kernel, of the same type.
        scale: Scale of the batch norm.
        shift: Shift of the batch norm.
        stride: Pixels from one output to the next, >= 1.
        eps: Number that is added to the variance, > 0.
        reference: Take the statistics of the first ``reference`` examples only; ``None`` takes those of all.

    Returns:
        Images with ``ceil(h / stride)`` rows and ``ceil(w / stride)`` columns.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (8, 6, 6, 1))
        >>> y = normalized_convolution(x, jnp.ones((3, 3, 1, 4)), jnp.ones(4), jnp.zeros(4))
        >>> bool(jnp.allclose(jnp.var(y, axis=(0, 1, 2)), 1.0, atol=1e-3))
        True
    """
    size, out = kernel.shape[0], kernel.shape[-1]
    flat, windows = kernel.reshape(-1, out), patches(jnp.asarray(x), size, stride)
    rows = windows[:reference].reshape(-1, flat.shape[0])
    mean = jnp.mean(rows, axis=0)
    centered = rows - mean
    variance = jnp.sum(flat * (centered.T @ centered @ flat), axis=0) / len(rows)
    gain = scale * jax.lax.rsqrt(variance + eps)
    return convolution(windows, (flat * gain)[None, None]) + (shift - mean @ flat * gain)
