"""What a model learns: the value of the metric, its rank within the dataset, or the pairwise log-ratio."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Real

from metajax._typing import checked
from metajax.predictor._trials import Trials
from metajax.types import InputError

__all__ = ["TARGETS", "Target", "is_constant", "make", "ranks", "standardized"]

TARGETS = ("value", "rank", "log_ratio")
"""The names of the targets."""


class Target(NamedTuple):
    """A standardized target, and how to undo the standardization.

    Attributes:
        y: f64[n], mean 0 and standard deviation 1, larger better; all 0 if the target is constant.
        shift: Mean of the target.
        scale: Standard deviation of the target; 0 if it is constant.

    Example:
        >>> from metajax.predictor import targets
        >>> target = targets.standardized(np.array([10.0, 30.0]))
        >>> target.y.round(6).tolist(), target.shift, round(target.scale, 6)
        ([-1.0, 1.0], 20.0, 10.0)
    """

    y: np.ndarray
    shift: float
    scale: float


@checked
def ranks(values: Real[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Ranks values from 1; equal values share their mean rank.

    Args:
        values: f64[n].

    Returns:
        f64[n].

    Example:
        >>> from metajax.predictor import targets
        >>> targets.ranks(np.array([0.3, 0.1, 0.3])).tolist()
        [2.5, 1.0, 2.5]
    """
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index.ravel()]


@checked
def is_constant(values: Real[np.ndarray, " n"]) -> bool:
    """Whether all values are the same, up to rounding in float64.

    Args:
        values: f64[n], at least one.

    Returns:
        Whether they are.

    Example:
        >>> from metajax.predictor import targets
        >>> targets.is_constant(np.array([0.1 + 0.2, 0.3])), targets.is_constant(np.array([1e-300, 2e-300]))
        (True, False)
    """
    low, high = float(values.min()), float(values.max())
    unit = max(abs(low), abs(high))
    return unit == 0.0 or high / unit - low / unit <= 4 * float(np.finfo(np.float64).eps)


@checked
def standardized(values: Real[np.ndarray, " n"]) -> Target:
    """Shifts and scales values to mean 0 and standard deviation 1.

    This happens on the host in float64 and for values of any magnitude: the squares of values near 1e300 or 1e-300 cannot be
    represented, so that values are divided by their largest magnitude first. Values that differ by rounding alone are
    constant.

    Args:
        values: f64[n], finite.

    Returns:
        The standardized target.

    Raises:
        InputError: If values differ by more than the largest float.

    Example:
        >>> from metajax.predictor import targets
        >>> targets.standardized(np.array([1e300, 3e300])).y.round(9).tolist()
        [-1.0, 1.0]
        >>> targets.standardized(np.array([0.1 + 0.2, 0.3])).scale
        0.0
    """
    low, high = float(values.min()), float(values.max())
    if is_constant(values):
        return Target(np.zeros(len(values)), low, 0.0)
    unit = max(abs(low), abs(high))
    if not np.isfinite(high - low):
        raise InputError(f"metric: the range from {low:g} to {high:g} overflows a float; rescale the values")
    small = values / unit
    shift, scale = float(small.mean()), float(small.std())
    return Target((small - shift) / scale, shift * unit, scale * unit)


def make(trials: Trials, target: str) -> Target:
    """Makes the standardized target of trials.

    ``"value"`` is the metric. ``"rank"`` is the rank within the group, in (0, 1), which is robust to outliers and units.
    ``"log_ratio"`` is the logarithm of the metric, centered within its group: least squares on it is least squares on all
    pairs ``log(p₂/p₁)`` of a group with a model of the form ``h(x₂) - h(x₁)``, which is antisymmetric and transitive by
    construction.

    Args:
        trials: The learning meta-data.
        target: ``"value"``, ``"rank"`` or ``"log_ratio"``.

    Returns:
        The target, larger better.

    Raises:
        InputError: If the target is unknown, a metric is <= 0 with ``"log_ratio"``, or metrics are too far apart for a float.

    Example:
        >>> from metajax.predictor import Trials, targets
        >>> from metajax.space import Float, Space
        >>> trials = Trials.from_arrays(Space({"x": Float(0.0, 1.0)}), [{"x": 0.1}, {"x": 0.2}], [3.0, 1e9], maximize=False)
        >>> targets.make(trials, "rank").y.round(6).tolist()
        [1.0, -1.0]
    """
    if target not in TARGETS:
        raise InputError(f"target must be one of {', '.join(map(repr, TARGETS))}, got {target!r}")
    utility = trials.utility
    if target == "value":
        return standardized(utility)
    if target == "log_ratio":
        if np.any(utility * (1 if trials.maximize else -1) <= 0):
            raise InputError("target 'log_ratio' needs metrics > 0; use 'rank' or 'value'")
        logs = np.log(np.abs(utility)) * (1 if trials.maximize else -1)
    y = np.zeros(len(utility))
    for g in np.unique(trials.group):
        in_group = trials.group == g
        constant = is_constant(utility[in_group])
        if target == "rank":  # ties share their mean
            y[in_group] = 0.5 if constant else (ranks(utility[in_group]) - 0.5) / in_group.sum()
        elif not constant:  # centered with rounding, a constant group would not be zero
            y[in_group] = logs[in_group] - logs[in_group].mean()
    return standardized(y)
