"""Everything about the GPU in one command, in miniature on a CPU: that it runs, keeps what it measured and goes on."""

import json
import subprocess

import pytest

from experiments.benchmarks import gpu, pytorch
from metajax.types import InputError

ENTRY = {
    "result": {"metrics": {"x s": 2.0}, "claims": [], "protocol": "as it is"},
    "status": "ok",
    "error": "",
    "seconds": 3.0,
}
META = {
    "commit": "0123456789ab",
    "dirty": False,
    "command": "c",
    "hardware": "1 x card",
    "started": "2026-01-01T00:00",
    "versions": {"jax": "1"},
}


def record(path):
    return json.loads((path / "gpu.json").read_text())


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of its own, so that those kept in the repository are not read."""
    monkeypatch.setattr(gpu, "RESULTS", tmp_path / "kept")
    monkeypatch.setattr(gpu, "PAGE", tmp_path / "GPU.md")
    return tmp_path / "kept"


@pytest.mark.slow
def test_it_measures_keeps_and_goes_on(tmp_path, capsys, results):
    flags = ["--preset", "tiny", "--no-train", "--out", str(tmp_path / "out")]
    assert gpu.main([*flags, "--only", "checks,omniglot_steps"]) == 0
    first = record(tmp_path / "out")
    assert {name: entry["status"] for name, entry in first["jobs"].items()} == {"checks": "ok", "omniglot_steps": "ok"}
    assert first["jobs"]["checks"]["result"]["claims"][0]["value"] == 0, first["jobs"]["checks"]["result"]["protocol"]
    capsys.readouterr()
    assert gpu.main([*flags, "--only", "omniglot_steps"]) == 0
    assert "omniglot_steps: measured before" in capsys.readouterr().out
    assert gpu.main(["--add", str(tmp_path / "out")]) == 0
    assert (results / f"{gpu.card()}.json").is_file()
    assert "omniglot, maml, preset paper" in (tmp_path / "GPU.md").read_text()
    assert gpu.main(["--preset", "tiny", "--no-train", "--out", str(tmp_path / "new"), "--only", "omniglot_steps"]) == 0
    assert "omniglot_steps: measured before" in capsys.readouterr().out, "results kept for this card count"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in gpu.JOBS if name not in ("checks", "omniglot_steps")])
def test_every_other_job_runs_in_miniature(name, tmp_path):
    entry = gpu.measured(name, tmp_path, tiny=True, seconds=600.0)
    if "PyTorch must be installed" in entry["error"]:
        pytest.skip("needs torch, of the extra peers")
    assert entry["status"] == "ok", entry["error"]
    assert entry["result"]["metrics"]


def test_a_job_that_fails_or_takes_too_long_does_not_stop_the_others(tmp_path, monkeypatch, results, capsys):
    def call(command, timeout, **_):
        if "experiments.benchmarks.maml" in command:
            return subprocess.CompletedProcess(command, 1, "", "first\nout of memory\n")
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", call)
    gpu.main(["--preset", "tiny", "--no-train", "--only", "maml,population_256", "--out", str(tmp_path / "out")])
    jobs = record(tmp_path / "out")["jobs"]
    assert (jobs["maml"]["status"], jobs["population_256"]["status"]) == ("failed", "timeout")
    assert "out of memory" in jobs["maml"]["error"]
    assert "maml: failed" in capsys.readouterr().out


def test_results_of_another_card_are_refused(tmp_path, results):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "gpu.json").write_text(json.dumps({"card": "other", "jobs": {}}))
    with pytest.raises(InputError, match="holds results of other"):
        gpu.Record(tmp_path / "out", "this")


def test_the_table_names_card_commit_and_what_failed(results):
    results.mkdir()
    jobs = {"maml": {**ENTRY, "meta": META}, "protonet": {"status": "failed", "error": "no memory", "seconds": 1.0}}
    (results / "h100.json").write_text(json.dumps({"card": "h100", "jobs": jobs}))
    text = gpu.table()
    assert "## h100" in text
    assert "commit 0123456789, 1 x card, jax 1, 2026-01-01" in text
    assert "failed after 1 s. no memory" in text


def test_a_cpu_is_refused_at_full_size(tmp_path, capsys):
    assert gpu.main(["--out", str(tmp_path / "out")]) == 2
    assert "must run on a GPU" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_peer_that_does_not_run_is_named_and_one_that_does_other_work_is_an_error():
    failed = {}

    def broken():
        raise RuntimeError("not supported\nmore")

    assert pytorch.attempt("torch.compile", broken, failed) == {}
    assert pytorch.not_measured(failed) == "; torch.compile did not run (RuntimeError: not supported)"

    def wrong():
        raise AssertionError("the programs differ")

    with pytest.raises(AssertionError):
        pytorch.attempt("loop", wrong, failed)


@pytest.mark.slow
def test_the_training_is_packed_and_goes_on(tmp_path):
    from metajax import data

    try:
        data.omniglot(0)
    except InputError as error:
        pytest.skip(f"needs Omniglot: {error}")
    archive = tmp_path / "training.tar.gz"
    (tmp_path / "a").mkdir()
    first = gpu.train(archive, tmp_path / "a", True, 600.0)
    assert first["status"] == "ok", first["error"]
    (tmp_path / "b").mkdir()
    again = gpu.train(archive, tmp_path / "b", True, 600.0)
    assert again["result"] == first["result"], "unpacked, and found finished"
