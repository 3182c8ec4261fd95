"""Run directories, configs, metrics, checkpoints and the loop, through the public interface."""

import errno
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import bilevel, run
from metajax.run._checkpoint import Checkpoints
from metajax.run._chunk import compiled_chunk, data_key
from metajax.types import InputError, Learner

sys.path.insert(0, str(Path(__file__).parent))
import target


def test_directory_is_refused_resumed_or_replaced(tmp_path):
    out = tmp_path / "run"
    with run.RunDirectory(out, {"seed": 0}) as directory:
        directory.log({"step": 1, "loss": 0.5})
        with pytest.raises(InputError, match="another process is writing"):
            run.RunDirectory(out, {"seed": 0}, resume=True)
    with pytest.raises(InputError, match="resume=True continues it, overwrite=True replaces it"):
        run.RunDirectory(out, {"seed": 0})
    with pytest.raises(InputError, match="seed: 0 there, 1 given"):
        run.RunDirectory(out, {"seed": 1}, resume=True)
    with run.RunDirectory(out, {"seed": 0}, resume=True) as directory:
        assert directory.metrics() == [{"step": 1, "loss": 0.5}]
    meta = json.loads((out / "meta.json").read_text())
    assert meta["seed"] == 0 and meta["versions"]["jax"] == jax.__version__ and len(meta["resumed"]) == 1
    with run.RunDirectory(out, {"seed": 1}, overwrite=True) as directory:
        assert directory.metrics() == []


