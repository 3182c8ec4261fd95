"""The judged tables: contestants see no target of the test part, failures rank last, and the table says what was measured."""

import json
import subprocess

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

from experiments import harness  # noqa: E402
from experiments.automl import _contest as contest  # noqa: E402
from experiments.automl import _peers as peers  # noqa: E402
from experiments.automl import _suite as suite  # noqa: E402
from experiments.automl import quickstart, search_ablation, tables  # noqa: E402
from experiments.automl._ranks import ranks  # noqa: E402
from metajax import automl  # noqa: E402
from metajax.automl import prior  # noqa: E402
from metajax.types import InputError  # noqa: E402


def frame(task):
    """120 rows with a gap, text, and a target that two columns decide."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"number": rng.normal(size=120), "text": rng.choice(["a", "b", "c"], 120), "gap": 1.0})
    x.loc[::7, "gap"] = np.nan
    x.loc[::11, "text"] = None
    value = x["number"] + (x["text"] == "a")
    return x.assign(y=np.where(value > 0.5, "high", "low") if task == "classification" else value)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_contestant_sees_no_target_of_the_rows_that_it_predicts(task, tmp_path):
    table, rows = suite.Table("", "y", task), frame(task)
    suite.write(rows, table, 0, tmp_path, seconds=1.0, cores=1)
    assert "y" not in pd.read_parquet(tmp_path / "test.parquet")
    contest.main("boosting", tmp_path)
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as arrays:
        output = arrays["predictions"]
    test = suite.split(rows, table, 0).test
    assert len(output) == len(test) == 30 - (task == "classification" and sum(rows["y"].value_counts() % 4 > 0) > 1)
    assert tables.score_of(output, rows["y"].to_numpy()[test], task) > 0.6
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["fit_seconds"] > 0 and record["megabytes"] > 10


def test_scores_are_those_of_scikit_learn():
    chance = np.array([[0.4, 0.6], [0.8, 0.2], [0.3, 0.7]])
    assert tables.score_of(chance, np.array(["b", "a", "b"]), "classification") == 1.0
    three = np.eye(3)[[0, 1, 1]]
    assert tables.score_of(three, np.array(["a", "b", "c"]), "classification") == pytest.approx(2 / 3)
    assert tables.score_of(np.array([1.0, 2.0]), np.array([1.0, 2.0]), "regression") == 1.0


def test_a_variant_is_the_search_with_one_part_changed(monkeypatch):
    """Each changes what it says, and nothing of the others."""
    given = {}
    monkeypatch.setattr(contest, "metajax", lambda data, **options: given.update(options))
    data = None
    assert set(search_ablation.WORDS) == {"metajax", *contest.VARIANTS}
    contest.VARIANTS["tpe"](data)
    assert given == {"method": "optuna"}
    for name, kept in (("no_trees", False), ("scikit_learn_trees", True)):
        contest.VARIANTS[name](data)
        kinds = {kind.name for kind in given["model_types"]}
        assert ("boosted_trees" in kinds) == kept and kinds >= {"neighbors", "regularized_linear"}
        assert not kinds & {"lightgbm", "xgboost", "catboost"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prior, "is_available", prior.is_available)
        contest.VARIANTS["no_prior"](data)
        assert not prior.is_available()


@pytest.mark.slow
def test_the_quickstart_compares_three_searches(tmp_path, capsys):
    assert quickstart.EXPERIMENT.main(["--minutes", "0.1", "--out", str(tmp_path / "quickstart_0")]) == 0
    results = {r.name: r for r in harness.committed(tmp_path)}
    (line,) = quickstart.statement(results)
    assert "against chance in the same time" in line
    assert "quickstart_0" in quickstart.summary(list(results.values()))
    for name in quickstart.METHODS:
        assert (tmp_path / "quickstart_0" / name / "report.html").is_file()
        assert results["quickstart_0"].metrics[f"{name}_test_accuracy"] > 0.8


def test_without_an_ensemble_the_heaviest_configuration_is_left():
    configs = [{"model": "a", "a.iterations": 5}, {"model": "b"}, {"model": "a", "a.iterations": 9}, {"model": "b"}]
    whole = automl.FittedModel(configs, None, ["a1", "b1", "a2", "b2"], np.arange(4.0), np.array([0.2, 0.3, 0.2, 0.3]))
    part = contest.largest(whole)
    assert part.members == ["b1", "b2"] and part.weights.tolist() == [0.5, 0.5] and part.temperatures.tolist() == [1, 3]


def test_the_ablation_counts_tables_and_points():
    result = {"metrics": {}}
    for method, scores in {"metajax": (90.0, 80.0, 70.0), "random_proposals": (89.0, 81.0, 60.0)}.items():
        result["metrics"] |= {f"{method} {t}": s for t, s in zip(("caravan", "default", "mnist"), scores)}
        result["metrics"] |= {f"{method} validation {t}": scores[0] for t in ("caravan", "default")}
        result["metrics"] |= {f"{method} rank": 1.5, f"{method} models": 30.0, f"{method} fit_seconds": 29.0}
    lines = search_ablation.markdown({}, result).splitlines()
    assert len(lines) == 4 and lines[3].split("|")[3:5] == [" +3.33 ", " 2 : 1 "]
    assert lines[3].split("|")[6] == " 2 : 0 (p 0.5) "


def test_a_failure_ranks_last_and_equal_scores_share_a_rank():
    result = ranks({"a": {"x": 0.9, "y": 0.5}, "b": {"x": 0.9, "y": 0.6}, "c": {"x": np.nan, "y": np.nan}})
    assert result.mean == {"a": 1.75, "b": 1.25, "c": 3.0}
    assert result.groups() == [("b", "a", "c")], "two tables tell no methods apart"


def test_many_tables_tell_methods_apart():
    rng = np.random.default_rng(0)
    scores = {
        m: {str(i): shift + rng.normal() for i in range(60)} for m, shift in (("a", 2.0), ("b", 1.9), ("c", -2.0))
    }
    result = ranks(scores)
    assert result.p < 1e-6 and result.groups() == [tuple(sorted("ab", key=result.mean.__getitem__))]


def test_a_program_that_ends_in_an_error_or_not_at_all_has_failed(tmp_path, monkeypatch):
    suite.write(frame("regression"), suite.Table("", "y", "regression"), 0, tmp_path, seconds=1.0, cores=1)
    monkeypatch.setitem(peers.ENVIRONMENT, "nothing", "")
    cost = peers.run("nothing", tmp_path, tmp_path, 1, 60.0)
    assert cost.predictions is None and "KeyError" in cost.record["failed"]
    assert peers.run("nothing", tmp_path, tmp_path, 1, 0.01).record["failed"] == "not done after 0.01 s"


def test_an_environment_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: no such package\n")
    monkeypatch.setattr(peers.venv, "create", lambda path, **options: path.mkdir(parents=True))
    monkeypatch.setattr(peers.subprocess, "run", lambda *args, **options: failed)
    peers.environment.cache_clear()
    with pytest.raises(
        InputError, match=r"^environments=.*models cannot be installed there \(ERROR: no such package\)"
    ):
        peers.environment("models", tmp_path)


def test_each_default_is_fitted_once_and_each_search_for_every_budget():
    config = tables.Config(tables="wage", methods="metajax,boosting", seconds="10,60", splits=2)
    cells = [(c["split"], c["method"], c["budget"]) for c in tables.cells_of(config)]
    assert cells[:3] == [(0, "metajax", 10.0), (0, "metajax", 60.0), (0, "boosting", 0.0)] and len(cells) == 6
    for bad in ({"seconds": "10,x"}, {"seconds": "0"}, {"splits": 0}, {"tables": "nothing"}):
        with pytest.raises(InputError):
            tables.Config(**bad)


def test_the_table_counts_failures_and_compares_with_the_boosting_default():
    config = tables.Config(tables="wage,life", methods="metajax,boosting", seconds="60", splits=1)
    record = lambda table, method, **rest: {
        "table": table,
        "method": method,
        "budget": 60.0 * (method == "metajax"),
        **rest,
    }
    records = [
        record("wage", "metajax", score=0.4, fit_seconds=60.0),
        record("wage", "boosting", score=0.35, fit_seconds=1.0),
        record("life", "metajax", failed="stopped"),
        record("life", "boosting", score=0.8, fit_seconds=2.0),
    ]
    metrics = tables.summarized(config, records)
    assert metrics["60 s metajax rank"] == metrics["60 s boosting rank"] == 1.5
    text = tables.markdown({"seconds": "60"}, {"metrics": metrics})
    assert "| wage | 40.00 | 35.00 |" in text and "+5.00 points on average" in text


def test_the_sentences_say_who_is_better_and_where_not():
    names = list(suite.TABLES)[:3]
    m = {f"60 s metajax {t}": 90.0 for t in names} | {
        f"60 s boosting {t}": v for t, v in zip(names, (91.0, 89.0, 90.5))
    }
    m |= {
        "60 s metajax rank": 1.67,
        "60 s boosting rank": 1.33,
        "60 s metajax fit_seconds": 60.0,
        "60 s boosting fit_seconds": 1.0,
    }
    result = harness.Result("tables_minute", {}, {"metrics": m}, {})
    short = {name.replace("60 s", "10 s"): value for name, value in m.items()}
    ten = harness.Result("tables_ten", {}, {"metrics": short}, {})
    first, second, third = tables.statement({"tables_minute": result, "tables_ten": ten})
    assert (
        "On 3 new tables" in first
        and "boosting 1.33, metajax 1.67" in first
        and "better than boosting on 1 (p 1 by a sign test)" in first
    )
    assert f"better on {names[0]} and {names[2]}, by at most 1.00 points ({names[0]})" in second
    assert third == "In ten seconds: boosting 1.33, metajax 1.67."
    assert len(tables.statement({"tables_minute": result})) == 2
