"""Every model type beside the networks, by the same contract; and waves and ensembles in which types are mixed."""

import dataclasses
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.automl import _network as network
from metajax.automl import models
from metajax.automl._metrics import metric
from metajax.automl._mixed import Trainer
from metajax.automl._model import FittedModel
from metajax.automl._prepare import Prepared
from metajax.automl._space import default_of_type, tabular_space
from metajax.automl._tables import initial_configs, table_task
from metajax.automl._training import CURVE_POINTS, Data
from metajax.automl.models import _forest as forest
from metajax.automl.models._fit import FittedMember, fit_member
from metajax.automl.models._installed import BUILT_IN
from metajax.automl.models._threads import n_threads, side_by_side
from metajax.data import tabular
from metajax.space import Float
from metajax.types import InputError

pd = pytest.importorskip("pandas")

FEW = {"iterations": 24, "depth": 3, "leaves": 8}
"""What makes the defaults small enough for a test."""
INSTALLED = {kind.name for kind in models.installed()}
TYPES = [
    pytest.param(kind, id=name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"{package} is not installed"))
    for name, (kind, package) in BUILT_IN.items()
]
each_type = pytest.mark.parametrize("kind", TYPES)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """More threads would not pay on so few rows."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def rows(n=160, features=4, outputs=3, seed=0):
    """A rule with an interaction: classes that are numbered by quantiles, or standardized values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)).astype(np.float32)
    rule = x[:, 0] + x[:, min(1, features - 1)] * x[:, 0] + 0.1 * rng.normal(size=n)
    if outputs == 1:
        y = ((rule - rule.mean()) / rule.std()).astype(np.float32)
    else:
        y = np.digitize(rule, np.quantile(rule, np.arange(1, outputs) / outputs)).astype(np.int32)
    cut = n * 3 // 4
    return Data(x[:cut], y[:cut], x[cut:], y[cut:])


def fit(kind, data, outputs=3, seed=0, decides=True, columns=None, **changes):
    config = kind.default_config(outputs > 1)
    config |= {name: value for name, value in {**FEW, **changes}.items() if name in config}
    config = {f"{kind.name}.{name}": value for name, value in config.items()}
    config |= {"class_weight": changes["class_weight"]} if "class_weight" in changes else {}
    columns = np.arange(data.x.shape[1]) if columns is None else np.asarray(columns)
    return fit_member(kind, config, columns, data, seed, outputs, decides)


def score(member, data):
    out = member.predict(data.x_eval)
    if np.issubdtype(data.y_eval.dtype, np.integer):
        np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-5)
        assert (out > 0).all()
        return float(np.mean(out.argmax(axis=1) == data.y_eval))
    return float(1 - np.mean((out[:, 0] - data.y_eval) ** 2) / np.var(data.y_eval))


@each_type
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_a_type_learns_is_deterministic_and_survives_saving(kind, outputs):
    data = rows(outputs=outputs)
    member = fit(kind, data, outputs)
    assert score(member, data) > (0.2 if outputs == 1 else 1.35 / outputs)
    predicted = member.predict(data.x_eval)
    assert predicted.shape == (len(data.x_eval), outputs) and predicted.dtype == np.float32
    np.testing.assert_array_equal(fit(kind, data, outputs).predict(data.x_eval), predicted)
    back = FittedMember.read(kind, member.header(), member.arrays())
    np.testing.assert_array_equal(back.predict(data.x_eval), predicted)
    assert not any(array.dtype == object for array in member.arrays().values()), "nothing to unpickle"
    order = np.random.default_rng(1).permutation(len(data.x_eval))
    np.testing.assert_allclose(member.predict(data.x_eval[order]), predicted[order], atol=1e-6)
    stages = member.staged(data.x_eval, np.array([0.25, 1.0]))
    np.testing.assert_array_equal(stages[1], predicted)


@each_type
def test_a_config_is_in_the_space_and_a_decided_length_too(kind):
    space = tabular_space(4, True, [kind])
    config = default_of_type(kind, True)
    back = space.decode(space.encode(space.configs([config])))[0]
    assert back.keys() == config.keys()
    for name, value in config.items():
        assert back[name] == (pytest.approx(value, rel=5e-3) if isinstance(value, float) else value)
    member = fit(kind, rows(outputs=2), 2, learning_rate=0.3)
    if "iterations" in kind.default_config(True):
        assert 4 <= member.member.decided["iterations"] < 500, "it stopped early, by the evaluation rows"
        assert not fit(kind, rows(outputs=2), 2, decides=False).member.decided, "there it trains what it was asked for"
        decided = {f"{kind.name}.{name}": value for name, value in member.member.decided.items()}
        assert space.decode(space.encode(space.configs([{**config, **decided}])))[0].items() >= decided.items()


