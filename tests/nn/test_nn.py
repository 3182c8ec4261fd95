"""Networks and layers: the matmul convolution is a convolution, in value and in every derivative."""

import functools
import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from metajax import nn
from metajax.nn._convolution import patches
from metajax.types import InputError


def reference(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def normal(seed, *shape):
    """Drawn by NumPy: JAX would compile a program for every shape."""
    return np.random.default_rng(seed).normal(size=shape)


def with_derivatives(f):
    """The compiled ``args -> f(*args)``, the gradient of a loss of it, and the derivative of the gradient in one direction."""
    gradient = jax.grad(lambda args: jnp.sum(jnp.tanh(f(*args)) ** 2))
    direction = lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    return jax.jit(lambda *args: (f(*args), *jax.jvp(gradient, (args,), (jax.tree.map(direction, args),))))


def close(a, b, atol):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), a, b)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 5, 2), (3, 28, 28, 1)])
def test_convolution_equals_xla(x64, shape, size, stride):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=(size, size, shape[-1], 4)))
    np.testing.assert_allclose(nn.convolution(x, kernel, stride), reference(x, kernel, stride), atol=1e-12)


def test_convolution_derivatives_of_both_orders(x64):
    x, kernel = normal(0, 2, 6, 6, 2), normal(1, 3, 3, 2, 3)
    ours, theirs = (with_derivatives(lambda k, conv=conv: conv(x, k, 2)) for conv in (nn.convolution, reference))
    close(ours(kernel), theirs(kernel), 1e-12)


def test_vmapped_kernels_do_not_become_grouped_convolutions():
    kernels, shared = jnp.ones((5, 3, 3, 3, 4)), jnp.ones((2, 8, 8, 3))
    slope = jax.grad(lambda kernel, x: jnp.sum(nn.convolution(x, kernel) ** 2), (0, 1))
    for run in (lambda kernel, x: nn.convolution(x, kernel), slope):
        for x in (shared, jnp.ones((5, 2, 8, 8, 3))):
            mapped = jax.vmap(run, in_axes=(0, None if x is shared else 0))
            text = jax.jit(mapped).lower(kernels, x).as_text()
            assert re.findall(r"feature_group_count = (\d+)", text) in ([], ["1"])
            assert x is shared or "dot_general" in text


@pytest.mark.parametrize(
    ("size", "stride"), [(3, 2), *(pytest.param(*form, marks=pytest.mark.slow) for form in ((3, 1), (5, 1), (2, 2)))]
)
def test_convolutions_are_products_of_patches_with_all_their_derivatives(x64, size, stride):
    """Forward, reverse and again, plain and with any argument in a batch, whatever way they are computed."""
    x, xs = normal(0, 2, 4, 5, 3), normal(1, 2, 4, 5, 4, 3)
    kernel, kernels = normal(2, size, size, 3, 2), normal(3, size, 4, size, 3, 2)
    ours = lambda x, kernel: jnp.sum(jnp.sin(nn.convolution(x, kernel, stride)))
    plain = lambda x, kernel: jnp.sum(jnp.sin(patches(x, size, stride) @ kernel.reshape(-1, 2)))
    second = lambda f: jax.jacfwd(jax.grad(f, (0, 1)), (0, 1))
    for order in (lambda f: f, second):
        expected = jax.jit(order(plain))
        close(jax.jit(order(ours))(x, kernel), expected(x, kernel), 1e-9)
        for args, axes in (((xs, kernel), (3, None)), ((x, kernels), (None, 1)), ((xs, kernels), (3, 1))):
            each = [[a if axis is None else np.take(a, i, axis) for a, axis in zip(args, axes)] for i in range(4)]
            alone = jax.tree.map(lambda *values: np.stack(values), *(expected(*one) for one in each))
            close(jax.jit(jax.vmap(order(ours), axes))(*args), alone, 1e-9)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (3, 2), (5, 2)])
