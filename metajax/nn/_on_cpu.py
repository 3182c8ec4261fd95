"""How a convolution is computed on a CPU: thresholds, measured on one machine, and what they choose.

All numbers are of XLA's CPU backend (jaxlib 0.10) on two cores in float32. A vmapped kernel makes of XLA's convolution a
grouped one, which runs 5 to 9 times slower than a product of patches; a shared kernel in the layout NHWC runs at 36 to 60
GFLOP/s, forward and backward, for 16 to 64 channels. The thresholds below took the step of a large SuperNet from 599 to 522
ms; ``python -m experiments.benchmarks.profile`` shows what a program spends its time on. On another machine they may cost
time, never correctness: the tests run every implementation.
"""

import jax
import jax.numpy as jnp

from metajax.nn._forms import (
    Form,
    input_direct,
    input_product,
    kernel_direct,
    kernel_product,
    output_direct,
    output_product,
    over_rows,
    positions,
)

WIDE_CHANNELS = 64
"""Input channels from which a product of patches is faster than XLA's convolution."""

LARGE_BYTES = 9_000_000
"""Bytes of patches that do not fit into the cache, so that writing them costs more than the product."""

FITTING_BYTES = 2_400_000
"""Bytes of patches that fit into the cache: large ones are made and used in pieces of this size."""

MANY_CHANNELS = 32
"""Channels from which it pays to take large patches in pieces: output channels of a convolution, input channels of its kernel's
gradient."""

FUSED_CHANNELS = 32
"""Channels up to which a separable convolution is computed as one convolution, on every backend. It was measured on a CPU with
two cores; the times were not recorded."""


def patch_bytes(x: jax.Array, form: Form) -> int:
    """Returns the bytes of all patches of ``x``."""
    rows = len(x) * -(-form.height // form.stride) * -(-form.width // form.stride)
    return rows * form.size**2 * x.shape[-1] * x.dtype.itemsize


def output_on_cpu(x: jax.Array, kernel: jax.Array, *, form: Form) -> jax.Array:
    """The convolution: large patches in pieces, wide ones as a product, others by XLA. An export does not know how many rows
    there will be, and takes no pieces."""
    total = patch_bytes(x, form) if isinstance(x.shape[0], int) else 0
    if form.size > 1 and total > LARGE_BYTES and kernel.shape[-1] >= MANY_CHANNELS:
        fitting = max(1, len(x) * FITTING_BYTES // total)
        piece_size = next(n for n in range(fitting, 0, -1) if len(x) % n == 0)
        y = jax.lax.map(lambda x: output_product(x, kernel, form=form), x.reshape(-1, piece_size, *x.shape[1:]))
        return y.reshape(-1, *y.shape[2:])
    return (output_product if form.size == 1 or x.shape[-1] >= WIDE_CHANNELS else output_direct)(x, kernel, form=form)


def input_on_cpu(kernel: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """The derivative in the input: a convolution with the turned kernel where there is no stride."""
    if form.stride == 1 and form.size % 2:
        return output_on_cpu(slope, kernel[::-1, ::-1].swapaxes(2, 3), form=form)
    return (input_product if form.size == 1 or kernel.shape[-2] >= WIDE_CHANNELS else input_direct)(
        kernel, slope, form=form
    )


def kernel_on_cpu(x: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """The derivative in the kernel: large ones position by position, wide ones as a product, others by XLA."""
    channels, out = x.shape[-1], slope.shape[-1]
    if form.size > 1 and channels >= MANY_CHANNELS and patch_bytes(x, form) > LARGE_BYTES:
        return _kernel_by_position(x, slope, form=form)
    if form.size == 1 or channels >= WIDE_CHANNELS:
        return kernel_product(x, slope, form=form)
    # XLA's convolution takes twice as long where the number of output channels is not a power of two
    power = 1 << (out.bit_length() - 1)
    pieces = [slope] if power == out else [slope[..., :power], slope[..., power:]]
    return jnp.concatenate([kernel_direct(x, piece, form=form) for piece in pieces], axis=-1)


def _kernel_by_position(x: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """A product for each position of the kernel, without patches."""
    gradients = [over_rows(read, slope) for read in positions(x, form)]
    return jnp.stack(gradients).reshape(form.size, form.size, x.shape[-1], slope.shape[-1])
