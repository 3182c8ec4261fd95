"""Checkpoints on the v1 API of Orbax. Every Orbax call of the project is in this file.

A checkpoint is a folder named after its step. ``leaves`` holds the arrays of the state of the learner, written by Orbax.
``record.json`` holds what Orbax does not check: the path, type, shape and SHA-256 of every array, the position of the data and
the metrics. The folder gets its name when both are complete, so that a kill leaves no incomplete checkpoint. What is read back
is what was saved, bit by bit, or it is called damaged. The latest checkpoints are kept to continue from, the best one to use.
"""

import base64
import functools
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

from metajax.parallel import is_first, wait
from metajax.run._files import checksum_of, read_json, write_json
from metajax.run._leaves import (
    abstract,
    digest_of,
    kind_of,
    mismatch,
    named_leaves,
    restored,
    stored,
)
from metajax.types import InputError

FORMAT = 2
"""The version of the layout. Version 1 had neither digests nor a record."""


class Damaged(Exception):
    """A checkpoint is not what was saved."""


class Restored(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        step: The number of the step.
        state: The state of the learner.
        position: The position of the data: ``None``, bytes or JSON.
    """

    step: int
    state: Any
    position: Any


class Checkpoints:
    """The checkpoints of one run.

    Args:
        path: Their directory.
        best: The metric by which the best one is kept beside the latest; ``None`` keeps the latest only.
        maximize: Whether a larger value is better.
        keep: The number of latest checkpoints to keep, an integer >= 1.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()))
        >>> checkpoints.save(10, {"weights": jax.numpy.arange(3.0)})
        >>> checkpoints.restore({"weights": jax.numpy.zeros(3)}).state["weights"].tolist()
        [0.0, 1.0, 2.0]
    """

    def __init__(self, path: Path, best: str | None = None, maximize: bool = True, keep: int = 2):
        self.path: Path = Path(path)
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
        """The step of the best one by the metric (of equal ones the last), or of the latest if none was measured."""
        scores = {step: score for step in self.steps if (score := self._score(step)) is not None}
        return max(scores, key=lambda step: (scores[step], step)) if scores else self.latest

    def _score(self, step: int) -> float | None:
        """Returns the metric, signed so that larger is better, or ``None`` where it was not measured or cannot be read."""
        try:
            value = (self._record(step)["metrics"] or {}).get(self._best or "")
        except Damaged:
            return None
        if not isinstance(value, int | float) or math.isnan(value):
            return None
        return float(value) if self._maximize else -float(value)

    def save(self, step: int, state: Any, position: Any = None, metrics: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint. After a kill it is complete or does not exist. In a program over hosts, the processes
        write it together.

        Args:
            step: The number of the step.
            state: The state of the learner.
            position: The position of the data: ``None``, bytes or JSON.
            metrics: The metrics of an evaluation.

        Raises:
            InputError: If a leaf of the state cannot be saved. Nothing has been written then.
        """
        leaves = named_leaves(state)
        part, target = self.path / f"{step}.part", self.path / str(step)
        if is_first():
            for incomplete in self.path.glob("*.part"):  # what a kill left
                shutil.rmtree(incomplete)
            part.mkdir(parents=True)
        wait(f"checkpoint {step} begins")
        try:
            filled = {name: stored(leaf) for name, (_, leaf) in leaves.items() if np.size(leaf)}
            _orbax().save((part / "leaves").resolve(), filled)  # Orbax refuses arrays without elements
            content = {
                "format": FORMAT,
                "step": step,
                "leaves": [[*kind_of(path, leaf), digest_of(leaf)] for path, leaf in leaves.values()],
                "position": _encode(position),
                "metrics": metrics or None,
            }
            if is_first():
                self._complete(part, target, json.loads(json.dumps(content)))
        except OSError:  # on a full disk, the incomplete checkpoint would only take up more of it
            shutil.rmtree(part, ignore_errors=True)
            raise
        wait(f"checkpoint {step} ends")

    def _complete(self, part: Path, target: Path, content: dict[str, Any]) -> None:
        """Writes the record of a checkpoint, and gives it its name."""
        write_json(part / "record.json", {"digest": checksum_of(content), "content": content}, indent=None)
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
        self._prune()

    def _prune(self) -> None:
        """Deletes the checkpoints that are neither among the latest nor the best."""
        steps = self.steps
        selected = {*steps[-self._keep :], *([self.best] if self._best else [])}
        for step in steps:
            if step not in selected:
                shutil.rmtree(self.path / str(step))

    def restore(self, like: Any, step: int | None = None) -> Restored:
        """Reads a checkpoint back.

        Args:
            like: A state of the same structure, whose values are not used.
            step: The step of the checkpoint. By default it is the newest that is not damaged; damaged ones are named on
                standard error.

        Raises:
            InputError: If there is no checkpoint, it has another structure, or it is damaged.
        """
        steps = self.steps[::-1] if step is None else [step]
        if not steps:
            raise InputError(f"{self.path}: there is no complete checkpoint to resume from")
        damaged = []
        for number in steps:
            try:
                checkpoint = self._read(number, like)
            except Damaged as error:
                damaged.append(f"checkpoint {number} is damaged ({error})")
                continue
            for line in damaged:
                print(f"{self.path}: {line}; going on from checkpoint {number}", file=sys.stderr)
            return checkpoint
        advice = "; no other is left: start again with overwrite=True or in another directory"
        raise InputError(f"{self.path}: {', '.join(damaged)}{advice if step is None else ''}")

    def set_aside(self, step: int) -> None:
        """Renames the checkpoints after a step, which are damaged, so that they are neither read nor counted again.

        Args:
            step: The step of the last good checkpoint.
        """
        for number in self.steps if is_first() else ():
            if number > step:
                aside = self.path / f"{number}.damaged"
                shutil.rmtree(aside, ignore_errors=True)
                (self.path / str(number)).rename(aside)

    def _record(self, step: int) -> dict[str, Any]:
        """Returns the record of a checkpoint.

        Raises:
            Damaged: If it cannot be read.
            InputError: If it has another format.
        """
        folder = self.path / str(step)
        if not folder.is_dir():
            raise InputError(f"{folder} does not exist; the checkpoints of this run are {self.steps}")
        if (folder / "state").is_dir() and not (folder / "leaves").exists():
            raise InputError(
                f"{folder} was written by an earlier version of metajax, in format 1; this version reads format "
                f"{FORMAT}"
            )
        try:
            record = read_json(folder / "record.json")
            content = record["content"]
            is_intact = record["digest"] == checksum_of(content) and content["step"] == step
            version = content["format"]
        except (OSError, InputError, KeyError, TypeError) as error:
            raise Damaged(f"record.json cannot be read: {_line(error)}") from error
        if not is_intact:
            raise Damaged("record.json was altered")
        if version != FORMAT:
            raise InputError(f"{folder} has format {version}; this version reads format {FORMAT}")
        return content

    def _read(self, step: int, like: Any) -> Restored:
        """Reads a checkpoint and compares it with its record."""
        record, leaves = self._record(step), named_leaves(like)
        expected, saved = (
            [kind_of(*named_leaf) for named_leaf in leaves.values()],
            [tuple(row[:3]) for row in record["leaves"]],
        )
        saved = [(path, kind, tuple(shape)) for path, kind, shape in saved]
        if saved != expected:
            raise InputError(
                f"{self.path}: checkpoint {step} belongs to another config or learner ({mismatch(saved, expected)})"
            )
        shapes = {name: abstract(leaf) for name, (_, leaf) in leaves.items() if np.size(leaf)}
        try:
            loaded = _orbax().load((self.path / str(step) / "leaves").resolve(), shapes)
        except (
            Exception
        ) as error:  # damage shows as anything, from a missing file to a wrong number in a table of Orbax
            raise Damaged(_line(error)) from error
        restored_leaves = [
            restored(leaf, loaded[name]) if np.size(leaf) else leaf for name, (_, leaf) in leaves.items()
        ]
        for (path, *_, expected_digest), (_, leaf), value in zip(record["leaves"], leaves.values(), restored_leaves):
            if kind_of(path, value) != kind_of(path, leaf) or digest_of(value) != expected_digest:
                raise Damaged(f"the content of state{path} is not what was saved")
        state = jax.tree.unflatten(jax.tree.structure(like), restored_leaves)
        return Restored(step, state, _decode(record["position"]))


