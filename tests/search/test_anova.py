"""The analysis of variance against its definition, by looking at all configurations."""

import itertools

import numpy as np
import pytest

from metajax import predictor, search
from metajax.space import Categorical, Integer, Space, Subset
from metajax.types import InputError

SPACE = Space({"a": Categorical("xyz"), "b": Integer(1, 4), "s": Subset(2)})


@pytest.mark.parametrize("order", [1, 2])
def test_shares_are_those_of_the_definition(order):
    rng = np.random.default_rng(0)
    configs = SPACE.at(rng.permutation(48)[:40])
    trials = predictor.Trials.from_arrays(SPACE, configs, rng.normal(size=40))
    model = predictor.fit(trials, predictor.ridge(order), "value")
    shares = search.anova(model)
    every = SPACE.dicts(SPACE.at(np.arange(SPACE.size)))
    value = np.asarray(model.score(SPACE.encode(SPACE.configs(every)))[0], np.float64)
    explained = {}
    for size in (1, 2, 3):
        for names in itertools.combinations(SPACE.domains, size):
            keys = [tuple(c[n] for n in names) for c in every]
            mean = {k: value[[key == k for key in keys]].mean() for k in set(keys)}
            inside = sum(v for other, v in explained.items() if set(other) < set(names))
            explained[names] = np.var([mean[k] for k in keys]) - inside
    for names, whole in explained.items():
        assert shares.get(names, 0.0) == pytest.approx(whole / value.var(), abs=2e-5)


def test_other_models_are_refused():
    trials = predictor.Trials.from_arrays(SPACE, SPACE.at(np.arange(20)), np.arange(20.0))
    with pytest.raises(InputError, match=r"anova: model must be a predictor\.ridge .* got mlp"):
        search.anova(predictor.fit(trials, predictor.mlp(steps=5), "value"))
