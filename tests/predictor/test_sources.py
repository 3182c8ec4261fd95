"""Trials from where they are kept, what becomes of pruned and failed ones, and bad tables."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from metajax import predictor
from metajax.predictor import Trials
from metajax.space import Categorical, Float, Integer, Space, Subset
from metajax.types import InputError

SPACE = Space(
    {"rate": Float(1e-4, 1.0, log=True), "op": Categorical(("sgd", "adam")), "layers": Integer(1, 4)},
    [("layers", "op", ("adam",))],
)


def frame(n=12, seed=0):
    rng = np.random.default_rng(seed)
    op = rng.choice(["sgd", "adam"], n)
    layers = np.where(op == "adam", rng.integers(1, 5, n), np.nan)
    return pd.DataFrame({"rate": 10 ** rng.uniform(-4, 0, n), "op": op, "layers": layers, "score": rng.normal(size=n)})


def test_parquet_and_csv_hold_the_same(tmp_path):
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    a = Trials.from_csv(SPACE, tmp_path / "t.csv", "score")
    b = Trials.from_parquet(SPACE, tmp_path / "t.parquet", "score")
    np.testing.assert_allclose(a.encodings, b.encodings, atol=1e-6)
    np.testing.assert_allclose(a.metric, b.metric)
    (tmp_path / "t.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        Trials.from_parquet(SPACE, tmp_path / "t.parquet", "score")


def test_optuna_studies_are_read_and_not_written(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = tmp_path / "studies.db"
    for name in ("first", "second"):
        study = optuna.create_study(study_name=name, storage=f"sqlite:///{path}", direction="minimize")

        def objective(trial):
            rate, op = (
                trial.suggest_float("rate", 1e-4, 1.0, log=True),
                trial.suggest_categorical("op", ["sgd", "adam"]),
            )
            layers = trial.suggest_int("layers", 1, 4) if op == "adam" else 0
            trial.report(5.0, 0)
            if trial.number == 3:
                raise optuna.TrialPruned
            if trial.number == 4:
                raise ValueError
            return abs(np.log10(rate) + 2) + layers

        study.optimize(objective, n_trials=8, catch=(ValueError,))
        study.ask()  # still running
    before = path.read_bytes()
    trials = Trials.from_optuna(f"sqlite:///{path}", space=SPACE)
    assert path.read_bytes() == before
    assert len(trials) == 16 and not trials.maximize and len(np.unique(trials.group)) == 2
    assert list(trials.settings["state"][:8]) == ["complete"] * 3 + ["pruned", "failed"] + ["complete"] * 3
    one = Trials.from_optuna(f"sqlite:///{path}", "second", SPACE)
    utility = one.utility
    assert utility[4] == utility.min(), "a failed trial is the worst"
    assert utility[3] == min(-5.0, np.median(-one.metric[np.isfinite(one.metric)])), (
        "a pruned one is no better than the median"
    )
    loaded = optuna.load_study(study_name="first", storage=f"sqlite:///{path}")
    np.testing.assert_allclose(Trials.from_optuna(loaded, space=SPACE).metric, trials.metric[:8])
    with pytest.raises(InputError, match=r"no study \['third'\]; it has \['first', 'second'\]"):
        Trials.from_optuna(f"sqlite:///{path}", "third", SPACE)
    with pytest.raises(InputError, match="no such file"):
        Trials.from_optuna(f"sqlite:///{tmp_path}/none.db", space=SPACE)
    assert not (tmp_path / "none.db").exists()


def test_hpob_and_syne_tune(tmp_path):
    content = {
        "4796": {"3": {"X": [[0.0, 0.5], [1.0, 0.2]], "y": [[0.3], [0.9]]}, "9": {"X": [[0.1, 0.1]], "y": [[0.5]]}}
    }
    (tmp_path / "hpob.json").write_text(json.dumps(content))
    trials = Trials.from_hpob(tmp_path / "hpob.json", "4796")
    assert len(trials) == 3 and trials.space.width == 2 and list(trials.group) == [0, 0, 1]
    with pytest.raises(InputError, match=r"no search space '1'; it has \['4796'\]"):
        Trials.from_hpob(tmp_path / "hpob.json", "1")
    rows = pd.DataFrame(
        {"trial_id": [0, 0, 1], "config_rate": [0.1, 0.1, 0.2], "config_op": "sgd", "loss": [3.0, 2.0, 1.0]}
    )
    rows["config_layers"] = np.nan
    rows.to_csv(tmp_path / "results.csv.zip", index=False)
    trials = Trials.from_syne_tune(SPACE, tmp_path / "results.csv.zip", "loss", maximize=False)
    assert list(trials.metric) == [2.0, 1.0] and trials.best == 1


def test_mlflow_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match="from_mlflow needs MLflow: pip install mlflow"):
        Trials.from_mlflow(SPACE, "score")


def test_tables_become_trials():
    space = Space({"n": Integer(0, 3)})
    tables = [
        predictor.benchmarks.TabularBenchmark(n, space, {"n": np.arange(4)}, np.arange(8.0).reshape(4, 2) + i, True)
        for i, n in enumerate("ab")
    ]
    trials = Trials.from_tables(tables, [0, 2])
    assert list(trials.metric) == [0.5, 4.5, 1.5, 5.5] and list(trials.group) == [0, 0, 1, 1]
    with pytest.raises(InputError, match="one direction"):
        Trials.from_tables([tables[0], tables[1]._replace(maximize=False)])


def test_noise_and_disagreeing_repeats():
    space = Space({"n": Integer(0, 9)})
    rng = np.random.default_rng(0)
    n = np.repeat(np.arange(10), 5)
    quiet = Trials.from_arrays(space, {"n": n}, n + 0.1 * rng.normal(size=50), unit="%")
    assert 0.07 < quiet.noise < 0.13 and quiet.unit == "%"
    with pytest.warns(UserWarning, match="mostly noise"):
        Trials.from_arrays(space, {"n": n}, rng.normal(size=50))
    assert np.isnan(Trials.from_arrays(space, {"n": np.arange(3)}, [1.0, 2.0, 3.0]).noise)


def test_a_dataset_without_meta_features_is_warned_of():
    space = Space({"n": Integer(0, 9)})
    context = [[1.0], [1.0], [np.nan], [np.nan]]
    with pytest.warns(UserWarning, match="1 datasets have no context"):
        trials = Trials.from_arrays(
            space, {"n": np.arange(4)}, [1.0, 2.0, 3.0, 4.0], group=[0, 0, 1, 1], context=context
        )
    assert np.isfinite(predictor.fit(trials, predictor.ridge(), "value").predict(trials.encodings, [np.nan])[0]).all()


def test_too_many_rows_are_drawn_from_with_a_warning():
    space = Space({"x": Float(0.0, 1.0)})
    x = np.random.default_rng(0).uniform(size=20_000).astype(np.float32)
    trials = Trials.from_arrays(space, {"x": x}, x)
    spec = predictor.ridge()._replace(max_rows=500)
    with pytest.warns(UserWarning, match="20,000 trials; ridge1 takes 500"):
        model = predictor.fit(trials, spec, "rank")
    np.testing.assert_allclose(model.predict([[0.2], [0.8]])[0], [0.2, 0.8], atol=0.05)


@pytest.mark.parametrize("classification", [True, False])
def test_meta_features_are_finite_and_tell_datasets_apart(classification):
    rng = np.random.default_rng(0)
    easy = rng.normal(size=(300, 5))
    y = easy[:, 0] + 0.01 * rng.normal(size=300)
    y = (y > 0).astype(int) if classification else y
    known = predictor.metafeatures(easy, y, classification)
    noise = predictor.metafeatures(easy, rng.permutation(y), classification)
    assert known["linear_landmarker"] > noise["linear_landmarker"] + 0.2
    assert known["largest_information"] > noise["largest_information"] + 0.1
    for x, target in ((np.full((6, 2), np.nan), y[:6]), (np.ones((6, 3)), y[:6]), (rng.normal(size=(8, 40)), y[:8])):
        assert all(np.isfinite(v) for v in predictor.metafeatures(x, target, classification).values())


def test_meta_features_by_hand():
    x = np.array([[0.0, np.nan], [1.0, 1.0], [2.0, np.nan], [3.0, 3.0]])
    features = predictor.metafeatures(x, ["a", "a", "a", "b"])
    assert features["missing"] == 0.25 and features["log_rows"] == pytest.approx(np.log(4))
    assert features["imbalance"] == pytest.approx(np.log(3))
    share = np.array([0.75, 0.25])
    assert features["class_entropy"] == pytest.approx(-(share * np.log(share)).sum() / np.log(2))
    with pytest.raises(InputError, match="at least 4 rows"):
        predictor.metafeatures(x[:3], [0, 1, 0])
    with pytest.raises(InputError, match="must be finite"):
        predictor.metafeatures(x, [0.0, 1.0, np.nan, 2.0], classification=False)


def test_a_subset_is_read_from_a_file(tmp_path):
    space = Space({"f": Subset(3)})
    pd.DataFrame({"f": ["0 2", "1"], "score": [1.0, 2.0]}).to_csv(tmp_path / "t.csv", index=False)
    assert Trials.from_csv(space, tmp_path / "t.csv", "score").configs() == [{"f": (0, 2)}, {"f": (1,)}]
