"""What a search has found, in a sentence for an outsider."""

from metajax.automl._metrics import describe

_OTHERS = {"default": "the untuned default", "random": "the best random configuration"}


def verdict(metrics: dict[str, float], metric: str) -> str:
    """Returns how good the model is and whether it is better than the default and the best random configuration.

    Args:
        metrics: The metrics of ``result.json``.
        metric: The name of the metric.

    Returns:
        A sentence, with the half width of the 95% interval after each number.

    Example:
        >>> gains = {"gain_over_default": 0.012, "gain_over_default_low": 0.006, "gain_over_default_high": 0.018}
        >>> verdict({"test_accuracy": 0.9, "test_accuracy_low": 0.88, "test_accuracy_high": 0.92, **gains}, "accuracy")
        'Accuracy 90.0 ± 2.0% on rows that were held back; beats the untuned default by 1.2 ± 0.6 points.'
    """
    name = f"test_{metric}"
    label = describe(metric)
    score = _number(metrics, name, metric)
    parts = [f"{label[:1].upper()}{label[1:]} {score} on rows that were held back"]
    for other, words in _OTHERS.items():
        key = f"gain_over_{other}"
        if key not in metrics:
            continue
        low, high = metrics[f"{key}_low"], metrics[f"{key}_high"]
        if low <= 0 <= high:
            parts.append(f"no difference to {words}")
        else:
            way = "beats" if low > 0 else "is behind"
            parts.append(f"{way} {words} by {_gain(metrics, key, metric)}")
    return f"{'; '.join(parts)}."


def _half(metrics: dict[str, float], key: str) -> float:
    """Half the width of an interval."""
    return (metrics[f"{key}_high"] - metrics[f"{key}_low"]) / 2


def _number(metrics: dict[str, float], key: str, metric: str) -> str:
    """A score and its uncertainty: a share in per cent, all others as they are."""
    value, half = metrics[key], _half(metrics, key)
    if metric in ("accuracy", "balanced_accuracy"):
        return f"{100 * value:.1f} ± {100 * half:.1f}%"
    return f"{value:.4g} ± {half:.2g}" if metric.startswith("neg_") else f"{value:.3f} ± {half:.3f}"


def _gain(metrics: dict[str, float], key: str, metric: str) -> str:
    """The size of a difference and its uncertainty; differences of shares and of R² are in hundredths."""
    value, half = abs(metrics[key]), _half(metrics, key)
    return f"{value:.3g} ± {half:.2g}" if metric.startswith("neg_") else f"{100 * value:.1f} ± {100 * half:.1f} points"
