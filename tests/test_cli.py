"""Errors of the library in the words of the command line."""

import ast
import pathlib
import sys
import types

import numpy as np
import pytest

import metajax
from metajax import automl, cli, run
from metajax.automl._requirements import check_requirements
from metajax.data import tabular
from metajax.types import InputError

FLAGS = {**{name: f"--{name}" for name in ("data", "target", "task", "trials", "size", "pool")}, "warm_up": "--warm-up"}


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("trials=3: must be an integer >= 16", "--trials 3: must be an integer >= 16"),
        ("data='a b.csv': no such file", "--data 'a b.csv': no such file"),
        ('data="it\'s.csv": no such file', """--data 'it'"'"'s.csv': no such file"""),
        (
            "task='regression': images; use task='classification'",
            "--task regression: images; use --task classification",
        ),
        ("target: is needed with a CSV", "--target: is needed with a CSV"),
        ("train: warm_up=2.0, chunk=3", "train: --warm-up 2.0, chunk=3"),
        ("pool=True or pool=False", "--pool or --no-pool"),
        ("search: trials must be an integer >= 16, got 3", "search: --trials must be an integer >= 16, got 3"),
        (
            "warm_up and pool must be given; target must be text",
            "--warm-up and --pool must be given; --target must be text",
        ),
        ("the size must be even", "the size must be even"),
        ("target='a", "target='a"),
        ("test_size=3, column size: has 2 infinite values", "test_size=3, column size: has 2 infinite values"),
        ("x.csv: has a header but no rows", "x.csv: has a header but no rows"),
    ],
)
def test_arguments_become_the_flags_of_the_command(message, printed, capsys):
    def command():
        raise InputError(message)

    assert run.main(command, FLAGS) == 2
    assert capsys.readouterr().err == f"error: {printed}\n"
    assert run.main(command) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("command", ["search", "predict", "resume", "show"])
@pytest.mark.parametrize("name", ["file/below", "file"])
def test_a_path_that_cannot_be_used_is_one_line(command, name, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("years of work")
    path = str(tmp_path / name)
    monkeypatch.setattr(automl, "load_model", lambda run: ConstantModel())
    monkeypatch.setattr(tabular, "read_rows", lambda data: None)
    arguments = {
        "search": ["--data", "iris", "--trials", "16", "--out", path],
        "predict": ["run", "--data", "rows.csv", "--out", path],
        "resume": [path],
        "show": [path],
    }
    assert cli.main([command, *arguments[command]]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {'--out ' if '--out' in arguments[command] else ''}{path}: ")
    assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "years of work"


class ConstantModel(automl.FittedModel):
    """A model that predicts the same for any rows."""

    def __init__(self):
        pass

    def predict(self, frame):
        return np.ones(2), None

    @property
    def encoder(self):
        schema = types.SimpleNamespace(surprises=lambda rows: [])
        return types.SimpleNamespace(classes=None, schema=schema)


def test_predictions_are_written_to_a_new_file_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(automl, "load_model", lambda run: ConstantModel())
    monkeypatch.setattr(tabular, "read_rows", lambda data: None)
    arguments = ["predict", "run", "--data", "rows.csv", "--out", str(tmp_path / "predictions.csv")]
    assert cli.main(arguments) == 0
    assert (tmp_path / "predictions.csv").read_text() == "prediction\n1.0\n1.0\n"
    assert cli.main(arguments) == 2
    assert "predictions.csv: already exists; choose a new file" in capsys.readouterr().err


def test_the_library_speaks_of_arguments():
    with pytest.raises(InputError, match=r"^trials=3: must be an integer >= 16"):
        automl.Config("digits", trials=3)
    with pytest.raises(InputError, match=r"^minutes=-1: must be a finite number > 0"):
        automl.Config("digits", minutes=-1)
    with pytest.raises(InputError, match=r"^data='mars': must be one of"):
        tabular.load("mars")


def test_no_error_of_the_searching_library_names_a_flag():
    """Only the command line has flags: no error of ``automl`` or ``data`` names one."""
    root = pathlib.Path(metajax.__file__).parent
    for file in [*(root / "automl").glob("*.py"), *(root / "data").glob("*.py")]:
        for raised in (n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Raise)):
            assert "--" not in ast.unparse(raised), f"{file.name}:{raised.lineno}"


@pytest.mark.parametrize(
    ("missing", "method", "message"),
    [
        (["matplotlib"], "metalearner", "a search needs Matplotlib: pip install 'metajax[plot]'"),
        (["optuna"], "optuna", "a search with --method optuna needs Optuna: pip install 'metajax[optuna]'"),
        (
            ["pandas", "matplotlib"],
            "random",
            "a search needs pandas and Matplotlib: pip install 'metajax[tabular,plot]'",
        ),
        (["sklearn"], "random", "a search with --data iris needs scikit-learn: pip install 'metajax[tabular]'"),
        (
            ["sklearn", "optuna"],
            "optuna",
            "a search with --data iris, --method optuna needs scikit-learn and Optuna: pip install 'metajax[tabular,optuna]'",
        ),
    ],
)
def test_a_missing_package_is_told_before_anything_is_trained_or_written(
    monkeypatch, tmp_path, capsys, missing, method, message
):
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    arguments = ["search", "--data", "iris", "--trials", "16", "--method", method, "--out", str(tmp_path / "run")]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not (tmp_path / "run").exists()


def test_a_folder_of_images_needs_pillow(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(InputError, match=r"needs Pillow: pip install 'metajax\[image\]'"):
        check_requirements(automl.Config(str(tmp_path)))
    check_requirements(automl.Config(str(tmp_path / "table.csv")))


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"metajax {metajax.__version__}\n"


def test_the_library_tells_a_missing_package_before_it_trains(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        run.RunDirectory(tmp_path / "run", {}) as directory,
        pytest.raises(InputError, match="needs Matplotlib and Optuna"),
    ):
        automl.search(automl.Config("iris", method="optuna"), directory, show=False)
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    with pytest.raises(InputError, match=r"^a search with method='optuna' needs Optuna"):  # and nothing of `data`
        metajax.AutoMLClassifier(trials=16, method="optuna").fit(x, y)


def test_the_quickstart_has_a_budget_unless_another_is_asked_for(monkeypatch):
    searched = []
    monkeypatch.setattr(cli, "_search", lambda fields, *rest: searched.append((fields["minutes"], fields["trials"])))
    for more in ([], ["--minutes", "1"], ["--trials", "32"]):
        assert cli.main(["quickstart", *more]) == 0
    assert searched == [(cli.QUICKSTART_MINUTES, None), (1.0, None), (None, 32)]