@each_type
def test_without_permission_no_evaluation_row_is_looked_at(kind):
    data = rows(outputs=2)
    other = data._replace(x_eval=np.zeros_like(data.x_eval), y_eval=1 - data.y_eval)
    members = [fit(kind, part, 2, decides=False) for part in (data, other)]
    np.testing.assert_array_equal(*(member.predict(data.x_eval) for member in members))


@each_type
def test_gaps_a_constant_column_and_a_single_one(kind):
    data = rows(features=3, outputs=2)
    gaps = np.random.default_rng(1).random(data.x.shape) < 0.1
    damaged = data._replace(x=np.where(gaps, np.nan, data.x))
    assert np.isfinite(fit(kind, damaged, 2).predict(np.full((2, 3), np.nan, np.float32))).all()
    constant = data._replace(x=data.x * [1, 1, 0], x_eval=data.x_eval * [1, 1, 0])
    assert (
        score(fit(kind, Data(*(np.asarray(a, np.float32) if a.ndim == 2 else a for a in constant[:4])), 2), data) > 0.6
    )
    alone = fit(kind, data, 2, columns=[0])
    changed = data.x_eval.copy()
    changed[:, 1:] = 9.0
    np.testing.assert_array_equal(alone.predict(changed), alone.predict(data.x_eval))


def categories(outputs, n=480, width=12, seed=0):
    """A number that says nothing beside a category whose level decides; the last of its inputs is for unknown levels."""
    rng = np.random.default_rng(seed)
    level = rng.integers(width - 1, size=n)
    x = np.concatenate([rng.normal(size=(n, 1)), np.eye(width)[level]], axis=1).astype(np.float32)
    effects = np.random.default_rng(1).permutation(width)[level]
    y = (effects % outputs).astype(np.int32) if outputs > 1 else ((effects - 5.5) / 3.5).astype(np.float32)
    cut = n * 3 // 4
    return Data(x[:cut], y[:cut], x[cut:], y[cut:], levels=np.array([-1] + [0] * width))


@each_type
@pytest.mark.parametrize("outputs", [1, 2])
def test_categories_are_learned_and_survive_saving(kind, outputs):
    data = categories(outputs)
    for columns in (np.arange(13), np.arange(1, 13), [0]):  # all; the category alone; the number alone
        member = fit(kind, data, outputs, columns=columns)
        assert len(columns) == 1 or score(member, data) > (0.3 if outputs == 1 else 0.7)
        back = FittedMember.read(kind, member.header(), member.arrays())
        np.testing.assert_array_equal(back.predict(data.x_eval), member.predict(data.x_eval))
        unknown = np.concatenate([data.x_eval[:, :1], np.eye(12, dtype=np.float32)[[-1] * len(data.x_eval)]], axis=1)
        assert np.isfinite(member.predict(unknown)).all()


@pytest.mark.skipif("catboost" not in INSTALLED, reason="catboost is not installed")
def test_catboost_reads_levels_and_not_one_hot_inputs():
    """A tree of depth 1 splits many levels at once by their statistics; of one-hot inputs it can split off one."""
    data, kind = categories(1), BUILT_IN["catboost"][0]
    of_levels, one_hot = (
        score(fit(kind, part, 1, depth=1, iterations=4, decides=False), data)
        for part in (data, data._replace(levels=None))
    )
    assert of_levels > one_hot + 0.1


def contradictory(classification):
    """The same rows twice with different targets: only their weights say which are right."""
    x = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    y = np.repeat([0, 1] if classification else [-1.0, 1.0], 120).astype(np.int32 if classification else np.float32)
    return Data(np.tile(x, (2, 1)), y, x, y[:120])


@each_type
@pytest.mark.parametrize("outputs", [1, 2])
def test_heavy_rows_decide(kind, outputs):
    data, weights = contradictory(outputs > 1), np.repeat([0.2, 1.8], 120)
    for heavy, decides in ((1, False), (0, False), (0, True)):
        own = weights if heavy else weights[::-1]
        out = fit(kind, data._replace(weights=own, weights_eval=own[:120]), outputs, decides=decides).predict(data.x)
        # nine tenths of the weight: the probability is .9 and the mean is .8, if nothing is regularized
        right = out[:, 1] if outputs > 1 else (1 + out[:, 0]) / 2
        assert (np.median(right) > 0.7) == bool(heavy) and (np.median(right) < 0.3) != bool(heavy)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore")
