"""Zero-cost proxies against what they are defined to be, in float64 on small perceptrons."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import supernet
from metajax.supernet import diagnosis as proxies
from metajax.types import InputError


@pytest.fixture
def case(x64):
    rng = np.random.default_rng(0)
    params = {"a": jnp.asarray(rng.normal(size=(3, 5))), "b": jnp.asarray(rng.normal(size=(5, 2)))}
    x, y = jnp.asarray(rng.normal(size=(6, 3))), jnp.asarray(rng.integers(0, 2, 6))
    apply = lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"]
    loss = lambda out, y: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(out, y))
    return apply, loss, params, x, y


def central(value, params, eps=1e-6):
    """The gradient by central differences."""
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    values = jax.jit(jax.vmap(lambda v: value(unravel(v))))
    steps = eps * np.eye(flat.size)
    return np.asarray(values(flat + steps) - values(flat - steps)) / (2 * eps)


def test_snip_grasp_and_the_norm_are_their_formulas(case):
    apply, loss, params, x, y = case
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    value = lambda p: loss(apply(p, x), y)
    grads = central(value, params)
    by_layer = [np.linalg.norm(grads[:15]), np.linalg.norm(grads[15:])]
    scores = lambda p: [score(apply, loss, p, x, y) for score in (proxies.gradient_norm, proxies.snip, proxies.grasp)]
    norm, snip, grasp = jax.jit(scores)(params)
    assert float(norm) == pytest.approx(sum(by_layer), rel=1e-6)
    assert float(snip) == pytest.approx(np.abs(flat * grads).sum(), rel=1e-6)
    hessian = jax.jit(jax.hessian(lambda v: value(unravel(v))))(flat)
    assert float(grasp) == pytest.approx(-float(flat @ np.asarray(hessian) @ grads), rel=1e-5)


def test_biases_and_scales_are_no_layers(case):
    """As in the authors' code, which asks the weights of convolutions and dense layers alone."""
    apply, loss, params, x, y = case
    more = {**params, "bias": jnp.array([0.3, -0.2]), "scale": jnp.array([1.5, 0.5])}
    fixed = lambda p, x: more["scale"] * apply(p, x) + more["bias"]
    learned = lambda p, x: p["scale"] * apply(p, x) + p["bias"]

    @functools.partial(jax.jit, static_argnums=0)
    def scores(apply, params):
        of_losses = [score(apply, loss, params, x, y) for score in (proxies.gradient_norm, proxies.snip, proxies.grasp)]
        return jnp.stack([*of_losses, proxies.ntk_condition(apply, params, x)])

    np.testing.assert_allclose(scores(learned, more), scores(fixed, params), rtol=1e-9)
    with pytest.raises(InputError, match="params must have a layer"):
        proxies.gradient_norm(lambda p, x: p * x, loss, jnp.ones(2), x, y)


def test_a_flow_beyond_float32_is_told_apart(x64):
    """Thirty layers of 64 units: 10^58 and 10^59; in float32 both are infinite and would rank as equal."""
    apply = lambda params, x: functools.reduce(jnp.matmul, params, x)
    sizes = [[jnp.full((64, 64), scale, jnp.float32)] * 30 for scale in (1.3, 1.4)]
    small, large = (float(proxies.synflow(apply, params, jnp.zeros((1, 64), jnp.float32))) for params in sizes)
    assert small == pytest.approx(np.log(30 * 64) + 30 * np.log(64 * 1.3), rel=1e-4)
    assert large - small == pytest.approx(30 * np.log(1.4 / 1.3), rel=1e-4)


def test_synflow_of_a_linear_chain_is_the_product_of_sizes_times_the_layers(x64):
    params = [jax.random.normal(jax.random.key(i), (4, 4)) for i in range(3)]
    apply = lambda p, x: x @ p[0] @ p[1] @ p[2]
    sizes = [np.abs(np.asarray(w)) for w in params]
    whole = np.ones((1, 4)) @ sizes[0] @ sizes[1] @ sizes[2]
    value = proxies.synflow(apply, params, jnp.zeros((7, 4)))
    assert float(value) == pytest.approx(np.log(3 * whole.sum()), rel=1e-9)  # Euler: degree one in each of three layers


def test_the_tangent_kernel_of_a_linear_model_is_its_gram_matrix(x64):
    x = jax.random.normal(jax.random.key(0), (4, 9))
    condition = proxies.ntk_condition(lambda w, x: x @ w, jnp.ones((9, 1)), x)
    values = np.linalg.eigvalsh(np.asarray(x @ x.T))  # whose condition number is to be small
    assert float(condition) == pytest.approx(-np.log(values[-1] / values[0]), rel=1e-9)


