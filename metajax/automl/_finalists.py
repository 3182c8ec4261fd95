"""Which configurations are worth cross-validating at the end of a search."""

import dataclasses

import numpy as np

from metajax import predictor
from metajax.predictor import Trials


def best(trials: Trials, n: int) -> np.ndarray:
    """Returns the encodings f32[n, width] of the best distinct configurations: by score, equal scores by loss.

    Where there are fewer than ``n``, the last of them is repeated.
    """
    loss = np.where(np.isfinite(trials.settings["loss"]), trials.settings["loss"], np.inf)
    order = np.lexsort((loss, -np.nan_to_num(trials.metric, nan=-np.inf)))
    distinct: list[np.ndarray] = []
    for i in order:
        if not any(np.array_equal(trials.encodings[i], other) for other in distinct):
            distinct.append(trials.encodings[i])
        if len(distinct) == n:
            break
    return np.stack([*distinct, *distinct[-1:] * (n - len(distinct))])


def with_default(trials: Trials, default: np.ndarray, n: int, smoothing: predictor.Choice | None) -> np.ndarray:
    """Returns the best configurations f32[n, width], with the default among them; ``smoothing`` is as in ``smooth_ranks``."""
    selected = best(smooth_ranks(trials, smoothing), n)
    if any(np.array_equal(encoding, default) for encoding in selected):
        return selected
    return np.concatenate([selected[:-1], default[None]])


def with_outputs(
    trials: Trials, index: np.ndarray, n: int, smoothing: predictor.Choice | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best of those trials of which outputs were kept, ``n`` at most.

    Args:
        trials: All trials.
        index: i64[m], the trials of which outputs were kept.
        n: Maximum number of configurations.
        smoothing: As in ``smooth_ranks``.

    Returns:
        Their encodings f32[n, width], and their positions i64[n] in ``index``.
    """
    kept = smooth_ranks(trials, smoothing).take(index)
    order = np.argsort(-np.nan_to_num(kept.metric, nan=-np.inf), kind="stable")[:n]
    return kept.encodings[order], order


def smooth_ranks(trials: Trials, choice: predictor.Choice | None) -> Trials:
    """Replaces the metric by the mean of two ranks; without a choice, returns the trials as they are.

    One rank is the measured one, which is noisy. The other is the rank that the meta-learner predicted in cross-validation,
    without having seen that training; it is smooth.
    """
    if choice is None:
        return trials
    measured = predictor.targets.make(trials, "rank")
    mean = 0.5 * (measured.y * measured.scale + measured.shift) + 0.5 * choice.predicted[choice.best]
    return dataclasses.replace(trials, metric=np.where(np.isnan(trials.metric), np.nan, mean))
