"""Episodes, MAML and the evaluation protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import data, fewshot, nn
from metajax.types import InputError


def images(classes=6, examples=5, size=4):
    """Class c, example e is the constant image 10c + e, so that an episode shows where it came from."""
    c, e = np.meshgrid(np.arange(classes), np.arange(examples), indexing="ij")
    return np.broadcast_to((10 * c + e)[..., None, None], (classes, examples, size, size)).astype(np.float32)


def test_episodes_have_disjoint_support_and_query_and_right_labels():
    sample = jax.jit(fewshot.episodes.classes(images(), ways=3, shots=2, queries=3))
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
    sample = jax.jit(fewshot.episodes.classes(picture, ways=8, shots=1, queries=2, rotations=True))
    (x, y), _ = sample(jax.random.key(0))
    corners = {tuple(np.argwhere(image[..., 0] == 1.0)[0]) for image in np.asarray(x)}
    assert corners == {(0, 0), (0, 3), (3, 0), (3, 3)}
    assert sorted(np.asarray(y)) == list(range(8))


def test_sinusoids_are_those_of_the_paper():
    drawn = jax.jit(jax.vmap(fewshot.episodes.sinusoid(5, 50)))(jax.random.split(jax.random.key(0), 200))
    (xs, _), (xq, yq) = jax.tree.map(np.asarray, drawn)
    assert xs.shape == (200, 5, 1)
    assert np.max(np.abs(xq)) <= 5
    assert 4.5 < np.max(np.abs(yq)) <= 5
    assert np.min(np.max(np.abs(yq), axis=1)) >= 0.05


def test_sinusoids_of_meta_sgd_have_a_frequency():
    """The frequency of a wave is what makes its values fit, found by least squares of sine and cosine."""
    wave = fewshot.episodes.sinusoid(5, 60, even=True, frequency=(0.8, 1.2))
    drawn = jax.jit(jax.vmap(wave))(jax.random.split(jax.random.key(0), 100))
    x, y = (np.asarray(part, np.float64)[..., 0] for part in drawn.query)
    tried = np.linspace(0.7, 1.3, 121)  # in steps of 0.005

    def best_frequency(x, y):
        angle = tried[:, None] * x
        basis, _ = np.linalg.qr(np.stack([np.sin(angle), np.cos(angle)], axis=2))
        return tried[np.argmax(np.sum((y @ basis) ** 2, axis=1))]

    best = np.array([best_frequency(*wave) for wave in zip(x, y)])
    assert 0.794 < best.min() < 0.83 and 1.17 < best.max() < 1.206
    plain, always = fewshot.episodes.sinusoid(5, 5), fewshot.episodes.sinusoid(5, 5, frequency=(1.0, 1.0))
    same, query = (jax.jit(lambda key, s=s: s(key).query[1])(jax.random.key(1)) for s in (plain, always))
    np.testing.assert_allclose(same, query, rtol=1e-6)
    with pytest.raises(InputError, match=r"frequency must be two positive numbers, .*, got \(1.2, 0.8\)"):
        fewshot.episodes.sinusoid(5, 5, frequency=(1.2, 0.8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ways": 7, "shots": 1, "queries": 1}, "ways=7 must be between 2 and the number of classes, 6"),
        ({"ways": 2, "shots": 3, "queries": 3}, "shots=3 and queries=3 must be >= 1 and together at most 5"),
        ({"ways": 2, "shots": 0, "queries": 3}, "shots=0"),
    ],
)
def test_impossible_episodes_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        fewshot.episodes.classes(images(), **arguments)
    with pytest.raises(InputError, match=r"\(classes, examples"):
        fewshot.episodes.classes(np.zeros((3, 4)), 2, 1, 1)


def test_golden_value_of_one_step():
    """Guards against silent changes of the algorithm; regenerate only on purpose."""
    init = lambda key: {"w": jnp.array([[0.5]]), "b": jnp.array([0.1])}
    loss = fewshot.squared_error(lambda p, x: x @ p["w"] + p["b"])
    method = fewshot.maml(loss, optax.sgd(0.1), optax.sgd(0.1), 1)
    x, y = jnp.array([[[1.0], [2.0]]]), jnp.array([[[2.0], [4.0]]])
    state, info = jax.jit(method.update)(method.init(jax.random.key(0), init(None)), fewshot.Episode((x, y), (x, y)))
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
    def loss(hyper, learned, batch, key):
        return jnp.mean(batch[1]) + 0.0 * learned, {"score": jnp.nan_to_num(jnp.mean(batch[1]))}

    def sampler(key):
        lost, drawn = jax.random.split(key)
        y = jnp.where(jax.random.uniform(lost) < 0.1, jnp.nan, jax.random.normal(drawn))
        return fewshot.Episode((jnp.zeros(1), jnp.zeros(1)), (jnp.zeros(1), y[None]))

    adapt = lambda hyper, support, key: jnp.stack([hyper, hyper])
    method = fewshot.Method(lambda *_: None, lambda *_: (None, {}), adapt, loss, 1, 1)
    key = jax.random.key(0)
    report = fewshot.evaluate(method, jnp.zeros(()), sampler, "score", key, 1000, "none", chunk=100)
    assert 60 < len(report.diverged) < 140, "a finite score of a loss that is not finite counts as diverged"
    lost = sampler(fewshot.evaluation.task_key(key, report.diverged[0]))
    assert np.isnan(lost.query[1]).all(), "the report's number draws the task again"
    assert np.all(np.isfinite(report.mean))
    assert report.interval[-1] == pytest.approx(1.96 / np.sqrt(1000), rel=0.15)
    for part in ("1000 tasks", "1 in training, 1 in the test", "batch norm: none", "checkpoint: last", "diverged"):
        assert part in str(report)
    with pytest.raises(ValueError, match="multiple of chunk=50"):
        fewshot.evaluate(method, jnp.zeros(()), sampler, "score", key, 60)
    other = report._replace(mean=report.mean + 1)
    assert fewshot.evaluation.over_seeds([report, other]) == pytest.approx((report.mean[-1] + 0.5, np.sqrt(0.5)))
    with pytest.raises(ValueError, match="at least 2 seeds"):
        fewshot.evaluation.over_seeds([report])


def test_an_evaluator_compiles_once():
    seen = []

    def loss(hyper, learned, batch, key):
        seen.append(1)
        return jnp.sum(learned), {"score": jnp.sum(learned)}

    method = fewshot.Method(lambda *_: None, lambda *_: (None, {}), lambda h, s, k: h[None], loss, 0, 0)
    judge = fewshot.evaluation.evaluator(
        method, fewshot.episodes.sinusoid(2, 2), "score", jax.random.key(0), 20, chunk=10
    )
    assert judge(jnp.ones(())).mean[-1] == 1
    traced = len(seen)
    assert judge(jnp.zeros(())).mean[-1] == 0
    assert len(seen) == traced


def test_adaptation_learns_sinusoids_quickly():
    """A few hundred steps of MAML must beat the same network without meta-training, after adaptation."""
    init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
    method = fewshot.maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3), test_steps=5)
    sample = fewshot.episodes.tasks(fewshot.episodes.sinusoid(10, 10), 25)
    start = method.init(jax.random.key(0), init(jax.random.key(1)))
    step = lambda s, i: method.update(s, sample(jax.random.fold_in(jax.random.key(2), i)))
    state, _ = jax.jit(lambda s: jax.lax.scan(step, s, jnp.arange(1500)))(start)
    score = lambda p: fewshot.evaluate(method, p, fewshot.episodes.sinusoid(10, 50), "mse", jax.random.key(3), 200)
    before, after = score(start.hyper), score(state.hyper)
    assert after.mean[-1] < 0.6 * before.mean[-1]
    assert after.mean[-1] < after.mean[0]


def test_classes_out_of_balance_and_of_unequal_size():
    x = np.concatenate([np.full((n, 1), c, np.float32) for c, n in enumerate((4, 9, 6))])
    uneven = data.Classes(x, np.array([4, 9, 6]), ("a", "b", "c"))
    sample = jax.jit(fewshot.episodes.classes(uneven, 3, (1, 2, 3), 1))
    for seed in range(20):
        (xs, ys), (xq, yq) = sample(jax.random.key(seed))
        assert np.bincount(np.asarray(ys)).tolist() == [1, 2, 3]
        assert np.asarray(yq).tolist() == [0, 1, 2]
        for label in range(3):
            assert len({float(v) for v in (*xs[ys == label, 0], *xq[yq == label, 0])}) == 1, "one class, one value"
    with pytest.raises(InputError, match="together at most 4"):
        fewshot.episodes.classes(uneven, 3, (1, 2, 4), 1)
    with pytest.raises(InputError, match="one for each of ways"):
        fewshot.episodes.classes(uneven, 2, (1, 2, 3), 1)


def test_every_example_is_drawn_and_none_twice():
    sample = jax.jit(fewshot.episodes.classes(images(3, 5), 2, 2, 3))
    seen = set()
    for seed in range(30):
        (xs, _), (xq, _) = sample(jax.random.key(seed))
        drawn = [float(v) for v in (*xs[:, 0, 0, 0], *xq[:, 0, 0, 0])]
        assert len(set(drawn)) == 10
        seen |= set(drawn)
    assert len(seen) == 15


def test_labeled_batches():
    x, y = jax.jit(fewshot.episodes.examples(images(), 500, rotations=True))(jax.random.key(0))
    assert x.shape == (500, 4, 4, 1)
    assert np.array_equal(np.unique(y), np.arange(24))
    assert np.array_equal(np.asarray(x)[:, 0, 0, 0] // 10, np.asarray(y) // 4)


def test_labels_must_be_0_to_n_minus_1():
    x = jnp.zeros((2, 1))
    with pytest.raises(InputError, match=r"support: labels must be 0 to N-1, .*, got \[1, 2\]"):
        fewshot.episodes.check(fewshot.Episode((x, jnp.array([1, 2])), (x, jnp.array([1, 2]))))
    with pytest.raises(InputError, match=r"query: labels must be 0 to 1, .*, got 2"):
        fewshot.episodes.check(fewshot.Episode((x, jnp.array([0, 1])), (x, jnp.array([0, 2]))))
    logits = jnp.zeros((3, 3))
    for labels, wrong in (([1, 2, 3], 3), ([-1, 0, 1], -1)):
        with pytest.raises(InputError, match=f"labels must be integers from 0 to 2, got {wrong}"):
            fewshot.classification_loss(logits, jnp.array(labels))
        with pytest.raises(InputError, match=f"labels must be integers from 0 to 2, got {wrong}"):
            fewshot.heads.centroids(jnp.zeros((3, 2)), jnp.array(labels))
        assert np.isnan(jax.jit(fewshot.classification_loss)(logits, jnp.array(labels))[0]), "never a plausible loss"
    method = fewshot.protonet(lambda p, x: x * p, optax.sgd(0.1))
    bad = lambda key: fewshot.Episode((x, jnp.array([3, 4])), (x, jnp.array([3, 4])))
    with pytest.raises(InputError, match="labels must be 0 to N-1"):
        fewshot.evaluate(method, jnp.ones(()), bad, "accuracy", jax.random.key(0), 10, chunk=5)
