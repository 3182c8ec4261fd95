"""Zero-cost proxies against what they are defined to be, in float64 on small perceptrons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax.supernet import proxies


@pytest.fixture
def case(x64):
    keys = jax.random.split(jax.random.key(0), 4)
    params = {"a": jax.random.normal(keys[0], (3, 5)), "b": jax.random.normal(keys[1], (5, 2))}
    x, y = jax.random.normal(keys[2], (6, 3)), jax.random.randint(keys[3], (6,), 0, 2)
    apply = lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"]
    loss = lambda out, y: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(out, y))
    return apply, loss, params, x, y


def central(value, params, eps=1e-6):
    """The gradient by central differences."""
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    step = lambda i, s: value(unravel(flat.at[i].add(s * eps)))
    return np.array([(step(i, 1) - step(i, -1)) / (2 * eps) for i in range(flat.size)])


def test_snip_grasp_and_the_norm_are_their_formulas(case):
    apply, loss, params, x, y = case
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    value = jax.jit(lambda p: loss(apply(p, x), y))
    grads = central(value, params)
    assert float(proxies.gradient_norm(*case)) == pytest.approx(np.linalg.norm(grads), rel=1e-6)
    assert float(proxies.snip(*case)) == pytest.approx(np.abs(flat * grads).sum(), rel=1e-6)
    hessian = jax.hessian(lambda v: value(unravel(v)))(flat)
    assert float(proxies.grasp(*case)) == pytest.approx(-float(flat @ hessian @ grads), rel=1e-5)


def test_synflow_of_a_linear_chain_is_the_product_of_sizes_times_the_layers(x64):
    params = [jax.random.normal(jax.random.key(i), (4, 4)) for i in range(3)]
    apply = lambda p, x: x @ p[0] @ p[1] @ p[2]
    sizes = [np.abs(np.asarray(w)) for w in params]
    whole = np.ones((1, 4)) @ sizes[0] @ sizes[1] @ sizes[2]
    found = proxies.synflow(apply, params, jnp.zeros((7, 4)))
    assert float(found) == pytest.approx(np.log(3 * whole.sum()), rel=1e-9)  # Euler: degree one in each of three layers


def test_the_tangent_kernel_of_a_linear_model_is_its_gram_matrix(x64):
    x = jax.random.normal(jax.random.key(0), (4, 9))
    found = proxies.ntk_condition(lambda w, x: x @ w, jnp.ones((9, 1)), x)
    values = np.linalg.eigvalsh(np.asarray(x @ x.T))
    assert float(found) == pytest.approx(-np.log(values[-1] / values[0]), rel=1e-9)


def test_networks_that_tell_inputs_apart_have_the_better_jacobians(x64):
    x = jax.random.normal(jax.random.key(0), (8, 12))
    linear = proxies.jacobian_covariance(lambda w, x: x @ w, jnp.arange(12.0)[:, None], x)  # the same slope everywhere
    bent = proxies.jacobian_covariance(
        lambda w, x: jnp.sin(3 * x @ w), jax.random.normal(jax.random.key(1), (12, 12)), x
    )
    assert float(bent) > float(linear)


def test_a_dead_network_has_finite_scores(case):
    apply, loss, params, x, y = case
    dead = jax.tree.map(jnp.zeros_like, params)
    for score in (proxies.gradient_norm, proxies.snip, proxies.grasp):
        assert np.isfinite(float(score(apply, loss, dead, x, y)))
    for score in (proxies.synflow, proxies.jacobian_covariance, proxies.ntk_condition):
        assert np.isfinite(float(score(apply, dead, x)))


def test_naswot_is_the_log_determinant_of_agreeing_codes(x64):
    """Through jit, checkpoint and the ReLU's own derivative rule; ReLUs that are written out count too."""
    keys = jax.random.split(jax.random.key(0), 3)
    a, b = jax.random.normal(keys[0], (5, 40)), jax.random.normal(keys[1], (40, 30))
    x = jax.random.normal(keys[2], (7, 5))

    @jax.jit
    def apply(params, x):
        hidden = jax.nn.relu(x @ params[0])
        return jax.checkpoint(lambda h: jnp.maximum(h @ params[1], 0.0))(hidden).sum(-1)

    hidden = np.maximum(x @ a, 0)
    codes = np.concatenate([hidden > 0, hidden @ b > 0], axis=1)
    agree = (codes[:, None] == codes[None]).sum(-1)
    expected = np.linalg.slogdet(agree.astype(float))[1]
    assert float(proxies.naswot(apply, (a, b), x)) == pytest.approx(expected, rel=1e-4)
    assert float(jax.jit(lambda x: proxies.naswot(apply, (a, b), x))(x)) == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(float(proxies.naswot(apply, (0 * a, 0 * b), x)))
    with pytest.raises(ValueError, match="no ReLU"):
        proxies.naswot(lambda w, x: x @ w, a, x)
