"""Upper bounds on a model over all configurations that share the values of the first groups.

Arrays are f64[units, nodes], so that every operation runs along the nodes.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from metajax.predictor._forms import Form, Network, Pairs
from metajax.search._groups import Group


class Bounds(Protocol):
    """What branch and bound needs to know of a model.

    Attributes:
        importance: f64[groups], how much a group can move the value; the groups are ordered by it.
    """

    importance: np.ndarray

    def state(self, assignments: np.ndarray) -> Any:
        """The state of nodes int[nodes, t], which are the values of the first t groups."""
        ...

    def child(self, state: Any, parent: np.ndarray, group: int, value: np.ndarray) -> Any:
        """The state of nodes that extend the nodes ``parent`` (indices) by a value of one more group."""
        ...

    def value(self, state: Any) -> np.ndarray:
        """f64[nodes]: the exact values of nodes in which every group has a value."""
        ...

    def upper(self, state: Any, t: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Bounds f64[nodes], and for each open group the scores f64[values, nodes] whose largest ones they sum."""
        ...


def bounds(form: Form, parts: Sequence[Group]) -> Bounds:
    """The bounds for a form, with the groups in this order."""
    return NetworkBounds(form, parts) if isinstance(form, Network) else PairBounds(form, parts)


def _best_sum(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """f64[nodes]: the sum over groups of their largest scores f64[values, nodes]."""
    return np.maximum.reduceat(scores, starts, axis=0).sum(axis=0) if len(starts) else np.zeros(scores.shape[1])


def _starts(sizes: Sequence[int]) -> np.ndarray:
    """The index of the first value of each group."""
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64) if len(sizes) else np.zeros(0, np.int64)


class _Sums:
    """States that are sums: an offset, and a row for each value."""

    def __init__(self, offset: np.ndarray, rows: list[np.ndarray]):
        self.offset, self.rows = offset[:, None], rows  # [units, 1], [values, units]

    def state(self, assignments: np.ndarray) -> np.ndarray:
        total = np.repeat(self.offset, len(assignments), axis=1)
        for group in range(assignments.shape[1]):
            total += self.rows[group][assignments[:, group]].T
        return total

    def child(self, state: np.ndarray, parent: np.ndarray, group: int, value: np.ndarray) -> np.ndarray:
        return state[:, parent] + self.rows[group].T[:, value]


class NetworkBounds(_Sums):
    """Bounds of a ReLU network that are sums over groups, so that their largest value is the sum of the groups' largest.

    A unit of the first layer is ``z = low + Σ_g d_g(v_g)``, where ``d_g >= 0`` is what the value of an open group adds to its
    smallest contribution. If the unit has a positive weight, ``relu(z) <= Σ_g relu(β_g low + d_g(v_g))`` for any shares ``β``
    that sum to one, since relu of a sum is at most the sum of relus. With shares in proportion to the ranges of the groups, the
    right side is exact where the unit cannot change sign, and elsewhere it is nowhere above the chord that linear bounds use,
    which it touches at the ends. If the unit has a negative weight, ``relu(z)`` is at least a line through zero. Later layers
    are replaced by lines (CROWN, Zhang et al. 2018, arXiv:1811.00866).
    """

    def __init__(self, network: Network, parts: Sequence[Group]):
        (weights, bias), *self.later_layers = network.layers
        super().__init__(bias, [group.rows @ weights for group in parts])
        low, high = (np.stack([f(rows, axis=0) for rows in self.rows]) for f in (np.min, np.max))
        after = lambda a: np.concatenate([np.cumsum(a[::-1], axis=0)[::-1], np.zeros((1, a.shape[1]))])
        self.low, self.high = after(low), after(high)  # row t sums over the groups from t on
        self.low_of_group, self.range = low, high - low
        steep = np.abs(self.later_layers[0][0]).sum(axis=1)
        self.importance = (high - low) @ steep

    def value(self, state: np.ndarray) -> np.ndarray:
        x = state
        for weights, bias in self.later_layers:
            x = weights.T @ np.maximum(x, 0.0) + bias[:, None]
        return x[0]

    def upper(self, state: np.ndarray, t: int) -> tuple[np.ndarray, list[np.ndarray]]:
        pieces = [self._upper(state[:, i : i + _PIECE], t) for i in range(0, max(1, state.shape[1]), _PIECE)]
        bounds, scores = zip(*pieces)
        return np.concatenate(bounds), [np.concatenate(group_scores, axis=1) for group_scores in zip(*scores)]

    def _upper(self, state: np.ndarray, t: int) -> tuple[np.ndarray, list[np.ndarray]]:
        lows, highs = [state + self.low[t][:, None]], [state + self.high[t][:, None]]
        for weights, bias in self.later_layers[:-1]:
            low, high = (np.maximum(x, 0.0) for x in (lows[-1], highs[-1]))
            up, down = np.maximum(weights, 0.0).T, np.minimum(weights, 0.0).T
            lows.append(up @ low + down @ high + bias[:, None])
            highs.append(up @ high + down @ low + bias[:, None])
        weights, bias = self.later_layers[-1]
        bound, back = np.full(state.shape[1], bias[0]), weights
        for (weights, bias), low, high in zip(self.later_layers[-2::-1], lows[:0:-1], highs[:0:-1]):
            slope, constant = _lines(np.broadcast_to(back, low.shape), low, high)
            bound, back = bound + constant + bias @ slope, weights @ slope
        low, high = lows[0], highs[0]
        rising = np.flatnonzero((back > 0.0).any(axis=1))
        down = np.minimum(back, 0.0) * (low + high > 0.0)  # the line has slope 1 or 0, whichever is nearer to relu
        bound = bound + np.einsum("un,un->n", down, state)
        up, low = np.maximum(back[rising], 0.0), low[rising]
        if t == len(self.rows):
            return bound + np.einsum("un,un->n", np.broadcast_to(up, low.shape), np.maximum(low, 0.0)), []
        open_range = (self.high[t] - self.low[t])[rising]
        scores = []
        for group in range(t, len(self.rows)):
            even = np.full(len(rising), 1.0 / (len(self.rows) - t))
            share = np.divide(self.range[group][rising], open_range, out=even, where=open_range > 0.0)
            start, increases = share[:, None] * low, (self.rows[group] - self.low_of_group[group])[:, rising]
            score = self.rows[group] @ down
            for value, constant in enumerate(increases):
                bent = start + constant[:, None]
                np.maximum(bent, 0.0, out=bent)
                score[value] += up[:, 0] @ bent if up.shape[1] == 1 else np.einsum("un,un->n", up, bent)
            scores.append(score)
            bound = bound + score.max(axis=0)
        return bound, scores


