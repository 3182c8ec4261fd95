"""Which configurations to train next, by the meta-learner."""

from typing import NamedTuple

import jax
import numpy as np

from metajax import predictor, search
from metajax.predictor import Model, Trials
from metajax.space import Space, Subset

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
    fit_key, cross_key, search_key, random_key = jax.random.split(key, 4)
    choice = predictor.choose(trials, SPECS, "rank", cross_key, room=room)
    model = predictor.fit(trials, choice.spec, "rank", fit_key, earlier, room)
    order = np.argsort(-trials.utility, kind="stable")
    best = trials.space.decode(trials.encodings[order[:64]])
    candidates = []
    for i, optimism in enumerate(OPTIMISM):
        found = search.maximize(
            model, method="gradient", k=256, optimism=optimism, key=jax.random.fold_in(search_key, i), start=best
        )
        candidates.append(np.asarray(trials.space.encode(trials.space.configs(found.configs))))
    explore = np.asarray(trials.space.encode(trials.space.sample(random_key, max(1, n // 16))))
    picked = list(explore)
    while len(picked) < n:
        before = len(picked)
        for pool in candidates:  # in turn, so that every degree of optimism has its share
            if len(picked) < n:
                at = first_distant(trials.space, pool, np.stack(picked), trials.encodings)
                if at is not None:
                    picked.append(pool[at])
        if len(picked) == before:
            extra = trials.space.encode(trials.space.sample(jax.random.fold_in(random_key, 1), n - before))
            picked += list(np.asarray(extra))
    return Proposal(np.stack(picked), model, choice.r2)


def first_distant(space: Space, pool: np.ndarray, picked: np.ndarray, tried: np.ndarray) -> int | None:
    """The best row of the pool that is some way from everything picked and is not what was tried; the way halves until
    there is one."""
    weight = np.ones(space.width, np.float32)
    for name, part in space.slices.items():  # a subset as a whole weighs as much as two other choices
        weight[part] = 2.0 / space.domains[name].width if isinstance(space.domains[name], Subset) else 1.0
    nearest = lambda others: np.min((np.abs(pool[:, None] - others[None]) * weight).sum(-1), axis=1, initial=np.inf)
    from_picked, from_tried = nearest(picked), nearest(tried)
    for radius in (0.4, 0.2, 0.1, 1e-6):
        far = np.flatnonzero((from_picked >= radius) & (from_tried >= min(radius, 0.05)))
        if len(far):
            return int(far[0])
    return None
