"""The proposer of a search: the meta-learner (with a search that suits the budget), random configurations, or Optuna."""

import dataclasses
from typing import Any

import jax
import numpy as np

from metajax import predictor, search
from metajax.automl._draw import random_encodings
from metajax.automl._ranking import Candidates, log_seconds
from metajax.automl._settings import Config, is_quick
from metajax.predictor._spec import compiled_apply
from metajax.search._strategies import Knowledge
from metajax.space import Space
from metajax.types import Key, generator, stream

SPECS = (predictor.ensemble(), predictor.kernel(tuning_rows=128))
"""The meta-learners that cross-validation chooses between. The kernel's length scales are learned on 128 trainings: the cost
grows with the cube of that number, and more trainings tell little more."""
_N_RANDOM, _N_CROSSED, _PARENTS = 1024, 2048, 12
_RANDOM_SHARE = 1 / 8
_MIN_STD = 0.3
"""Least standard deviation in the expected improvement, as a share of that of all trials. Configurations nearly as good as
the best one still improve the ensemble."""


@dataclasses.dataclass(frozen=True)
class RankedBatch:
    """Ranks random configurations and crossings of the best ones by expected improvement per second, and spreads them out.

    The candidates are 1,024 random configurations, and 2,048 that take each choice from one of the 12 best or from a random
    one. They are ranked and taken as ``Candidates`` says; what is to be improved on is the best mean that the model predicts
    for a trial. One of eight is random. Nothing but the model is compiled, which takes seconds where a search by gradient takes
    half a minute.
    """

    def propose(self, knowledge: Knowledge, n: int) -> list[dict[str, Any]]:
        """See ``search.Strategy``."""
        model, trials, space = knowledge.model, knowledge.trials, knowledge.trials.space
        key = jax.random.fold_in(knowledge.key, knowledge.count)
        random = random_encodings(space, stream(key, "draw"), _N_RANDOM)
        best = trials.encodings[np.argsort(-trials.utility, kind="stable")[:_PARENTS]]
        candidates = np.concatenate([random, _cross(space, best, random, generator(stream(key, "cross")))])
        parts = [candidates[i : i + len(random)] for i in range(0, len(candidates), len(random))]
        apply = compiled_apply(model.spec, False)
        outputs = [apply(model.params, model.inputs(part)) for part in parts]
        mean, std = (np.concatenate([np.asarray(output[i]) for output in outputs]) for i in (0, 1))
        evaluated = np.concatenate([trials.encodings, knowledge.waiting])
        padded = np.resize(trials.encodings, random.shape)  # so that nothing is compiled for the number of trials
        best = float(np.asarray(apply(model.params, model.inputs(padded))[0]).max())
        costs = log_seconds(trials.encodings, trials.settings.get("seconds"), candidates)
        ranked = Candidates(candidates, mean, np.maximum(std, _MIN_STD), best, costs)
        required = random[: max(1, round(n * _RANDOM_SHARE))]
        return space.decode(ranked.spread_out(space, n, evaluated, required))


def _cross(space: Space, best: np.ndarray, random: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Configurations that take each choice from a good one or, at a rate of their own, from a random one."""
    n = _N_CROSSED
    crossed = best[rng.integers(len(best), size=n)].copy()
    alternatives = random[rng.integers(len(random), size=n)]
    rate = rng.choice([0.05, 0.15, 0.4], size=n)
    for part in space.slices.values():
        takes = rng.random(n) < rate
        crossed[takes, part] = alternatives[takes, part]
    return crossed


def make_proposer(config: Config, space: Space, key: Key, padded_size: int) -> search.AskTell:
    """Returns the proposer that the config names."""
    if config.method in ("random", "defaults"):
        return search.RandomProposer(space, key=key)
    if config.method == "optuna":
        return search.OptunaProposer(space, key=key)
    specs, strategy = (SPECS[1:], RankedBatch()) if is_quick(config.minutes) else (SPECS, search.DiverseBatch())
    return search.Proposer(space, specs, strategy, n_initial=1, padded_size=padded_size, key=key)
