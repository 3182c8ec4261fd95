"""The metrics by which models are selected and reported, by scikit-learn's names, as functions of many models at once.

Every metric is turned so that larger is better: those that scikit-learn calls ``neg_...`` are negative errors.
"""

from typing import NamedTuple, Protocol

import numpy as np

from metajax.types import InputError


class ScoreFn(Protocol):
    """Scores many models on the same rows."""

    def __call__(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None, /) -> np.ndarray:
        """Returns f64[models].

        Args:
            outputs: f64[models, rows, k], probabilities or values.
            targets: [rows], class numbers or values.
            weights: f64[rows], how much each row counts; ``None`` where all count alike.
        """
        ...


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: Its name, by scikit-learn's scorers.
        score: Scores many models on the same rows; larger is better.
        tie: What decides between equal scores: the log-loss or the squared error, negative.
        power: The unit of the score, as a power of the unit of the target.
        by_label: Whether the score of two classes depends on labels alone, of which one may be rare, so that the threshold
            from which a row is labeled as the second class is chosen on held-out rows.
        weights_classes: Whether rare classes may have to count more in training.
    """

    name: str
    score: ScoreFn
    tie: ScoreFn
    power: int = 0
    by_label: bool = False
    weights_classes: bool = False

    def select(self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Returns the scores that compare models, f64[models], each at its best threshold where the metric needs one."""
        if not self.by_label:
            return self.score(outputs, targets, weights)
        return np.max([self.score(at_threshold(outputs, t), targets, weights) for t in thresholds(outputs)], axis=0)

    def unit(self, scale: float) -> float:
        """Returns the factor from scores of standardized values to scores in their units; infinite where a float overflows."""
        with np.errstate(over="ignore"):
            return float(np.float64(scale) ** self.power)


_THRESHOLDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, *np.arange(0.1, 0.9, 0.05).round(2).tolist(), 0.9, 0.95, 0.98)


def thresholds(outputs: np.ndarray) -> list[float]:
    """Returns the thresholds that are tried for the probabilities f[..., 2] of two classes: those that rows lie on both sides
    of, and one half."""
    low, high = float(outputs[..., 1].min()), float(outputs[..., 1].max())
    return [0.5, *(t for t in _THRESHOLDS if low < t <= high and t != 0.5)]