def test_dilation_and_symmetric_padding_with_derivatives_of_both_orders(x64, size, dilation, stride):
    pad = [(dilation * (size // 2),) * 2] * 2
    theirs = lambda x, kernel: jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pad, None, (dilation, dilation), ("NHWC", "HWIO", "NHWC")
    )
    ours = lambda x, kernel: nn.convolution(x, kernel, stride, dilation, symmetric=True)
    args = normal(0, 2, 8, 7, 3), normal(1, size, size, 3, 2)
    close(with_derivatives(ours)(*args), with_derivatives(theirs)(*args), 1e-11)


def sine_and_gradient(conv, x, kernel):
    return jax.jit(jax.value_and_grad(lambda *args: jnp.sum(jnp.sin(conv(*args))), (0, 1)))(x, kernel)


@functools.cache
def images_and_kernel(size, stride, channels, out):
    """Some images, a kernel, and what XLA's convolution of them gives."""
    args = normal(size, 6, 9, 8, channels), normal(size + 1, size, size, channels, out)
    return args, sine_and_gradient(lambda *args: reference(*args, stride), *args)


@pytest.mark.parametrize("large", [0, 10**9])
@pytest.mark.parametrize(
    ("size", "stride", "channels", "out"), [(3, 1, 4, 6), (3, 2, 5, 3), (2, 3, 6, 5), (1, 2, 3, 4)]
)
def test_every_implementation_on_a_cpu_is_the_same(x64, monkeypatch, size, stride, channels, out, large):
    """Patches some images at a time, kernels' gradients place by place or in pieces: chosen by size otherwise."""
    chosen = importlib.import_module("metajax.nn._on_cpu")
    monkeypatch.setattr(chosen, "LARGE_BYTES", large)
    monkeypatch.setattr(chosen, "MANY_CHANNELS", 4)
    monkeypatch.setattr(chosen, "FITTING_BYTES", 20_000)
    args, expected = images_and_kernel(size, stride, channels, out)
    close(sine_and_gradient(lambda *args: nn.convolution(*args, stride), *args), expected, 1e-11)


def test_wide_convolutions_are_the_same():
    x, kernel = (a.astype(np.float32) for a in (normal(0, 2, 5, 5, 64), normal(1, 3, 3, 64, 2)))
    ours = sine_and_gradient(nn.convolution, x, kernel)
    plain = sine_and_gradient(lambda x, kernel: patches(x, 3) @ kernel.reshape(-1, 2), x, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), ours, plain)
    with pytest.raises(InputError, match=r"got x float32\(2, 5, 5, 64\) and kernel float32\(3, 3, 3, 2\)"):
        nn.convolution(x, jnp.ones((3, 3, 3, 2)))


@pytest.mark.parametrize("seen", [None, 3])
def test_a_normalized_convolution_is_batch_norm_of_a_convolution(x64, seen):
    """In value and in the derivatives of both orders, of everything that it takes."""
    args = (1.0 + normal(0, 5, 7, 6, 2), normal(1, 3, 3, 2, 4), normal(2, 4), normal(3, 4))
    ours = lambda x, k, a, b: nn.normalized_convolution(x, k, a, b, 2, reference=seen)
    plain = lambda x, k, a, b: nn.standardize(nn.convolution(x, k, 2), reference=seen) * a + b
    for actual, expected, atol in zip(
        with_derivatives(ours)(*args), with_derivatives(plain)(*args), (1e-10, 1e-9, 1e-8)
    ):
        close(actual, expected, atol)


def test_a_batch_of_one_kernel_is_that_kernel(x64):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=(1, 2, 6, 6, 2))), jnp.asarray(rng.normal(size=(1, 3, 3, 2, 3)))
    alone = jax.grad(lambda k: jnp.sum(jnp.sin(nn.convolution(x[0], k, 2))))(kernel[0])
    one = jax.grad(lambda k: jnp.sum(jnp.sin(jax.vmap(lambda x, k: nn.convolution(x, k, 2))(x, k))))(kernel)
    np.testing.assert_allclose(one[0], alone, atol=1e-12)


def test_materialize_is_the_identity():
    x = jax.random.normal(jax.random.key(0), (4, 7))
    np.testing.assert_array_equal(jax.jit(nn.materialize)(x), x)


def test_functional_takes_nnx_linen_and_pairs():
    x = jnp.ones((5, 2))
    init, apply = nn.functional(lambda rngs: nnx.Linear(2, 3, rngs=rngs))
    a, b = init(jax.random.key(0)), init(jax.random.key(1))
    assert apply(a, x).shape == (5, 3)
    assert not np.array_equal(a["kernel"], b["kernel"]), "the key decides"
    fixed = nnx.Linear(2, 3, rngs=nnx.Rngs(7))
    init, apply = nn.functional(fixed)
    np.testing.assert_array_equal(apply(init(jax.random.key(3)), x), fixed(x))
    init, apply = nn.functional(linen.Dense(3), x)
    assert apply(init(jax.random.key(0)), x).shape == (5, 3)
    pair = (lambda key: jnp.zeros(2), lambda p, x: x @ p)
    assert nn.functional(pair) == pair
    with pytest.raises(ValueError, match=r"module must be .*, got int"):
        nn.functional(3)