def test_jobs_are_done_side_by_side_within_a_worker_and_in_a_forked_process():
    squares = lambda: side_by_side([lambda i=i: i * i for i in range(5)])
    assert squares() == [0, 1, 4, 9, 16]
    assert side_by_side([squares, squares]) == [[0, 1, 4, 9, 16]] * 2, "a worker does its jobs itself"
    child = os.fork()
    if not child:
        os._exit(0 if squares() == [0, 1, 4, 9, 16] else 1)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
    assert done and status == 0


@each_type
def test_classes_that_count_alike_are_found_where_one_is_rare(kind):
    """Of 300 rows, a tenth is positive, overlapping; a weight of 1 gives both classes the same weight."""
    rng = np.random.default_rng(0)
    y = (np.arange(300) % 10 == 0).astype(np.int32)
    x = (rng.normal(size=(300, 3)) + 0.8 * y[:, None]).astype(np.float32)
    data = Data(x[:240], y[:240], x[240:], y[240:])
    members = [fit(kind, data, 2, decides=False, min_leaf=20, class_weight=w) for w in (0.0, 1.0)]
    positive = [member.predict(data.x_eval)[:, 1].mean() for member in members]
    assert positive[1] > 1.5 * positive[0]


@each_type
def test_many_classes_and_those_without_a_row_to_train_on(kind):
    data = rows(n=240, outputs=12)
    assert score(fit(kind, data, 12), data) > 2 / 12
    without = data._replace(y=np.where(data.y == 5, 6, data.y).astype(np.int32))
    member = fit(kind, without, 12)
    assert 5 in data.y_eval and 0 < member.predict(data.x_eval)[:, 5].max() < 1e-3
    one = fit(kind, data._replace(y=np.zeros_like(data.y)), 12)
    assert (one.predict(data.x_eval).argmax(axis=1) == 0).all()
    np.testing.assert_array_equal(
        FittedMember.read(kind, one.header(), one.arrays()).predict(data.x_eval), one.predict(data.x_eval)
    )


@each_type
def test_a_default_of_a_small_table_takes_little_time(kind):
    data = rows(n=400, outputs=2)
    fit(kind, data, 2)  # imports the library
    started = time.process_time()
    fit(kind, data, 2)
    assert time.process_time() - started < 5