def test_a_directory_that_is_no_run_is_never_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    choices: list[dict[str, Any]] = [{}, {"resume": True}, {"overwrite": True}]
    for flags in choices:
        with pytest.raises(InputError, match="is not a run directory"):
            run.RunDirectory(tmp_path, {}, **flags)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_directory_that_cannot_be_made_names_the_path(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name, reason in [
        ("file", "exists and is not a run directory"),
        ("file/below", r"cannot be used \(Not a directory\)"),
        ("file/below/further", r"cannot be used \(Not a directory\)"),
        ("dangling", r"cannot be used \(File exists\)"),
        ("a" * 300, r"cannot be used \(File name too long\)"),
    ]:
        with pytest.raises(InputError, match=f"^path='{tmp_path}/{name}': {reason}"):
            run.RunDirectory(tmp_path / name, {})
    for number, reason in [(errno.EACCES, "Permission denied"), (errno.EROFS, "Read-only file system")]:
        monkeypatch.setattr(Path, "mkdir", failing(OSError(number, "", "x")))
        with pytest.raises(InputError, match=f"cannot be used \\({reason} at x\\)"):
            run.RunDirectory(tmp_path / "new", {})
    monkeypatch.setattr(Path, "mkdir", failing(OSError(errno.ENOSPC, "", "x")))
    with pytest.raises(OSError, match="28"):
        run.RunDirectory(tmp_path / "new", {})


def failing(error):
    """Returns a function that raises an error, whatever its arguments."""

    def function(*_, **__):
        raise error

    return function


def test_a_cut_off_last_line_is_dropped_and_steps_are_rewound(tmp_path):
    with run.RunDirectory(tmp_path / "r", {}) as directory:
        for step in (10, 20, 30):
            directory.log({"step": step})
        with directory.metrics_file.open("a") as file:
            file.write('{"step": 4')
        assert [r["step"] for r in directory.metrics()] == [10, 20, 30]
        assert [r["step"] for r in directory.rewind(20)] == [10, 20]
        assert directory.metrics_file.read_text() == '{"step": 10}\n{"step": 20}\n'


def test_results_hold_plain_numbers(tmp_path):
    with run.RunDirectory(tmp_path / "r", {}) as directory:
        with pytest.raises(ValueError, match="name"):
            directory.finish({"metrics": {"name": "x"}})
        assert directory.result is None
        directory.finish({"metrics": {"loss": 0.1}})
        assert directory.result == {"metrics": {"loss": 0.1}}


def test_checkpoints_keep_latest_and_best(tmp_path):
    saved = Checkpoints(tmp_path / "c", best="loss", maximize=False, keep=2)
    state = {"w": jnp.arange(3.0), "key": jax.random.key(1), "none": None}
    for step, loss in [(1, 0.9), (2, 0.1), (3, 0.5), (4, 0.7), (5, 0.6)]:
        saved.save(step, {**state, "w": state["w"] + step}, {"at": step}, {"loss": loss})
    assert saved.latest == 5 and saved.best == 2
    step, restored, position = saved.restore(state, saved.best)
    assert step == 2 and position == {"at": 2}
    np.testing.assert_array_equal(restored["w"], state["w"] + 2)
    np.testing.assert_array_equal(jax.random.key_data(restored["key"]), jax.random.key_data(state["key"]))
    assert sorted(int(p.name) for p in (tmp_path / "c").iterdir() if p.name.isdigit()) == [2, 4, 5]
    for other in ({"w": jnp.zeros(4), "key": state["key"], "none": None}, {"v": jnp.zeros(3)}):
        with pytest.raises(InputError, match="another config"):
            saved.restore(other)
    empty = Checkpoints(tmp_path / "empty")
    with pytest.raises(InputError, match="no complete checkpoint"):
        empty.restore(state)


def test_train_equals_the_plain_loop_and_ignores_chunking(tmp_path):
    method = target.learner()
    start = method.init(jax.random.key(0), jnp.zeros(4))
    state, update = start, jax.jit(method.update)
    for _ in range(20):
        state, _ = update(state, target.sampler(data_key(state)))
    for chunk in (1, 7, 20):
        trained = run.train(method, start, target.sampler, 20, chunk=chunk, show=False)
        np.testing.assert_allclose(trained.hyper, state.hyper, rtol=1e-5)
    assert float(start.hyper.sum()) == 0.0, "the caller's state is not consumed"


def test_train_compiles_once_per_length():
    method, state = target.learner(), None
    chunk = compiled_chunk(method, target.sampler)
    state = method.init(jax.random.key(0), jnp.zeros(4))
    for length in (10, 10, 10, 3):
        state, _, _ = chunk(state, None, length)
    assert chunk.func._cache_size() == 2


def test_resume_of_a_finished_run_does_nothing(tmp_path, capsys):
    target.main(tmp_path / "r", "sampler", steps=50)
    first = capsys.readouterr().out
    target.main(tmp_path / "r", "sampler", steps=50)
    assert capsys.readouterr().out == first


def exploding():
    def update(state, batch):
        return state._replace(step=state.step + 1, hyper=state.hyper * 10), {"loss": jnp.sum(state.hyper)}

    init = lambda key: bilevel.BilevelState(jnp.zeros((), jnp.int32), key, jnp.ones(2), None, None)
    return Learner(init, update)


def test_nan_stops_and_names_the_last_good_checkpoint(tmp_path):
    method = exploding()
    with run.RunDirectory(tmp_path / "r", {}) as directory, pytest.raises(run.Diverged) as stop:
        run.train(method, method.init(jax.random.key(0)), lambda k: k, 100, directory, chunk=10, checkpoint_seconds=0.0)
    assert "loss" in str(stop.value) and f"last good checkpoint: {tmp_path / 'r' / 'checkpoints' / '30'}" in str(
        stop.value
    )
    good = run.load(method.init(jax.random.key(0)), tmp_path / "r")
    assert int(good.step) == 30 and bool(jnp.all(jnp.isfinite(good.hyper)))


def test_minutes_stop_the_run(tmp_path):
    method = target.learner()
    state = method.init(jax.random.key(0), jnp.zeros(4))
    trained = run.train(method, state, target.sampler, 10**9, minutes=0.01, chunk=10, show=False)
    assert 0 < int(trained.step) < 10**9


def test_bad_train_arguments():
    method = target.learner()
    state = method.init(jax.random.key(0), jnp.zeros(4))
    with pytest.raises(ValueError, match="chunk=0"):
        run.train(method, state, target.sampler, 10, chunk=0)
    with pytest.raises(ValueError, match="evaluate_every must be a multiple of chunk=10, got 15"):
        run.train(method, state, target.sampler, 10, chunk=10, evaluate_every=15)
    with pytest.raises(ValueError, match="batches must yield one batch per step"):
        run.train(method, state, iter([]), 10, show=False)


def test_progress_is_plain_lines_off_a_terminal(capsys):
    progress = run.Progress(100, label="x", every=0.0)
    progress.update(50, {"loss": 0.25, "step": 50})
    progress.update(100, {"loss": 0.125})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "x: 50/100  50%" in lines[0] and "loss 0.25" in lines[0] and "left" in lines[0]


def test_optimizers_resume_too(tmp_path):
    """Adam's moments, schedules and keys are in the state: half, restore, half again gives the same bits as whole."""
    method = target.learner()
    start = method.init(jax.random.key(0), jnp.zeros(4))
    whole = run.train(method, start, target.sampler, 40, chunk=10, show=False)
    with run.RunDirectory(tmp_path / "r", {}) as directory:
        run.train(method, start, target.sampler, 20, directory, chunk=10, show=False)
    with run.RunDirectory(tmp_path / "r", {}, resume=True) as directory:
        again = run.train(method, start, target.sampler, 40, directory, chunk=10, show=False)
    np.testing.assert_array_equal(whole.hyper, again.hyper)
    assert optax.tree.norm(jax.tree.map(jnp.subtract, whole.inner, again.inner)) == 0.0


def test_commands_end_with_a_status_and_one_line(capsys):
    cases = [
        (InputError("x: y"), 2),
        (run.Diverged("nan"), 1),
        (KeyboardInterrupt(), 130),
        (run.Interrupted(15, "s"), 143),
    ]
    for error, status in cases:
        assert run.main(failing(error)) == status
    assert capsys.readouterr().err.splitlines()[:2] == ["error: x: y", "diverged: nan"]
    assert run.main(lambda: None) == 0
