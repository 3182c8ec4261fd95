"""Metrics go to trackers as they come, each step once; a run does not depend on any of them."""

import json
import sqlite3

import pytest

from metajax import cli, integrations, run
from metajax.types import InputError


class Kept:
    """A writer that keeps what it is given, and fails from a step on."""

    def __init__(self, fails_at=float("inf")):
        self.sent, self.closed, self.fails_at = [], 0, fails_at

    def write(self, metrics, step):
        if step >= self.fails_at:
            raise ConnectionError("no network")
        self.sent.append((step, dict(metrics)))

    def close(self):
        self.closed += 1


def test_every_step_is_sent_once_however_often_a_run_is_resumed(tmp_path):
    first, second = Kept(), Kept()
    with run.RunDirectory(tmp_path / "r", {}, writers=[first]) as directory:
        directory.log({"step": 1, "loss": 0.5, "source": "random", "bad": float("nan"), "flag": True})
        directory.log({"step": 2, "loss": 0.25})
    with run.RunDirectory(tmp_path / "r", {}, resume=True, writers=[second]) as directory:
        directory.rewind(1)
        for step in (2, 3):
            directory.log({"step": step, "loss": 1.0 / step})
        assert [record["step"] for record in directory.metrics()] == [1, 2, 3]
    assert first.sent == [(1, {"loss": 0.5}), (2, {"loss": 0.25})] and first.closed == 1
    assert second.sent == [(3, {"loss": 1.0 / 3})] and second.closed == 1


def test_a_writer_that_fails_is_left_out_and_the_run_goes_on(tmp_path, capsys):
    bad, good = Kept(fails_at=2), Kept()
    with run.RunDirectory(tmp_path / "r", {}, writers=[bad, good]) as directory:
        for step in (1, 2, 3):
            directory.log({"step": step, "loss": 0.0})
    assert [step for step, _ in bad.sent] == [1] and [step for step, _ in good.sent] == [1, 2, 3]
    assert capsys.readouterr().err.count("no more metrics are sent (ConnectionError: no network)") == 1


def test_an_unknown_tracker_and_a_missing_package_are_refused_before_anything_is_written(tmp_path, capsys, monkeypatch):
    argv = ["search", "--data", "iris", "--minutes", "0.1", "--out", str(tmp_path / "r")]
    assert cli.main([*argv, "--log", "paper"]) == 2
    assert "--log paper: must be one of tensorboard, wandb, mlflow, trackio" in capsys.readouterr().err
    monkeypatch.setattr("metajax._optional.is_installed", lambda module: module != "wandb")
    assert cli.main([*argv, "--log", "wandb"]) == 2
    assert "needs Weights & Biases: pip install wandb" in capsys.readouterr().err and not (tmp_path / "r").exists()


def log_twice(name, path):
    """A run of two steps, and a third after it was resumed."""
    for steps in ((1, 2), (2, 3)):
        writer = integrations.tracker(name, path, {"seed": 0})
        with run.RunDirectory(path, {"seed": 0}, resume=True, writers=[writer]) as directory:
            for step in steps:
                directory.log({"step": step, "loss": 1.0 / step})


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_the_events(tmp_path):
    pytest.importorskip("tensorboardX")
    log_twice("tensorboard", tmp_path / "r")
    events = b"".join(file.read_bytes() for file in sorted((tmp_path / "r" / "tensorboard").iterdir()))
    assert events.count(b"loss") == 3


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_one_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log_twice("mlflow", tmp_path / "r")
    client = mlflow.MlflowClient(f"sqlite:///{(tmp_path / 'r').resolve() / 'mlflow.db'}")
    number = json.loads((tmp_path / "r" / "mlflow.json").read_text())["run"]
    assert [(m.step, m.value) for m in client.get_metric_history(number, "loss")] == [(1, 1.0), (2, 0.5), (3, 1.0 / 3)]
    found = client.get_run(number)
    assert found.data.params == {"seed": "0"} and found.info.status == "FINISHED"


@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_works_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log_twice("wandb", tmp_path / "r")
    kept = list((tmp_path / "r" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(kept) == 2 and all(file.stat().st_size > 100 for file in kept), "one file for each process, of one run"
    assert len({file.name.rsplit("-", 1)[-1] for file in kept}) == 1


@pytest.mark.filterwarnings("ignore")
def test_trackio_keeps_one_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))  # read on import
    pytest.importorskip("trackio")
    log_twice("trackio", tmp_path / "r")
    with sqlite3.connect(tmp_path / "kept" / "metajax.db") as database:
        rows = database.execute("select run_name, step, metrics from metrics order by step").fetchall()
    assert [(name, step, json.loads(metrics)["loss"]) for name, step, metrics in rows] == [
        ("r", step, 1.0 / step) for step in (1, 2, 3)
    ]


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match=r"^log='paper': must be one of tensorboard, "):
        integrations.tracker("paper", "r")