def sklearn_of(classes, missing, kind):
    """A fitted model of scikit-learn, and rows to predict."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    x[:, 4] = x[:, 4].round()  # thresholds that are met exactly
    signal = x[:, 0] * x[:, 1] + x[:, 4]
    if missing:
        x[rng.random(x.shape) < 0.15] = np.nan
    y = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes)) if classes else signal
    suffix = "Classifier" if classes else "Regressor"
    options = {"max_iter": 30} if kind == "HistGradientBoosting" else {"n_estimators": 20}
    return getattr(ensemble, kind + suffix)(**options, random_state=0).fit(x[:200], y[:200]), x


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("classes", [0, 2, 4])
@pytest.mark.parametrize("kind", ["HistGradientBoosting", "ExtraTrees"])
def test_a_forest_predicts_as_scikit_learn_does(kind, classes, missing):
    from metajax.automl.models import _boosted_trees, _extra_trees

    model, x = sklearn_of(classes, missing, kind)
    if kind == "ExtraTrees":
        member = _extra_trees.from_sklearn(model)
    else:
        member = _boosted_trees.from_sklearn(model, classes > 0)
        for i, stage in enumerate(model.staged_predict_proba(x) if classes else model.staged_predict(x), 1):
            if i in (10, 30):
                own = member.staged(x, np.array([i / 30]))[0]
                np.testing.assert_allclose(own, stage if classes else stage[:, None], rtol=2e-6, atol=1e-6)
    expected = model.predict_proba(x) if classes else model.predict(x)[:, None]
    np.testing.assert_allclose(member.predict(x), expected, rtol=2e-6, atol=1e-6)


def test_a_threshold_is_rounded_so_that_no_number_changes_sides():
    thresholds = np.random.default_rng(0).normal(size=1000)
    rounded = forest.round_down(thresholds)
    assert rounded.dtype == np.float32 and (rounded <= thresholds).all()
    assert (np.nextafter(rounded, np.float32(np.inf)) > thresholds).all()
    assert np.isfinite(forest.round_down(np.array([1e300, -1e300]))).all()


def test_ten_thousand_rows_are_predicted_fast():
    """200 trees of 31 leaves; about 0.16 s on one core, as scikit-learn takes."""
    pytest.importorskip("sklearn")
    from sklearn.ensemble import HistGradientBoostingRegressor

    from metajax.automl.models import _boosted_trees

    rng = np.random.default_rng(0)
    x, new = (rng.normal(size=(n, 10)).astype(np.float32) for n in (2_000, 10_000))
    model = HistGradientBoostingRegressor(max_iter=200).fit(x, np.sin(x[:, 0]) + x[:, 1] * x[:, 2])
    member = _boosted_trees.from_sklearn(model, False)
    member.predict(new[:10])
    started = time.process_time()
    member.predict(new)
    assert time.process_time() - started < 1.0, "with room for a slow machine"


def prepared(outputs=3, n=120):
    """Rows of an encoded table, as a search has them."""
    data = rows(n, outputs=outputs)
    x, y = np.concatenate([data.x, data.x_eval]), np.concatenate([data.y, data.y_eval])
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(4)])
    dataset = tabular.to_dataset(frame, pd.Series(y), "y", [], "classification" if outputs > 1 else "regression")
    encoder = tabular.Encoder.fit(dataset.schema, dataset.columns, dataset.target)
    encoder = dataclasses.replace(encoder, shift=0.0, scale=1.0)
    data = Data(*map(jnp.asarray, data[:4]))
    return Prepared(data, [data], data._replace(), None, encoder, np.arange(4), outputs, (105, 15), [])


class Fails:
    """A model type that cannot be fitted."""

    name = "fails"

    def domains(self, features, classification):
        return {"by": Float(0.0, 1.0)}

    def default_config(self, classification):
        return {"by": 0.5}

    def fit(self, config, data, seed, classification, outputs):
        raise ZeroDivisionError("never works")

    def from_arrays(self, arrays, settings):
        raise AssertionError("there is nothing to read")


class Constant(models.Member):
    """The shares of the classes, moved by the seed; or the mean."""

    def __init__(self, shares, seed):
        self.shares, self.settings = shares, {"seed": seed}

    def predict(self, x):
        return np.tile(self.shares, (len(x), 1))

    def arrays(self):
        return {"shares": self.shares}


class Constants(Fails):
    name = "constants"

    def fit(self, config, data, seed, classification, outputs):
        shares = np.bincount(data.y, minlength=outputs) / len(data.y) if classification else np.array([data.y.mean()])
        return Constant(shares, seed)

    def from_arrays(self, arrays, settings):
        return Constant(arrays["shares"], settings["seed"])


def trainer(table, kinds):
    space = tabular_space(4, table.outputs > 1, kinds)
    measure = metric("accuracy" if table.outputs > 1 else "r2", table.outputs, table.outputs > 1)
    return space, Trainer(space, table, 2, kinds, None, measure)


def test_a_mixed_wave_has_its_results_in_order_and_a_failure_does_not_end_it(capsys):
    kinds, table, done = [Constants(), Fails(), BUILT_IN["neighbors"][0]], prepared(), []
    space, mixed = trainer(table, kinds)
    net = {**initial_configs(True, [])[0], "epochs": 8}
    configs = [default_of_type(kind, True) for kind in kinds]
    encodings = np.asarray(space.encode(space.configs([configs[0], net, configs[1], configs[2], configs[0]])))
    results = mixed.train(encodings, table.search, jax.random.key(0), True, 10**6, done.append)
    assert np.isfinite(results.score).tolist() == [True, True, False, True, True]
    assert np.isnan(results.outputs[2]).all() and "model 'fails' failed (ZeroDivisionError" in capsys.readouterr().err
    assert done == [1, 2, 3, 4, 5]
    assert isinstance(results.params[1], network.Model) and results.params[0] is results.params[4], "trained once"
    assert results.curve.shape == (5, CURVE_POINTS) and (results.seconds[[0, 1, 3]] > 0).all()
    np.testing.assert_allclose(results.outputs[3], results.params[3].predict(np.asarray(table.search.x_eval)))
    labels = np.asarray(table.search.y_eval)
    np.testing.assert_allclose(results.score[[0, 1, 3]], (results.outputs[[0, 1, 3]].argmax(-1) == labels).mean(-1))
    again = mixed.train(encodings, table.search, jax.random.key(0), True, 10**6)
    np.testing.assert_array_equal(results.outputs, again.outputs)
    other = mixed.train(encodings[::-1], table.search, jax.random.key(0), True)
    seeds = [run.params[i].member.settings["seed"] for run, i in ((results, 0), (again, 0), (other, 0))]
    assert seeds[0] == seeds[1] == seeds[2], "a seed depends on key and position alone"
    moved = mixed.train(np.roll(encodings, 2, axis=0), table.search, jax.random.key(0), True)
    assert moved.params[2].member.settings["seed"] != seeds[0]


def test_the_length_of_a_training_is_decided_on_the_rows_of_the_search_alone():
    pytest.importorskip("sklearn")
    kind, table = BUILT_IN["boosted_trees"][0], prepared(2)
    space, mixed = trainer(table, [kind])
    config = {**default_of_type(kind, True), "boosted_trees.iterations": 500, "boosted_trees.learning_rate": 0.3}
    encodings = np.asarray(space.encode(space.configs([config])))
    searched = mixed.train(encodings, table.search, jax.random.key(0), True)
    n_decided = space.decode(searched.encodings)[0]["boosted_trees.iterations"]
    assert n_decided < 500 and max(4, len(searched.params[0].member.forest.roots)) == n_decided
    final = mixed.train(searched.encodings, table.final, jax.random.key(0), True, stop=searched.stop)
    assert len(final.params[0].member.forest.roots) == n_decided
    np.testing.assert_array_equal(final.encodings, searched.encodings)


@pytest.mark.parametrize("outputs", [1, 3])
def test_an_ensemble_of_several_types_predicts_the_mean_and_is_read_back(outputs, tmp_path):
    kinds, table = [Constants(), BUILT_IN["neighbors"][0]], prepared(outputs)
    space, mixed = trainer(table, kinds)
    net = {**initial_configs(outputs > 1, [])[0], "epochs": 8}
    constants, neighbors = (default_of_type(kind, outputs > 1) for kind in kinds)
    configs = [net, constants, neighbors, neighbors]
    encodings = np.asarray(space.encode(space.configs(configs)))
    results = mixed.train(encodings, table.final, jax.random.key(0), True, 10**6)
    build = lambda temperatures: FittedModel(
        space.decode(encodings), table.encoder, results.params, np.asarray(temperatures)
    )
    x = np.asarray(table.final.x_eval)
    mean = results.outputs.mean(axis=0)
    predicted = build(np.ones(4)).predict_inputs(x)
    np.testing.assert_allclose(predicted, mean if outputs > 1 else mean[:, 0], atol=1e-5)
    model = build([1.0, 1.0, 2.0, 2.0])
    if outputs > 1:
        flat = results.outputs[2:] ** 0.5
        parts = np.concatenate([results.outputs[:2], flat / flat.sum(axis=-1, keepdims=True)])
        np.testing.assert_allclose(model.predict_inputs(x), parts.mean(axis=0), atol=1e-5)
    model.save(tmp_path)
    back = FittedModel.load(tmp_path, kinds[:1])
    np.testing.assert_array_equal(back.predict_inputs(x), model.predict_inputs(x))
    with pytest.raises(InputError, match="model_types must include the type 'constants' of a member"):
        FittedModel.load(tmp_path)
    model.members[1].member.shares[0] = np.nan
    model.save(tmp_path)
    with pytest.raises(InputError, match=r"damaged .*shares holds values that are not finite"):
        FittedModel.load(tmp_path, kinds)


def test_the_defaults_of_all_types_are_first_and_boosting_is_the_one_to_beat():
    table = prepared(2)
    task = table_task(table, model_types=[kind for kind, _ in BUILT_IN.values()])
    names = [config["model"] for config in task.initial]
    assert names[:2] == ["boosted_trees", "mlp"] and set(names) == {*BUILT_IN, "mlp"}
    assert task.default == task.initial[0] and task.default["boosted_trees.iterations"] == 100
    assert table_task(table, model_types=()).default["model"] == "mlp"
    with pytest.raises(InputError, match="rename one"):
        table_task(table, model_types=[Constants(), Constants()])


def test_threads_are_those_of_the_process_or_fewer(monkeypatch):
    assert n_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1000000")
    assert n_threads() < 1000000
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    assert n_threads() >= 1
