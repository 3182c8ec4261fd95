"""Checkpoints on Orbax's v1 API; every Orbax call of the project is in this file.

A checkpoint is a folder named after its step. ``leaves`` holds the arrays of the learner's state, written by Orbax.
``record.json`` holds what Orbax does not check: the path, type, shape and SHA-256 of every array, the position of the data
and the metrics. The folder gets its name when both are complete, so that a kill leaves no half checkpoint. What is read back
is what was saved, bit by bit, or is called damaged. The latest and the best are kept: the latest to go on from, the best to
use.
"""

import base64
import functools
import hashlib
import json
import logging
import math
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.run._directory import read_json, write_json
from metajax.run._identity import digest
from metajax.types import InputError

FORMAT = 2
"""The version of the layout. Version 1 had neither digests nor a record."""


class Damaged(Exception):
    """A checkpoint is not what was saved."""


class Restored(NamedTuple):
    """The step, the state and the data position of a checkpoint."""

    step: int
    state: Any
    position: Any


class Checkpoints:
    """The checkpoints of one run.

    Args:
        path: their directory.
        best: the metric by which the best one is kept beside the latest; ``None`` keeps the latest only.
        maximize: whether larger is better.
        keep: how many of the latest to keep.
    """

    def __init__(self, path: Path, best: str | None = None, maximize: bool = True, keep: int = 2):
        self.path = Path(path)
        self._best, self._maximize, self._keep = best, maximize, keep

    @property
    def steps(self) -> list[int]:
        """The steps of all checkpoints, in order."""
        if not self.path.is_dir():
            return []
        return sorted(int(child.name) for child in self.path.iterdir() if child.name.isdigit())

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        return max(self.steps, default=None)

    @property
    def best(self) -> int | None:
        """The step of the best one by the metric (of equal ones the last), or the latest if none was measured."""
        scores = {step: score for step in self.steps if (score := self._score(step)) is not None}
        return max(scores, key=lambda step: (scores[step], step)) if scores else self.latest

    def _score(self, step: int) -> float | None:
        """The metric, larger is better; ``None`` where it was not measured, or cannot be read."""
        try:
            value = (self._record(step)["metrics"] or {}).get(self._best or "")
        except Damaged:
            return None
        if not isinstance(value, int | float) or math.isnan(value):
            return None
        return float(value) if self._maximize else -float(value)

    def save(self, step: int, state: Any, position: Any = None, metrics: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint; complete or, after a kill, not there.

        Raises:
            InputError: if a leaf of the state cannot be saved, before anything is written.
        """
        leaves = _leaves(state)
        part, target = self.path / f"{step}.part", self.path / str(step)
        for left in self.path.glob("*.part"):  # by a kill
            shutil.rmtree(left)
        part.mkdir(parents=True)
        try:
            filled = {name: _stored(leaf) for name, (_, leaf) in leaves.items() if np.size(leaf)}
            _orbax().save((part / "leaves").resolve(), filled)  # Orbax refuses arrays without elements
            content = {
                "format": FORMAT,
                "step": step,
                "leaves": [[*_kind(path, leaf), _digest(leaf)] for path, leaf in leaves.values()],
                "position": _encode(position),
                "metrics": metrics or None,
            }
            content = json.loads(json.dumps(content))
            write_json(part / "record.json", {"digest": _seal(content), "content": content}, indent=None)
        except OSError:  # a full disk: what is half written only takes up more of it
            shutil.rmtree(part, ignore_errors=True)
            raise
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
        self._prune()

    def _prune(self) -> None:
        """Deletes what is neither among the latest nor the best."""
        steps = self.steps
        kept = {*steps[-self._keep :], *([self.best] if self._best else [])}
        for step in steps:
            if step not in kept:
                shutil.rmtree(self.path / str(step))

    def restore(self, like: Any, step: int | None = None) -> Restored:
        """Reads a checkpoint back.

        Args:
            like: a state of the same structure; its values are not used.
            step: of the checkpoint. By default the newest that is not damaged; damaged ones are named on standard error.

        Raises:
            InputError: if there is no checkpoint, it has another structure, or it is damaged.
        """
        steps = self.steps[::-1] if step is None else [step]
        if not steps:
            raise InputError(f"{self.path}: no complete checkpoint is there to resume from")
        damaged = []
        for number in steps:
            try:
                found = self._read(number, like)
            except Damaged as error:
                damaged.append(f"checkpoint {number} is damaged ({error})")
                continue
            for line in damaged:
                print(f"{self.path}: {line}; going on from checkpoint {number}", file=sys.stderr)
            return found
        none = "" if step is not None else "; no other is left: begin anew with --overwrite or in another directory"
        raise InputError(f"{self.path}: {', '.join(damaged)}{none}")

    def set_aside(self, step: int) -> None:
        """Renames the checkpoints after ``step``, which are damaged, so that they are neither read nor counted again."""
        for number in self.steps:
            if number > step:
                aside = self.path / f"{number}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.path / str(number)).rename(aside)

    def _record(self, step: int) -> dict[str, Any]:
        """What is known of a checkpoint.

        Raises:
            Damaged: if it cannot be read.
            InputError: if it has another format.
        """
        folder = self.path / str(step)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such checkpoint; there are {self.steps}")
        if (folder / "state").is_dir() and not (folder / "leaves").exists():
            raise InputError(
                f"{folder}: was written by an earlier version of metajax, in format 1; this version reads format {FORMAT}"
            )
        try:
            told = read_json(folder / "record.json")
            content = told["content"]
            intact = told["digest"] == _seal(content) and content["step"] == step
            found = content["format"]
        except (OSError, InputError, KeyError, TypeError) as error:
            raise Damaged(f"record.json cannot be read: {_line(error)}") from error
        if not intact:
            raise Damaged("record.json was altered")
        if found != FORMAT:
            raise InputError(f"{folder}: has the format {found}; this version reads format {FORMAT}")
        return content

    def _read(self, step: int, like: Any) -> Restored:
        record, leaves = self._record(step), _leaves(like)
        expected, saved = [_kind(*each) for each in leaves.values()], [tuple(row[:3]) for row in record["leaves"]]
        saved = [(path, kind, tuple(shape)) for path, kind, shape in saved]
        if saved != expected:
            raise InputError(
                f"{self.path}: checkpoint {step} is of another config or learner ({_mismatch(saved, expected)})"
            )
        abstract = {name: _abstract(leaf) for name, (_, leaf) in leaves.items() if np.size(leaf)}
        try:
            found = _orbax().load((self.path / str(step) / "leaves").resolve(), abstract)
        except (
            Exception
        ) as error:  # damage shows as anything, from a missing file to a wrong number in Orbax's own tables
            raise Damaged(_line(error)) from error
        restored = [_as(leaf, found[name]) if np.size(leaf) else leaf for name, (_, leaf) in leaves.items()]
        for (path, *_, sum_), (_, leaf), back in zip(record["leaves"], leaves.values(), restored):
            if _kind(path, back) != _kind(path, leaf) or _digest(back) != sum_:
                raise Damaged(f"the content of state{path} is not what was saved")
        state = jax.tree.unflatten(jax.tree.structure(like), restored)
        return Restored(step, state, _decode(record["position"]))


def check_leaves(state: Any) -> None:
    """Raises ``InputError`` if a state holds something that a checkpoint cannot keep."""
    _leaves(state)


def _leaves(state: Any) -> dict[str, tuple[str, Any]]:
    """Every leaf with its path in the state, under a name of Orbax's that no other has, whatever the paths are."""
    found = jax.tree_util.tree_flatten_with_path(state)[0]
    named = {f"leaf_{i:05d}": (jax.tree_util.keystr(path), leaf) for i, (path, leaf) in enumerate(found)}
    for path, leaf in named.values():
        kind = None if isinstance(leaf, jax.Array) else np.asarray(leaf).dtype
        if kind is not None and kind.kind != "b" and not jax.numpy.issubdtype(kind, np.number):
            raise InputError(
                f"checkpoint: state{path} is a {type(leaf).__name__} ({kind}); accepted are JAX and NumPy arrays, "
                "random keys, and Python numbers of at most 64 bits"
            )
    return named


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _kind(path: str, leaf: Any) -> tuple[str, str, tuple[int, ...]]:
    """Path, type and shape of a leaf."""
    array = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
    return path, str(array.dtype), tuple(array.shape)


def _digest(leaf: Any) -> str:
    return digest(np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf))


