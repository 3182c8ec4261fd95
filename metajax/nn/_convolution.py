"""Convolution, implemented by what is fast where it runs.

A vmapped kernel makes of XLA's convolution a grouped one, which runs 5 to 9 times slower on a CPU than a batched matrix
product of patches; with a shared kernel XLA's convolution is often the faster one, and its derivatives are much faster than
those of patches, slices padded and summed. To have both, a convolution is a primitive of its own. How it is computed on a
CPU is chosen in ``_output_on_cpu``, ``_input_on_cpu`` and ``_kernel_on_cpu``, by what was measured.

Σ convolution(x, kernel) · slope is linear in each of x, kernel and slope. Its derivatives in them are three primitives, and
the derivatives of each are the other two: ``_output(x, kernel)``, ``_input(kernel, slope)``, ``_kernel(x, slope)``. So
derivatives of any order, in any mode, come back to the same three, which choose how they are computed only when they are
lowered or batched.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

# on a CPU: input channels from which a product of patches is faster than XLA's convolution; bytes of patches that are too many
# for the cache, and that fit into it; output channels from which it then pays to take them some images at a time
_WIDE, _LARGE, _FITTING, _MANY = 64, 9_000_000, 2_400_000, 32


def patches(x: jax.Array, size: int, stride: int = 1) -> jax.Array:
    """All ``size`` x ``size`` patches with "SAME" padding: [n, h, w, c] -> [n, ceil(h/stride), ceil(w/stride), size²·c].

    The channel order is that of a kernel [size, size, c, out] reshaped to [size²·c, out].
    """
    height, width = x.shape[1:3]
    return _patches(x, _Form(size, stride, height, width))


def convolution(
    x: jax.Array, kernel: jax.Array, stride: int = 1, dilation: int = 1, symmetric: bool = False
) -> jax.Array:
    """Convolution with "SAME" padding: x [n, h, w, c], kernel [k, k, c, out]; both may be vmapped.

    Args:
        dilation: pixels from one place of the kernel to the next.
        symmetric: as much padding before as behind, as in PyTorch, also where a stride leaves pixels over.

    Raises:
        TypeError: if they do not fit each other.

    Example:
        >>> convolution(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 5)))[0, 0, :2, 0].tolist()  # a corner, an edge
        [8.0, 12.0]
    """
    size, _, channels, _ = kernel.shape
    if x.dtype != kernel.dtype or x.shape[-1] != channels:
        raise TypeError(f"convolution: x {x.dtype}{x.shape} and kernel {kernel.dtype}{kernel.shape} do not fit")
    height, width = x.shape[1:3]
    return _output.bind(x, kernel, form=_Form(size, stride, height, width, dilation, symmetric))


def normalized_convolution(
    x: jax.Array,
    kernel: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    stride: int = 1,
    eps: float = 1e-5,
    reference: int | None = None,
) -> jax.Array:
    """A convolution and the batch norm behind it, without a pass over the output for its statistics.

    The channels that the convolution makes have the mean m·K and the variance diag(KᵀCK), where m and C are mean and
    covariance of the input's patches; so batch norm is another kernel and a shift. Exact, and several times less memory
    traffic where a patch has fewer numbers than the output has channels, as in the first layer of a network; elsewhere the
    covariance costs more than it saves.

    Args:
        x: [n, h, w, c].
        kernel: [k, k, c, out].
        scale, shift: [out], of batch norm.
        reference: take the statistics of the first ``reference`` examples only.

    Example:
        >>> x = jax.random.normal(jax.random.key(0), (8, 6, 6, 1))
        >>> y = normalized_convolution(x, jnp.ones((3, 3, 1, 4)), jnp.ones(4), jnp.zeros(4))
        >>> bool(jnp.allclose(jnp.var(y, axis=(0, 1, 2)), 1.0, atol=1e-3))
        True
    """
    size, out = kernel.shape[0], kernel.shape[-1]
    flat, seen = kernel.reshape(-1, out), patches(x, size, stride)
    rows = seen[:reference].reshape(-1, flat.shape[0])
    mean = jnp.mean(rows, axis=0)
    centered = rows - mean
    variance = jnp.sum(flat * (centered.T @ centered @ flat), axis=0) / len(rows)
    gain = scale * jax.lax.rsqrt(variance + eps)
    return convolution(seen, (flat * gain)[None, None]) + (shift - mean @ flat * gain)


class _Form(NamedTuple):
    """What is fixed about a convolution."""

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
        """Before and behind each axis, "SAME" up to the last pixel that a window reads."""
        found = []
        for length in (self.height, self.width):
            needed = (-(-length // self.stride) - 1) * self.stride + self.reach - length
            before = self.reach // 2 if self.symmetric else max(needed, 0) // 2
            found.append((before, needed - before))
        return found


def _places(x: jax.Array, form: _Form) -> list[jax.Array]:
    """What each place of the kernel reads: [n, ceil(h/stride), ceil(w/stride), c] of each."""
    edges = [(before, behind, 0) for before, behind in form.padding()]
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])
    rows, columns = ((-(-n // form.stride) - 1) * form.stride + 1 for n in (form.height, form.width))
    starts = range(0, form.reach, form.dilation)
    return [x[:, i : i + rows : form.stride, j : j + columns : form.stride] for i in starts for j in starts]


def _patches(x: jax.Array, form: _Form) -> jax.Array:
    return jnp.concatenate(_places(x, form), axis=-1)


def _direct(
    x: jax.Array, kernel: jax.Array, stride: int, padding: Sequence[tuple[int, int]] | str, dilation: int
) -> jax.Array:
    """XLA's convolution in the one layout that it runs fast everywhere: the derivatives that it makes of it itself run 40
    times slower inside of loops on a CPU."""
    layout, strides, apart = ("NHWC", "HWIO", "NHWC"), (stride, stride), (dilation, dilation)
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, None, apart, layout)


def _output_direct(x: jax.Array, kernel: jax.Array, *, form: _Form) -> jax.Array:
    return _direct(x, kernel, form.stride, form.padding(), form.dilation)


def _input_direct(kernel: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    zero, inside, reach = jnp.zeros((), slope.dtype), form.stride - 1, form.reach - 1
    edges = [(reach - before, reach - behind, inside) for before, behind in form.padding()]
    spread = jax.lax.pad(slope, zero, [(0, 0, 0), *edges, (0, 0, 0)])
    return _direct(spread, kernel[::-1, ::-1].swapaxes(2, 3), 1, "VALID", form.dilation)


def _kernel_direct(x: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    turned = x.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3)
    return _direct(*turned, form.dilation, form.padding(), form.stride).transpose(1, 2, 0, 3)


def _output_product(x: jax.Array, kernel: jax.Array, *, form: _Form) -> jax.Array:
    return _patches(x, form) @ kernel.reshape(-1, kernel.shape[-1])


def _input_product(kernel: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    if form.stride == 1 and form.size % 2:
        return _output_product(slope, kernel[::-1, ::-1].swapaxes(2, 3), form=form)
    x = jax.ShapeDtypeStruct((len(slope), form.height, form.width, kernel.shape[2]), slope.dtype)
    return jax.linear_transpose(lambda x: _output_product(x, kernel, form=form), x)(slope)[0]


def _kernel_product(x: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    made = _over_rows(_patches(x, form), slope)
    return made.reshape(form.size, form.size, x.shape[-1], slope.shape[-1])


def _over_rows(a: jax.Array, b: jax.Array) -> jax.Array:
    """[..., p], [..., o] -> [p, o]. As matrices, because XLA copies both, transposed, where a product is over several axes."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _bytes(x: jax.Array, form: _Form) -> int:
    """Of all patches of x."""
    rows = len(x) * -(-form.height // form.stride) * -(-form.width // form.stride)
    return rows * form.size**2 * x.shape[-1] * x.dtype.itemsize


def _output_on_cpu(x: jax.Array, kernel: jax.Array, *, form: _Form) -> jax.Array:
    total = _bytes(x, form)
    if form.size > 1 and total > _LARGE and kernel.shape[-1] >= _MANY:
        fitting = max(1, len(x) * _FITTING // total)
        each = next(n for n in range(fitting, 0, -1) if len(x) % n == 0)
        made = jax.lax.map(lambda x: _output_product(x, kernel, form=form), x.reshape(-1, each, *x.shape[1:]))
        return made.reshape(-1, *made.shape[2:])
    return (_output_product if form.size == 1 or x.shape[-1] >= _WIDE else _output_direct)(x, kernel, form=form)


def _input_on_cpu(kernel: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    if form.stride == 1 and form.size % 2:
        return _output_on_cpu(slope, kernel[::-1, ::-1].swapaxes(2, 3), form=form)
    return (_input_product if form.size == 1 or kernel.shape[-2] >= _WIDE else _input_direct)(kernel, slope, form=form)


def _kernel_on_cpu(x: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    channels, out = x.shape[-1], slope.shape[-1]
    if form.size > 1 and channels >= _MANY and _bytes(x, form) > _LARGE:
        return _kernel_by_place(x, slope, form=form)
    if form.size == 1 or channels >= _WIDE:
        return _kernel_product(x, slope, form=form)
    # XLA's takes twice as long where the output channels are no power of two
    power = 1 << (out.bit_length() - 1)
    pieces = [slope] if power == out else [slope[..., :power], slope[..., power:]]
    return jnp.concatenate([_kernel_direct(x, piece, form=form) for piece in pieces], axis=-1)


def _kernel_by_place(x: jax.Array, slope: jax.Array, *, form: _Form) -> jax.Array:
    """A product for each place of the kernel, without patches."""
    made = [_over_rows(seen, slope) for seen in _places(x, form)]
    return jnp.stack(made).reshape(form.size, form.size, x.shape[-1], slope.shape[-1])


def _folded(run: Callable[[jax.Array], jax.Array], x: jax.Array, at: int) -> tuple[jax.Array, int]:
    """A batch of batches of images as one."""
    x = jnp.moveaxis(x, at, 0)
    made = run(x.reshape(-1, *x.shape[2:]))
    return made.reshape(*x.shape[:2], *made.shape[1:]), 0


def _output_batched(args: Any, dims: Any, *, form: _Form) -> tuple[jax.Array, int]:
    (x, kernel), (of_x, of_kernel) = args, dims
    if of_kernel is None:
        return _folded(lambda x: _output.bind(x, kernel, form=form), x, of_x)
    if of_x is None:  # all kernels side by side
        kernel = jnp.moveaxis(kernel, of_kernel, 3)
        made = _output.bind(x, kernel.reshape(*kernel.shape[:3], -1), form=form)
        return made.reshape(*made.shape[:-1], *kernel.shape[3:]), made.ndim - 1
    return jax.vmap(partial(_output_product, form=form), dims)(x, kernel), 0


def _input_batched(args: Any, dims: Any, *, form: _Form) -> tuple[jax.Array, int]:
    (kernel, slope), (of_kernel, of_slope) = args, dims
    if of_kernel is None:
        return _folded(lambda slope: _input.bind(kernel, slope, form=form), slope, of_slope)
    return jax.vmap(partial(_input_product, form=form), dims)(kernel, slope), 0


def _kernel_batched(args: Any, dims: Any, *, form: _Form) -> tuple[jax.Array, int]:
    return jax.vmap(partial(_kernel_product, form=form), dims)(*args), 0


def _primitive(name: str, direct: Callable, on_cpu: Callable, batched: Callable) -> Primitive:
    made = Primitive(name)
    made.def_impl(jax.jit(made.bind, static_argnames="form"))

    def shape(first: Any, second: Any, *, form: _Form) -> Any:
        return first.update(shape=jax.eval_shape(partial(direct, form=form), first, second).shape)

    def batch(args: Any, dims: Any, *, form: _Form) -> tuple[jax.Array, int]:
        if {a.shape[d] for a, d in zip(args, dims) if d is not None} != {1}:
            return batched(args, dims, form=form)
        alone = [a if d is None else jnp.squeeze(a, d) for a, d in zip(args, dims)]  # a batch of one is none
        return made.bind(*alone, form=form)[None], 0

    made.def_abstract_eval(shape)
    batching.primitive_batchers[made] = batch
    mlir.register_lowering(made, mlir.lower_fun(direct, multiple_results=False))
    mlir.register_lowering(made, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")
    return made


_output = _primitive("convolution", _output_direct, _output_on_cpu, _output_batched)
_input = _primitive("convolution_input", _input_direct, _input_on_cpu, _input_batched)
_kernel = _primitive("convolution_kernel", _kernel_direct, _kernel_on_cpu, _kernel_batched)
# of each, the derivatives in its first and its second argument, given the slope ``by`` of its value
ad.defbilinear(
    _output,
    lambda by, x, kernel, form: _input.bind(kernel, by, form=form),
    lambda by, x, kernel, form: _kernel.bind(x, by, form=form),
)
ad.defbilinear(
    _input,
    lambda by, kernel, slope, form: _kernel.bind(by, slope, form=form),
    lambda by, kernel, slope, form: _output.bind(by, kernel, form=form),
)
ad.defbilinear(
    _kernel,
    lambda by, x, slope, form: _input.bind(by, slope, form=form),
    lambda by, x, slope, form: _output.bind(x, by, form=form),
)
