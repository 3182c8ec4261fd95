"""Checkpoints that are damaged on purpose: what is read back is what was saved, or it is called damaged."""

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import run
from metajax.run._checkpoint import Checkpoints
from metajax.types import InputError

sys.path.insert(0, str(Path(__file__).parent))
import target


def bits(state: Any) -> list[bytes]:
    raw = lambda x: jax.random.key_data(x) if isinstance(x, jax.Array) and x.dtype == jax.random.key(0).dtype else x
    return [np.asarray(raw(leaf)).tobytes() for leaf in jax.tree.leaves(state)]


def state(number: float) -> dict[str, Any]:
    rng = np.random.default_rng(int(number))
    return {
        "weights": jnp.asarray(rng.normal(size=(40, 5)), jnp.float32),
        "moments": (jnp.full(7, number), jnp.zeros((3, 2), jnp.bfloat16)),
        "step": jnp.asarray(int(number), jnp.int32),
        "key": jax.random.key(int(number)),
    }


def two(folder: Path) -> Checkpoints:
    saved = Checkpoints(folder)
    for step in (10, 20):
        saved.save(step, state(step), {"at": step})
    return saved


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def check(saved: Checkpoints, capsys: Any, what: str) -> bool:
    """Restores the state as it was saved, or the one before with a line that names the damaged one; whether the first."""
    capsys.readouterr()
    step, restored, position = saved.restore(state(0))
    message = capsys.readouterr().err
    assert bits(restored) == bits(state(step)) and position == {"at": step}, what
    if step == 10:
        assert "checkpoint 20 is damaged" in message and "going on from checkpoint 10" in message, what
    else:
        assert step == 20 and not message, what
    return step == 20


def test_a_flipped_byte_anywhere_is_noticed_or_harmless(tmp_path, capsys):
    saved, rng = two(tmp_path), random.Random(0)
    paths = files(tmp_path / "20")
    intact = {file: file.read_bytes() for file in paths}
    flips = [(file, rng.randrange(len(data))) for file, data in intact.items() if data for _ in range(8)]
    outcomes = []
    for file, at in flips:
        changed = bytearray(intact[file])
        changed[at] ^= 1 << rng.randrange(8)
        file.write_bytes(bytes(changed))
        outcomes.append(check(saved, capsys, f"byte {at} of {file.relative_to(tmp_path)}"))
        file.write_bytes(intact[file])
    assert outcomes.count(False) > len(outcomes) // 4, "most bytes matter"
    assert check(saved, capsys, "put right again")


