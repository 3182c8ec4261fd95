"""Episodes, MAML and the evaluation protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import bilevel, fewshot, nn
from metajax.types import InputError


def images(classes=6, examples=5, size=4):
    """Class c, example e is the constant image 10c + e, so that an episode shows where it came from."""
    c, e = np.meshgrid(np.arange(classes), np.arange(examples), indexing="ij")
    return np.broadcast_to((10 * c + e)[..., None, None], (classes, examples, size, size)).astype(np.float32)


def test_episodes_have_disjoint_support_and_query_and_right_labels():
    sample = jax.jit(fewshot.classes(images(), ways=3, shots=2, queries=3))
    for seed in range(5):
        (xs, ys), (xq, yq) = sample(jax.random.key(seed))
        assert xs.shape == (6, 4, 4, 1)
        assert xq.shape == (9, 4, 4, 1)
        support, query = np.asarray(xs)[:, 0, 0, 0], np.asarray(xq)[:, 0, 0, 0]
        assert not set(support) & set(query)
        assert len(set(support)) == 6, "no example twice"
        classes = {}
        for value, label in zip([*support, *query], [*np.asarray(ys), *np.asarray(yq)]):
            assert classes.setdefault(int(label), value // 10) == value // 10
        assert sorted(classes) == [0, 1, 2]
        assert len(set(classes.values())) == 3, "classes differ"


def test_rotations_are_new_classes():
    picture = np.zeros((2, 3, 4, 4), np.uint8)
    picture[:, :, 0, 0] = 255
    sample = fewshot.classes(picture, ways=8, shots=1, queries=2, rotations=True)
    (x, y), _ = sample(jax.random.key(0))
    corners = {tuple(np.argwhere(np.asarray(image)[..., 0] == 1.0)[0]) for image in x}
    assert corners == {(0, 0), (0, 3), (3, 0), (3, 3)}
    assert sorted(np.asarray(y)) == list(range(8))


def test_sinusoids_are_those_of_the_paper():
    (xs, _), (xq, yq) = jax.vmap(fewshot.sinusoid(5, 50))(jax.random.split(jax.random.key(0), 200))
    assert xs.shape == (200, 5, 1)
    assert float(jnp.max(jnp.abs(xq))) <= 5
    assert 4.5 < float(jnp.max(jnp.abs(yq))) <= 5
    assert float(jnp.min(jnp.max(jnp.abs(yq), axis=1))) >= 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ways": 7, "shots": 1, "queries": 1}, "ways=7, but there are 6 classes"),
        ({"ways": 2, "shots": 3, "queries": 3}, "exceed the 5 examples of a class"),
        ({"ways": 2, "shots": 0, "queries": 3}, "shots=0"),
    ],
)
def test_impossible_episodes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        fewshot.classes(images(), **arguments)
    with pytest.raises(InputError, match="classes x examples"):
        fewshot.classes(np.zeros((3, 4)), 2, 1, 1)


def small(inner_steps=2, estimator=None, chunk=None):
    init, apply = nn.functional(lambda rngs: nn.MLP(1, (6,), 1, jnp.tanh, rngs=rngs))
    loss = fewshot.squared_error(apply)
    learner = fewshot.maml(loss, optax.sgd(0.05), optax.sgd(1.0), inner_steps, estimator, chunk)
    return init, loss, learner


def test_the_meta_gradient_equals_central_differences(x64):
    init, loss, learner = small()
    params = jax.tree.map(lambda x: x.astype(jnp.float64), init(jax.random.key(0)))
    episodes = fewshot.tasks(fewshot.sinusoid(5, 5), 3)(jax.random.key(1))

    def objective(flat):
        def task(support, query):
            w = unravel(flat)
            for _ in range(2):
                grads = jax.grad(lambda p: loss(p, support, None)[0])(w)
                w = jax.tree.map(lambda p, g: p - 0.05 * g, w, grads)
            return loss(w, query, None)[0]

        return jnp.mean(jax.vmap(task)(episodes.support, episodes.query))

    flat, unravel = jax.flatten_util.ravel_pytree(params)
    objective = jax.jit(objective)
    eye = 1e-6 * jnp.eye(flat.size)
    numeric = jnp.stack([(objective(flat + e) - objective(flat - e)) / 2e-6 for e in eye])
    state, info = jax.jit(learner.update)(learner.init(jax.random.key(2), params), episodes)
    step = jax.flatten_util.ravel_pytree(state.hyper)[0] - flat  # gradient descent of rate 1
    np.testing.assert_allclose(-step, numeric, rtol=1e-5, atol=1e-8)
    assert float(info["outer_loss"]) == pytest.approx(float(objective(flat)), rel=1e-10)


def test_first_order_differs_and_chunks_do_not():
    init, _, learner = small()
    start, episodes = init(jax.random.key(0)), fewshot.tasks(fewshot.sinusoid(5, 5), 4)(jax.random.key(1))
    after = lambda made: jax.flatten_util.ravel_pytree(
        made.update(made.init(jax.random.key(2), start), episodes)[0].hyper
    )[0]
    exact, chunked, first = after(learner), after(small(chunk=2)[2]), after(small(estimator=bilevel.first_order())[2])
    np.testing.assert_allclose(exact, chunked, rtol=1e-4, atol=1e-6)
    assert float(jnp.max(jnp.abs(exact - first))) > 1e-3


def test_golden_value_of_one_step():
    """Guards against silent changes of the algorithm; regenerate only on purpose."""
    init = lambda key: {"w": jnp.array([[0.5]]), "b": jnp.array([0.1])}
    loss = fewshot.squared_error(lambda p, x: x @ p["w"] + p["b"])
    learner = fewshot.maml(loss, optax.sgd(0.1), optax.sgd(0.1), 1)
    x, y = jnp.array([[[1.0], [2.0]]]), jnp.array([[[2.0], [4.0]]])
    state, info = learner.update(learner.init(jax.random.key(0), init(None)), fewshot.Episode((x, y), (x, y)))
    # by hand: gradient at (.5, .1) is (-7.2, -4.3), so w' = 1.22, b' = .53, query loss .9841/2 + ... below
    w, b = 0.5 + 0.72, 0.1 + 0.43
    r = np.array([w + b - 2, 2 * w + b - 4])
    assert float(info["outer_loss"]) == pytest.approx(np.mean(r**2), rel=1e-5)
    g = np.array([np.mean(2 * r * [1, 2]), np.mean(2 * r)])
    hessian = np.array([[5.0, 3.0], [3.0, 2.0]])
    w_new, b_new = np.array([0.5, 0.1]) - 0.1 * (np.eye(2) - 0.1 * hessian) @ g
    assert float(state.hyper["w"][0, 0]) == pytest.approx(w_new, rel=1e-5)
    assert float(state.hyper["b"][0]) == pytest.approx(b_new, rel=1e-5)


def test_evaluation_reports_mean_interval_and_diverged_tasks():
    def loss(params, batch, key):
        value = jnp.mean(batch[1]) + 0.0 * params
        return value, {"score": value}

    def sampler(key):
        lost, drawn = jax.random.split(key)
        y = jnp.where(jax.random.uniform(lost) < 0.1, jnp.nan, jax.random.normal(drawn))
        return fewshot.Episode((jnp.zeros(1), jnp.zeros(1)), (jnp.zeros(1), y[None]))

    adapt = lambda params, support, key: jnp.stack([params, params])
    report = fewshot.evaluate(adapt, loss, jnp.zeros(()), sampler, "score", jax.random.key(0), 1000, "none", chunk=100)
    assert 60 < len(report.diverged) < 140
    assert np.all(np.isfinite(report.mean))
    assert report.interval[-1] == pytest.approx(1.96 / np.sqrt(1000), rel=0.15)
    assert "1000 tasks, 1 adaptation steps, batch norm: none" in str(report)
    with pytest.raises(ValueError, match="multiple of chunk=50"):
        fewshot.evaluate(adapt, loss, jnp.zeros(()), sampler, "score", jax.random.key(0), 60)


def test_adaptation_learns_sinusoids_quickly():
    """A few hundred steps of MAML must beat the same network without meta-training, after adaptation."""
    init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
    loss, inner = fewshot.squared_error(apply), optax.sgd(0.01)
    learner = fewshot.maml(loss, inner, optax.adam(1e-3))
    sample = fewshot.tasks(fewshot.sinusoid(10, 10), 25)
    start = learner.init(jax.random.key(0), init(jax.random.key(1)))
    step = lambda s, i: learner.update(s, sample(jax.random.fold_in(jax.random.key(2), i)))
    state, _ = jax.jit(lambda s: jax.lax.scan(step, s, jnp.arange(1500)))(start)
    adapt = fewshot.adapt(loss, inner, 5)
    score = lambda p: fewshot.evaluate(adapt, loss, p, fewshot.sinusoid(10, 50), "mse", jax.random.key(3), 200)
    before, after = score(start.hyper), score(state.hyper)
    assert after.mean[-1] < 0.6 * before.mean[-1]
    assert after.mean[-1] < after.mean[0]
