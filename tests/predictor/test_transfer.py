"""Learning from other datasets: priors, pretrained models, pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import predictor
from metajax.predictor import _deep_kernel as pretrained
from metajax.space import Categorical, Float, Space
from metajax.types import InputError

SPACE = Space({"x": Float(0.0, 1.0, grid=11), "op": Categorical(("a", "b", "c"))})
EVERY = SPACE.at(np.arange(SPACE.size))
X = np.asarray(SPACE.encode(EVERY))


def dataset(rng):
    """A function of its own optimum, which one other number of the dataset tells."""
    center = rng.uniform(0.2, 0.8)
    return -((X[:, 0] - center) ** 2) + 0.2 * X[:, 2] + 0.01 * rng.normal(size=len(X)), center


def many(number, seed=0):
    rng = np.random.default_rng(seed)
    datasets = [dataset(rng) for _ in range(number)]
    return np.stack([m for m, _ in datasets]), np.array([[c, rng.normal()] for _, c in datasets])


def trials_of(metric, rows):
    at = lambda r: {name: np.asarray(c)[r] for name, c in EVERY.items()}
    configs = {name: np.concatenate([at(rows)[name]] * len(metric)) for name in EVERY}
    return predictor.Trials.from_arrays(
        SPACE, configs, metric[:, rows].ravel(), group=np.repeat(np.arange(len(metric)), len(rows))
    )


def test_normal_scores_are_ranks():
    scores = predictor.priors.normal_scores([[1.0, 5.0, 2.0], [-3.0, 100.0, 7.0]])
    np.testing.assert_allclose(scores[0], scores[1] * 1.0)
    np.testing.assert_allclose(
        predictor.priors.normal_scores([[1.0, 2.0]], maximize=False), -predictor.priors.normal_scores([[1.0, 2.0]])
    )
    with pytest.raises(InputError, match="finite"):
        predictor.priors.normal_scores([[1.0, np.nan]])


def test_meta_features_tell_the_new_dataset():
    metric, meta = many(40)
    new, new_meta = many(10, seed=1)
    prior = predictor.priors.meta_prior(predictor.priors.normal_scores(metric), meta, new_meta)
    plain = predictor.priors.average_prior(predictor.priors.normal_scores(metric))
    truth = predictor.priors.normal_scores(new)
    assert ((prior.mean - truth) ** 2).mean() < 0.3 * ((plain.mean - truth) ** 2).mean()
    assert (prior.factors**2).mean() < 0.5 * (plain.factors**2).mean()
    gone = predictor.priors.meta_prior(predictor.priors.normal_scores(metric), meta, np.full((1, 2), np.nan))
    assert np.isfinite(gone.mean).all()


def test_transfer_is_the_prior_before_and_the_truth_after():
    metric, _ = many(20)
    new, _ = many(1, seed=2)
    prior = predictor.priors.average_prior(predictor.priors.normal_scores(metric))
    x = jnp.asarray(np.concatenate([prior.columns(slice(None)), X], axis=1))
    spec, blocks, y = (
        predictor.priors.transfer(20),
        np.arange(x.shape[1]),
        jnp.asarray(new[0] / new[0].std(), jnp.float32),
    )
    compiled, apply = jax.jit(spec.fit), jax.jit(spec.apply)

    def fit(rows):
        padded, weight = np.resize(rows, 17), jnp.asarray(np.arange(17) < len(rows), jnp.float32)
        return compiled(jax.random.key(0), x[padded], (y[padded] - y[rows].mean()) * weight, weight, blocks)

    nothing = compiled(jax.random.key(0), x[:17], jnp.zeros(17), jnp.zeros(17), blocks)
    np.testing.assert_allclose(apply(nothing, x)[0], prior.mean, atol=1e-4)
    errors = []
    for rows in (np.array([0, 7]), np.array([0, 7, 15, 22, 30])):
        mean = np.asarray(apply(fit(rows), x)[0])
        errors.append(1 - np.corrcoef(mean, new[0])[0, 1])
    assert errors[1] < 0.05 and errors[1] < 1 - np.corrcoef(prior.mean, new[0])[0, 1]
    mean, std = apply(fit(np.arange(0, 33, 2)), x)
    assert np.all(np.asarray(std)[::2] < np.asarray(std)[1::2].max())


@pytest.mark.slow
@pytest.mark.parametrize("make", [predictor.deep_kernel, predictor.maml_network])
def test_pretrained_models_need_few_trials(make):
    metric, _ = many(24)
    spec = make(trials_of(metric, np.arange(33)), steps=400)
    new, _ = many(6, seed=3)
    rows, pretrained, plain = np.array([2, 12, 22, 31]), [], []
    for values in new:
        trials = trials_of(values[None], rows)
        for out, one in ((pretrained, spec), (plain, predictor.ridge())):
            mean, std = predictor.fit(trials, one, "rank").predict(X)
            assert np.isfinite(mean).all() and (std > 0).all()
            out.append(np.corrcoef(mean, values)[0, 1])
    assert np.mean(pretrained) > 0.8 and np.mean(pretrained) > np.mean(plain)


def test_labels_are_rescaled_as_in_fsbo():
    """(y - l) / (u - l) with l < u from the range of all labels: rising, affine, and of many scales."""
    y = jnp.asarray(np.random.default_rng(0).normal(size=(500, 6)), jnp.float32)
    low, high = y.min(), y.max()
    scaled = np.asarray(pretrained.rescale_labels(jax.random.key(0), y, low, high), np.float64)
    slope = (scaled[:, 1] - scaled[:, 0]) / np.asarray(y[:, 1] - y[:, 0], np.float64)
    lower = np.asarray(y[:, 0]) - scaled[:, 0] / slope
    np.testing.assert_allclose(scaled, slope[:, None] * (np.asarray(y) - lower[:, None]), rtol=1e-2, atol=1e-2)
    width = 1 / slope / float(high - low)
    assert width.min() >= 0.01 - 1e-4 and width.max() < 1
    assert lower.min() >= float(low) - 0.01 and (lower + 1 / slope).max() <= float(high) + 0.2
    np.testing.assert_allclose(width.mean(), 1 / 3, atol=0.04)  # the mean distance of two uniform draws


def test_pretraining_needs_several_datasets():
    metric, _ = many(1)
    for make in (predictor.deep_kernel, predictor.maml_network):
        with pytest.raises(InputError, match="got 1 groups, the smallest with 33 trials"):
            make(trials_of(metric, np.arange(33)))
    with pytest.raises(InputError, match="folds must be at most the number of families \(3\), got 8"):
        predictor.priors.meta_prior(np.ones((3, 4)), np.ones((3, 1)), np.ones((1, 1)))


def test_a_pair_can_contradict_itself_and_a_difference_cannot():
    rng = np.random.default_rng(0)
    metric = np.exp(X[:, 0] + 0.5 * X[:, 1] + 0.1 * rng.normal(size=len(X)))
    trials = trials_of(metric[None], np.arange(0, 33, 2))
    first, second = X[rng.integers(33, size=(2, 200))]
    pair = predictor.fit_pairs(trials, predictor.ridge(2))
    difference = predictor.fit(trials, predictor.ridge(2), "log_ratio")
    np.testing.assert_allclose(difference.compare(first, second), -difference.compare(second, first), atol=1e-6)
    assert np.abs(pair.compare(first, second) + pair.compare(second, first)).max() > 1e-3
    gain = (second - first) @ np.array([1.0, 0.5, 0.0, 0.0])
    clear = np.abs(gain) > 0.2
    assert np.mean(np.sign(pair.compare(first, second)[clear]) == np.sign(gain[clear])) > 0.9
    with pytest.raises(InputError, match="metrics must be > 0"):
        predictor.fit_pairs(trials_of(-metric[None], np.arange(5)), predictor.ridge())
    with pytest.raises(InputError, match="no such pair"):
        predictor.fit_pairs(trials_of(metric[None], np.arange(1)), predictor.ridge())


def test_rows_of_weight_zero_do_not_move_the_hyperparameters():
    """Padding must not be taken for trainings without noise."""
    metric, _ = many(1)
    y = jnp.asarray(metric[0] / metric[0].std(), jnp.float32)
    prior = predictor.priors.average_prior(predictor.priors.normal_scores(many(5)[0]))
    wide = jnp.asarray(np.concatenate([prior.columns(slice(None)), X], axis=1))
    for spec, x in ((predictor.kernel(), jnp.asarray(X)), (predictor.priors.transfer(5), wide)):
        blocks, logs = np.arange(x.shape[1]), []
        fit = jax.jit(spec.fit)
        for size in (16, 256):
            rows = np.arange(size) % 33
            weight = (jnp.arange(size) < 16).astype(jnp.float32)
            logs.append(fit(jax.random.key(0), x[rows], y[rows] * weight, weight, blocks)["log"])
        for name, value in logs[0].items():
            np.testing.assert_allclose(value, logs[1][name][: value.size] if value.ndim else logs[1][name], atol=0.02)