def test_cut_off_and_missing_files_are_noticed_or_harmless(tmp_path, capsys):
    saved, rng = two(tmp_path / "c"), random.Random(1)
    shutil.copytree(tmp_path / "c" / "20", tmp_path / "intact")
    names = [file.relative_to(tmp_path / "c" / "20") for file in files(tmp_path / "c" / "20")]
    for name in names:
        for cut in (None, 0, 0.5, rng.random()):
            file = tmp_path / "c" / "20" / name
            data = file.read_bytes()
            file.unlink() if cut is None else file.write_bytes(data[: int(cut * len(data))])
            check(saved, capsys, f"{name} {'deleted' if cut is None else 'cut off'}")
            shutil.rmtree(tmp_path / "c" / "20")
            shutil.copytree(tmp_path / "intact", tmp_path / "c" / "20")
    for _ in range(5):
        for name in rng.sample(names, len(names) // 2):
            (tmp_path / "c" / "20" / name).unlink()
        check(saved, capsys, "half of the files deleted")
        shutil.rmtree(tmp_path / "c" / "20")
        shutil.copytree(tmp_path / "intact", tmp_path / "c" / "20")
    shutil.rmtree(tmp_path / "c" / "20" / "leaves")
    assert not check(saved, capsys, "no arrays at all")


def damage(checkpoint: Path) -> None:
    """Turns every byte of the arrays over."""
    for file in files(checkpoint / "leaves"):
        file.write_bytes(bytes(255 - b for b in file.read_bytes()))


def test_a_run_goes_on_from_the_last_good_checkpoint_to_the_same_bits(tmp_path, capsys):
    target.main(tmp_path / "whole", "iterator", steps=300)
    whole = capsys.readouterr().out
    target.main(tmp_path / "r", "iterator", steps=200)
    steps = Checkpoints(tmp_path / "r" / "checkpoints").steps
    damage(tmp_path / "r" / "checkpoints" / "200")
    capsys.readouterr()
    target.main(tmp_path / "r", "iterator", steps=300)
    printed = capsys.readouterr()
    assert printed.out == whole
    assert "checkpoint 200 is damaged (" in printed.err and f"going on from checkpoint {steps[-2]}" in printed.err
    assert (tmp_path / "r" / "checkpoints" / "200.damaged").is_dir()
    assert Checkpoints(tmp_path / "r" / "checkpoints").latest == 300


def test_damage_is_told_from_another_structure(tmp_path, capsys):
    saved = two(tmp_path)
    other = {**state(0), "weights": jnp.zeros((40, 6))}
    with pytest.raises(
        InputError, match=r"checkpoint 20 belongs to another config or learner .*weights.*\[40, 5\].*\[40, 6\]"
    ):
        saved.restore(other)
    with pytest.raises(InputError, match="another config or learner"):
        saved.restore({**state(0), "step": jnp.zeros(())})
    damage(tmp_path / "20")
    with pytest.raises(InputError, match="checkpoint 20 belongs to another config or learner"):
        saved.restore(other)
    with pytest.raises(InputError, match="checkpoint 20 is damaged"):
        saved.restore(state(0), 20)
    damage(tmp_path / "10")
    with pytest.raises(InputError, match=r"checkpoint 20 is damaged.*checkpoint 10 is damaged.*no other is left"):
        saved.restore(state(0))
    assert saved.steps == [10, 20], "reading changes nothing"
    capsys.readouterr()


def test_a_damaged_best_checkpoint_is_not_replaced_by_another(tmp_path):
    saved = Checkpoints(tmp_path / "checkpoints", best="score")
    for step, score in ((10, 0.9), (20, 0.5), (30, 0.6), (40, 0.7)):
        saved.save(step, state(step), None, {"score": score})
    assert saved.steps == [10, 30, 40] and saved.best == 10
    equal = Checkpoints(tmp_path / "equal", best="score", maximize=False)
    for step in (10, 20, 30, 40):
        equal.save(step, state(step), None, {"score": 0.5 + (step > 20)})
    assert equal.steps == [20, 30, 40] and equal.best == 20, "the last of equal ones"
    assert int(run.load(state(0), tmp_path, best=("score", True))["step"]) == 10
    damage(tmp_path / "checkpoints" / "10")
    with pytest.raises(InputError, match="checkpoint 10 is damaged"):
        run.load(state(0), tmp_path, best=("score", True))


def test_an_earlier_format_is_refused_by_name(tmp_path):
    (tmp_path / "5" / "state").mkdir(parents=True)
    with pytest.raises(InputError, match="earlier version of metajax, in format 1; this version reads format 2"):
        Checkpoints(tmp_path).restore(state(0))


def test_paths_that_look_alike_do_not_collide(tmp_path):
    tree = {
        "a.b": jnp.full(2, 1.0),
        "a": {"b": jnp.full(2, 2.0), "b/c": jnp.full(2, 3.0)},
        "a/b": jnp.full(2, 4.0),
        "a.b/c": jnp.full(2, 5.0),
        "1": jnp.full(2, 6.0),
        "list": [jnp.full(2, 7.0)],
        "list.0": jnp.full(2, 8.0),
        "": jnp.full(2, 9.0),
    }
    saved = Checkpoints(tmp_path)
    saved.save(1, tree)
    assert bits(saved.restore(tree).state) == bits(tree)


def test_every_leaf_comes_back_as_what_it_was(tmp_path):
    tree = {
        "numpy": np.arange(3, dtype=np.int64) * 2**40,
        "double": np.array([0.1, np.nan]),
        "scalar": np.float64(0.1),
        "bytes": np.array([1, 2], np.uint8),
        "truth": np.array([True, False]),
        "complex": np.array([1 + 2j]),
        "half": np.asarray(jnp.ones(3, jnp.bfloat16)),
        "nothing": np.zeros((0, 3)),
        "no rows": jnp.zeros((0, 3)),
        "int": 2**40,
        "float": 0.1,
        "bool": True,
        "none": None,
        "key": jax.random.split(jax.random.key(3), 2),
        "jax": jnp.arange(3, dtype=jnp.int8),
    }
    saved = Checkpoints(tmp_path)
    saved.save(1, tree)
    restored = saved.restore(tree).state
    assert bits(restored) == bits(tree)
    for name, leaf in tree.items():
        assert isinstance(restored[name], type(leaf) if not isinstance(leaf, jax.Array) else jax.Array), name
        assert getattr(restored[name], "dtype", None) == getattr(leaf, "dtype", None), name
        assert np.shape(restored[name]) == np.shape(leaf), name


def test_what_cannot_be_kept_is_refused_before_any_work(tmp_path):
    method = target.learner()
    start = method.init(jax.random.key(0), jnp.zeros(4))
    for leaf, kind in (("text", "str"), (np.array([None]), "ndarray"), (2**70, "int")):
        with pytest.raises(InputError, match=rf"state.hyper must be a JAX or NumPy array .*, got {kind} "):
            Checkpoints(tmp_path / "c").save(1, start._replace(hyper=leaf))
        with (
            run.RunDirectory(tmp_path / "r", {}, overwrite=True) as directory,
            pytest.raises(InputError, match=rf"state.hyper must be .*, got {kind} "),
        ):
            run.train(method, start._replace(hyper=leaf), lambda key: 1 / 0, 10, directory, show=False)
    assert not (tmp_path / "c").exists()
