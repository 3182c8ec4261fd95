"""The test scores of ``report.html``: those of the selected model and of what it is compared with, and the differences."""

import html

from metajax.automl import _report_words as words

NAMES = {"found": "selected model", "default": "default configuration", "random": "best random configuration"}
"""What is compared, by the names of ``result.json``."""


def cards(metrics: dict[str, float], metric: str) -> str:
    """Returns a card with the test score of the selected model and of each of the others.

    Args:
        metrics: The metrics of ``result.json``.
        metric: The name of the metric.
    """
    boxes = []
    for name, label in NAMES.items():
        key = f"test_{metric}" if name == "found" else f"{name}_test_{metric}"
        if key not in metrics:
            continue
        if name == "random":
            label = f"best of {words.count(int(metrics['configurations_tried_random']), 'random configuration')}"
        low, high = metrics[f"{key}_low"], metrics[f"{key}_high"]
        score, low, high = (words.score(value, metric, (high - low) / 2) for value in (metrics[key], low, high))
        boxes.append(
            f'<div class="score {name}"><b>{score}</b>{label}<br>'
            f'<span class="note">95% interval: {low} to {high}</span></div>'
        )
    return f'<div class="scores">{"".join(boxes)}</div>'


def gains(metrics: dict[str, float], metric: str) -> str:
    """Returns the selected model against each of the others, and whether the test rows show a difference.

    Differences of shares and of R² are given in hundredths, those of errors and losses as they are.

    Args:
        metrics: The metrics of ``result.json``.
        metric: The name of the metric.
    """
    is_share = not metric.startswith("neg_")
    sentences = []
    for name, label in NAMES.items():
        if f"gain_over_{name}" not in metrics:
            continue
        gain, low, high = (metrics[f"gain_over_{name}{end}"] for end in ("", "_low", "_high"))
        if gain == low == high == 0:
            sentences.append(f"Selected model minus {label}: no difference on any test row.")
            continue
        verdict = "the test rows show no difference" if low <= 0 <= high else "the test rows show a difference"
        digits = 1 if high - low >= 0.01 else 2
        show = (
            (lambda value, d=digits: f"{100 * value:+.{d}f}")
            if is_share
            else (lambda value: f"{'+' * (value > 0)}{words.number(value)}")
        )
        unit = " points" if is_share else ""
        sentences.append(
            f"Selected model minus {label}: {show(gain)}{unit} (95% interval {show(low)} to {show(high)}; {verdict})."
        )
    text = html.escape(" ".join(sentences))
    point = "a percentage point" if metric in ("accuracy", "balanced_accuracy") else "a hundredth of the score"
    note = f' <span class="note">A point is {point}.</span>' if "points" in text else ""
    return f"<p>{text}{note}</p>" if text else ""
