"""Trials, models and cross-validation; one contract for every model."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import predictor, search
from metajax.predictor import Trials, targets
from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.types import InputError

_SQUARES = predictor.Features("squares", lambda x: x**2, np.arange(9), 9)
SPECS = {
    "ridge1": predictor.ridge(),
    "ridge2": predictor.ridge(2),
    "kernel": predictor.kernel(),
    "mlp": predictor.mlp(),
    "ensemble": predictor.ensemble(4),
    "features": predictor.on(_SQUARES, predictor.ridge(), keep=True),
}
METHODS = ("enumerate", "gradient", "reinforce", "evolve", "random")


def finite_space():
    return Space({"a": Categorical("xyz"), "b": Integer(1, 4), "f": Subset(3), "c": Categorical((False, True))})


def quality(space, encodings):
    """Additive with one interaction; the best configuration is known by enumeration."""
    weights = np.linspace(-1, 1, space.width)
    return encodings @ weights + 0.3 * encodings[:, 0] * encodings[:, -1]


def make(n=60, noise=0.0, space=None):
    space = space or finite_space()
    configs = space.sample(jax.random.key(0), n)
    encodings = np.asarray(space.encode(configs))
    metric = quality(space, encodings) + noise * np.random.default_rng(0).normal(size=n)
    return Trials.from_arrays(space, configs, metric)


@pytest.mark.parametrize("target", ["value", "rank"])
@pytest.mark.parametrize("name", SPECS)
def test_contract_models_learn(name, target):
    trials = make()
    model = predictor.fit(trials, SPECS[name], target)
    space = trials.space
    every = np.asarray(space.encode(space.at(np.arange(space.size))))
    mean, std = model.predict(every)
    truth = quality(space, every)
    assert np.corrcoef(mean, truth)[0, 1] > 0.9
    assert mean.shape == std.shape == (space.size,)
    assert np.all(std > 0)
    if target == "value":
        assert abs(mean.mean() - truth.mean()) < 0.2, "predictions are in the units of the metric"


@pytest.mark.parametrize("name", SPECS)
def test_contract_rows_of_weight_zero_say_nothing(name):
    spec = SPECS[name]
    x = jax.random.normal(jax.random.key(0), (32, 5))
    y = x[:, 0]
    blocks = np.arange(5)
    keep = jnp.where(jnp.arange(32) < 20, 1.0, 0.0)
    nonsense = jnp.where(keep > 0, y, 100.0)
    fit = jax.jit(lambda y: spec.apply(spec.fit(jax.random.key(1), x, y, keep, blocks), x[:5])[0])
    np.testing.assert_allclose(fit(jnp.where(keep > 0, y, 0.0)), fit(nonsense), atol=2e-2)


@pytest.mark.parametrize("name", SPECS)
def test_contract_degenerate_trials_are_survived(name):
    space = finite_space()
    one = Trials.from_arrays(space, space.sample(jax.random.key(0), 1), [0.5])
    equal = Trials.from_arrays(space, space.sample(jax.random.key(0), 9), np.full(9, 0.7))
    for trials, value in ((one, 0.5), (equal, 0.7)):
        mean, std = predictor.fit(trials, SPECS[name], "value").predict(trials.encodings)
        np.testing.assert_allclose(mean, value, atol=0.35)
        assert np.all(np.isfinite(std))


@pytest.mark.parametrize("name", SPECS)
def test_contract_gradients_reach_the_encoding(name):
    trials = make()
    model = predictor.fit(trials, SPECS[name], "value")
    score = lambda e: model.score(e[None])[0][0]
    start = jnp.asarray(trials.encodings[0]) + 0.05
    grad = jax.grad(score)(start)
    assert bool(jnp.all(jnp.isfinite(grad)))
    eps = 1e-2
    numeric = [(score(start.at[i].add(eps)) - score(start.at[i].add(-eps))) / (2 * eps) for i in range(3)]
    np.testing.assert_allclose(grad[:3], np.asarray(numeric), atol=0.1)


@pytest.mark.parametrize("name", ["kernel", "ensemble"])
def test_fine_tuning_goes_on_from_the_earlier_model(name):
    trials = make(80)
    first = predictor.fit(trials, SPECS[name], "value")
    again = predictor.fit(trials, SPECS[name], "value", start=first)
    fresh = predictor.fit(trials, SPECS[name], "value", key=jax.random.key(9))
    error = lambda m: np.mean((m.predict(trials.encodings)[0] - trials.metric) ** 2)
    assert error(again) < max(1.3 * error(fresh), 1e-2)


def test_cross_validation_picks_the_right_family_and_does_not_leak():
    trials = make(80)
    choice = predictor.choose(trials, [SPECS["ridge1"], SPECS["ridge2"], SPECS["kernel"]], "value")
    assert choice.r2[choice.best] > 0.9
    with pytest.warns(UserWarning, match="mostly noise"):
        noise = Trials.from_arrays(trials.space, trials.configs(), np.random.default_rng(0).normal(size=80))
    assert max(predictor.choose(noise, [SPECS["ridge1"], SPECS["kernel"]], "value").r2.values()) < 0.3
    # each configuration twice with the same noise: were the copies split apart, noise could be predicted
    twice = noise + noise
    assert max(predictor.choose(twice, [SPECS["kernel"]], "value").r2.values()) < 0.3
    with pytest.raises(InputError, match="distinct configurations cannot make 5 folds"):
        predictor.choose(make(3), [SPECS["ridge1"]])


def test_log_ratio_is_antisymmetric_transitive_and_in_logarithms():
    space = finite_space()
    configs = space.sample(jax.random.key(0), 100)
    e = np.asarray(space.encode(configs))
    trials = Trials.from_arrays(space, configs, np.exp(quality(space, e)), maximize=False)
    model = predictor.fit(trials, predictor.ridge(2, penalty=0.1), "log_ratio")
    a, b, c = e[:20], e[20:40], e[40:60]
    np.testing.assert_allclose(model.compare(a, b), -model.compare(b, a), atol=1e-12)
    np.testing.assert_allclose(model.compare(a, b) + model.compare(b, c), model.compare(a, c), atol=1e-9)
    np.testing.assert_allclose(model.compare(a, b), quality(space, b) - quality(space, a), atol=0.15)
    with pytest.raises(InputError, match="needs metrics above 0"):
        predictor.fit(Trials.from_arrays(space, configs, quality(space, e)), predictor.ridge(), "log_ratio")


def test_minimisation_and_failed_trials():
    space = finite_space()
    configs = space.sample(jax.random.key(0), 60)
    e = np.asarray(space.encode(configs))
    metric = quality(space, e)
    metric[5] = np.nan
    metric[6] = np.inf
    trials = Trials.from_arrays(space, configs, metric, maximize=False)
    assert np.isnan(trials.metric[[5, 6]]).all()
    assert trials.utility[5] == trials.utility.min(), "a failed trial counts as the worst"
    model = predictor.fit(trials, predictor.kernel(), "value")
    assert np.corrcoef(model.predict(e)[0][10:], metric[10:])[0, 1] > 0.9
    mean, _ = model.score(jnp.asarray(e[10:]))
    assert np.corrcoef(np.asarray(mean), metric[10:])[0, 1] < -0.9, "scores are larger for better"


def test_ranks_are_within_groups():
    space = finite_space()
    trials = Trials.from_arrays(space, space.sample(jax.random.key(0), 4), [1, 2, 100, 200], group=["a", "a", "b", "b"])
    goal = targets.make(trials, "rank")
    np.testing.assert_allclose(goal.y * goal.scale + goal.shift, [0.25, 0.75, 0.25, 0.75])
    with pytest.raises(InputError, match="target='best'"):
        targets.make(trials, "best")


def test_csv_round_trip(tmp_path):
    space = Space(
        {"op": Categorical("ab"), "k": Integer(1, 3), "r": Float(1e-3, 1, log=True), "f": Subset(4)},
        [("k", "op", ("b",))],
    )
    trials = Trials.from_arrays(
        space, space.sample(jax.random.key(0), 20), np.arange(20.0), settings={"seconds": np.ones(20)}
    )
    trials.to_frame("score").to_csv(tmp_path / "t.csv", index=False)
    again = Trials.from_csv(space, tmp_path / "t.csv", "score")
    np.testing.assert_allclose(again.encodings, trials.encodings, atol=1e-5)
    np.testing.assert_array_equal(again.metric, trials.metric)
    np.testing.assert_array_equal(again.settings["seconds"], 1)
    assert len(trials + again) == 40
    with pytest.raises(InputError, match=r"lacks the columns \['accuracy'\]"):
        Trials.from_csv(space, tmp_path / "t.csv", "accuracy")
    with pytest.raises(InputError, match="no metric is finite"):
        Trials.from_arrays(space, space.sample(jax.random.key(0), 2), [np.nan, np.inf])
    with pytest.raises(InputError, match="2 configurations, but lengths are"):
        Trials.from_arrays(space, space.sample(jax.random.key(0), 2), [1.0])
    (tmp_path / "u.csv").write_text("op,k,r,f,score\nz,1,0.1,0,1.0\n")
    with pytest.raises(InputError, match="'z' is not one of"):
        Trials.from_csv(space, tmp_path / "u.csv", "score")


def test_importance_finds_what_matters():
    space = Space({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)})
    configs = space.sample(jax.random.key(0), 80)
    metric = 3 * np.asarray(configs["a"]) + np.asarray(configs["b"])
    model = predictor.fit(Trials.from_arrays(space, configs, metric), predictor.kernel(), "value")
    found = predictor.importance(model, jax.random.key(1), 2000)
    assert list(found) == ["a", "b", "c"]
    assert found["a"] == pytest.approx(0.9, abs=0.08)  # 9/12 against 1/12
    assert found["c"] < 0.02


@pytest.mark.parametrize("name", ["ridge2", "kernel", "ensemble"])
@pytest.mark.parametrize("method", METHODS)
def test_search_contract_every_method_finds_the_enumerated_best(method, name):
    model = predictor.fit(make(), SPECS[name], "value")
    truth = search.maximize(model, method="enumerate", k=5)
    found = search.maximize(model, method=method, k=5, key=jax.random.key(3))
    assert found.configs[0] == truth.configs[0]
    np.testing.assert_allclose(found.values[0], truth.values[0], rtol=1e-4)
    assert len({repr(c) for c in found.configs}) == 5
    assert np.all(np.diff(found.values) <= 0)
    assert found.evaluated > 0
    if method == "enumerate":
        assert found.gap == 0
        every = model.space.encode(model.space.at(np.arange(model.space.size)))
        assert found.upper_bound == pytest.approx(float(np.max(model.score(every)[0])), rel=1e-5)
    else:
        assert found.gap == np.inf


@pytest.mark.parametrize("method", ["gradient", "evolve"])
def test_search_in_a_large_mixed_space_beats_random(method):
    space = Space(
        {"x": Float(0, 1), "op": Categorical("abcd"), "f": Subset(30), "k": Integer(1, 50)}, [("k", "op", ("b", "c"))]
    )
    model = predictor.fit(make(120, space=space), predictor.ridge(), "value")
    best = search.maximize(model, method=method, k=3, key=jax.random.key(0))
    drawn = search.maximize(model, method="random", k=3, key=jax.random.key(0))
    weight = np.asarray(jax.grad(lambda e: model.score(e[None])[0][0])(jnp.zeros(space.width)))
    assert best.values[0] > drawn.values[0]
    assert np.sum(weight[space.slices["f"]] > 0) - len(best.configs[0]["f"]) in (-2, -1, 0, 1, 2)


def test_search_compiles_once_for_models_of_one_size():
    module = importlib.import_module("metajax.search.heuristics")
    models = [predictor.fit(make(n), SPECS["kernel"], "value") for n in (40, 50, 60)]
    search.maximize(models[0], method="gradient", k=2)
    before = module._ascend._cache_size(), module._generations._cache_size()
    for model in models[1:]:
        search.maximize(model, method="gradient", k=2, optimism=1.0)
    assert (module._ascend._cache_size(), module._generations._cache_size()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "oracle"}, "method='oracle'"),
        ({"k": 0}, "k=0"),
        ({"space": Space({"z": Categorical("ab")})}, "not the one that the model was fitted on"),
    ],
)
def test_bad_searches_are_named(arguments, message):
    model = predictor.fit(make(10), predictor.ridge())
    with pytest.raises(InputError, match=message):
        search.maximize(model, **arguments)
    big = predictor.fit(make(10, space=Space({"f": Subset(40)})), predictor.ridge())
    with pytest.raises(InputError, match="accepted are at most 10"):
        search.maximize(big, method="enumerate")
    with pytest.raises(InputError, match=r"accepted is \(n, 9\)"):
        model.predict(np.zeros((2, 3)))


@pytest.mark.parametrize("relaxation", ["gumbel_softmax", "sparsemax", "straight_through"])
def test_every_relaxation_climbs_to_the_best(relaxation):
    model = predictor.fit(make(120), SPECS["ridge1"], "value")
    best = search.maximize(model, method="enumerate", k=1)
    found = search.maximize(model, method="gradient", k=1, relaxation=relaxation)
    assert found.configs == best.configs
    with pytest.raises(InputError, match="relaxation='soft'; accepted are"):
        search.maximize(model, relaxation="soft")
