"""Which configurations to train next, by the meta-learner."""

from typing import NamedTuple

import jax
import numpy as np

from metajax import predictor, search
from metajax.predictor import Model, Trials
from metajax.space import Space, Subset
from metajax.types import stream

# length scales that 128 trainings cannot tell, more would not either; they cost the cube of their number
SPECS = (predictor.ensemble(), predictor.kernel(most=128))
OPTIMISM = (0.0, 0.25, 0.5, 1.0)


class Proposal(NamedTuple):
    """Encodings to train, the model that proposed them (if one did), and how it did in cross-validation."""

    encodings: np.ndarray
    model: Model | None
    r2: dict[str, float]


def propose(trials: Trials, n: int, key: jax.Array, earlier: Model | None = None, room: int = 64) -> Proposal:
    """Fits the better of the two models (by cross-validation), fine-tuning the earlier one where it is the same kind,
    and searches through it at several degrees of optimism.

    Proposals keep a distance from each other, so that a wave does not spend itself on one corner. ``room`` is as in
    ``predictor.fit``.
    """
    search_key = stream(key, "search")
    choice = predictor.choose(trials, SPECS, "rank", stream(key, "choose"), room=room)
    model = predictor.fit(trials, choice.spec, "rank", stream(key, "fit"), earlier, room)
    order = np.argsort(-trials.utility, kind="stable")
    space, best = trials.space, trials.space.decode(trials.encodings[order[:64]])
    pools = []
    for i, optimism in enumerate(OPTIMISM):
        found = search.maximize(
            model, search.Gradient(), k=256, optimism=optimism, key=jax.random.fold_in(search_key, i), start=best
        )
        pools.append(Pool(space, np.asarray(space.encode(space.configs(found.configs))), trials.encodings))
    picked: list[np.ndarray] = []

    def pick(row: np.ndarray) -> None:
        picked.append(row)
        for pool in pools:
            pool.keep_from(row)

    for row in np.asarray(space.encode(space.sample(stream(key, "random"), max(1, n // 16)))):
        pick(row)
    while len(picked) < n:
        before = len(picked)
        for pool in pools:  # in turn, so that every degree of optimism has its share
            if len(picked) < n and (row := pool.take()) is not None:
                pick(row)
        if len(picked) == before:
            extra = space.encode(space.sample(stream(key, "extra"), n - before))
            picked += list(np.asarray(extra))
    return Proposal(np.stack(picked), model, choice.r2)


class Pool:
    """Configurations in the order of their promise, f32[n, width], of which the next is taken that is some way from everything
    picked and is not what was tried; the way halves until there is one."""

    def __init__(self, space: Space, rows: np.ndarray, tried: np.ndarray):
        self.rows = rows
        self._weight = np.ones(space.width, np.float32)
        for name, part in space.slices.items():  # a subset as a whole weighs as much as two other choices
            domain = space.domains[name]
            self._weight[part] = 2.0 / domain.width if isinstance(domain, Subset) else 1.0
        self._tried, self._picked = (np.full(len(rows), np.inf, np.float32) for _ in range(2))
        for row in tried:
            self._tried = np.minimum(self._tried, self._to(row))

    def _to(self, row: np.ndarray) -> np.ndarray:
        return np.abs(self.rows - row) @ self._weight

    def keep_from(self, row: np.ndarray) -> None:
        """This was picked, from here or elsewhere."""
        self._picked = np.minimum(self._picked, self._to(row))

    def take(self) -> np.ndarray | None:
        """The best that is far enough, f32[width], or ``None``."""
        for radius in (0.4, 0.2, 0.1, 1e-6):
            far = np.flatnonzero((self._picked >= radius) & (self._tried >= min(radius, 0.05)))
            if len(far):
                return self.rows[far[0]]
        return None
