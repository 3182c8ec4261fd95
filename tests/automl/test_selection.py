"""What is selected is what is reported: by accuracy, with calibrated probabilities, and with intervals that hold."""

from types import SimpleNamespace
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
import pytest

from metajax.automl import _calibrate as calibrate
from metajax.automl import _ensemble as ensemble
from metajax.automl import _intervals as intervals
from metajax.automl._ensemble import PICKS, evaluate_on_test, fit_temperatures, pick
from metajax.automl._metrics import metric
from metajax.automl._selection import _share_of_better
from metajax.automl._training import Data

# Nothing here is compiled. The mark keeps the compiled programs of the files before and after, which are optimized.
pytestmark = pytest.mark.optimized

ACCURACY = metric("accuracy", 10, True)


def predictions(labels, accuracy, sure, seed, classes=10):
    """Probabilities f32[*labels.shape, classes] of a model that is right so often and always as sure."""
    rng = np.random.default_rng(seed)
    wrong = (labels + rng.integers(1, classes, labels.shape)) % classes
    chosen = np.where(rng.random(labels.shape) < accuracy, labels, wrong)
    probabilities = np.full((*labels.shape, classes), (1 - sure) / (classes - 1), np.float32)
    np.put_along_axis(probabilities, chosen[..., None], np.float32(sure), axis=-1)
    return probabilities


def log_loss(probabilities, labels):
    return float(-np.mean(np.log(np.take_along_axis(probabilities, labels[..., None], axis=-1))))


def test_a_modest_but_more_accurate_network_is_selected():
    """Label smoothing: right 98.5% of the time at a probability of .68, against 93.5% at .94. By raw log-loss it loses."""
    labels = np.random.default_rng(0).integers(10, size=(4, 300))
    default, smoothed = predictions(labels, 0.935, 0.94, 1), predictions(labels, 0.985, 0.68, 2)
    assert log_loss(smoothed, labels) > log_loss(default, labels), "the case that is constructed"
    outputs = np.stack([default, smoothed], axis=1)
    assert np.mean(pick(outputs, labels, ACCURACY, True)) >= 0.75
    calibrated = calibrate.cross_calibrate(outputs, labels)
    assert log_loss(calibrated[:, 1], labels) < 0.5 * log_loss(calibrated[:, 0], labels)
    fitted = fit_temperatures(outputs, True, labels)
    assert fitted[1] < 0.7 and 0.8 < fitted[0] < 1.25, "the default is calibrated as it is"
    assert np.mean(pick(outputs[:1], labels[:1], ACCURACY, True)) >= 0.75, "on one split, too"


def test_equal_accuracies_are_told_apart_by_calibrated_loss():
    """Both err on the same rows; one of them is unsure there. A temperature that hides it does not decide."""
    labels = np.tile(np.arange(200) % 2, (2, 1))
    sure = np.where(labels[..., None] == np.arange(2), 0.9, 0.1)
    sure[:, ::10] = sure[:, ::10, ::-1]
    unsure = sure.copy()
    unsure[:, ::10] = np.where(sure[:, ::10] > 0.5, 0.55, 0.45)
    flat = unsure**0.2 / (unsure**0.2).sum(axis=-1, keepdims=True)  # the same knowledge at a lower confidence
    assert log_loss(flat, labels) > log_loss(sure, labels)
    assert pick(np.stack([sure, flat], axis=1).astype(np.float32), labels, ACCURACY, True) == [1] * PICKS


def test_a_temperature_that_is_known_is_found_and_no_label_changes():
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(2_000, 5))
    labels = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    for factor in (0.25, 1.0, 4.0):
        probabilities = calibrate.apply_temperature(factor * logits, np.ones(()))
        fitted = calibrate.fit_temperature(probabilities, labels)
        assert fitted == pytest.approx(factor, rel=0.08)
        again = calibrate.apply_temperature(np.log(probabilities), fitted)
        np.testing.assert_array_equal(again.argmax(axis=1), probabilities.argmax(axis=1))


def test_few_rows_without_an_error_do_not_make_a_model_infinitely_sure():
    probabilities = np.array([[0.9, 0.1]] * 20)
    fitted = calibrate.fit_temperature(probabilities, np.zeros(20, int))
    assert 0.3 < fitted < 1.0
    broken = np.stack([probabilities, np.full_like(probabilities, np.nan)])
    assert calibrate.fit_temperature(broken, np.zeros(20, int))[1] == 1.0
    assert np.isnan(calibrate.calibrated_loss(broken, np.zeros(20, int))).tolist() == [False, True]


