"""Best-first branch and bound: the best configurations of a space by a model, and the proof that there are none better."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metajax.predictor._forms import Form
from metajax.search._bounds import Bounds, bounds
from metajax.search._groups import Group, Limits

BATCH = 8192
"""Nodes that are opened at a time."""
_BINS = 2048


class Certificate(NamedTuple):
    """The outcome of a search.

    Attributes:
        taken: int[k, groups], best first, in the order of the given groups.
        values: f64[k].
        upper: nothing in the space is better, up to rounding, which is allowed for.
        nodes: how many were opened, each with a bound of its own.
        finished: whether the k best are proven.
    """

    taken: np.ndarray
    values: np.ndarray
    upper: float
    nodes: int
    finished: bool


def certify(
    form: Form,
    parts: Sequence[Group],
    keep: Limits,
    k: int = 1,
    seconds: float = 60.0,
    seed: int = 0,
    start: np.ndarray | None = None,
) -> Certificate:
    """The k best configurations by a model.

    Nodes are configurations of which the first groups have values; what can move the model most comes first. The best nodes
    are opened, children whose bound is not above the k-th best found so far are dropped, and the bound of what is left is an
    upper bound at any time.

    Args:
        form: the model.
        parts: the groups of the space, parents before children.
        keep: constraints.
        k: how many.
        seconds: when to stop without a proof.
        seed: of the local searches that find good configurations to begin with.
        start: int[n, groups], configurations to begin with beside drawn ones.
    """
    stop = time.perf_counter() + seconds
    order = _order(parts, bounds(form, parts).importance)
    tree = _Tree(form, [parts[i] for i in order], keep, order)
    given = np.zeros((0, len(parts)), np.int64) if start is None else np.asarray(start)[:, order]
    best = _Best(k, len(parts))
    best.add(*tree.climb(tree.draw(np.random.default_rng(seed), given)))

    root = np.zeros((1, len(parts)), np.int32)
    upper, _ = tree.model.upper(tree.model.state(root[:, :0]), 0)
    kind = np.uint8 if max(len(part.rows) for part in parts) <= 256 else np.int32
    waiting, nodes, finished = _Open(float(upper[0]), best.worst, kind), 0, True
    waiting.push(upper, 0, root)
    slack = 1e-9 * max(1.0, float(abs(upper[0])))
    while not waiting.empty:
        if time.perf_counter() > stop:
            finished = False
            break
        for depth, taken in waiting.pop(BATCH, best.worst + slack):
            nodes += len(taken)
            found, values, t = tree.open(taken, depth, best.worst + slack)
            if t == len(parts):
                best.add(found, values)
                continue
            waiting.push(values, t, found)
            if len(values):
                best.add(*tree.climb(tree.complete(found[np.argsort(-values)[:4]], t), sweeps=1))
    open_bound = -np.inf if finished else waiting.highest
    back = np.argsort(order)
    top = float(best.values[0]) if len(best.values) else -np.inf
    return Certificate(best.taken[:, back], best.values, max(top, open_bound) + slack, nodes, finished)


def _order(parts: Sequence[Group], importance: np.ndarray) -> np.ndarray:
    """Groups by importance, parents before their children."""
    placed: list[int] = []
    while len(placed) < len(parts):
        ready = [i for i, g in enumerate(parts) if i not in placed and (g.parent < 0 or g.parent in placed)]
        placed.append(max(ready, key=lambda i: importance[i]))
    return np.array(placed)


class _Best:
    """The k best distinct configurations so far."""

    def __init__(self, k: int, groups: int):
        self.k, self.taken, self.values = k, np.zeros((0, groups), np.int32), np.zeros(0)

    @property
    def worst(self) -> float:
        return float(self.values[-1]) if len(self.values) == self.k else -np.inf

    def add(self, taken: np.ndarray, values: np.ndarray) -> None:
        good = values > self.worst
        if not good.any():
            return
        taken, values = taken[good], values[good]
        top = np.argsort(-values, kind="stable")[: 4 * self.k + 64]  # some may be there already
        taken = np.concatenate([self.taken, taken[top]])
        values = np.concatenate([self.values, values[top]])
        _, first = np.unique(taken, axis=0, return_index=True)
        first = first[np.argsort(-values[first], kind="stable")[: self.k]]
        self.taken, self.values = taken[first], values[first]


class _Open:
    """Open nodes in bins by their bound, best bin first; within a bin in no order."""

    def __init__(self, top: float, least: float, kind: type):
        self.top, self.kind = top, kind
        self.step = (top - least) / _BINS if np.isfinite(least) and top > least else max(1.0, abs(top)) / _BINS
        self.bins: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(_BINS)]
        self.first = 0  # bins before it are empty

    @property
    def empty(self) -> bool:
        while self.first < len(self.bins) and not self.bins[self.first]:
            self.first += 1
        return self.first >= len(self.bins)

    @property
    def highest(self) -> float:
        return -np.inf if self.empty else max(float(chunk[0].max()) for chunk in self.bins[self.first])

    def push(self, upper: np.ndarray, depth: int, taken: np.ndarray) -> None:
        if not len(upper):
            return
        place = np.clip((self.top - upper) / self.step, 0, len(self.bins) - 1).astype(np.int64)
        order = np.argsort(place, kind="stable")
        upper, place, taken = upper[order], place[order], taken[order].astype(self.kind)
        ends = [*(np.flatnonzero(np.diff(place)) + 1), len(place)]
        for start, end in zip([0, *ends[:-1]], ends):
            part = slice(start, end)
            self.bins[place[start]].append((upper[part], np.full(end - start, depth, np.int32), taken[part]))
        self.first = min(self.first, int(place[0]))

    def pop(self, number: int, least: float) -> list[tuple[int, np.ndarray]]:
        """About so many of the best nodes, by depth; those whose bound is not above ``least`` go."""
        if np.isfinite(least):  # bins that are below it as a whole
            self.bins = self.bins[: max(1, int((self.top - least) / self.step) + 2)]
        chunks: list[tuple[np.ndarray, ...]] = []
        total = 0
        while total < number and not self.empty:
            upper, depth, taken = self.bins[self.first].pop()
            live = upper > least
            if len(upper) > 2 * number:  # the rest stays
                rest = slice(number, None)
                self.bins[self.first].append((upper[rest], depth[rest], taken[rest]))
                upper, depth, taken, live = upper[:number], depth[:number], taken[:number], live[:number]
            chunks.append((upper[live], depth[live], taken[live]))
            total += int(live.sum())
        if not chunks:
            return []
        depth, taken = (np.concatenate([chunk[i] for chunk in chunks]) for i in (1, 2))
        return [(int(d), taken[depth == d].astype(np.int32)) for d in np.unique(depth)]


class _Tree:
    """The groups in their order, with conditions and limits, and a model that bounds."""

    def __init__(self, form: Form, parts: Sequence[Group], keep: Limits, order: np.ndarray):
        place = np.argsort(order)
        self.parts = [g._replace(parent=int(place[g.parent]) if g.parent >= 0 else -1) for g in parts]
        self.model: Bounds = bounds(form, self.parts)
        self.forbidden = [sorted(((int(place[g]), v) for g, v in rule), key=lambda r: r[0]) for rule in keep.forbidden]
        self.cost = None if keep.cost is None else [keep.cost[i] for i in order]
        self.budget = keep.budget + 1e-9 * max(1.0, abs(keep.budget)) if self.cost is not None else np.inf
        if self.cost is not None:
            least = np.array([c.min() for c in self.cost])
            self.least = np.concatenate([np.cumsum(least[::-1])[::-1], [0.0]])  # of the groups from t on

    def exists(self, taken: np.ndarray, t: int) -> np.ndarray:
        group = self.parts[t]
        return np.ones(len(taken), bool) if group.parent < 0 else np.isin(taken[:, group.parent], group.accepted)

    def allowed(self, taken: np.ndarray, t: int) -> np.ndarray:
        """bool[nodes, values] of group t, by its condition."""
        group, exists = self.parts[t], self.exists(taken, t)[:, None]
        value = np.arange(len(group.rows))[None]
        return np.where(exists, value < group.others, value == group.absent)

    def kept(self, taken: np.ndarray, t: int, first: int = 0) -> np.ndarray:
        """bool[nodes]: whether the limits hold, as far as the first t groups decide; rules that end before ``first`` do."""
        good = np.ones(len(taken), bool)
        for rule in self.forbidden:
            if first <= rule[-1][0] < t:
                good &= ~np.logical_and.reduce([values[taken[:, group]] for group, values in rule])
        if self.cost is not None:
            spent = sum(self.cost[d][taken[:, d]] for d in range(t))
            good &= spent + self.least[t] <= self.budget
        return good

    def open(self, taken: np.ndarray, t: int, least: float) -> tuple[np.ndarray, np.ndarray, int]:
        """Children, with bounds above ``least``, of nodes of one depth; at the end exact values take the place of bounds.

        A child is bounded by the sum over groups of its parent, with its value in place of the best one: one bound in
        itself is computed for each node that is opened, none for those that are not.
        """
        state = self.model.state(taken[:, :t])
        upper, scores = self.model.upper(state, t)
        bound = upper - scores[0].max(axis=0) + scores[0]  # [values, nodes]
        parent, value = np.nonzero(self.allowed(taken, t) & (least < bound.T))
        children = taken[parent]
        children[:, t] = value
        good = self.kept(children, t + 1, t)
        parent, value, children = parent[good], value[good], children[good]
        if t + 1 == len(self.parts):
            return children, self.model.value(self.model.child(state, parent, t, value)), t + 1
        return children, bound[value, parent], t + 1

    def complete(self, taken: np.ndarray, t: int) -> np.ndarray:
        """Nodes with the values that their bound likes best in the other groups."""
        taken = taken.astype(np.int64)
        _, scores = self.model.upper(self.model.state(taken[:, :t]), t)
        for d, score in zip(range(t, len(self.parts)), scores):
            taken[:, d] = np.where(self.allowed(taken, d), score.T, -np.inf).argmax(axis=1)
        return taken

    def draw(self, rng: np.random.Generator, given: np.ndarray, number: int = 64) -> np.ndarray:
        """Drawn configurations, and given ones, with their conditions kept."""
        sizes = [g.others for g in self.parts]
        drawn = np.stack([rng.integers(size, size=number) for size in sizes], axis=1)
        top = self.complete(np.zeros((1, len(self.parts)), np.int64), 0)
        return self.canonical(np.concatenate([given, top, drawn]).astype(np.int64))

    def canonical(self, taken: np.ndarray) -> np.ndarray:
        for t, group in enumerate(self.parts):
            if group.parent >= 0:
                exists = self.exists(taken, t)
                inside = np.where(taken[:, t] < group.others, taken[:, t], 0)
                taken[:, t] = np.where(exists, inside, group.absent)
        return taken

    def climb(self, taken: np.ndarray, sweeps: int = 4) -> tuple[np.ndarray, np.ndarray]:
        """Better configurations, one group after the other set to its best value; only those within the limits."""
        score = lambda some: np.where(
            self.kept(some, len(self.parts)), self.model.value(self.model.state(some)), -np.inf
        )
        for _ in range(sweeps):
            before = taken.copy()
            for t, group in enumerate(self.parts):
                tried = np.repeat(taken, group.others, axis=0)
                tried[:, t] = np.tile(np.arange(group.others), len(taken))
                tried = self.canonical(tried)
                choice = score(tried).reshape(len(taken), -1).argmax(axis=1)
                taken = tried.reshape(len(taken), group.others, -1)[np.arange(len(taken)), choice]
            if (taken == before).all():
                break
        values = score(taken)
        return taken[np.isfinite(values)], values[np.isfinite(values)]
