"""Every experiment, found by walking the packages: its command line, its help, and itself in miniature."""

import ast
import dataclasses
import inspect
import json
import sys
import textwrap

import pytest

from experiments import harness, tables
from experiments.harness import _flags
from metajax.types import InputError

EVERY = (*harness.experiments(), *harness.discover("experiments.benchmarks"))
TESTED_ALONE = {"nas_digits", "nas_darts"}  # their own tests run the preset `tiny`
NOT_CHEAP = {"automl_prior", "network_ablation"}  # they compile for long, even in miniature
MINIATURES = [
    each for each in harness.experiments() if "tiny" in each.presets and each.name not in TESTED_ALONE | NOT_CHEAP
]
MORE = {"search_tabular": {"methods": "random,kernel,average rank,transfer"}}
"""Settings beside the preset: Optuna's Gaussian process needs PyTorch."""
TIMED = ("seconds", "peak", "time_ratio")
"""Parts of the names of metrics that differ from run to run."""


def undocumented(config):
    """The fields of a dataclass, its bases included, without a docstring below them."""
    documented = set()
    for kind in config.__mro__[:-1]:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
        for statement, after in zip(body, body[1:]):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(statement, ast.AnnAssign) and is_text:
                documented.add(statement.target.id)
    return {field.name for field in dataclasses.fields(config)} - documented