def _lines(weight: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of lines with ``weight · relu(z) <= slope · z + constant`` on [low, high], and the sum of the constants."""
    bent = (low < 0.0) & (high > 0.0)
    chord = high / np.where(bent, high - low, 1.0)
    above = np.where(bent, chord, high > 0.0)
    below = np.where(bent, high > -low, high > 0.0)
    rising = weight > 0.0
    constant = np.where(rising & bent, -weight * chord * low, 0.0).sum(axis=0)
    return weight * np.where(rising, above, below), constant


_PIECE = 1024
"""Number of nodes whose arrays stay in the cache."""


class PairBounds(_Sums):
    """Bounds for sums over values and pairs of values: half of the largest value of a pair of open groups counts for each."""

    def __init__(self, form: Pairs, parts: Sequence[Group]):
        super().__init__(np.zeros(len(form.linear)), [group.rows for group in parts])
        self.form = form
        sizes = [len(rows) for rows in self.rows]
        self.starts = [_starts(sizes[t:]) for t in range(len(parts) + 1)]
        self.stacked = [
            np.concatenate([*self.rows[t:], np.zeros((0, len(form.linear)))]) for t in range(len(parts) + 1)
        ]
        best = [
            np.maximum.reduceat(rows @ form.pairs @ self.stacked[0].T, self.starts[0], axis=1) for rows in self.rows
        ]
        squares = [0.5 * np.einsum("vw,wx,vx->v", rows, form.pairs, rows) for rows in self.rows]
        self.open_scores = []
        for t in range(len(parts) + 1):
            shares = [squares[d] + 0.5 * (best[d][:, t:].sum(axis=1) - best[d][:, d]) for d in range(t, len(parts))]
            self.open_scores.append(np.concatenate([*shares, np.zeros(0)])[:, None])
        linear = [rows @ form.linear for rows in self.rows]
        self.importance = np.array([np.ptp(a) + np.abs(b).sum(axis=1).max() for a, b in zip(linear, best)])

    def value(self, state: np.ndarray) -> np.ndarray:
        half = 0.5 * (self.form.pairs @ state) + self.form.linear[:, None]
        return self.form.constant + np.einsum("wn,wn->n", half, state)

    def upper(self, state: np.ndarray, t: int) -> tuple[np.ndarray, list[np.ndarray]]:
        slope = self.form.pairs @ state + self.form.linear[:, None]
        scores = self.stacked[t] @ slope + self.open_scores[t]
        bound = self.value(state) + _best_sum(scores, self.starts[t])
        return bound, np.split(scores, self.starts[t][1:]) if t < len(self.rows) else []
