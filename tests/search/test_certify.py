"""The certificate agrees with enumeration: random models, conditions, subsets, constraints; and when it is cut short."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ALL, COLUMN, ENCODINGS, FILLED, PARTS, SPACE, random_form

from metajax import predictor, search
from metajax.predictor._forms import Pairs
from metajax.search._groups import groups, limits
from metajax.search._tree import certify
from metajax.space import Categorical, Float, Integer, Space
from metajax.types import InputError


def test_groups_hold_every_configuration_once():
    assert SPACE.size == FILLED.sum()
    decoded = SPACE.decode(ENCODINGS[FILLED])
    assert len({str(config) for config in decoded}) == SPACE.size


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    kind=st.sampled_from(("one", "two", "pairs")),
    k=st.integers(1, 6),
    budget=st.one_of(st.none(), st.floats(0.8, 3.0)),
    forbid=st.booleans(),
)
def test_the_certificate_is_the_enumeration(seed, kind, k, budget, forbid):
    rng = np.random.default_rng(seed)
    form, run = random_form(rng, kind)
    cost = rng.uniform(size=SPACE.width)
    rules = [{"a": "x", "b": 2}, {"c": "q"}] if forbid else []
    keep = limits(SPACE, PARTS, rules, None if budget is None else cost, budget)
    good = FILLED.copy()
    if forbid:
        good &= ~((ALL[:, COLUMN["a"]] == 0) & (ALL[:, COLUMN["b"]] == 1)) & (ALL[:, COLUMN["c"]] != 1)
    if budget is not None:
        good &= ENCODINGS @ cost <= budget
    expected = np.sort(run(ENCODINGS[good]))[::-1][:k]
    proof = certify(form, PARTS, keep, k, seed=seed)
    assert proof.finished
    np.testing.assert_allclose(proof.values, expected, atol=1e-9)
    if len(expected):
        assert expected[0] <= proof.upper <= expected[0] + 1e-6
        rows = sum(PARTS[i].rows[proof.assignments[:, i]] for i in range(len(PARTS)))
        np.testing.assert_allclose(run(rows), proof.values, atol=1e-9)
        assert len(np.unique(proof.assignments, axis=0)) == len(proof.assignments)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), kind=st.sampled_from(("one", "two", "pairs")))
def test_a_search_that_is_cut_short_bounds_all_the_same(seed, kind):
    form, run = random_form(np.random.default_rng(seed), kind)
    proof = certify(form, PARTS, limits(SPACE, PARTS), seconds=0.0, seed=seed)
    truth = run(ENCODINGS[FILLED]).max()
    assert not proof.finished
    assert proof.values[0] <= truth + 1e-9
    assert proof.upper >= truth


SPECS = {
    "ridge": predictor.ridge(),
    "ridge2": predictor.ridge(2),
    "ensemble": predictor.ensemble(3, (8,), steps=100),
    "two layers": predictor.ensemble(2, (8, 4), steps=100),
}


@pytest.mark.parametrize("name", SPECS)
def test_fitted_models_are_certified_as_they_are_enumerated(name):
    """Also with a context, and in the scores that ``maximize`` gives for every method."""
    space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(5)})
    tried = space.sample(jax.random.key(0), 80)
    rng = np.random.default_rng(0)
    context = rng.normal(size=(80, 2))
    metric = np.asarray(space.encode(tried)) @ rng.normal(size=15) + context @ [1.0, -1.0] + 0.1 * rng.normal(size=80)
    trials = predictor.Trials.from_arrays(space, tried, metric, context=context)
    model = predictor.fit(trials, SPECS[name], "value")
    exact = search.maximize(model, search.Enumerate(), k=3, context=[0.3, 0.1])
    found = search.maximize(model, search.Certify(), k=3, context=[0.3, 0.1])
    np.testing.assert_allclose(found.values, exact.values, atol=1e-9)
    assert found.configs[0] == exact.configs[0]
    assert found.gap < 1e-6
    every = space.at(np.arange(space.size))
    for seconds in (0.0, 60.0):
        found = search.maximize(model, search.Certify(seconds), k=3, context=[0.3, 0.1])
        assert found.upper_bound >= model.predict(every, [0.3, 0.1])[0].max()
    with pytest.raises(InputError, match="model must be ridge, mlp or ensemble"):
        search.maximize(model, search.Certify(), context=[0.3, 0.1], optimism=1.0)


def test_large_spaces_are_closed():
    """10^12 configurations; the maximum of an additive model is known."""
    space = Space({f"x{i}": Categorical(tuple(range(10))) for i in range(12)})
    rng = np.random.default_rng(1)
    linear = rng.normal(size=space.width)
    proof = certify(Pairs(0.0, linear, np.zeros((120, 120))), groups(space), limits(space, groups(space)), 1)
    assert proof.finished
    assert proof.values[0] == pytest.approx(linear.reshape(12, 10).max(axis=1).sum())


def test_a_radius_is_kept():
    space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(6)} | {"n": Integer(1, 5)})
    tried = space.sample(jax.random.key(0), 80)
    trials = predictor.Trials.from_arrays(space, tried, np.random.default_rng(0).normal(size=80))
    model = predictor.fit(trials, predictor.mlp((8,), steps=100), "value")
    center = space.dicts(tried)[0]
    every = space.dicts(space.at(np.arange(space.size)))
    value = model.predict(every)[0]
    for radius in (0, 1, 3):
        near = [i for i, c in enumerate(every) if sum(c[n] != center[n] for n in c) <= radius]
        found = search.maximize(model, search.Certify(around=center, radius=radius), k=1)
        assert found.values[0] == pytest.approx(value[near].max(), abs=1e-5) and found.gap < 1e-6
        assert sum(found.configs[0][n] != center[n] for n in center) <= radius
    with pytest.raises(InputError, match="around and radius must be passed together"):
        search.Certify(radius=1)
    with pytest.raises(InputError, match="cannot be combined with cost and budget"):
        search.Certify(around=center, radius=1, cost=[1.0], budget=1.0)
    with pytest.raises(InputError, match="seconds must be a number >= 0, got -1"):
        search.Certify(seconds=-1)


def test_what_cannot_be_certified_is_named():
    space = Space({"x": Float(0.0, 1.0), "op": Categorical(("a", "b"))})
    trials = predictor.Trials.from_arrays(space, [{"x": i / 9, "op": "a"} for i in range(10)], range(10))
    ridge = predictor.fit(trials, predictor.ridge(), "value")
    with pytest.raises(InputError, match=r"the space must be finite; give a grid to \['x'\]"):
        search.maximize(ridge, search.Certify())
    with pytest.raises(InputError, match="got kernel with optimism=0"):
        search.maximize(predictor.fit(trials, predictor.kernel(), "value"), search.Certify())
    with pytest.raises(
        InputError, match="with forbidden combinations, the model must be a network with one hidden layer"
    ):
        search.maximize(ridge, search.Enumerate([{"op": "a"}]))
    small = Space({"op": Categorical(("a", "b"))})
    model = predictor.fit(
        predictor.Trials.from_arrays(small, [{"op": "a"}, {"op": "b"}], [1.0, 2.0]), predictor.ridge(), "value"
    )
    found = search.maximize(model, search.Certify(forbidden=[{"op": "b"}]))
    assert found.configs == [{"op": "a"}]
    with pytest.raises(InputError, match=r"forbidden\[0\]: op must be one of .* got 'c'"):
        search.maximize(model, search.Certify(forbidden=[{"op": "c"}]))
    with pytest.raises(InputError, match="cost and budget must be passed together"):
        search.maximize(model, search.Certify(cost=[1.0, 1.0]))
    with pytest.raises(InputError, match=r"cost must hold .* of shape \(2,\) .* got cost of shape \(3,\) and budget 1"):
        search.maximize(model, search.Certify(cost=[1.0, 1.0, 1.0], budget=1))
    with pytest.raises(InputError, match=r"forbidden\[0\] must name at least one value"):
        search.maximize(model, search.Certify(forbidden=[{}]))
    with pytest.raises(InputError, match=r"radius must be an integer >= 0, got 0\.5"):
        search.maximize(model, search.Certify(around={"op": "a"}, radius=0.5))
    with pytest.raises(InputError, match="no configuration was found that satisfies the constraints"):
        search.maximize(model, search.Certify(cost=[1.0, 1.0], budget=0.5))