def test_a_row_is_not_calibrated_by_itself():
    """Another label changes the temperature of all other folds, not that of its own."""
    labels = np.random.default_rng(0).integers(10, size=(3, 50))
    outputs, other = predictions(labels, 0.8, 0.9, 1)[:, None], labels.copy()
    other[0] = (other[0] + 1) % 10
    before, after = calibrate.cross_calibrate(outputs, labels), calibrate.cross_calibrate(outputs, other)
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[1:] != after[1:]).any()


def test_an_interval_of_r2_holds_the_truth_where_the_binomial_one_does_not():
    """200 samples of 100 rows; a predictor whose R² is .4 by construction."""
    rng = np.random.default_rng(0)
    covered, binomial = [], []
    for seed in range(200):
        predicted = np.sqrt(0.4) * rng.normal(size=100)
        truth = predicted + np.sqrt(0.6) * rng.normal(size=100)
        low, high = intervals.r2(truth, predicted, seed)
        covered.append(low < 0.4 < high)
        r2 = 1 - np.mean((truth - predicted) ** 2) / np.var(truth)
        binomial.append(abs(r2 - 0.4) < 1.96 * np.sqrt(max(r2 * (1 - r2), 0) / 100))
    assert 0.90 <= np.mean(covered) <= 0.99
    assert np.mean(binomial) < 0.88
    assert intervals.r2(truth, predicted, 3) == intervals.r2(truth, predicted, 3)
    shifted = intervals.r2(1e6 + truth, 1e6 + predicted)
    np.testing.assert_allclose(shifted, intervals.r2(truth, predicted), atol=1e-6)


def test_an_interval_of_accuracy_is_wilsons():
    low, high = intervals.accuracy(np.arange(359) < 353)
    assert (low, high) == pytest.approx((0.9640, 0.9923), abs=1e-4)
    assert intervals.accuracy(np.ones(30, bool))[0] == pytest.approx(0.8865, abs=1e-4), "no row wrong is not ± 0"


def test_a_difference_is_judged_on_the_same_rows():
    """Two predictors that differ on 12 of 400 rows: paired, that is a difference; unpaired it would drown."""
    truth = np.arange(400) % 2
    worse = np.where(np.arange(400) % 10 == 0, 1 - truth, truth)
    better = np.where(np.arange(400) < 120, truth, worse)
    low, high = intervals.difference(truth, better, worse, True)
    assert 0 < low < 0.03 < high
    assert intervals.difference(truth, worse, worse, True) == (0.0, 0.0)
    y = np.random.default_rng(0).normal(size=300)
    near, far = y + 0.3 * np.random.default_rng(1).normal(size=300), y + 0.5 * np.random.default_rng(2).normal(size=300)
    low, high = intervals.difference(y, near, far, False)
    assert 0 < low < 0.16 < high


@pytest.mark.parametrize("size", [1.0, 1e200, 1e-200])
def test_scores_of_values_of_any_size_are_finite(size):
    """Squares of values beyond 1e154 are infinite, so that scores are computed from standardized ones."""
    y = np.random.default_rng(0).normal(size=40)
    final = Data(*(jnp.asarray(a, jnp.float32) for a in (np.zeros((1, 1)), y[:1], np.zeros((40, 1)), y)))
    model = SimpleNamespace(predict_inputs=lambda x: (y + 0.1) * size + 3 * size)
    units = {"target_shift": 3 * size, "target_scale": size}
    task: Any = SimpleNamespace(classification=False, metric=metric("r2", 1, False), final=final, **units)
    evaluation = evaluate_on_test(cast(Any, model), task)
    assert evaluation.score == pytest.approx(1 - 0.01 / y.var(), rel=1e-4)
    assert evaluation.loss == pytest.approx(0.1 * size, rel=1e-4)
    assert evaluation.interval[0] < evaluation.score < evaluation.interval[1]


