"""Networks and layers: the matmul convolution is a convolution, in value and in every derivative."""

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


def reference(x, kernel, stride):
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 7, 5, 2), (3, 28, 28, 1)])
def test_convolution_equals_xla(x64, shape, size, stride):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=(size, size, shape[-1], 4)))
    np.testing.assert_allclose(nn.convolution(x, kernel, stride), reference(x, kernel, stride), atol=1e-12)


def test_convolution_derivatives_of_both_orders(x64):
    rng = np.random.default_rng(0)
    x, kernel = jnp.asarray(rng.normal(size=(2, 6, 6, 2))), jnp.asarray(rng.normal(size=(3, 3, 2, 3)))
    loss = lambda conv: lambda k: jnp.sum(jnp.tanh(conv(x, k, 2)) ** 2)
    ours, theirs = loss(nn.convolution), loss(reference)
    np.testing.assert_allclose(jax.grad(ours)(kernel), jax.grad(theirs)(kernel), atol=1e-12)
    v = jnp.asarray(rng.normal(size=kernel.shape))
    second = lambda f: jax.jvp(jax.grad(f), (kernel,), (v,))[1]
    np.testing.assert_allclose(second(ours), second(theirs), atol=1e-12)


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
    keys = jax.random.split(jax.random.key(0), 4)
    x, xs = jax.random.normal(keys[0], (2, 4, 5, 3)), jax.random.normal(keys[1], (2, 4, 5, 4, 3))
    kernel, kernels = (
        jax.random.normal(keys[2], (size, size, 3, 2)),
        jax.random.normal(keys[3], (size, 6, size, 3, 2))[:, :4],
    )
    ours = lambda x, kernel: jnp.sum(jnp.sin(nn.convolution(x, kernel, stride)))
    plain = lambda x, kernel: jnp.sum(jnp.sin(patches(x, size, stride) @ kernel.reshape(-1, 2)))
    second = lambda f: jax.jacfwd(jax.grad(f, (0, 1)), (0, 1))
    close = lambda a, b: jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), a, b)
    for order in (lambda f: f, second):
        close(jax.jit(order(ours))(x, kernel), order(plain)(x, kernel))
        for args, axes in (((xs, kernel), (3, None)), ((x, kernels), (None, 1)), ((xs, kernels), (3, 1))):
            close(jax.jit(jax.vmap(order(ours), axes))(*args), jax.vmap(order(plain), axes)(*args))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (3, 2), (5, 2)])
def test_dilation_and_symmetric_padding_with_derivatives_of_both_orders(x64, size, dilation, stride):
    keys = jax.random.split(jax.random.key(0), 3)
    args = jax.random.normal(keys[0], (2, 8, 7, 3)), jax.random.normal(keys[1], (size, size, 3, 2))
    pad = [(dilation * (size // 2),) * 2] * 2
    theirs = lambda x, kernel: jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), pad, None, (dilation, dilation), ("NHWC", "HWIO", "NHWC")
    )
    ours = lambda x, kernel: nn.convolution(x, kernel, stride, dilation, symmetric=True)
    np.testing.assert_allclose(ours(*args), theirs(*args), atol=1e-12)
    v = jax.tree.map(lambda a: jax.random.normal(keys[2], a.shape), args)
    slope = lambda conv: jax.grad(lambda *a: jnp.sum(jnp.tanh(conv(*a)) ** 2), (0, 1))
    for f in (slope, lambda conv: lambda *a: jax.jvp(slope(conv), a, v)[1]):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), f(ours)(*args), f(theirs)(*args))


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
    keys = jax.random.split(jax.random.key(size), 2)
    x, kernel = jax.random.normal(keys[0], (6, 9, 8, channels)), jax.random.normal(keys[1], (size, size, channels, out))
    loss = lambda conv: jax.jit(jax.value_and_grad(lambda *a: jnp.sum(jnp.sin(conv(*a))), (0, 1)))(x, kernel)
    ours, plain = loss(lambda *a: nn.convolution(*a, stride)), loss(lambda *a: reference(*a, stride))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), ours, plain)


