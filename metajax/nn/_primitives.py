"""Convolution and its two derivatives as three primitives that are each other's derivatives.

``Σ convolution(x, kernel) · slope`` is linear in each of x, kernel and slope. Its derivatives in them are ``output(x,
kernel)``, ``input(kernel, slope)`` and ``kernel(x, slope)``, and the derivatives of each of these are the other two. So
derivatives of any order, in any mode, come back to the same three, which choose how they are computed only when they are
lowered or batched. XLA's own derivatives of a convolution run 40 times slower inside of loops on a CPU.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from metajax.nn._forms import (
    Form,
    input_direct,
    input_product,
    kernel_direct,
    kernel_product,
    output_direct,
    output_product,
)
from metajax.nn._on_cpu import input_on_cpu, kernel_on_cpu, output_on_cpu


def _folded(run: Callable[[jax.Array], jax.Array], x: jax.Array, axis: int) -> tuple[jax.Array, int]:
    """Runs a batch of batches of images as one batch."""
    x = jnp.moveaxis(x, axis, 0)
    y = run(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


def _output_batched(args: Any, dims: Any, *, form: Form) -> tuple[jax.Array, int]:
    """The convolution of batched images, of batched kernels, or of both."""
    (x, kernel), (x_axis, kernel_axis) = args, dims
    if kernel_axis is None:
        return _folded(lambda x: output_primitive.bind(x, kernel, form=form), x, x_axis)
    if x_axis is None:  # all kernels side by side
        kernel = jnp.moveaxis(kernel, kernel_axis, 3)
        y = output_primitive.bind(x, kernel.reshape(*kernel.shape[:3], -1), form=form)
        return y.reshape(*y.shape[:-1], *kernel.shape[3:]), y.ndim - 1
    return jax.vmap(partial(output_product, form=form), dims)(x, kernel), 0


def _input_batched(args: Any, dims: Any, *, form: Form) -> tuple[jax.Array, int]:
    """The derivative in the input, where kernels, slopes or both are batched."""
    (kernel, slope), (kernel_axis, slope_axis) = args, dims
    if kernel_axis is None:
        return _folded(lambda slope: input_primitive.bind(kernel, slope, form=form), slope, slope_axis)
    return jax.vmap(partial(input_product, form=form), dims)(kernel, slope), 0


def _kernel_batched(args: Any, dims: Any, *, form: Form) -> tuple[jax.Array, int]:
    """The derivative in the kernel, where images, slopes or both are batched."""
    return jax.vmap(partial(kernel_product, form=form), dims)(*args), 0


def _primitive(name: str, direct: Callable, on_cpu: Callable, batched: Callable) -> Primitive:
    """Makes a primitive of two arrays.

    Args:
        name: Name of the primitive in printed programs.
        direct: How it is computed on all backends but a CPU, which also says the shape of its result.
        on_cpu: How it is computed on a CPU.
        batched: How it is computed where arguments are batched, ``(args, axes) -> (result, axis)``.
    """
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(primitive.bind, static_argnames="form"))

    def shape(first: Any, second: Any, *, form: Form) -> Any:
        return first.update(shape=jax.eval_shape(partial(direct, form=form), first, second).shape)

    def batch(args: Any, dims: Any, *, form: Form) -> tuple[jax.Array, int]:
        if {a.shape[d] for a, d in zip(args, dims) if d is not None} != {1}:
            return batched(args, dims, form=form)
        alone = [
            a if d is None else jnp.squeeze(a, d) for a, d in zip(args, dims)
        ]  # a batch of size 1 needs no batching
        return primitive.bind(*alone, form=form)[None], 0

    primitive.def_abstract_eval(shape)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(direct, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=False), platform="cpu")
    return primitive


output_primitive = _primitive("convolution", output_direct, output_on_cpu, _output_batched)
input_primitive = _primitive("convolution_input", input_direct, input_on_cpu, _input_batched)
kernel_primitive = _primitive("convolution_kernel", kernel_direct, kernel_on_cpu, _kernel_batched)
# The derivatives of each in its first and its second argument, given the slope ``by`` of its value.
ad.defbilinear(
    output_primitive,
    lambda slope_out, x, kernel, form: input_primitive.bind(kernel, slope_out, form=form),
    lambda slope_out, x, kernel, form: kernel_primitive.bind(x, slope_out, form=form),
)
ad.defbilinear(
    input_primitive,
    lambda slope_out, kernel, slope, form: kernel_primitive.bind(slope_out, slope, form=form),
    lambda slope_out, kernel, slope, form: output_primitive.bind(slope_out, kernel, form=form),
)
ad.defbilinear(
    kernel_primitive,
    lambda slope_out, x, slope, form: input_primitive.bind(slope_out, slope, form=form),
    lambda slope_out, x, slope, form: output_primitive.bind(x, slope_out, form=form),
)
