"""The state of branch and bound: the open nodes by their bound, and the best configurations so far."""

import numpy as np

_BINS = 2048


class Best:
    """The k best distinct configurations so far."""

    def __init__(self, k: int, groups: int):
        self.k, self.assignments, self.values = k, np.zeros((0, groups), np.int32), np.zeros(0)

    @property
    def worst(self) -> float:
        """The k-th best value, ``-inf`` while there are fewer."""
        return float(self.values[-1]) if len(self.values) == self.k else -np.inf

    def add(self, assignments: np.ndarray, values: np.ndarray) -> None:
        """Takes configurations int[n, groups] with their values into account."""
        good = values > self.worst
        if not good.any():
            return
        assignments, values = assignments[good], values[good]
        top = np.argsort(-values, kind="stable")[: 4 * self.k + 64]  # some may be duplicates
        assignments = np.concatenate([self.assignments, assignments[top]])
        values = np.concatenate([self.values, values[top]])
        _, first = np.unique(assignments, axis=0, return_index=True)
        first = first[np.argsort(-values[first], kind="stable")[: self.k]]
        self.assignments, self.values = assignments[first], values[first]


class Frontier:
    """Open nodes in bins by their bound, the best bin first; within a bin they have no order."""

    def __init__(self, top: float, bottom: float, kind: type):
        self.top, self.kind = top, kind
        self.step = (top - bottom) / _BINS if np.isfinite(bottom) and top > bottom else max(1.0, abs(top)) / _BINS
        self.bins: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(_BINS)]
        self.first = 0  # bins before it are empty

    @property
    def empty(self) -> bool:
        """Whether no node is open."""
        while self.first < len(self.bins) and not self.bins[self.first]:
            self.first += 1
        return self.first >= len(self.bins)

    @property
    def highest(self) -> float:
        """The largest bound of an open node."""
        return -np.inf if self.empty else max(float(chunk[0].max()) for chunk in self.bins[self.first])

    def push(self, upper: np.ndarray, depth: int, assignments: np.ndarray) -> None:
        """Adds nodes of one depth, int[n, groups], with their bounds f64[n]."""
        if not len(upper):
            return
        index = np.clip((self.top - upper) / self.step, 0, len(self.bins) - 1).astype(np.int64)
        order = np.argsort(index, kind="stable")
        upper, index, assignments = upper[order], index[order], assignments[order].astype(self.kind)
        ends = [*(np.flatnonzero(np.diff(index)) + 1), len(index)]
        for start, end in zip([0, *ends[:-1]], ends):
            part = slice(start, end)
            self.bins[index[start]].append((upper[part], np.full(end - start, depth, np.int32), assignments[part]))
        self.first = min(self.first, int(index[0]))

    def pop(self, number: int, threshold: float) -> list[tuple[int, np.ndarray]]:
        """Removes and returns about ``number`` of the best nodes, by depth, and drops those with bounds up to ``threshold``."""
        if np.isfinite(threshold):  # drop the bins that are below it as a whole
            self.bins = self.bins[: max(1, int((self.top - threshold) / self.step) + 2)]
        chunks: list[tuple[np.ndarray, ...]] = []
        total = 0
        while total < number and not self.empty:
            upper, depth, assignments = self.bins[self.first].pop()
            live = upper > threshold
            if len(upper) > 2 * number:  # the rest stays
                rest = slice(number, None)
                self.bins[self.first].append((upper[rest], depth[rest], assignments[rest]))
                upper, depth, assignments, live = upper[:number], depth[:number], assignments[:number], live[:number]
            chunks.append((upper[live], depth[live], assignments[live]))
            total += int(live.sum())
        if not chunks:
            return []
        depth, assignments = (np.concatenate([chunk[i] for chunk in chunks]) for i in (1, 2))
        return [(int(d), assignments[depth == d].astype(np.int32)) for d in np.unique(depth)]
