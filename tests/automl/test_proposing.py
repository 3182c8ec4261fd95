"""The batch that a short budget ranks: spread out, valid, and where the model says."""

import dataclasses

import jax
import numpy as np

from metajax import predictor
from metajax.automl._proposing import RankedBatch, make_proposer
from metajax.automl._settings import Config
from metajax.search._strategies import Knowledge
from metajax.space import Categorical, Float, Space

SPACE = Space({"kind": Categorical(("a", "b", "c")), "x": Float(0.0, 1.0), "z": Float(0.0, 1.0)})


def trials(n=48):
    configs = SPACE.dicts(SPACE.sample(jax.random.key(0), n))
    score = [(config["kind"] == "b") - abs(config["x"] - 0.3) for config in configs]
    return predictor.Trials.from_arrays(SPACE, configs, score)


def test_what_is_proposed_is_good_new_and_spread_out():
    known = trials()
    model = predictor.fit(known, predictor.kernel(), "rank", jax.random.key(1))
    none = np.zeros((0, SPACE.width), np.float32)
    propose = lambda count: RankedBatch().propose(Knowledge(model, known, none, jax.random.key(2), count), 16)
    found = propose(48)
    assert len(found) == 16 and len({tuple(config.values()) for config in found}) == 16
    score = lambda configs: np.array([(config["kind"] == "b") - abs(config["x"] - 0.3) for config in configs])
    random = score(SPACE.dicts(SPACE.sample(jax.random.key(3), 256)))
    assert np.mean(score(found)) > np.mean(random) + 0.5 * np.std(random)
    assert np.max(score(found)) > np.quantile(random, 0.98) and np.min(score(found)) < np.mean(random), "spread out"
    assert propose(48) == found and propose(64) != found


def test_what_takes_long_is_proposed_less():
    """Of two kinds that are as good as each other, one takes fifty times as long."""
    space = Space({"kind": Categorical(("quick", "slow")), **{f"x{i}": Float(0.0, 1.0) for i in range(8)}})
    configs = space.dicts(space.sample(jax.random.key(0), 64))
    known = predictor.Trials.from_arrays(space, configs, [-abs(c["x0"] - 0.3) - abs(c["x1"] - 0.6) for c in configs])
    model = predictor.fit(known, predictor.kernel(), "rank", jax.random.key(1))
    none = np.zeros((0, space.width), np.float32)

    def share_of_slow(seconds):
        timed = dataclasses.replace(known, settings={"seconds": seconds})
        asked = RankedBatch().propose(Knowledge(model, timed, none, jax.random.key(2), 64), 32)
        return np.mean([config["kind"] == "slow" for config in asked])

    slow = np.array([50.0 if config["kind"] == "slow" else 1.0 for config in configs])
    unknown = share_of_slow(np.full(len(slow), np.nan))
    assert 0.3 < unknown < 0.7 and 0.05 < share_of_slow(slow) < unknown - 0.1, "less, not never"
    assert share_of_slow(np.ones(len(slow))) == unknown


def test_a_short_budget_has_one_model_and_no_search_by_gradient():
    of = lambda minutes: make_proposer(Config("t", minutes=minutes), SPACE, jax.random.key(0), 128)
    assert isinstance(of(1.0).strategy, RankedBatch) and len(of(1.0).specs) == 1
    assert not isinstance(of(10.0).strategy, RankedBatch) and len(of(None).specs) == 2