def at_threshold(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """Returns probabilities f[..., 2] that are above one half where the given ones are above the threshold."""
    odds = outputs * np.array([threshold, 1 - threshold])
    return odds / np.maximum(odds.sum(axis=-1, keepdims=True), 1e-300)


def labels(outputs: np.ndarray, threshold: float) -> np.ndarray:
    """Returns the class numbers i64[rows] that probabilities f[rows, classes] say, of two classes by the threshold."""
    if outputs.shape[1] == 2 and threshold != 0.5:
        return (outputs[:, 1] >= threshold).astype(np.int64)
    return np.argmax(outputs, axis=1)


def best_threshold(
    metric: Metric, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Returns the threshold with the best score on held-out rows, one half if none is better or the metric needs none.

    Args:
        metric: The metric.
        outputs: f[rows, classes], probabilities.
        targets: i[rows], class numbers.
        weights: f64[rows], how much each row counts, or ``None``.
    """
    if not metric.by_label:
        return 0.5
    candidates = thresholds(outputs)
    scores = [float(metric.score(at_threshold(outputs, t)[None], targets, weights)[0]) for t in candidates]
    return candidates[int(np.argmax(scores))]


def _mean(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The mean over rows of f[models, rows], f64[models]."""
    return values.mean(axis=1) if weights is None else values @ (weights / weights.sum())


def _log_loss(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The negative log-loss."""
    likelihood = outputs[:, np.arange(len(targets)), targets.astype(int)]
    return _mean(np.log(np.maximum(likelihood, 1e-9)), weights)


def _accuracy(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return _mean(np.argmax(outputs, axis=2) == targets, weights)


def _balanced_accuracy(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The mean over classes that occur of the share of their rows that is found."""
    is_correct, counts = np.argmax(outputs, axis=2) == targets, np.ones(len(targets)) if weights is None else weights
    recalls = [
        _mean(is_correct[:, in_class], counts[in_class])
        for in_class in (targets == c for c in np.unique(targets))
        if counts[in_class].any()
    ]
    return np.mean(recalls, axis=0)


def _f1_of(outputs: np.ndarray, targets: np.ndarray, label: int, weights: np.ndarray | None = None) -> np.ndarray:
    """F1 of one class, f64[models]; 0 where it neither occurs nor is predicted."""
    counts = np.ones(len(targets)) if weights is None else weights
    predicted, actual = np.argmax(outputs, axis=2) == label, targets == label
    true_positives = (predicted & actual) @ counts
    return 2 * true_positives / np.maximum(predicted @ counts + actual @ counts, 1e-300)


def _f1(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return _f1_of(outputs, targets, 1, weights)


def _f1_macro(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The mean over all classes that occur or are predicted."""
    predicted = np.argmax(outputs, axis=2)
    labels = np.union1d(np.unique(targets), np.unique(predicted))
    by_class = np.stack([_f1_of(outputs, targets, int(c), weights) for c in labels], axis=1)
    occurs = np.stack([(predicted == c).any(axis=1) | (targets == c).any() for c in labels], axis=1)
    return (by_class * occurs).sum(axis=1) / occurs.sum(axis=1)


def _auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The area under the ROC curve by ranks (Mann and Whitney 1947), f64[models]; 1/2 where one class is missing."""
    from scipy.stats import rankdata

    n, p = len(positive), int(positive.sum())
    if p in (0, n):
        return np.full(len(scores), 0.5)
    if weights is not None:
        return _weighted_auc(scores, positive, weights)
    ranks = rankdata(scores, axis=1)
    return (ranks[:, positive].sum(axis=1) - p * (p + 1) / 2) / (p * (n - p))


def _weighted_auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    from sklearn.metrics import roc_auc_score

    if not weights[positive].any() or not weights[~positive].any():
        return np.full(len(scores), 0.5)
    return np.array([roc_auc_score(positive, model, sample_weight=weights) for model in scores])


def _roc_auc(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Of two classes; of more the mean over classes, each against the rest."""
    if outputs.shape[2] == 2:
        return _auc(outputs[:, :, 1], targets == 1, weights)
    present = np.unique(targets).astype(int)
    return np.mean([_auc(outputs[:, :, c], targets == c, weights) for c in present], axis=0)


def _average_precision(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The mean precision at each positive row, in the order of the scores; equal scores count together."""
    from sklearn.metrics import average_precision_score

    return np.array([average_precision_score(targets == 1, model[:, 1], sample_weight=weights) for model in outputs])


def _squared_error(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return -_mean(np.square(outputs[:, :, 0] - targets), weights)


def _root_squared_error(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return -np.sqrt(-_squared_error(outputs, targets, weights))


def _absolute_error(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    return -_mean(np.abs(outputs[:, :, 0] - targets), weights)


def _median_error(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    if weights is None:
        return -np.median(np.abs(outputs[:, :, 0] - targets), axis=1)
    from sklearn.metrics import median_absolute_error

    return -np.array([median_absolute_error(targets, model[:, 0], sample_weight=weights) for model in outputs])


def _r2(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    middle = np.average(targets, weights=weights)
    variance = float(np.average(np.square(targets - middle), weights=weights))
    return 1 + _squared_error(outputs, targets, weights) / max(variance, 1e-300)


_WORDS = {
    "roc_auc": "area under the ROC curve",
    "r2": "R²",
    "f1": "F1",
    "f1_macro": "mean F1 of the classes",
    "neg_log_loss": "negative log-loss",
}


def describe(metric: Metric | str) -> str:
    """Returns a metric in words."""
    name = metric if isinstance(metric, str) else metric.name
    return _WORDS.get(name, name.replace("neg_", "negative ").replace("_", " "))


CLASSIFICATION: dict[str, ScoreFn] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "neg_log_loss": _log_loss,
    "roc_auc": _roc_auc,
}
BINARY: dict[str, ScoreFn] = {"average_precision": _average_precision, "f1": _f1}
_BY_LABEL = ("balanced_accuracy", "f1", "f1_macro")
_POWERS = {
    "neg_mean_absolute_error": 1,
    "neg_mean_squared_error": 2,
    "neg_median_absolute_error": 1,
    "neg_root_mean_squared_error": 1,
}
REGRESSION: dict[str, ScoreFn] = {
    "r2": _r2,
    "neg_mean_absolute_error": _absolute_error,
    "neg_mean_squared_error": _squared_error,
    "neg_median_absolute_error": _median_error,
    "neg_root_mean_squared_error": _root_squared_error,
}


def metric(name: str | None, outputs: int, classification: bool) -> Metric:
    """Returns a metric by scikit-learn's name.

    Args:
        name: The name, with ``roc_auc_ovr`` for ``roc_auc``; ``None`` is the area under the ROC curve of two classes, the
            accuracy of more, and R² of values.
        outputs: Number of classes; 1 for values.
        classification: Whether the target is a class.

    Raises:
        InputError: If there is no such metric for the target.

    Example:
        >>> metric(None, 2, True).name, metric(None, 1, False).name
        ('roc_auc', 'r2')
        >>> probabilities = np.array([[[0.9, 0.1], [0.4, 0.6]]])
        >>> metric("accuracy", 2, True).score(probabilities, np.array([0, 0]))
        array([0.5])
    """
    binary = classification and outputs == 2
    functions = {**CLASSIFICATION, **(BINARY if binary else {})} if classification else REGRESSION
    name = (("roc_auc" if binary else "accuracy") if classification else "r2") if name is None else name
    name = "roc_auc" if name == "roc_auc_ovr" else name
    if name not in functions:
        target_kind = "two classes" if binary else f"{outputs} classes" if classification else "numbers"
        raise InputError(
            f"metric={name!r}: must be one of {', '.join(sorted(functions))} for a target of {target_kind}"
        )
    tie = _log_loss if classification else _squared_error
    return Metric(name, functions[name], tie, _POWERS.get(name, 0), binary and name in _BY_LABEL, name in _BY_LABEL)