def test_wide_convolutions_are_the_same():
    x, kernel = jax.random.normal(jax.random.key(0), (2, 5, 5, 64)), jax.random.normal(jax.random.key(1), (3, 3, 64, 2))
    ours = jax.jit(jax.value_and_grad(lambda *a: jnp.sum(jnp.sin(nn.convolution(*a))), (0, 1)))(x, kernel)
    plain = jax.value_and_grad(lambda x, kernel: jnp.sum(jnp.sin(patches(x, 3) @ kernel.reshape(-1, 2))), (0, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), ours, plain(x, kernel))
    with pytest.raises(InputError, match=r"x float32\(2, 5, 5, 64\) and kernel float32\(3, 3, 3, 2\) do not fit"):
        nn.convolution(x, jnp.ones((3, 3, 3, 2)))


@pytest.mark.parametrize("seen", [None, 3])
def test_a_normalized_convolution_is_batch_norm_of_a_convolution(x64, seen):
    """In value and in the derivatives of both orders, of everything that it takes."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape))
    args = (1.0 + draw(5, 7, 6, 2), draw(3, 3, 2, 4), draw(4), draw(4))
    ours = lambda x, k, a, b: nn.normalized_convolution(x, k, a, b, 2, reference=seen)
    plain = lambda x, k, a, b: nn.standardize(nn.convolution(x, k, 2), reference=seen) * a + b
    np.testing.assert_allclose(ours(*args), plain(*args), atol=1e-10)
    loss = lambda f: lambda args: jnp.sum(jnp.tanh(f(*args)) ** 2)
    gradient = lambda f: jax.grad(loss(f))(args)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), gradient(ours), gradient(plain))
    second = lambda f: jax.jvp(jax.grad(loss(f)), (args,), (tuple(map(jnp.ones_like, args)),))[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8), second(ours), second(plain))


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
    with pytest.raises(ValueError, match="module is a int"):
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
    x = jax.random.normal(jax.random.key(0), (4, 3, 3, 5)) * 3 + 1
    y = nn.standardize(x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), np.ones(5), atol=1e-3)
    assert bool(jnp.all(jnp.isfinite(jax.grad(lambda z: jnp.sum(nn.standardize(z) ** 3))(jnp.ones((4, 2))))))


@pytest.mark.parametrize(("channels", "stride", "dilation"), [(4, 1, 1), (4, 2, 2), (40, 1, 2), (40, 2, 1)])
def test_separable_is_every_channel_for_itself_and_then_1x1(x64, channels, stride, dilation):
    draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape, jnp.float64)
    x = draw(0, 2, 6, 6, channels)
    kernels = [(draw(i, 3, 3, channels), draw(9 + i, channels, 5)) for i in (1, 2)]

    def alone(depth, point):
        plane = lambda c: jax.lax.conv_general_dilated(
            x[..., c : c + 1], depth[:, :, c][..., None, None], (stride,) * 2, ((dilation,) * 2,) * 2,
            rhs_dilation=(dilation,) * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return jnp.concatenate([plane(c) for c in range(channels)], axis=-1) @ point

    expected = jnp.concatenate([alone(*pair) for pair in kernels], axis=-1)
    np.testing.assert_allclose(nn.separable(x, kernels, stride, dilation), expected, atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_has_the_derivatives_of_the_largest_entry(x64, ties):
    x = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    x = jnp.round(x) if ties else x

    def largest(x):
        return jnp.max(x[:, :4].reshape(2, 2, 2, 2, 2, 3), axis=(2, 4))

    of = lambda pool: lambda x: jnp.sum(jnp.sin(pool(x)) * jnp.sum(x))
    np.testing.assert_array_equal(nn.max_pool(x), largest(x))
    for differentiate in (jax.grad, jax.hessian):
        np.testing.assert_allclose(differentiate(of(nn.max_pool))(x), differentiate(of(largest))(x), atol=1e-12)