def test_networks_of_equinox_and_haiku_are_pairs_of_functions():
    eqx, hk = pytest.importorskip("equinox"), pytest.importorskip("haiku")
    x = jnp.ones((5, 2))
    mlp = eqx.nn.MLP(2, 3, width_size=4, depth=1, key=jax.random.key(7))
    expected = jax.vmap(mlp)(x)
    for fixed in (nn.functional(mlp), nn.adapters.from_equinox(lambda key: mlp)):
        params = fixed.init(jax.random.key(0))
        assert all(isinstance(value, jax.Array) for value in params.values())
        np.testing.assert_allclose(fixed.apply(params, x), expected, rtol=1e-5)
    init, apply = nn.adapters.from_equinox(lambda key: eqx.nn.Linear(2, 3, key=key))
    assert not np.array_equal(init(jax.random.key(0))["weight"], init(jax.random.key(1))["weight"]), "the key decides"
    grads = jax.jit(jax.grad(lambda p: jnp.sum(apply(p, x))))(init(jax.random.key(0)))
    np.testing.assert_allclose(grads["bias"], np.full(3, 5.0))
    transformed = hk.transform(lambda x: hk.Linear(3)(x))
    init, apply = nn.adapters.from_haiku(transformed, x)
    assert apply(init(jax.random.key(0)), x).shape == (5, 3)
    with pytest.raises(InputError, match=r"nn\.adapters\.from_haiku"):
        nn.functional(transformed)


def test_functional_models_train_under_jit_grad_and_vmap():
    init, apply = nn.functional(lambda rngs: nn.Conv4(3, width=4, rngs=rngs))
    params = jax.vmap(init)(jax.random.split(jax.random.key(0), 2))
    x = jax.random.normal(jax.random.key(1), (6, 28, 28, 1))
    grads = jax.jit(jax.vmap(jax.grad(lambda p: jnp.sum(apply(p, x) ** 2))))(params)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(grads))


def test_conv4_reports_its_statistics_and_runs_with_fixed_ones():
    init, apply = nn.functional(lambda rngs: nn.Conv4(None, width=4, leak=0.01, rngs=rngs))
    params, x = init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (5, 8, 8, 1))

    @jax.jit
    def run(params, x):
        y, seen = apply(params, x, report=True)
        return apply(params, x), y, seen, apply(params, x[:2], statistics=seen)

    plain, reported, seen, few = run(params, x)
    np.testing.assert_allclose(reported, plain, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(few, plain[:2], rtol=1e-3, atol=1e-4, err_msg="the other examples do not count")
    first = jax.jit(nn.convolution, static_argnums=2)(x, params["convolutions"][0]["kernel"], 2)
    np.testing.assert_allclose(seen[0].mean, first.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(seen[0].variance, first.var((0, 1, 2)), rtol=1e-4)
    assert len(seen) == 4
    assert float(plain.min()) < 0, "the leaky activation lets some of what is negative through"


def test_standardize_is_batch_norm():
    x = (3 * normal(0, 4, 3, 3, 5) + 1).astype(np.float32)
    y = np.asarray(jax.jit(nn.standardize)(x))
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), np.ones(5), atol=1e-3)
    gradient = jax.jit(jax.grad(lambda z: jnp.sum(nn.standardize(z) ** 3)))(jnp.ones((4, 2)))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(("channels", "stride", "dilation"), [(4, 1, 1), (4, 2, 2), (40, 1, 2), (40, 2, 1)])
def test_separable_is_every_channel_for_itself_and_then_1x1(x64, channels, stride, dilation):
    x = normal(0, 2, 6, 6, channels)
    kernels = [(normal(i, 3, 3, channels), normal(9 + i, channels, 5)) for i in (1, 2)]
    plane = jax.jit(
        lambda x, kernel: jax.lax.conv_general_dilated(
            x, kernel, (stride,) * 2, ((dilation,) * 2,) * 2,
            rhs_dilation=(dilation,) * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
    )  # fmt: skip

    def alone(depth, point):
        planes = [plane(x[..., c : c + 1], depth[:, :, c, None, None]) for c in range(channels)]
        return np.concatenate(planes, axis=-1) @ point

    expected = np.concatenate([alone(*pair) for pair in kernels], axis=-1)
    separable = jax.jit(lambda x, kernels: nn.separable(x, kernels, stride, dilation))
    np.testing.assert_allclose(separable(x, kernels), expected, atol=1e-12)


def largest(x):
    return jnp.max(x[:, :4].reshape(2, 2, 2, 2, 2, 3), axis=(2, 4))


@functools.cache
def pooled(pool):
    """The compiled pool with a gradient and a Hessian."""
    loss = lambda x: jnp.sum(jnp.sin(pool(x)) * jnp.sum(x))
    return jax.jit(lambda x: (pool(x), jax.grad(loss)(x), jax.hessian(loss)(x)))


@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_has_the_derivatives_of_the_largest_entry(x64, ties):
    x = normal(0, 2, 5, 4, 3)
    x = np.round(x) if ties else x
    (actual, *derivatives), (expected, *others) = pooled(nn.max_pool)(x), pooled(largest)(x)
    np.testing.assert_array_equal(actual, expected)
    close(derivatives, others, 1e-12)
