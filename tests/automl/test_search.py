"""The main job from end to end on a small table, and what happens when it is stopped, asked again, or given nonsense."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
from small_searches import quick_meta_learner, small_models  # noqa: F401

import metajax
from metajax import automl, cli
from metajax.automl import models
from metajax.automl._load import identify, load_data
from metajax.automl._prepare import prepare
from metajax.automl._waves import WaveHistory
from metajax.data import tabular
from metajax.run import RunDirectory, to_dict
from metajax.types import InputError

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.optimized


def rows(n):
    """Numbers, categories, missing values and a nonlinear rule; all searches here share the programs for these columns."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "color": rng.choice(["red", "blue"], n)})
    rule = frame["a"] * np.where(frame["color"] == "red", 1, -1) + 0.3 * frame["b"] > 0
    frame["outcome"] = np.where(rule, "yes", "no")
    frame.loc[::17, "b"] = np.nan
    return frame


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The rows as a CSV."""
    path = tmp_path_factory.mktemp("data") / "table.csv"
    rows(240).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "search"
    argv = ["search", "--data", str(table), "--target", "outcome", "--trials", "24", "--out", str(out)]
    assert cli.main([*argv, "--metric", "accuracy"]) == 0
    return out


def test_the_run_is_complete_and_the_model_is_good(finished):
    result = json.loads((finished / "result.json").read_text())
    metrics = result["metrics"]
    assert metrics["configurations_tried"] == 24
    assert metrics["models_trained"] == 24 + 5 * 4, (
        "after each of four waves and at the end, one of them on the four other folds"
    )
    assert metrics["configurations_tried_random"] == 24 - len(automl.models.installed()) - 1, (
        "the defaults are not random"
    )
    assert metrics["log10_space"] > 12
    assert metrics["test_accuracy"] > 0.85
    assert all(isinstance(v, int | float) for v in metrics.values())
    for name in (
        "config.json",
        "meta.json",
        "metrics.jsonl",
        "model.json",
        "model.npz",
        "trials.csv",
        "space.json",
        "report.html",
    ):
        assert (finished / name).stat().st_size > 0
    trials = pd.read_csv(finished / "trials.csv")
    assert len(trials) == 44 + 24 - 8, "the first configurations are shared with the random baseline"
    assert set(trials["source"]) == {"random", "proposed", "promoted", "baseline"}
    low, high = metrics["test_accuracy_low"], metrics["test_accuracy_high"]
    assert 0 < low < metrics["test_accuracy"] <= high <= 1
    assert metrics["test_accuracy"] < high or high == 1, "Wilson's interval ends at 1 where all is right"
    for other in ("default", "random"):
        gain = metrics["test_accuracy"] - metrics[f"{other}_test_accuracy"]
        assert metrics[f"gain_over_{other}"] == pytest.approx(gain)
        assert metrics[f"gain_over_{other}_low"] <= gain <= metrics[f"gain_over_{other}_high"]
    assert "by accuracy (ties by calibrated log-loss)" in result["protocol"]
    page = (finished / "report.html").read_text()
    assert page.count("<img") == 4 and "trained on every fold" in page
    assert f"95% interval: {100 * low:.1f}% to {100 * high:.1f}%" in page
    assert "Selected model minus default configuration:" in page
    assert "on held-out rows than the default" in page or "set in bold" in page
    assert "http" not in page.split("<details>")[0], "self-contained"
    assert "How each column was read" in page and "2 levels:" in page
    assert tabular.Schema.read(finished / "schema.json") == automl.FittedModel.load(finished).encoder.schema


def test_the_trainings_of_runs_are_learning_meta_data(finished, tmp_path):
    trials = automl.load_trials(finished)
    table = pd.read_csv(finished / "trials.csv")
    np.testing.assert_allclose(trials.metric, table["validation_accuracy"])
    assert set(trials.settings) >= {"seconds", "loss", "source", "split"}
    splits = trials.settings["split"]
    assert (splits[table["source"] != "promoted"] == 0).all() and (splits[table["source"] == "promoted"] > 0).all()
    for split in np.unique(splits):
        assert len(np.unique(trials.group[splits == split])) == 1, "scores on other rows are another group"
    assert len(np.unique(trials.group)) == len(np.unique(splits)) > 2
    both = automl.load_trials(finished, finished.parent / "search")
    assert len(both) == 2 * len(trials)
    with pytest.raises(InputError, match="is not a finished run"):
        automl.load_trials(tmp_path)


def test_predict_reproduces_the_test_score_on_the_table(finished, table, tmp_path, capsys):
    frame = pd.read_csv(table)
    out = tmp_path / "p.csv"
    frame.drop(columns="outcome").to_csv(tmp_path / "new.csv", index=False)
    assert cli.main(["predict", str(finished), "--data", str(tmp_path / "new.csv"), "--out", str(out)]) == 0
    predicted = pd.read_csv(out)
    assert (predicted["prediction"] == frame["outcome"]).mean() > 0.85
    np.testing.assert_allclose(predicted[["p(no)", "p(yes)"]].sum(axis=1), 1, atol=1e-4)
    assert cli.main(["predict", str(finished), "--data", str(tmp_path / "new.csv"), "--out", str(out)]) == 2
    assert "already exists; choose a new file" in capsys.readouterr().err
    frame.assign(color="green").to_csv(tmp_path / "new.csv", index=False)
    assert (
        cli.main(["predict", str(finished), "--data", str(tmp_path / "new.csv"), "--out", str(tmp_path / "q.csv")]) == 0
    )
    assert (
        "Note: column color: levels that were not seen in training in 240 of 240 rows ('green')"
        in capsys.readouterr().err
    )
    assert cli.main(["show", str(finished)]) == 0
    assert "test accuracy: found" in capsys.readouterr().out


def comparable(path):
    result = json.loads((path / "result.json").read_text())
    result["metrics"].pop("seconds")
    return result


def unfinished(finished, out):
    """A copy of a search that was killed before it refitted what it found."""
    shutil.copytree(finished, out)
    for name in ("result.json", "model.json", "model.npz", "report.html", "trials.csv"):
        (out / name).unlink()
    return out


def test_a_stopped_search_resumes_to_the_same_result(finished, tmp_path, capsys):
    """A kill between or inside waves leaves the finished ones, and a damaged wave is trained again; going on must end as if
    nothing had happened."""
    out = unfinished(finished, tmp_path / "killed")
    waves = sorted((out / "waves").iterdir())
    waves[-1].unlink()
    (out / "waves" / "9999.part").write_bytes(b"half a wave")
    damaged = bytearray(waves[1].read_bytes())
    damaged[len(damaged) // 2] ^= 16
    waves[1].write_bytes(bytes(damaged))
    lines = (out / "metrics.jsonl").read_text().splitlines()
    (out / "metrics.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    capsys.readouterr()
    assert cli.main(["resume", str(out)]) == 0
    printed = capsys.readouterr().err
    assert printed.count("this wave is trained again") == 1 and f"{waves[1].name} is not a readable .npz" in printed
    assert comparable(out) == comparable(finished)
    assert [json.loads(a)["source"] for a in (out / "metrics.jsonl").open()] == [json.loads(a)["source"] for a in lines]


def test_a_search_is_resumed_with_its_own_data_only(finished, table, tmp_path, capsys):
    """Whatever is replaced between a kill and its resume: labels, values, a column, or rows."""
    frame = pd.read_csv(table)
    rng = np.random.default_rng(1)
    noise = frame.assign(outcome=rng.permutation(frame["outcome"].to_numpy()))
    cases = [
        (noise, "target: other content"),
        (frame.assign(a=frame["a"].round().astype(int)), "features: other content of 'a'"),
        (frame.rename(columns={"b": "c"}), "features: other columns ('b' not given; 'c' not there)"),
        (frame.iloc[1:], "features: other number of rows (240 there, 239 given)"),
    ]
    for number, (changed, message) in enumerate(cases):
        out = unfinished(finished, tmp_path / str(number)) if number else tmp_path / "done"
        if not number:  # a finished one does not answer for other data either
            shutil.copytree(finished, out)
        path = tmp_path / f"{number}.csv"
        changed.to_csv(path, index=False)
        config = json.loads((out / "config.json").read_text())
        (out / "config.json").write_text(json.dumps({**config, "data": str(path)}))
        assert cli.main(["resume", str(out)]) == 2
        error = capsys.readouterr().err
        assert "the run there is of other data (" in error and message in error and error.count("\n") == 1
    config = automl.Config(**{**config, "data": str(path)})
    with RunDirectory(out, to_dict(config), resume=True) as directory, pytest.raises(InputError, match="of other data"):
        automl.search(config, directory, tabular.load(str(path), "outcome"), show=False)


def test_a_model_read_back_is_the_model(finished):
    model = automl.FittedModel.load(finished)
    result = json.loads((finished / "result.json").read_text())
    plain = lambda config: json.loads(json.dumps(config))
    assert sum(part["weight"] for part in result["ensemble"]) == pytest.approx(1) == pytest.approx(model.weights.sum())
    assert len(model.configs) == len(model.members) == (5 + 1) * len(result["ensemble"]), "five folds, and all rows"
    of_parts = [part["config"]["model"] for part in result["ensemble"] for _ in range(6)]
    assert sorted(plain(config)["model"] for config in model.configs) == sorted(of_parts)
    assert result["found"] == result["ensemble"][0]["config"]
    assert model.temperatures.shape == model.weights.shape == (len(model.members),)


def test_a_model_answers_with_its_temperatures_and_a_damaged_one_is_refused(finished, table, tmp_path):
    """Probabilities of one member are those of its logits over its temperature; no label changes."""
    model = automl.FittedModel.load(finished)
    frame = pd.read_csv(table).drop(columns="outcome")
    alone = lambda t: dataclasses.replace(
        model,
        configs=model.configs[:1],
        members=model.members[:1],
        temperatures=np.array([t]),
        weights=None,
    )
    (labels, plain), (same, flat) = alone(1.0).predict(frame), alone(2.0).predict(frame)
    np.testing.assert_array_equal(labels, same)
    root = np.sqrt(plain)
    np.testing.assert_allclose(flat, root / root.sum(axis=1, keepdims=True), atol=1e-5)
    broken = np.full_like(model.temperatures, np.nan)
    dataclasses.replace(model, temperatures=broken).save(tmp_path)
    with pytest.raises(InputError, match=r"damaged \(temperatures holds values that are not finite"):
        automl.FittedModel.load(tmp_path)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["search", "--data", "mars"], "--data mars: must be one of digits"),
        (["search", "--data", "digits", "--minutes", "0"], "--minutes 0: must be a finite number > 0"),
        (["search", "--data", "digits", "--minutes", "-1"], "--minutes -1"),
        (["search", "--data", "digits", "--trials", "3"], "--trials 3: must be an integer >= 16"),
        (["search", "--data", "digits", "--seed", "-4"], "--seed -4"),
        (["search", "--data", "digits", "--method", "guess"], "--method guess: must be one of metalearner"),
        (["search", "--data", "digits", "--method", "supernet"], "--method supernet: needs images"),
        (["search", "--data", "digits", "--size", "2"], "--size 2: must be an integer from 4"),
        (["search", "--data", "digits", "--resume", "--overwrite"], "exclude each other"),
        (["predict", "nowhere", "--data", "x.csv"], "nowhere: holds no model"),
        (["show", "nowhere"], "nowhere: is not a run directory"),
        (["resume", "nowhere"], "nowhere: is not a run directory"),
    ],
)
def test_bad_input_is_one_line_and_status_2(argv, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing was written"


@pytest.mark.parametrize("argv", [["search"], ["fly"], ["search", "--data", "digits", "--minutes", "x"], []])
def test_bad_arguments_are_one_line_and_status_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_existing_run_is_refused_and_another_config_too(finished, table, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file() and p.name != ".lock"}
    argv = ["search", "--data", str(table), "--target", "outcome", "--trials", "24", "--out", str(finished)]
    argv += ["--metric", "accuracy"]
    assert cli.main(argv) == 2
    assert "a run is there already" in capsys.readouterr().err
    assert cli.main([*argv, "--resume", "--seed", "1"]) == 2
    assert "another config (seed: 0 there, 1 given)" in capsys.readouterr().err
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file() and p.name != ".lock"}


def test_an_edited_schema_is_searched_by(table, tmp_path, capsys, monkeypatch):
    """It is printed, written, edited and given to a search, which keeps it."""
    out = tmp_path / "schema.json"
    argv = ["--data", str(table), "--target", "outcome"]
    assert cli.main(["schema", *argv, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "target outcome: classification, classes no, yes" in printed and "2 levels" in printed
    content = json.loads(out.read_text())
    content["columns"] = [column for column in content["columns"] if column["name"] != "b"]
    out.write_text(json.dumps(content))
    config = automl.Config(str(table), "outcome", schema=str(out))
    loaded = load_data(config)
    dataset = loaded.dataset
    assert isinstance(dataset, tabular.Dataset) and dataset.schema is not None
    assert [column.name for column in dataset.schema.used] == ["a", "color"]
    assert dataset.notes == ["Columns that the schema does not name are left out: b."]
    assert identify(loaded) != identify(load_data(dataclasses.replace(config, schema=None)))
    out.write_text(out.read_text().replace("category", "letters"))
    assert cli.main(["search", *argv, "--schema", str(out), "--out", str(tmp_path / "r")]) == 2
    assert "column color: kind must be one of number, boolean" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


@pytest.mark.usefixtures("quick_meta_learner")
def test_a_full_disk_keeps_what_is_done(table, tmp_path, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    argv = ["search", "--data", str(table), "--target", "outcome", "--trials", "16", "--no-baseline"]
    assert cli.main([*argv, "--out", str(tmp_path / "o")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: the disk is full at") and "0000.npz" in error and "resume" in error
    monkeypatch.undo()
    assert not list((tmp_path / "o" / "waves").iterdir()), "half a file only takes up room"
    assert cli.main(["resume", str(tmp_path / "o")]) == 0


@pytest.mark.usefixtures("quick_meta_learner")
def test_an_estimator_of_a_data_frame_with_text_and_gaps_resumes_and_predicts(tmp_path):
    """Of as many rows as the table has for training and validation, so that both share programs."""
    pytest.importorskip("sklearn")
    frame = rows(192)
    x, y = frame.drop(columns="outcome"), frame["outcome"]
    model = metajax.AutoMLClassifier(trials=16, directory=str(tmp_path / "r")).fit(x, y)
    assert list(model.classes_) == ["no", "yes"] and model.score(x, y) > 0.7
    assert model.predict_proba(x).shape == (192, 2) and len(model.trials_) >= 8
    assert (model.model_.temperatures != 1).any(), "its probabilities are calibrated"
    assert model.directory_ is not None and (tmp_path / "r" / model.directory_ / "model.npz").is_file()
    again = metajax.AutoMLClassifier(trials=16, directory=str(tmp_path / "r")).fit(x, y)
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


@pytest.mark.usefixtures("quick_meta_learner")
def test_other_data_is_another_run_whatever_the_directory_holds(tmp_path):
    """The scores of an easy table say nothing about noise, nor those of one fold about the next.

    All tables have as many rows, features and inputs (each feature with an indicator of missing values) as the one above, so
    that all share its compiled programs.
    """
    pytest.importorskip("sklearn")
    from sklearn.model_selection import cross_validate

    rng = np.random.default_rng(0)
    every = rng.normal(size=(384, 3))
    easy, noise = (every[:, 0] > 0).astype(int), rng.permutation(192) % 2
    every[::8, 1:], every[4::32, 0] = np.nan, np.nan
    x = every[:192]
    estimator = metajax.AutoMLClassifier(trials=16, directory=str(tmp_path / "r"))
    best = lambda model: float(np.nanmax(model.trials_.metric))
    assert best(estimator.fit(x, easy[:192])) > 0.9
    assert best(estimator.fit(x, noise)) < 0.9
    folds = cross_validate(estimator, every, easy, cv=2, return_estimator=True, error_score="raise")
    places = {model.directory_ for model in folds["estimator"]}
    assert len(places) == 2 and len(list((tmp_path / "r").iterdir())) == 4
    assert not np.array_equal(*(model.trials_.metric for model in folds["estimator"]))
    with pytest.raises(InputError, match="is the directory of one run"):
        metajax.AutoMLClassifier(trials=16, directory=estimator.directory_).fit(x, noise)


def test_other_model_types_are_another_run(tmp_path):
    """What a wave holds cannot be read with the space of other types."""
    loaded, few = load_data(automl.Config("iris")), models.installed()[:2]
    with RunDirectory(tmp_path, {}, data=identify(loaded, few)):
        pass
    with pytest.raises(InputError, match=r"\(model_types: other number of rows"):
        RunDirectory(tmp_path, {}, resume=True, data=identify(loaded))
    assert identify(loaded) == identify(loaded, models.installed())


def test_what_is_not_installed_is_said(monkeypatch):
    from metajax.automl import _search

    monkeypatch.setattr(_search, "is_installed", lambda package: package not in ("lightgbm", "catboost"))
    (line,) = _search._not_searched()
    assert line.startswith("Note: lightgbm, catboost would be searched, too") and "metajax[tabular,trees]" in line
    monkeypatch.setattr(_search, "is_installed", lambda package: True)
    assert not _search._not_searched()


def test_many_rows_are_subsampled_and_every_class_stays():
    """A quarter of a million rows at most are looked at, fewer in a short budget, with a note."""
    rng = np.random.default_rng(0)
    n = 300_000
    target = np.where(np.arange(n) < 4, "rare", np.where(rng.random(n) < 0.5, "a", "b"))
    frame = pd.DataFrame({"x": rng.normal(size=n).astype(np.float32)})
    dataset = tabular.to_dataset(frame, pd.Series(target), "y", [], None)
    prepared = prepare(dataset, 0, minutes=1.0)
    assert prepared.classification and prepared.outputs == 3
    assert len(prepared.folds) == 1 and prepared.folds[0] is not prepared.search, "one split, compared on a part of it"
    assert len(prepared.search.x) == 15_000 and prepared.network_rows == 30_000
    assert 239_900 < len(prepared.final.x) < 240_100 and len(prepared.search.x_eval) == 10_000
    assert len(prepared.folds[0].x) == len(prepared.final.x) - 10_000
    assert any("of the 300,000 rows, drawn at random" in note for note in prepared.notes)
    numbers = prepared.test_row_numbers
    assert numbers is not None and len(set(numbers.tolist())) == prepared.rows[1] and numbers.max() > 250_000
    np.testing.assert_array_equal(prepared.final.y_eval, np.searchsorted(["a", "b", "rare"], target[numbers]))


@pytest.mark.usefixtures("quick_meta_learner")
def test_groups_and_weights_of_rows(table, tmp_path, capsys):
    """By the command line and by the estimator; both say so, and refuse what makes no sense."""
    whole = pd.read_csv(table).assign(who=lambda t: np.arange(len(t)) % 24, w=lambda t: 1 + (t["color"] == "red"))
    whole.to_csv(tmp_path / "t.csv", index=False)
    argv = ["search", "--data", str(tmp_path / "t.csv"), "--target", "outcome", "--trials", "16", "--no-baseline"]
    roles = ["--group", "who", "--weight", "w", "--folds", "2", "--metric", "balanced_accuracy"]
    assert cli.main([*argv, *roles, "--out", str(tmp_path / "r")]) == 0
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert "rows, all of some values of who, drawn by seed 0, are the test" in result["protocol"]
    assert "Rows count as w says, in training and in every score" in result["protocol"]
    assert "on each of 2 folds" in result["protocol"] and result["data"]["features"] == 3
    trials = pd.read_csv(tmp_path / "r" / "trials.csv")
    assert set(trials["class_weight"]) >= {0.0, 1.0}, "searched where the metric judges every class alike"
    model = automl.load_model(tmp_path / "r")
    assert len(model.predict(whole.drop(columns=["who", "w"]))[0]) == 240, "new rows need neither"
    capsys.readouterr()
    assert cli.main([*argv, "--time", "a", "--folds", "3", "--out", str(tmp_path / "s")]) == 2
    assert "--time a: cannot be combined with group or folds" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_meta_learner")
def test_an_estimator_takes_weights_and_groups():
    """Rows that contradict each other: the heavy ones are right."""
    x = np.tile(np.random.default_rng(0).normal(size=(60, 2)), (2, 1))
    y, who = np.repeat([0, 1], 60), np.tile(np.arange(60) // 5, 2)
    few = [kind for kind in automl.models.installed() if kind.name in ("neighbors", "regularized_linear")]
    seen = []
    enough = lambda record: seen.append(record) or record["tried"] >= 8
    estimator = metajax.AutoMLClassifier(folds=2, method="random", model_types=few, callbacks=[enough])
    estimator.fit(x, y, sample_weight=np.where(y == 1, 9.0, 1.0), groups=who)
    assert seen[-1]["tried"] < 192 and seen[-1].keys() >= {"seconds", "best", "source"}, "it was ended by the callback"
    assert np.median(estimator.predict_proba(x)[:, 1]) > 0.8
    with pytest.raises(
        InputError, match=r"sample_weight: must have the shape \(120,\), one value for each row of X, got \(3,\)"
    ):
        estimator.fit(x, y, sample_weight=[1, 2, 3])
    with pytest.raises(InputError, match="groups: must have at least 2 groups"):
        estimator.fit(x, y, groups=np.zeros(120))


def test_a_dataset_in_memory_is_searched_as_the_config_says(table, tmp_path):
    """What the config says of rows must be what the dataset was read with; test rows are read."""
    dataset = tabular.load(table, "outcome")
    test = tmp_path / "test.csv"
    pd.read_csv(table).iloc[:30].to_csv(test, index=False)
    loaded = load_data(automl.Config(str(table), "outcome", test=str(test)), dataset)
    assert loaded.dataset is dataset and len(loaded.test.target) == 30
    with pytest.raises(InputError, match="dataset: was read with"):
        load_data(automl.Config(str(table), "outcome", group="a"), dataset)


@pytest.mark.parametrize("folds", [2.5, True, "5", 0, 21])
def test_a_number_of_folds_is_a_whole_number(folds):
    with pytest.raises(InputError, match=f"folds={folds!r}: must be an integer from 1 to 20"):
        automl.Config("iris", folds=folds)


def test_a_run_from_before_a_setting_existed_is_resumed(tmp_path):
    config = to_dict(automl.Config("iris", seed=3))
    with RunDirectory(tmp_path / "r", {name: value for name, value in config.items() if name != "folds"}):
        pass
    with RunDirectory(tmp_path / "r", config, resume=True) as directory:
        assert directory.resumed


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "optuna"])
def test_other_methods_propose(method, table, tmp_path):
    if method == "optuna":
        pytest.importorskip("optuna")
    argv = ["search", "--data", str(table), "--target", "outcome", "--trials", "128", "--no-baseline"]
    assert cli.main([*argv, "--method", method, "--out", str(tmp_path / "r")]) == 0
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["metrics"]["test_accuracy"] > 0.8 and result["metrics"]["configurations_tried"] == 128


@pytest.mark.slow
def test_regression_and_a_budget_in_minutes(tmp_path):
    """A budget stops the search early; everything is still written."""
    config = automl.Config("diabetes", minutes=0.5, baseline=False)
    with RunDirectory(tmp_path / "r", to_dict(config)) as directory:
        outcome = automl.search(config, directory, show=False)
    assert outcome.result["data"]["task"] == "regression"
    assert outcome.result["metrics"]["test_r2"] > 0.3
    frame = tabular.load("diabetes").frame
    values, probabilities = outcome.model.predict(frame)
    assert probabilities is None
    assert 80 < values.mean() < 220, "in the units of the target"


@pytest.mark.usefixtures("quick_meta_learner")
def test_test_rows_of_a_file_of_their_own(table, tmp_path, capsys):
    """They are read by the schema of the others, and every other row is learned from."""
    whole = pd.read_csv(table)
    whole.iloc[:48].to_csv(tmp_path / "test.csv", index=False)
    whole.iloc[48:].to_csv(tmp_path / "train.csv", index=False)
    argv = ["search", "--data", str(tmp_path / "train.csv"), "--target", "outcome", "--trials", "16", "--no-baseline"]
    assert cli.main([*argv, "--test", str(tmp_path / "test.csv"), "--out", str(tmp_path / "r")]) == 0
    result = json.loads((tmp_path / "r" / "result.json").read_text())
    assert result["data"]["rows"] == {"learned": 192, "test": 48} and "test.csv are the test" in result["protocol"]
    assert result["metrics"]["test_roc_auc"] > 0.8
    whole.iloc[:47].to_csv(tmp_path / "test.csv", index=False)
    assert cli.main(["resume", str(tmp_path / "r")]) == 2
    assert "test_features: other number of rows (48 there, 47 given)" in capsys.readouterr().err
    whole.iloc[:48].drop(columns="a").to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "train.xls").write_text("a\n")
    for test, message in (("test.csv", "a"), ("none.csv", "no such file"), ("train.xls", "must be a path")):
        assert cli.main([*argv, "--test", str(tmp_path / test), "--out", str(tmp_path / "s")]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and not (tmp_path / "s").exists()
    whole.iloc[:48].assign(outcome="maybe").to_csv(tmp_path / "test.csv", index=False)
    assert cli.main([*argv, "--test", str(tmp_path / "test.csv"), "--out", str(tmp_path / "s")]) == 2
    assert "must have labels among the classes of the schema, got maybe" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_meta_learner")
def test_a_search_that_is_asked_to_stop_leaves_a_model_and_goes_on(table, tmp_path, capsys):
    """Ctrl-C in the third wave: the model of the first ones is there, and resuming ends as if nothing had happened."""
    argv = ["search", "--data", str(table), "--target", "outcome", "--trials", "16", "--no-baseline"]
    assert cli.main([*argv, "--out", str(tmp_path / "whole")]) == 0
    train, started = WaveHistory._train_splits, []

    def interrupted(self, *arguments):
        started.append(1)
        if len(started) == 3:
            signal.raise_signal(signal.SIGINT)
        return train(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WaveHistory, "_train_splits", interrupted)
        assert cli.main([*argv, "--out", str(tmp_path / "r")]) == 130
    error = capsys.readouterr().err
    assert (
        "the model so far is in" in error
        and "metajax resume" in error
        and not (tmp_path / "r" / "result.json").exists()
    )
    assert len(list((tmp_path / "r" / "waves").iterdir())) == 2
    labels, _ = automl.load_model(tmp_path / "r").predict(pd.read_csv(table))
    assert (labels == pd.read_csv(table)["outcome"]).mean() > 0.8
    assert cli.main(["resume", str(tmp_path / "r")]) == 0
    assert comparable(tmp_path / "r") == comparable(tmp_path / "whole")
