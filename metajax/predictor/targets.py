"""What a model is taught: the value, the rank, or the pairwise log-ratio."""

from typing import NamedTuple

import numpy as np

from metajax.predictor.trials import Trials
from metajax.types import InputError

TARGETS = ("value", "rank", "log_ratio")


class Target(NamedTuple):
    """Standardised targets, larger better, and how to undo the standardisation."""

    y: np.ndarray
    shift: float
    scale: float


def ranks(values: np.ndarray) -> np.ndarray:
    """From 1; equal values share the mean of theirs.

    Example:
        >>> ranks(np.array([0.3, 0.1, 0.3])).tolist()
        [2.5, 1.0, 2.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place.ravel()]


def make(trials: Trials, target: str) -> Target:
    """Targets of mean 0 and deviation 1.

    ``value``: the metric. ``rank``: the rank within the group, in (0, 1); robust to outliers. ``log_ratio``: the log of
    the metric, centred within its group. Least squares on it is least squares on all pairs ``log(p2/p1)`` of a group,
    with a model of the form h(x2) - h(x1), antisymmetric and transitive by construction.

    Raises:
        InputError: on an unknown target, or metrics ≤ 0 with ``log_ratio``.
    """
    if target not in TARGETS:
        raise InputError(f"target={target!r}; accepted are {list(TARGETS)}")
    utility = trials.utility
    if target == "rank":
        y = np.zeros(len(utility))
        for g in np.unique(trials.group):
            inside = trials.group == g
            y[inside] = (ranks(utility[inside]) - 0.5) / inside.sum()  # ties share their mean
    elif target == "log_ratio":
        metric = np.abs(utility)
        if np.any(utility * (1 if trials.maximize else -1) <= 0):
            raise InputError("target='log_ratio' needs metrics above 0; use 'rank' or 'value'")
        y = np.log(metric) * (1 if trials.maximize else -1)
        for g in np.unique(trials.group):
            y[trials.group == g] -= y[trials.group == g].mean()
    else:
        y = utility
    shift, scale = float(y.mean()), float(y.std())
    if scale < 1e-12:
        scale = 1.0
    return Target((y - shift) / scale, shift, scale)