def _stored(leaf: Any) -> Any:
    """What Orbax is given: arrays of JAX as they are; others as bytes, for JAX has not all of their types."""
    if isinstance(leaf, jax.Array):
        return leaf
    return np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)


def _abstract(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
    return np.empty(np.asarray(leaf).nbytes, np.uint8)


def _as(like: Any, found: Any) -> Any:
    """A leaf as it was before it was stored."""
    if isinstance(like, jax.Array):
        return found
    array = np.asarray(like)
    array = np.asarray(found).view(array.dtype).reshape(array.shape)
    if isinstance(like, np.ndarray):
        return array.copy()
    return array[()] if isinstance(like, np.generic) else type(like)(array.item())


def _mismatch(saved: list[Any], expected: list[Any]) -> str:
    """The first leaf that differs, in words."""
    words = lambda kind: f"{kind[1]}{list(kind[2])}"
    known, wanted = ({kind[0]: kind for kind in kinds} for kinds in (saved, expected))
    for path in [*wanted, *known]:
        a, b = known.get(path), wanted.get(path)
        if a != b:
            return f"state{path}: {words(a) if a else 'nothing'} there, {words(b) if b else 'nothing'} expected"
    return "its arrays are in another order"


def _seal(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _encode(position: Any) -> Any:
    """A data position is ``None``, bytes or JSON."""
    return {"bytes": base64.b64encode(position).decode()} if isinstance(position, bytes) else {"json": position}


def _decode(told: dict[str, Any]) -> Any:
    return base64.b64decode(told["bytes"]) if "bytes" in told else told["json"]


@functools.cache
def _orbax() -> Any:
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax logs every save at length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from orbax.checkpoint import v1 as ocp
    return ocp