@pytest.mark.parametrize(("name", "expected"), [("neg_mean_absolute_error", -20.0), ("neg_mean_squared_error", -400.0)])
def test_errors_are_reported_in_units_of_the_target(name, expected):
    y = np.random.default_rng(0).normal(size=40)
    final = Data(*(jnp.asarray(a, jnp.float32) for a in (np.zeros((1, 1)), y[:1], np.zeros((40, 1)), y)))
    model = SimpleNamespace(predict_inputs=lambda x: 200.0 * (y + 0.1) + 7.0)
    units = {"target_shift": 7.0, "target_scale": 200.0}
    task: Any = SimpleNamespace(classification=False, metric=metric(name, 1, False), final=final, **units)
    evaluation = evaluate_on_test(cast(Any, model), task)
    assert evaluation.score == pytest.approx(expected, rel=1e-4)
    assert evaluation.interval == pytest.approx((expected, expected), rel=1e-4), "every row has the same error"


def test_what_is_selected_is_what_was_asked_for(monkeypatch):
    """Of 100 rows 5 are positive: one model ranks them first but never says so, one calls some of them positive."""
    monkeypatch.setattr(ensemble, "PICKS", 1)
    labels = np.tile(np.repeat([1, 0], [5, 95]), (2, 1))
    ranking = np.where(labels == 1, 0.4, 0.1)
    calling = np.where(np.arange(100) < 3, 0.9, 0.2) + 0.3 * (np.arange(100) > 97) + 0.0 * labels
    outputs = np.stack([np.stack([1 - p, p], axis=-1) for p in (ranking, calling)], axis=1).astype(np.float32)
    # By a threshold, the first one also says what it ranks; of an accuracy there is none.
    for name, best in (("roc_auc", 0), ("accuracy", 1), ("balanced_accuracy", 0)):
        assert pick(outputs, labels, metric(name, 2, True), False) == [best]


@pytest.mark.parametrize("name", ["roc_auc", "balanced_accuracy", "neg_log_loss"])
def test_an_interval_of_any_metric_is_a_bootstrap(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=300)
    chances = lambda noise: 1 / (1 + np.exp(-(2 * labels - 1 + noise * rng.normal(size=300))))
    near, far = (np.stack([1 - p, p], axis=1) for p in (chances(0.8), chances(3.0)))
    of = metric(name, 2, True)
    low, high = intervals.of_metric(of, near, labels)
    assert low < of.score(near[None], labels)[0] < high and high - low < 0.3
    low, high = intervals.difference_of_metric(of, near, far, labels)
    assert 0 < low < high
    assert intervals.difference_of_metric(of, far, far, labels) == (0.0, 0.0)


def share(errors, weights=None):
    """The weight of the ensemble of all beside the first three, the defaults, where predictions have these errors."""
    outputs, targets = errors[None, :, :, None].astype(np.float32), np.zeros((1, errors.shape[1]))
    weights = None if weights is None else weights[None]
    is_default = np.arange(len(errors)) < 3
    task = cast(Any, SimpleNamespace(classification=False, metric=metric(None, 1, False)))
    counts = np.bincount(pick(outputs, targets, task.metric, False, weights), minlength=len(errors))
    of_defaults = np.zeros(len(errors))
    of_defaults[:3] = np.bincount(pick(outputs[:, is_default], targets, task.metric, False, weights), minlength=3)
    return _share_of_better(outputs, counts, of_defaults, targets, task, weights)


def test_an_ensemble_has_the_weight_by_which_it_is_surely_better_than_the_defaults():
    """Among many that are no better, the best one is a lucky one: on other rows, it is not."""
    shares = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=(1, 200))
        shares.append(share(common + 0.3 * rng.normal(size=(15, 200))))
    assert np.mean(shares) < 0.5 and np.mean(np.array(shares) == 0) > 0.2
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(4, 200)) * np.array([[1.0], [1.0], [1.0], [0.1]])
    assert 0.9 < share(errors) < 1
    assert share(np.concatenate([errors[:3], 3 * errors[:1]])) == 0, "nothing else is picked"


def test_rows_of_weight_zero_have_no_say_in_it():
    rng = np.random.default_rng(1)
    errors = rng.normal(size=(4, 300)) * np.array([[1.0], [1.0], [1.0], [0.1]])
    errors[3, 100:] = 50.0
    weights = np.where(np.arange(300) < 100, 1.0, 0.0)
    assert share(errors) == 0
    assert share(errors, weights) == pytest.approx(share(errors[:, :100]))
