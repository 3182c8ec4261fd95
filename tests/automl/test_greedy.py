"""The greedy ensemble: better than its members, never with a failed one, and by the metric that was asked for."""

import itertools

import numpy as np
import pytest

from metajax.automl import _greedy as greedy
from metajax.automl._metrics import metric


def library(models=6, rows=400, seed=0):
    """Values with independent errors of different sizes."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=rows)
    noise = rng.normal(size=(models, rows)) * np.linspace(0.5, 1.5, models)[:, None]
    return (targets + noise)[:, :, None], targets


def test_an_ensemble_is_better_than_its_best_member():
    outputs, targets = library()
    r2 = metric("r2", 1, False)
    weights = greedy.select(outputs, targets, r2)
    assert weights.sum() == pytest.approx(1.0) and (weights >= 0).all()
    mean = np.tensordot(weights, outputs, 1)
    assert r2.score(mean[None], targets)[0] > r2.score(outputs, targets).max() + 0.02
    # the weights are near those of least squares, which go by the inverse variance
    assert weights[0] == weights.max() and weights[0] > weights[-1]


def test_two_rounds_are_the_best_pair_that_holds_the_best_model():
    outputs, targets = library(models=4)
    r2 = metric("r2", 1, False)
    best = int(np.argmax(r2.score(outputs, targets)))
    pairs = {(best, j): r2.score((outputs[best] + outputs[j])[None] / 2, targets)[0] for j in range(4)}
    first, second = max(pairs, key=pairs.get)
    expected = np.zeros(4)
    expected[first] += 0.5
    expected[second] += 0.5
    np.testing.assert_array_equal(greedy.select(outputs, targets, r2, rounds=2), expected)


def test_failed_models_have_no_weight():
    outputs, targets = library(models=3)
    outputs[1, 0] = np.nan
    assert greedy.select(outputs, targets, metric("r2", 1, False))[1] == 0.0
    assert greedy.select(np.full((2, 5, 1), np.nan), np.zeros(5), metric("r2", 1, False)).tolist() == [1.0, 0.0]


def test_what_is_maximized_is_the_metric_that_was_asked_for():
    # of 100 rows 5 are positive: one model ranks them first but never says so, one calls some rows positive
    targets = np.repeat([1, 0], [5, 95])
    ranking = np.where(targets == 1, 0.4, 0.1)
    calling = np.where(np.arange(100) < 3, 0.9, 0.2) + 0.3 * (np.arange(100) > 97)
    outputs = np.stack([np.stack([1 - p, p], axis=1) for p in (ranking, calling)])
    one = lambda name: greedy.select(outputs, targets, metric(name, 2, True), rounds=1)
    assert one("roc_auc").tolist() == [1.0, 0.0]
    assert one("accuracy").tolist() == [0.0, 1.0]


def test_equal_scores_are_decided_by_the_loss():
    targets = np.array([0, 1, 0, 1])
    sure, unsure = (np.stack([np.where(targets == c, p, 1 - p) for c in (0, 1)], axis=1) for p in (0.9, 0.6))
    for order in itertools.permutations([0, 1]):
        outputs = np.stack([sure, unsure])[list(order)]
        weights = greedy.select(outputs, targets, metric("accuracy", 2, True))
        assert weights[order.index(0)] == 1.0


def test_the_memory_of_many_models_is_bounded(monkeypatch):
    outputs, targets = library(models=5)
    whole = greedy.select(outputs, targets, metric("r2", 1, False))
    monkeypatch.setattr(greedy, "_CHUNK", 500)
    np.testing.assert_array_equal(greedy.select(outputs, targets, metric("r2", 1, False)), whole)
