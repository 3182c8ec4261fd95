"""Candidates that keep a distance from each other."""

import numpy as np

from metajax.space import Space, Subset

_DISTANCES = (0.4, 0.2, 0.1, 1e-6)
_FROM_TRIED = 0.05


class Pool:
    """Candidates from the best to the worst, taken one after another at a distance from what was taken before.

    ``take`` returns the first candidate that is at least 0.4 away from every picked configuration and 0.05 away from every
    tried one; if there is none, the distance halves. Distances are sums of absolute differences of encodings, where a
    ``Subset`` as a whole weighs as much as two other choices.

    Args:
        space: The space of the encodings.
        rows: f32[n, width], the candidates, the most promising first.
        tried: f32[m, width], configurations that were trained already.
    """

    def __init__(self, space: Space, rows: np.ndarray, tried: np.ndarray):
        self.rows = rows
        self._weight = np.ones(space.width, np.float32)
        for name, part in space.slices.items():
            domain = space.domains[name]
            self._weight[part] = 2.0 / domain.width if isinstance(domain, Subset) else 1.0
        self._distance_to_tried, self._distance_to_picked = (np.full(len(rows), np.inf, np.float32) for _ in range(2))
        for row in tried:
            self._distance_to_tried = np.minimum(self._distance_to_tried, self._distances(row))

    def _distances(self, row: np.ndarray) -> np.ndarray:
        return np.abs(self.rows - row) @ self._weight

    def keep_from(self, row: np.ndarray) -> None:
        """Keeps a distance from this configuration from now on; it was picked, from this pool or elsewhere."""
        self._distance_to_picked = np.minimum(self._distance_to_picked, self._distances(row))

    def take(self) -> int | None:
        """The index of the best candidate that is far enough, or ``None`` if all are used up."""
        for distance in _DISTANCES:
            far = np.flatnonzero(
                (self._distance_to_picked >= distance) & (self._distance_to_tried >= min(distance, _FROM_TRIED))
            )
            if len(far):
                return int(far[0])
        return None
