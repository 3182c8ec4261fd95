"""What a model is taught: the value, the rank, or the pairwise log-ratio."""

from typing import NamedTuple

import numpy as np

from metajax.predictor._trials import Trials
from metajax.types import InputError

TARGETS = ("value", "rank", "log_ratio")


class Target(NamedTuple):
    """Standardized targets, larger better, and how to undo the standardization.

    Attributes:
        y: f64[n], mean 0 and deviation 1; all 0 where the target is constant.
        shift: of the target, the mean.
        scale: of the target, the deviation; 0 where it is constant.
    """

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


def is_constant(values: np.ndarray) -> bool:
    """Whether values are the same up to rounding in float64.

    Example:
        >>> is_constant(np.array([0.1 + 0.2, 0.3])), is_constant(np.array([1e-300, 2e-300]))
        (True, False)
    """
    low, high = float(values.min()), float(values.max())
    unit = max(abs(low), abs(high))
    return unit == 0.0 or high / unit - low / unit <= 4 * float(np.finfo(np.float64).eps)


def standardize(values: np.ndarray) -> Target:
    """Shifts and scales values to mean 0 and deviation 1, on the host in float64 and whatever their magnitude: values near
    1e300 or 1e-300 have squares that are no floats, so they are divided by their largest magnitude first. Values that differ
    by rounding alone are constant.

    Raises:
        InputError: if values differ by more than the largest float.

    Example:
        >>> standardize(np.array([1e300, 3e300])).y.round(9).tolist(), standardize(np.array([0.1 + 0.2, 0.3])).scale
        ([-1.0, 1.0], 0.0)
    """
    low, high = float(values.min()), float(values.max())
    if is_constant(values):
        return Target(np.zeros(len(values)), low, 0.0)
    unit = max(abs(low), abs(high))
    if not np.isfinite(high - low):
        raise InputError(f"metric: values from {low:g} to {high:g} differ by more than a float can hold; rescale them")
    small = values / unit
    shift, scale = float(small.mean()), float(small.std())
    return Target((small - shift) / scale, shift * unit, scale * unit)


def make(trials: Trials, target: str) -> Target:
    """Targets of mean 0 and deviation 1.

    ``value``: the metric. ``rank``: the rank within the group, in (0, 1); robust to outliers. ``log_ratio``: the log of
    the metric, centered within its group. Least squares on it is least squares on all pairs ``log(p2/p1)`` of a group,
    with a model of the form h(x2) - h(x1), antisymmetric and transitive by construction.

    Raises:
        InputError: on an unknown target, metrics ≤ 0 with ``log_ratio``, or metrics too far apart for a float.
    """
    if target not in TARGETS:
        raise InputError(f"target={target!r}; accepted are {list(TARGETS)}")
    utility = trials.utility
    if target == "value":
        return standardize(utility)
    if target == "log_ratio":
        if np.any(utility * (1 if trials.maximize else -1) <= 0):
            raise InputError("target='log_ratio' needs metrics above 0; use 'rank' or 'value'")
        logs = np.log(np.abs(utility)) * (1 if trials.maximize else -1)
    y = np.zeros(len(utility))
    for g in np.unique(trials.group):
        inside = trials.group == g
        constant = is_constant(utility[inside])
        if target == "rank":  # ties share their mean
            y[inside] = 0.5 if constant else (ranks(utility[inside]) - 0.5) / inside.sum()
        elif not constant:  # centered with rounding, a constant group would not be zero
            y[inside] = logs[inside] - logs[inside].mean()
    return standardize(y)
