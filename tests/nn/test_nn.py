"""Networks and layers: the matmul convolution is a convolution, in value and in every derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from metajax import nn


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
    x, kernels = jnp.ones((2, 8, 8, 3)), jnp.ones((5, 3, 3, 3, 4))
    text = jax.jit(jax.vmap(nn.convolution, in_axes=(None, 0))).lower(x, kernels).as_text()
    assert "stablehlo.convolution" not in text
    assert "dot_general" in text


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


def test_functional_models_train_under_jit_grad_and_vmap():
    init, apply = nn.functional(lambda rngs: nn.Conv4(3, width=4, rngs=rngs))
    params = jax.vmap(init)(jax.random.split(jax.random.key(0), 2))
    x = jax.random.normal(jax.random.key(1), (6, 28, 28, 1))
    grads = jax.jit(jax.vmap(jax.grad(lambda p: jnp.sum(apply(p, x) ** 2))))(params)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in jax.tree.leaves(grads))


def test_standardise_is_batch_norm():
    x = jax.random.normal(jax.random.key(0), (4, 3, 3, 5)) * 3 + 1
    y = nn.standardise(x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), np.ones(5), atol=1e-3)
    assert bool(jnp.all(jnp.isfinite(jax.grad(lambda z: jnp.sum(nn.standardise(z) ** 3))(jnp.ones((4, 2))))))


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
