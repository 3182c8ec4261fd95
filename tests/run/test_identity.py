"""A run knows its data, and what a kill or a damaged file leaves behind is told apart from a run."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metajax import run
from metajax.run import _meta as meta
from metajax.run._identity import from_json, to_json
from metajax.types import InputError

TABLE = {"x": np.arange(12.0).reshape(6, 2), "y": np.arange(6), "names": ["a", "b"]}


def changed(**parts):
    return run.differences(run.fingerprint(**TABLE), run.fingerprint(**{**TABLE, **parts}))


def test_a_fingerprint_tells_what_differs():
    assert changed() == []
    assert changed(x=TABLE["x"] + 1) == ["x: other content"]
    assert changed(x=TABLE["x"].astype(np.float32)) == ["x: other type (float64[2] there, float32[2] given)"]
    assert changed(x=TABLE["x"][:, :1]) == ["x: other type (float64[2] there, float64[1] given)"]
    assert changed(y=np.arange(7)) == ["y: other number of rows (6 there, 7 given)"]
    assert changed(names=["b", "a"]) == ["names: other content"]
    assert changed(z=1) == ["z: given, but not there"]
    assert run.differences(run.fingerprint(**TABLE), run.fingerprint(x=TABLE["x"])) == [
        "y: there, but not given",
        "names: there, but not given",
    ]
    known = run.fingerprint(**TABLE)
    assert from_json(json.loads(json.dumps(to_json(known)))) == known


def test_a_fingerprint_of_a_data_frame_names_its_columns():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0, np.nan], "city": ["Rome", None, "Oslo"], "n": [1, 2, 3]})
    differ = lambda other: run.differences(run.fingerprint(t=frame), run.fingerprint(t=other))
    assert differ(frame.copy()) == []
    assert differ(frame.assign(age=[1.0, 2.0, 3.0])) == ["t: other content of 'age'"]
    assert differ(frame.assign(city=["Rome", "None", "Oslo"])) == ["t: other content of 'city'"]
    assert differ(frame.assign(city=["Rom", "e", "Oslo"])) == ["t: other content of 'city'"]
    assert differ(frame.assign(n=["1", "2", "3"])) == ["t: other type of 'n' (int64 there, text given)"]
    assert differ(frame.rename(columns={"n": "m"})) == ["t: other columns ('n' not given; 'm' not there)"]
    assert differ(frame[["city", "age", "n"]]) == ["t: other columns (in another order)"]
    assert differ(frame.iloc[::-1]) == ["t: other content of 'age', 'city', 'n'"]
    assert differ(frame.iloc[:2]) == ["t: other number of rows (3 there, 2 given)"]


def test_nested_data_and_files(tmp_path):
    (tmp_path / "f").write_bytes(b"123")
    nested = lambda value: run.fingerprint(train={"x": np.zeros(3), "y": (np.ones(2), value)}, file=tmp_path / "f")
    assert set(nested(1)) == {"train.x", "train.y.0", "train.y.1", "file"}
    assert run.differences(nested(1), nested(2)) == ["train.y.1: other content"]
    before = nested(1)
    (tmp_path / "f").write_bytes(b"124")
    assert run.differences(before, nested(1)) == ["file: other content"]
    with pytest.raises(InputError, match=r"fingerprint: x must be .*, got object"):
        run.fingerprint(x=object())


@pytest.mark.parametrize("late", [False, True])
def test_a_run_refuses_other_data(tmp_path, late):
    def open_(y, **flags: Any):
        data = run.fingerprint(**{**TABLE, "y": y})
        directory = run.RunDirectory(tmp_path / "r", {"seed": 0}, data=None if late else data, **flags)
        with directory:
            if late:
                directory.bind_data(data)

    open_(TABLE["y"])
    open_(TABLE["y"], resume=True)
    before = {p: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    with pytest.raises(
        InputError, match=r"the run there is of other data \(y: other content\); use the data of the run"
    ):
        open_(TABLE["y"][::-1], resume=True)
    after = {p: p.read_bytes() for p in (tmp_path / "r").iterdir()}
    assert late or before == after
    open_(TABLE["y"][::-1], overwrite=True)
    open_(TABLE["y"][::-1], resume=True)


def test_runs_of_other_versions_are_refused_by_name(tmp_path):
    data = run.fingerprint(**TABLE)
    run.RunDirectory(tmp_path / "r", {}, data=data).close()
    record = json.loads((tmp_path / "r" / "data.json").read_text())
    (tmp_path / "r" / "data.json").write_text(json.dumps({**record, "format": 7}))
    with pytest.raises(InputError, match=r"data.json has format 7; this version reads format 1"):
        run.RunDirectory(tmp_path / "r", {}, resume=True, data=data)
    (tmp_path / "r" / "data.json").unlink()
    with pytest.raises(InputError, match="made by a version of metajax that did not record the data"):
        run.RunDirectory(tmp_path / "r", {}, resume=True, data=data)
    run.RunDirectory(tmp_path / "r", {}, resume=True).close()  # what needs no data goes on


def test_a_kill_before_the_config_is_written_leaves_an_empty_directory(tmp_path):
    """Every file that is written before ``config.json``, whole or in part, and none of them a run."""
    left = [".lock", "meta.json.part", "meta.json", "data.json.part", "data.json", "config.json.part"]
    for n in range(1, len(left) + 1):
        choices: list[dict[str, Any]] = [{}, {"resume": True}, {"overwrite": True}]
        for flags in choices:
            out = tmp_path / f"{n}{''.join(flags)}"
            out.mkdir()
            for name in left[:n]:
                (out / name).write_text("{")
            with run.RunDirectory(out, {"seed": 0}, **flags) as directory:
                assert not directory.resumed
            assert {p.name for p in out.iterdir()} == {".lock", "meta.json", "data.json", "config.json"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "meta.json").write_text("{}")
    with pytest.raises(InputError, match="is not a run directory"):
        run.RunDirectory(tmp_path / "mine", {}, overwrite=True)


def test_a_kill_while_a_run_is_replaced_leaves_an_empty_directory(tmp_path, monkeypatch):
    out = tmp_path / "r"
    run.RunDirectory(out, {"seed": 0}).close()
    (out / "waves").mkdir()
    (out / "result.json").write_text("{}")
    for stop in range(1, 9):
        copy, countdown = tmp_path / f"copy{stop}", iter(range(stop - 1, -1, -1))
        shutil.copytree(out, copy)
        with monkeypatch.context() as patch:
            for owner, name in ((Path, "unlink"), (Path, "replace"), (shutil, "rmtree")):
                patch.setattr(owner, name, dying(getattr(owner, name), countdown))
            with pytest.raises(KeyboardInterrupt):
                run.RunDirectory(copy, {"seed": 1}, overwrite=True)
        with run.RunDirectory(copy, {"seed": 1}, overwrite=stop == 1) as directory:
            assert directory.result is None and not (copy / "waves").exists()
        assert {p.name for p in copy.iterdir()} == {".lock", "meta.json", "data.json", "config.json"}


def dying(real, countdown):
    """A function that is killed where the countdown reaches 0."""

    def call(*args, **kwargs):
        if next(countdown) == 0:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize("name", ["config.json", "meta.json", "data.json", "result.json"])
@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1]", b"\xff\xfe{}", b"\0\0\0"])
def test_damaged_files_are_one_line_that_names_them(tmp_path, name, content):
    data = run.fingerprint(**TABLE)
    with run.RunDirectory(tmp_path / "r", {}, data=data) as directory:
        directory.finish({"metrics": {}})
    (tmp_path / "r" / name).write_bytes(content)

    def resume():
        with run.RunDirectory(tmp_path / "r", {}, resume=True, data=data) as directory:
            assert directory.result

    with pytest.raises(InputError, match=f"{name} is damaged") as error:
        resume()
    assert "\n" not in str(error.value)


def test_a_damaged_line_of_metrics_is_named_and_a_cut_off_one_does_not_swallow_the_next(tmp_path):
    with run.RunDirectory(tmp_path / "r", {}) as directory:
        directory.log({"step": 1})
        with directory.metrics_file.open("a") as file:
            file.write('{"step": 2, "lo')
    with run.RunDirectory(tmp_path / "r", {}, resume=True) as directory:
        directory.log({"step": 3})
        assert directory.metrics() == [{"step": 1}, {"step": 3}]
    for line in (b'{"step" 1}', b"7", b"\xff"):
        (tmp_path / "r" / "metrics.jsonl").write_bytes(b'{"step": 0}\n' + line + b'\n{"step": 2}\n')
        with pytest.raises(InputError, match=r"metrics.jsonl: line 2 is damaged .*delete the line to continue"):
            run.RunDirectory(tmp_path / "r", {}, resume=True)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_that_of_metajax_and_not_of_a_repository_around_an_installed_one(tmp_path):
    """A wheel in a virtual environment inside the repository of somebody's project."""
    package = tmp_path / ".venv" / "site-packages" / "metajax" / "run"
    package.mkdir(parents=True)
    shutil.copy(str(meta.__file__), package / "meta.py")
    (tmp_path / "thesis.py").write_text("")
    (tmp_path / ".gitignore").write_text(".venv")
    git(tmp_path, "init")
    git(tmp_path, "add", "thesis.py")
    git(tmp_path, "commit", "-m", "x")

    def collected():
        spec = importlib.util.spec_from_file_location("installed_meta", package / "meta.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.collect()

    described = collected()
    assert described["commit"] is None and described["dirty"] is None and "metajax" in described["versions"]
    git(tmp_path, "add", "-f", ".venv")
    git(tmp_path, "commit", "-m", "y")
    described = collected()
    assert len(described["commit"]) == 40 and described["dirty"] is not None