def test_the_jacobian_score_is_the_formula_of_its_authors(x64):
    """``np.corrcoef`` of the gradients in the inputs, and k = 1e-5, in double precision also for a network in single."""
    x = jax.random.normal(jax.random.key(0), (8, 12), jnp.float32)
    w = jax.random.normal(jax.random.key(1), (12, 12), jnp.float32)
    apply = lambda w, x: jnp.sin(3 * x @ w)
    slopes = np.asarray(jax.vmap(jax.grad(lambda x: apply(w, x).sum()))(x), np.float64)
    values = np.linalg.eigvalsh(np.corrcoef(slopes)) + 1e-5
    bent = float(proxies.jacobian_covariance(apply, w, x))
    assert bent == pytest.approx(-np.sum(np.log(values) + 1 / values), rel=1e-4)
    linear = proxies.jacobian_covariance(
        lambda w, x: x @ w, jnp.arange(12, dtype=x.dtype)[:, None], x
    )  # the same slope everywhere
    assert bent > float(linear)


def test_a_dead_network_has_finite_scores(case):
    apply, loss, params, x, y = case

    @jax.jit
    def scores(params):
        of_losses = [score(apply, loss, params, x, y) for score in (proxies.gradient_norm, proxies.snip, proxies.grasp)]
        others = [
            score(apply, params, x) for score in (proxies.synflow, proxies.jacobian_covariance, proxies.ntk_condition)
        ]
        return jnp.stack(of_losses), jnp.stack(others)

    of_losses, others = scores(jax.tree.map(jnp.zeros_like, params))
    assert np.all(np.isfinite(of_losses)) and np.all(np.isfinite(others))
    assert np.all(others < scores(params)[1])


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
    with pytest.raises(InputError, match="at least one ReLU"):
        proxies.naswot(lambda w, x: x @ w, a, x)


def test_the_layered_network_is_the_stand_alone_one_with_a_leaf_for_every_layer():
    """The kernels that a SuperNet fuses, of edges that leave one node, are layers of their own."""
    space, sizes, key = supernet.spaces.cell_space(), (3, 2, 1, 2), jax.random.key(0)
    network, model = supernet.spaces.layered_cells(*sizes), supernet.spaces.cell_supernet(*sizes)
    fused, layers, x = (
        model.network.init(key),
        network.init(key),
        jax.random.normal(jax.random.key(1), (3, 4, 4, 3)),
    )
    operations = ("conv3x3", "conv3x3", "conv1x1", "none", "skip", "conv3x3")  # two that leave the first node
    config = dict(zip(space.domains, operations))
    encoding = space.encode(space.configs([config]))[0]
    alone, own = model.build(config).apply, model.extract(fused, config)
    both = lambda apply: lambda p: (apply(p, x), proxies.naswot(apply, p, x))
    logits, naswot = jax.jit(lambda p, e: both(lambda p, x: network.apply(p, x, e))(p))(layers, encoding)
    expected, score = jax.jit(both(alone))(own)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert float(naswot) == pytest.approx(float(score), rel=1e-5)
    kernels = sorted(leaf.shape for leaf in jax.tree.leaves(layers["stages"]))
    assert kernels == [(1, 1, 2, 2)] * 12 + [(3, 3, 2, 2)] * 12, "two cells of six edges"


def test_relus_in_loops_and_branches_count_as_often_as_they_are_computed(x64):
    """So that one program scores all cells: a loop counts each time, a choice what it takes."""
    a = jax.random.normal(jax.random.key(0), (3, 5, 5))
    x = jax.random.normal(jax.random.key(1), (6, 5))

    def looped(params, x, which):
        step = lambda h, w: (jax.lax.switch(which, [lambda h: h @ w, lambda h: jax.nn.relu(h @ w)], h), None)
        return jax.nn.relu(jax.lax.scan(step, x, params)[0])

    def plain(params, x, which):
        for w in params:
            x = jax.nn.relu(x @ w) if which else x @ w
        return jax.nn.relu(x)

    score = jax.jit(lambda x, which: proxies.naswot(lambda p, x: looped(p, x, which), a, x))
    for which in (0, 1):
        expected = proxies.naswot(lambda p, x, which=which: plain(p, x, which), a, x)
        assert float(score(x, which)) == pytest.approx(float(expected), rel=1e-9)
