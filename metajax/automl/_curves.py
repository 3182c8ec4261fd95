"""Which trainings to give up: those whose learning curves are unlikely to catch up, judged by the curves of others."""

from typing import NamedTuple

import numpy as np

from metajax.automl._training import CURVE_POINTS

_COVERAGE = 0.9
_MIN_CURVES = 4


class CurveWatch(NamedTuple):
    """Predicts how good a training can still become, and gives it up where that is not enough.

    The prediction is an upper bound: what the training has reached, and what nine of ten others still gained after the same
    share of theirs. As in split conformal prediction, it holds for nine of ten trainings that are like the others. One whose
    bound is below the median of all trainings is given up; by the median itself, without a prediction, Golovin et al. (2017)
    end trainings.

    Attributes:
        gains: f64[CURVE_POINTS], what nine of ten others gained after each point of the curve; 0 after the last one.
        goal: The score that a training has to be able to reach.
    """

    gains: np.ndarray
    goal: float

    def gives_up(self, share: float, score: float) -> bool:
        """Whether a training is given up that has this score after this share of its epochs.

        Before the first point of the curve nothing is known.
        """
        n_points = int(share * CURVE_POINTS + 1e-9)
        return 0 < n_points < CURVE_POINTS and bool(score + self.gains[n_points - 1] < self.goal)


def curve_watch(curves: np.ndarray, is_watched: np.ndarray) -> CurveWatch | None:
    """Learns from the trainings so far when to give one up; ``None`` as long as they are too few.

    Args:
        curves: f64[n, CURVE_POINTS], all learning curves, larger is better; NaN from where a training was given up.
        is_watched: bool[n], which of them are of the kind that is watched. The others only contribute to the median.

    Example:
        >>> curves = np.linspace(0, 1, CURVE_POINTS) * np.array([[0.5], [0.6], [0.7], [0.8]])
        >>> watch = curve_watch(curves, np.ones(4, bool))
        >>> watch.gives_up(0.5, 0.1), watch.gives_up(0.5, 0.3)
        (True, False)
    """
    has_begun = np.isfinite(curves[:, 0])
    is_complete = np.isfinite(curves).all(axis=1)
    if (is_complete & is_watched).sum() < _MIN_CURVES:
        return None
    watched = curves[is_complete & is_watched]
    gains = np.quantile(watched[:, -1:] - watched, _COVERAGE, axis=0, method="higher")
    return CurveWatch(gains, float(np.median(np.nanmax(curves[has_begun], axis=1))))
