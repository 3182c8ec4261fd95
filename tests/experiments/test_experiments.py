"""Every experiment runs from its command line at a tiny size, and resumes."""

import importlib
import json

import pytest

from experiments import nas_digits, omniglot, sinusoid
from experiments.benchmarks import unroll_memory
from metajax import data


def result(path):
    return json.loads((path / "result.json").read_text())


def test_sinusoid(tmp_path, capsys):
    out = tmp_path / "r"
    argv = ["--steps", "2000", "--episodes", "50", "--test_steps", "2", "--out", str(out)]
    assert sinusoid.main(argv) == 0
    assert "adaptation steps, batch norm: none" in capsys.readouterr().out
    first = result(out)["metrics"]
    assert first["mse"] < first["mse_after_0"]
    assert (out / "adaptation.png").stat().st_size > 10_000
    assert sinusoid.main(argv) == 2, "an existing run is refused"
    assert sinusoid.main([*argv, "--resume"]) == 0
    assert result(out)["metrics"] == first


def test_omniglot(tmp_path, capsys):
    if not (data.home() / "omniglot" / "omniglot28.npz").is_file():
        pytest.skip("omniglot/omniglot28.npz is not below METAJAX_DATA")
    argv = ["--steps", "50", "--evaluate_every", "50", "--episodes", "50", "--width", "8", "--tasks", "4"]
    assert omniglot.main([*argv, "--out", str(tmp_path / "r")]) == 0
    assert "batch norm: transductive" in capsys.readouterr().out
    assert result(tmp_path / "r")["metrics"]["accuracy"] > 25


def test_omniglot_without_the_data_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    monkeypatch.setattr(importlib.import_module("metajax.data.omniglot"), "_URL", "https://localhost:1/")
    assert omniglot.main(["--out", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert "put the file of https://localhost:1/images_background.zip at" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_nas_digits(tmp_path, capsys):
    out = tmp_path / "r"
    assert nas_digits.main(["--preset", "tiny", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "rank" in text
    assert "Kendall τ" in text
    metrics = result(out)["metrics"]
    assert metrics["architectures"] == 125
    assert 1 <= metrics["darts_2_rank"] <= 125
    assert (out / "ranking.png").is_file()


def test_unroll_memory(tmp_path, capsys):
    assert unroll_memory.main(["--longest", "256", "--repeats", "1", "--out", str(tmp_path / "r")]) == 0
    metrics = result(tmp_path / "r")["metrics"]
    assert metrics["memory_ratio_256"] > 5
    assert metrics["difference_256"] < 1e-4
    assert "ratio" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "argv", "message"),
    [
        (sinusoid, ["--episodes", "60"], "episodes=60 must be a multiple of 50"),
        (omniglot, ["--tasks", "5", "--chunk", "2"], "tasks=5 must be a multiple of chunk=2"),
        (nas_digits, ["--steps", "0"], "must be positive"),
        (unroll_memory, ["--longest", "3"], "longest must be 64, 256 or 1024"),
    ],
)
def test_bad_settings_are_one_line(module, argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        module.main(argv)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert error.count("\n") == 1
