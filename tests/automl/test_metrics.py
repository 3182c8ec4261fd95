"""Metrics are those of scikit-learn, for many models at once."""

import numpy as np
import pytest

from metajax.automl import _metrics as metrics
from metajax.types import InputError

pytest.importorskip("sklearn")


class Given:
    """An estimator of scikit-learn that predicts what it is given."""

    def __init__(self, output):
        self.output, self.classes_ = output, np.arange(output.shape[1])
        self._estimator_type = "classifier"

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return self.output

    def predict(self, x):
        return np.argmax(self.output, axis=1)

    def __sklearn_tags__(self):
        from sklearn.base import BaseEstimator, ClassifierMixin

        return type("Tags", (ClassifierMixin, BaseEstimator), {})().__sklearn_tags__()


class GivenValues(Given):
    def predict(self, x):
        return self.output[:, 0]

    def __sklearn_tags__(self):
        from sklearn.base import BaseEstimator, RegressorMixin

        return type("Tags", (RegressorMixin, BaseEstimator), {})().__sklearn_tags__()


def draw(outputs, seed):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(size=(3, 80, outputs)), 1)  # some scores are equal
    weights = np.exp(logits)
    return weights / weights.sum(axis=2, keepdims=True), rng.integers(outputs, size=80)


@pytest.mark.parametrize("outputs", [2, 4])
@pytest.mark.parametrize("name", [*metrics.CLASSIFICATION, *metrics.BINARY])
def test_scores_of_classes_are_those_of_scikit_learn(name, outputs):
    from sklearn.metrics import get_scorer

    if name in metrics.BINARY and outputs > 2:
        with pytest.raises(InputError, match=r"must be one of accuracy, .* for a target of 4 classes"):
            metrics.metric(name, outputs, True)
        return
    probabilities, targets = draw(outputs, 0)
    scorer = get_scorer("roc_auc_ovr" if name == "roc_auc" and outputs > 2 else name)
    expected = [scorer(Given(each), None, targets) for each in probabilities]
    np.testing.assert_allclose(metrics.metric(name, outputs, True).score(probabilities, targets), expected)
    weights = np.random.default_rng(1).integers(0, 4, size=80).astype(np.float64)
    expected = [scorer(Given(each), None, targets, sample_weight=weights) for each in probabilities]
    weighted = metrics.metric(name, outputs, True).score(probabilities, targets, weights)
    np.testing.assert_allclose(weighted, expected)


@pytest.mark.parametrize("name", metrics.REGRESSION)
def test_scores_of_values_are_those_of_scikit_learn(name):
    from sklearn.metrics import get_scorer

    rng = np.random.default_rng(0)
    values, targets = rng.normal(size=(3, 50, 1)), rng.normal(size=50)
    expected = [get_scorer(name)(GivenValues(each), None, targets) for each in values]
    np.testing.assert_allclose(metrics.metric(name, 1, False).score(values, targets), expected)
    weights = rng.integers(0, 4, size=50).astype(np.float64)
    expected = [get_scorer(name)(GivenValues(each), None, targets, sample_weight=weights) for each in values]
    np.testing.assert_allclose(metrics.metric(name, 1, False).score(values, targets, weights), expected)


def test_a_missing_class_and_a_constant_target_stay_finite():
    probabilities, _ = draw(3, 1)
    targets = np.zeros(80, int)
    for name in metrics.CLASSIFICATION:
        assert np.isfinite(metrics.metric(name, 3, True).score(probabilities, targets)).all()
    assert np.isfinite(metrics.metric("r2", 1, False).score(np.ones((1, 5, 1)), np.ones(5))).all()


def test_the_default_fits_the_target():
    assert [metrics.metric(None, n, n > 1).name for n in (1, 2, 3)] == ["r2", "roc_auc", "accuracy"]
    with pytest.raises(InputError, match=r"^metric='accuracy': must be one of neg_mean_abs.* for a target of numbers"):
        metrics.metric("accuracy", 1, False)


def test_a_threshold_is_chosen_where_labels_alone_count():
    """Of 400 rows 20 are positive and get a higher probability, but never above one half."""
    rng = np.random.default_rng(0)
    targets = (np.arange(400) % 20 == 0).astype(int)
    p = np.clip(0.05 + 0.2 * targets + 0.05 * rng.normal(size=400), 0.001, 0.49)
    outputs = np.stack([1 - p, p], axis=1)
    for name in ("f1", "balanced_accuracy", "f1_macro"):
        of = metrics.metric(name, 2, True)
        threshold = metrics.best_threshold(of, outputs, targets)
        assert 0.1 <= threshold <= 0.25
        said = metrics.labels(outputs, threshold)
        np.testing.assert_array_equal(said, np.argmax(metrics.at_threshold(outputs, threshold), axis=1))
        assert (
            of.score(metrics.at_threshold(outputs, threshold)[None], targets)[0]
            > of.score(outputs[None], targets)[0] + 0.2
        )
        assert (
            of.select(outputs[None], targets)[0] == of.score(metrics.at_threshold(outputs, threshold)[None], targets)[0]
        )
    for name in ("accuracy", "roc_auc"):
        of = metrics.metric(name, 2, True)
        assert metrics.best_threshold(of, outputs, targets) == 0.5 and not of.by_label
    assert not metrics.metric("balanced_accuracy", 3, True).by_label, "of more classes the most probable one is said"
    np.testing.assert_array_equal(metrics.labels(outputs, 0.5), np.zeros(400))
