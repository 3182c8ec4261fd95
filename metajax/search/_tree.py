"""Best-first branch and bound: the best configurations of a space by a model, with a proof that none is better."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from metajax._typing import checked
from metajax.predictor._forms import Form
from metajax.search._bounds import Bounds, bounds
from metajax.search._frontier import Best, Frontier
from metajax.search._groups import Group, Limits

BATCH = 8192
"""Number of nodes that are opened at a time."""


class Certificate(NamedTuple):
    """The outcome of branch and bound.

    Attributes:
        assignments: int[k, groups], the values of the best configurations, in the order of the groups that were given.
        values: f64[k], best first.
        upper: No configuration of the space has a larger value; rounding is allowed for.
        nodes: Number of nodes that were opened, each with a bound of its own.
        finished: Whether the k best are proven.
    """

    assignments: Integer[np.ndarray, "k groups"]
    values: Float[np.ndarray, " k"]
    upper: float
    nodes: int
    finished: bool


@checked
def certify(
    form: Form,
    parts: Sequence[Group],
    constraints: Limits,
    k: int = 1,
    seconds: float = 60.0,
    seed: int = 0,
    start: Integer[np.ndarray, "n {len(parts)}"] | None = None,
) -> Certificate:
    """Finds the k best configurations by a model.

    Nodes are configurations of which the first groups have values; the most influential groups come first. The best nodes are
    opened, children whose bound is not above the k-th best value so far are dropped, and the largest bound of an open
    node is an upper bound at any time.

    Args:
        form: The model.
        parts: The groups of the space, parents before children.
        constraints: Constraints.
        k: Number of configurations.
        seconds: Wall time after which the search stops without a proof.
        seed: Seed of the local searches that find good configurations to start with.
        start: int[n, groups], configurations to start with beside random ones.

    Returns:
        The configurations and the bound.
    """
    stop = time.perf_counter() + seconds
    order = _order(parts, bounds(form, parts).importance)
    tree = _Tree(form, [parts[i] for i in order], constraints, order)
    initial = np.zeros((0, len(parts)), np.int64) if start is None else np.asarray(start)[:, order]
    best = Best(k, len(parts))
    best.add(*tree.climb(tree.draw(np.random.default_rng(seed), initial)))

    root = np.zeros((1, len(parts)), np.int32)
    upper, _ = tree.model.upper(tree.model.state(root[:, :0]), 0)
    kind = np.uint8 if max(len(part.rows) for part in parts) <= 256 else np.int32
    frontier, nodes, finished = Frontier(float(upper[0]), best.worst, kind), 0, True
    frontier.push(upper, 0, root)
    slack = 1e-9 * max(1.0, float(abs(upper[0])))
    while not frontier.empty:
        if time.perf_counter() > stop:
            finished = False
            break
        for depth, assignments in frontier.pop(BATCH, best.worst + slack):
            nodes += len(assignments)
            children, values, t = tree.expand(assignments, depth, best.worst + slack)
            if t == len(parts):
                best.add(children, values)
                continue
            frontier.push(values, t, children)
            if len(values):
                best.add(*tree.climb(tree.complete(children[np.argsort(-values)[:4]], t), sweeps=1))
    open_bound = -np.inf if finished else frontier.highest
    back = np.argsort(order)
    top = float(best.values[0]) if len(best.values) else -np.inf
    return Certificate(best.assignments[:, back], best.values, max(top, open_bound) + slack, nodes, finished)


def _order(parts: Sequence[Group], importance: np.ndarray) -> np.ndarray:
    """Groups by importance, parents before their children."""
    placed: list[int] = []
    while len(placed) < len(parts):
        candidates = [i for i, g in enumerate(parts) if i not in placed and (g.parent < 0 or g.parent in placed)]
        placed.append(max(candidates, key=lambda i: importance[i]))
    return np.array(placed)


class _Tree:
    """The groups in their order, with conditions and limits, and the bounds of a model."""

    def __init__(self, form: Form, parts: Sequence[Group], constraints: Limits, order: np.ndarray):
        index = np.argsort(order)
        self.parts = [g._replace(parent=int(index[g.parent]) if g.parent >= 0 else -1) for g in parts]
        self.model: Bounds = bounds(form, self.parts)
        self.forbidden = [
            sorted(((int(index[g]), v) for g, v in rule), key=lambda r: r[0]) for rule in constraints.forbidden
        ]
        self.cost = None if constraints.cost is None else [constraints.cost[i] for i in order]
        self.budget = constraints.budget + 1e-9 * max(1.0, abs(constraints.budget)) if self.cost is not None else np.inf
        if self.cost is not None:
            lowest_cost = np.array([c.min() for c in self.cost])
            self.lowest_cost = np.concatenate(
                [np.cumsum(lowest_cost[::-1])[::-1], [0.0]]
            )  # entry t sums from group t on

    def exists(self, assignments: np.ndarray, t: int) -> np.ndarray:
        """bool[nodes]: whether group t exists, by its condition."""
        group = self.parts[t]
        if group.parent < 0:
            return np.ones(len(assignments), bool)
        return np.isin(assignments[:, group.parent], group.accepted)

    def allowed(self, assignments: np.ndarray, t: int) -> np.ndarray:
        """bool[nodes, values] of group t, by its condition."""
        group, exists = self.parts[t], self.exists(assignments, t)[:, None]
        value = np.arange(len(group.rows))[None]
        return np.where(exists, value < group.others, value == group.absent)

    def satisfies(self, assignments: np.ndarray, t: int, first: int = 0) -> np.ndarray:
        """bool[nodes]: whether the limits can hold, by the first t groups; rules that end before group ``first`` do hold."""
        good = np.ones(len(assignments), bool)
        for rule in self.forbidden:
            if first <= rule[-1][0] < t:
                good &= ~np.logical_and.reduce([values[assignments[:, group]] for group, values in rule])
        if self.cost is not None:
            cost = sum(self.cost[d][assignments[:, d]] for d in range(t))
            good &= cost + self.lowest_cost[t] <= self.budget
        return good

    def expand(self, assignments: np.ndarray, t: int, threshold: float) -> tuple[np.ndarray, np.ndarray, int]:
        """The children of nodes of one depth with bounds above ``threshold``, their bounds, and their depth.

        At the last depth the bounds are exact values. A child is bounded by the sum over groups of its parent, with its value
        in place of the best one. So one bound is computed for each node that is opened, and none for those that are not.
        """
        state = self.model.state(assignments[:, :t])
        upper, scores = self.model.upper(state, t)
        bound = upper - scores[0].max(axis=0) + scores[0]  # [values, nodes]
        parent, value = np.nonzero(self.allowed(assignments, t) & (threshold < bound.T))
        children = assignments[parent]
        children[:, t] = value
        good = self.satisfies(children, t + 1, t)
        parent, value, children = parent[good], value[good], children[good]
        if t + 1 == len(self.parts):
            return children, self.model.value(self.model.child(state, parent, t, value)), t + 1
        return children, bound[value, parent], t + 1

    def complete(self, assignments: np.ndarray, t: int) -> np.ndarray:
        """The nodes as whole configurations: the other groups take the values that the bound prefers."""
        assignments = assignments.astype(np.int64)
        _, scores = self.model.upper(self.model.state(assignments[:, :t]), t)
        for d, score in zip(range(t, len(self.parts)), scores):
            assignments[:, d] = np.where(self.allowed(assignments, d), score.T, -np.inf).argmax(axis=1)
        return assignments

    def draw(self, rng: np.random.Generator, initial: np.ndarray, number: int = 64) -> np.ndarray:
        """Known and random configurations to start with, under the conditions of the space."""
        sizes = [g.others for g in self.parts]
        random = np.stack([rng.integers(size, size=number) for size in sizes], axis=1)
        top = self.complete(np.zeros((1, len(self.parts)), np.int64), 0)
        return self.canonical(np.concatenate([initial, top, random]).astype(np.int64))

    def canonical(self, assignments: np.ndarray) -> np.ndarray:
        """The configurations with inactive groups at their absent value, in place."""
        for t, group in enumerate(self.parts):
            if group.parent >= 0:
                exists = self.exists(assignments, t)
                value = np.where(assignments[:, t] < group.others, assignments[:, t], 0)
                assignments[:, t] = np.where(exists, value, group.absent)
        return assignments

    def climb(self, assignments: np.ndarray, sweeps: int = 4) -> tuple[np.ndarray, np.ndarray]:
        """Local search: sets one group after another to its best value. Returns what satisfies the limits, and the values."""
        score = lambda assignments: np.where(
            self.satisfies(assignments, len(self.parts)), self.model.value(self.model.state(assignments)), -np.inf
        )
        for _ in range(sweeps):
            before = assignments.copy()
            for t, group in enumerate(self.parts):
                neighbors = np.repeat(assignments, group.others, axis=0)
                neighbors[:, t] = np.tile(np.arange(group.others), len(assignments))
                neighbors = self.canonical(neighbors)
                choice = score(neighbors).reshape(len(assignments), -1).argmax(axis=1)
                assignments = neighbors.reshape(len(assignments), group.others, -1)[np.arange(len(assignments)), choice]
            if (assignments == before).all():
                break
        values = score(assignments)
        return assignments[np.isfinite(values)], values[np.isfinite(values)]