def load(like: Any, directory: Path | str, step: int | None = None, best: tuple[str, bool] | None = None) -> Any:
    """Loads a state from a finished or stopped run.

    Args:
        like: A state of the same structure, whose values are not used. ``Any``, because each learner has its own type.
        directory: The run directory.
        step: The step of the checkpoint; by default the latest.
        best: ``(metric, maximize)`` as given to ``train``, to load the best checkpoint instead.

    Returns:
        The state.

    Raises:
        InputError: If there is no such checkpoint, it has another structure, or it is damaged.

    Example:
        >>> state = load(learner.init(key, hyper), "runs/omniglot", best=("accuracy", True))  # doctest: +SKIP
    """
    metric, maximize = best or (None, True)
    saved = Checkpoints(Path(directory) / "checkpoints", metric, maximize)
    return saved.restore(like, saved.best if step is None and best else step).state


def _line(error: BaseException) -> str:
    """Returns the first line of an error."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _encode(position: Any) -> Any:
    """Returns a data position, which is ``None``, bytes or JSON, as JSON."""
    return {"bytes": base64.b64encode(position).decode()} if isinstance(position, bytes) else {"json": position}


def _decode(record: dict[str, Any]) -> Any:
    """Returns the data position that ``_encode`` wrote."""
    return base64.b64decode(record["bytes"]) if "bytes" in record else record["json"]


@functools.cache
def _orbax() -> Any:
    """Imports Orbax on first use, without its warnings."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax logs every save at length
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from orbax.checkpoint import v1 as ocp
    return ocp
