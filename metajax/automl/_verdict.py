"""What a search has found, in a sentence for an outsider."""

from metajax.automl._metrics import describe
from metajax.automl._report_words import number

_MAX_OFF_CENTER = 0.2
"""A value is written with plus and minus if it is at most this share of half its interval away from the middle."""
_OTHERS = {"default": "the untuned default", "random": "the best random configuration"}


def verdict(metrics: dict[str, float], metric: str) -> str:
    """Returns how good the model is and whether it is better than the default and the best random configuration.

    Args:
        metrics: The metrics of ``result.json``.
        metric: The name of the metric.

    Returns:
        A sentence, with the half width of the 95% interval after each number, or the interval where it is lopsided.

    Example:
        >>> gains = {"gain_over_default": 0.012, "gain_over_default_low": 0.006, "gain_over_default_high": 0.018}
        >>> verdict({"test_accuracy": 0.9, "test_accuracy_low": 0.88, "test_accuracy_high": 0.92, **gains}, "accuracy")
        'Accuracy 90.0 ± 2.0% on rows that were held back; beats the untuned default by 1.2 ± 0.6 points.'
    """
    name = f"test_{metric}"
    label = describe(metric.removeprefix("neg_"))  # an error is said without its sign
    score = _number(metrics, name, metric)
    parts = [f"{label[:1].upper()}{label[1:]} {score} on rows that were held back"]
    for contender, words in _OTHERS.items():
        key = f"gain_over_{contender}"
        if key not in metrics:
            continue
        low, high = metrics[f"{key}_low"], metrics[f"{key}_high"]
        if low <= 0 <= high:
            parts.append(f"no difference to {words}")
        else:
            relation = "beats" if low > 0 else "is behind"
            parts.append(f"{relation} {words} by {_gain(metrics, key, metric)}")
    return f"{'; '.join(parts)}."


def _number(metrics: dict[str, float], key: str, metric: str) -> str:
    """A score and its uncertainty: a share in per cent, an error without its sign, all others as they are."""
    value, low, high = _with_interval(metrics, key)
    half = (high - low) / 2
    if metric in ("accuracy", "balanced_accuracy"):
        if _is_lopsided(value, low, high):
            return f"{100 * value:.1f}% (95% interval {100 * low:.1f} to {100 * high:.1f}%)"
        return f"{100 * value:.1f} ± {100 * half:.1f}%"
    if metric.startswith("neg_"):
        value, low, high = -value, -high, -low
        if _is_lopsided(value, low, high):
            return f"{number(value, 3)} (95% interval {number(low, 3)} to {number(high, 3)})"
        return f"{number(value, 3)} ± {number(half, 2)}"
    if _is_lopsided(value, low, high):
        return f"{value:.3f} (95% interval {low:.3f} to {high:.3f})"
    return f"{value:.3f} ± {half:.3f}"


def _gain(metrics: dict[str, float], key: str, metric: str) -> str:
    """The size of a difference and its uncertainty; differences of shares and of R² are in hundredths."""
    value, low, high = _with_interval(metrics, key)
    if value < 0:
        value, low, high = -value, -high, -low
    half = (high - low) / 2
    if metric.startswith("neg_"):
        if _is_lopsided(value, low, high):
            return f"{number(value, 3)} (95% interval {number(low, 2)} to {number(high, 2)})"
        return f"{number(value, 3)} ± {number(half, 2)}"
    value, low, high, half = 100 * value, 100 * low, 100 * high, 100 * half
    if _is_lopsided(value, low, high):
        return f"{value:.1f} points (95% interval {low:.1f} to {high:.1f})"
    return f"{value:.1f} ± {half:.1f} points"


def _with_interval(metrics: dict[str, float], key: str) -> tuple[float, float, float]:
    """A number and its 95% interval."""
    return metrics[key], metrics[f"{key}_low"], metrics[f"{key}_high"]


def _is_lopsided(value: float, low: float, high: float) -> bool:
    """Whether value plus and minus half the width of its interval would say something else than the interval.

    That is so where the value lies off the middle, as near a perfect score, and where the interval excludes zero but the sum
    would not.
    """
    half = (high - low) / 2
    return abs(value - (low + high) / 2) > _MAX_OFF_CENTER * half or (value - half) * low < 0