@pytest.mark.parametrize("experiment", EVERY, ids=lambda each: each.name)
def test_every_flag_has_a_default_and_help(experiment, capsys):
    assert undocumented(experiment.config) == set()
    with pytest.raises(SystemExit) as stop:
        experiment.main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert experiment.title.split()[0] in text
    for field in dataclasses.fields(experiment.config):
        assert f"--{field.name.replace('_', '-')}" in text
    for name in experiment.presets:
        assert name in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-such-flag", "3"], "Unrecognized options: --no-such-flag"),
        (["--seed", "x"], "--seed: invalid literal for int()"),
        (["--preset", "huge"], "'huge' for argument '--preset'"),
        (["--resume", "--overwrite"], "--resume and --overwrite exclude each other"),
        (["--trajectories", "0"], "--trajectories must be at least 1, got 0"),
    ],
)
def test_a_bad_command_line_is_one_line(flags, message, capsys):
    """Of any experiment; this one has all of these flags."""
    (navigation,) = (each for each in EVERY if each.name == "navigation")
    with pytest.raises(SystemExit) as stop:
        navigation.main(flags)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.startswith("navigation: ") and message in error
    assert error.count("\n") == 1


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the experiment below."""

    warm_up: float = 0.0
    """A share."""
    pool: bool = False
    """A switch."""
    limit: int | None = None
    """A limit."""
    seed: int = 0
    """A seed."""


def test_flags_win_over_presets_and_presets_over_defaults(tmp_path, capsys):
    seen = []

    def measure(config, directory, loaded):
        seen.append(config)
        return {"metrics": {"score": 1.5}, "protocol": "As it is."}

    presets = {"plain": {}, "warm": lambda given: {"warm_up": 0.5, "seed": 10 * given.get("seed", 1)}}
    experiment = harness.Experiment("one", "An experiment.", Config, measure, presets=presets)
    for number, (flags, expected) in enumerate(
        [
            ([], Config()),
            (["--warm-up", "0.1", "--pool", "--limit", "3"], Config(0.1, True, 3)),
            (["--warm_up", "0.1", "--no-pool", "--limit", "None"], Config(0.1)),
            (["--preset", "warm"], Config(0.5, seed=10)),
            (["--preset", "warm", "--seed=2", "--warm_up=0.2"], Config(0.2, seed=2)),
        ]
    ):
        assert experiment.main([*flags, "--out", str(tmp_path / str(number))]) == 0
        assert seen[-1] == expected
    text = capsys.readouterr().out
    assert "As it is.\n\n| metric | value |\n|---|---|\n| score | 1.5 |\n" in text
    assert json.loads((tmp_path / "0" / "result.json").read_text())["metrics"] == {"score": 1.5}


def test_the_options_of_a_run_are_flags_too():
    presets = {"warm": {"warm_up": 0.5}}
    assert _flags.parse(Config, presets, [], "one") == (Config(0.5), _flags.Options("runs/one"))
    assert _flags.parse(Config, presets, ["--out", "x", "--resume"], "one")[1] == _flags.Options("x", resume=True)


def test_errors_of_the_library_name_the_flags(tmp_path, capsys):
    def measure(config, directory, loaded):
        raise InputError(f"train: warm_up={config.warm_up}; use a share, or pool=True")

    experiment = harness.Experiment("one", "An experiment.", Config, measure)
    (tmp_path / "file").write_text("")
    for out, message in [
        (tmp_path / "run", "train: --warm-up 2.0; use a share, or --pool"),
        (
            tmp_path / "run",
            f"--out {tmp_path}/run: a run is there already; --resume continues it, --overwrite replaces it",
        ),
        (
            tmp_path / "file" / "below",
            f"--out {tmp_path}/file/below: cannot be used (Not a directory); give another path",
        ),
    ]:
        assert experiment.main(["--warm-up", "2.0", "--out", str(out)]) == 2
        assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("name", "flags", "missing"),
    [
        ("sinusoid", [], ["matplotlib"]),
        ("nas_bench_201", ["--method", "gdas"], ["matplotlib"]),
        ("joint_search", [], ["optuna"]),
        ("search_tabular", ["--methods", "random,gp"], ["optuna", "torch", "matplotlib"]),
    ],
)
def test_a_missing_package_is_told_before_anything_is_loaded_or_written(
    name, flags, missing, monkeypatch, tmp_path, capsys
):
    for package in missing:
        monkeypatch.setitem(sys.modules, package, None)
    (experiment,) = (each for each in EVERY if each.name == name)
    experiment = dataclasses.replace(experiment, data=lambda config: pytest.fail("data was loaded"))
    assert experiment.main([*flags, "--out", str(tmp_path / "run")]) == 2
    packages = " and ".join(missing)
    assert capsys.readouterr().err == f"error: {name} needs {packages}: pip install {' '.join(missing)}\n"
    assert not (tmp_path / "run").exists()


def test_what_draws_nothing_needs_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    by_name = {each.name: each for each in EVERY}
    by_name["omniglot"].check_packages(by_name["omniglot"].config())
    by_name["nas_darts"].check_packages(by_name["nas_darts"].config())  # its figures are SVG
    by_name["nas_bench_201"].check_packages(by_name["nas_bench_201"].config(method="snip"))


@pytest.mark.slow
@pytest.mark.parametrize("experiment", MINIATURES, ids=lambda each: each.name)
def test_runs_and_resumes(experiment, tmp_path, capsys):
    more = MORE.get(experiment.name, {})
    try:
        experiment.data(experiment.config(**experiment.presets["tiny"], **more))
    except InputError as missing:
        pytest.skip(f"needs data: {missing}")
    out = tmp_path / experiment.name
    argv = [
        "--preset",
        "tiny",
        *(word for name, value in more.items() for word in (f"--{name}", value)),
        "--out",
        str(out),
    ]
    assert experiment.main(argv) == 0
    assert "| " in capsys.readouterr().out
    first = json.loads((out / "result.json").read_text())
    lines = (out / "metrics.jsonl").read_text().splitlines()
    (out / "metrics.jsonl").write_text("\n".join(lines[:-1]) + '\n{"cut')  # killed while it wrote the last line
    (out / "result.json").unlink()
    assert experiment.main([*argv, "--resume"]) == 0
    again = json.loads((out / "result.json").read_text())
    timed = lambda m: {k: v for k, v in m.items() if not any(word in k for word in TIMED)}
    if experiment.name != "joint_search":  # how far a search comes in its seconds is not a constant
        assert timed(again["metrics"]) == timed(first["metrics"])
    text = tables.section(harness.read(out), experiment)
    assert text.count("|---") > 3 and "| metric | value |" not in text
