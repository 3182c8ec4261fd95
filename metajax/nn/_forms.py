"""What a convolution and its two derivatives compute, in two ways: by XLA's convolution, and by a product of patches.

Both take plain arrays and are written for any backend; ``_on_cpu`` chooses between them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Form(NamedTuple):
    """What is fixed about a convolution.

    Attributes:
        size: Height and width of the kernel.
        stride: Pixels from one output to the next.
        height: Height of the images.
        width: Width of the images.
        dilation: Pixels from one position of the kernel to the next.
        symmetric: As much padding before as after, as in PyTorch, also where a stride leaves pixels over.
    """

    size: int
    stride: int
    height: int
    width: int
    dilation: int = 1
    symmetric: bool = False

    @property
    def reach(self) -> int:
        """Pixels from the first to the last that a window reads."""
        return (self.size - 1) * self.dilation + 1

    def padding(self) -> list[tuple[int, int]]:
        """The padding before and after each axis, "SAME" up to the last pixel that a window reads."""
        padding = []
        for length in (self.height, self.width):
            total = (-(-length // self.stride) - 1) * self.stride + self.reach - length
            before = self.reach // 2 if self.symmetric else max(total, 0) // 2
            padding.append((before, total - before))
        return padding


def positions(x: jax.Array, form: Form) -> list[jax.Array]:
    """Returns what each position of the kernel reads: [n, ceil(h/stride), ceil(w/stride), c] of each."""
    edges = [(before, after, 0) for before, after in form.padding()]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    rows, columns = ((-(-n // form.stride) - 1) * form.stride + 1 for n in (form.height, form.width))
    starts = range(0, form.reach, form.dilation)
    return [x[:, i : i + rows : form.stride, j : j + columns : form.stride] for i in starts for j in starts]


def all_patches(x: jax.Array, form: Form) -> jax.Array:
    """Returns all patches, in the channel order of a kernel [size, size, c, out] reshaped to [size²·c, out]."""
    return jnp.concatenate(positions(x, form), axis=-1)


def direct(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Sequence[tuple[int, int]] | str, dilation: int
) -> jax.Array:
    """XLA's convolution in the layout that runs fast everywhere."""
    layout, strides, dilations = ("NHWC", "HWIO", "NHWC"), (stride, stride), (dilation, dilation)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, None, dilations, layout)


def output_direct(x: jax.Array, kernel: jax.Array, *, form: Form) -> jax.Array:
    """The convolution, by XLA's convolution."""
    return direct(x, kernel, form.stride, form.padding(), form.dilation)


def input_direct(kernel: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """The derivative in the input, as XLA's convolution of the spread slope with the turned kernel."""
    zero, interior, reach = jnp.zeros((), slope.dtype), form.stride - 1, form.reach - 1
    edges = [(reach - before, reach - after, interior) for before, after in form.padding()]
    spread = jax.lax.pad(slope, zero, [(0, 0, 0), *edges, (0, 0, 0)])
    return direct(spread, kernel[::-1, ::-1].swapaxes(2, 3), 1, "VALID", form.dilation)


def kernel_direct(x: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """The derivative in the kernel, as XLA's convolution in which channels and examples trade places."""
    turned = x.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3)
    return direct(*turned, form.dilation, form.padding(), form.stride).transpose(1, 2, 0, 3)


def output_product(x: jax.Array, kernel: jax.Array, *, form: Form) -> jax.Array:
    """The convolution, by a product of patches."""
    return all_patches(x, form) @ kernel.reshape(-1, kernel.shape[-1])


def input_product(kernel: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """The derivative in the input, by products."""
    if form.stride == 1 and form.size % 2:
        return output_product(slope, kernel[::-1, ::-1].swapaxes(2, 3), form=form)
    x = jax.ShapeDtypeStruct((len(slope), form.height, form.width, kernel.shape[2]), slope.dtype)
    return jax.linear_transpose(lambda x: output_product(x, kernel, form=form), x)(slope)[0]


def kernel_product(x: jax.Array, slope: jax.Array, *, form: Form) -> jax.Array:
    """The derivative in the kernel, by a product of patches."""
    gradient = over_rows(all_patches(x, form), slope)
    return gradient.reshape(form.size, form.size, x.shape[-1], slope.shape[-1])


def over_rows(a: jax.Array, b: jax.Array) -> jax.Array:
    """Multiplies [..., p] and [..., o] over all axes but the last, to [p, o].

    It is a product of matrices, because XLA copies both operands, transposed, where a product is over several axes. For that
    ProtoNet's step on Conv-4 took 15 ms a task in place of 10.5, MAML's 29 in place of 25.
    """
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])
