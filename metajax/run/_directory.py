"""A run is a directory: config, data, metadata, metrics, checkpoints, and a result that is written last or not at all."""

import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from metajax.parallel import agreed, is_first, wait
from metajax.run import _meta as meta
from metajax.run._data_record import DATA_FILE, read_data, write_data
from metajax.run._files import read_json, usable, write_json, write_text
from metajax.run._identity import Fingerprint, differences
from metajax.run._lock import Lock
from metajax.run._writer import Writer, Writers
from metajax.types import InputError

_MARK = "config.json"  # written last, so that a directory with it is a run
_LOCK, _META = ".lock", "meta.json"
_CLEARED = ".overwritten"  # what the mark is called while the run is deleted
_BEFORE_CONFIG = {_LOCK, *(f"{name}{part}" for name in (_META, DATA_FILE, _MARK) for part in ("", ".part"))}


class RunDirectory:
    """The directory of one run, locked against a second process while it is open.

    In a program over hosts (``parallel.connect``), every process opens it with the same arguments, and the first one writes.

    Args:
        path: The directory. It is created if it does not exist.
        config: Plain values. They are written to ``config.json``, and compared with it on ``resume``.
        resume: Whether to continue an existing run. A run that does not exist yet begins.
        overwrite: Whether to replace an existing run. A directory that is not a run is never deleted.
        data: The fingerprint of the data of the run. It is written to ``data.json``, and compared with it on ``resume``.
            ``bind_data`` does the same where the data is only known later.
        writers: What the metrics are sent to as they are logged, such as ``integrations.tracker("tensorboard", path)``. A step
            is sent once, however often the run is resumed. A writer that fails is named on standard error and left out from
            then on: ``metrics.jsonl`` holds everything.

    Attributes:
        path: The directory.
        config: The config, as JSON holds it.
        resumed: Whether the run existed before and is continued.

    Raises:
        InputError: If the directory exists and neither flag is given, if it holds the run of another config or of other data,
            if one of its files is damaged, if another process is writing to it, or if it cannot be written.

    Example:
        >>> import tempfile
        >>> with RunDirectory(Path(tempfile.mkdtemp()) / "run", {"steps": 2}) as directory:
        ...     directory.log({"step": 1, "loss": 0.5})
        ...     directory.finish({"metrics": {"loss": 0.5}})
        >>> directory.metrics(), directory.result
        ([{'step': 1, 'loss': 0.5}], {'metrics': {'loss': 0.5}})
    """

    _lock: Lock | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: dict[str, Any],
        resume: bool = False,
        overwrite: bool = False,
        data: Fingerprint | None = None,
        writers: Sequence[Writer] = (),
    ):
        self.path: Path = Path(path)
        self._writers = Writers(writers, self.path)
        self.config: dict[str, Any] = json.loads(json.dumps(config))
        self._is_writer = is_first()
        if jax.process_count() == 1:
            with usable("path", self.path):
                self._open(resume, overwrite, data)
        else:
            self._open_together(resume, overwrite, data)

    def _open_together(self, resume: bool, overwrite: bool, data: Fingerprint | None) -> None:
        """Lets the first process open the directory, and the others go on where it does, or end as it does."""
        error: InputError | None = None
        if self._is_writer:
            try:
                with usable("path", self.path):
                    self._open(resume, overwrite, data)
            except InputError as raised:
                error = raised
        failed, resumed = agreed(error is not None, self._is_writer and error is None and self.resumed)
        if failed:
            raise error or InputError(
                f"path={str(self.path)!r}: the first process could not open the run directory; its own error says why"
            )
        self.resumed = bool(resumed)

    def _open(self, resume: bool, overwrite: bool, data: Fingerprint | None) -> None:
        """Locks the directory and begins or continues the run."""
        self._is_run(resume or overwrite)
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            lock = Lock(self.path / _LOCK)
        except BlockingIOError:
            raise InputError(
                f"path={str(self.path)!r}: another process is writing to this run; wait for it or stop it"
            ) from None
        try:
            self._begin(resume, overwrite, data)
        except BaseException:
            lock.release()
            raise
        self._lock = lock

    def _begin(self, resume: bool, overwrite: bool, data: Fingerprint | None) -> None:
        """Writes the files of a new run, or checks and extends those of an existing one."""
        self.resumed: bool = self._is_run(resume or overwrite) and resume
        seed = self.config.get("seed")
        if not self.resumed:
            self._clear()
            write_json(self.path / _META, meta.collect(seed))
            write_data(self.path, data)
            write_json(self.path / _MARK, self.config)
            return
        self._compare()
        if data is not None:
            self.bind_data(data)
        if self.metrics_file.is_file():
            self.rewind(math.inf)  # otherwise a line that a kill cut off would merge with the next one
        described = read_json(self.path / _META) if (self.path / _META).is_file() else meta.collect(seed)
        described.setdefault("resumed", []).append(meta.collect(seed))
        write_json(self.path / _META, described)

    def _is_run(self, may_exist: bool) -> bool:
        """Returns whether a run is there. A directory that a kill left without a config does not count as a run.

        Raises:
            InputError: If something else is there, or a run that is not accepted.
        """
        if not self.path.exists():
            return False
        names = {child.name for child in self.path.iterdir()} if self.path.is_dir() else {"a file"}
        if _MARK not in names:
            if names and _CLEARED not in names and not (_LOCK in names and names <= _BEFORE_CONFIG):
                raise InputError(
                    f"path={str(self.path)!r}: exists and is not a run directory; use a new or an empty one"
                )
            return False
        if not may_exist:
            raise InputError(
                f"path={str(self.path)!r}: a run is there already; resume=True continues it, overwrite=True replaces it"
            )
        return True

    def _compare(self) -> None:
        """Refuses another config than that of the run."""
        recorded = read_json(self.path / _MARK)
        differ = sorted(k for k in {*recorded, *self.config} if recorded.get(k) != self.config.get(k))
        if differ:
            changes = ", ".join(f"{k}: {recorded.get(k)!r} there, {self.config.get(k)!r} given" for k in differ)
            raise InputError(
                f"path={str(self.path)!r}: the run there has another config ({changes}); use the same config, or "
                "another directory"
            )

    def bind_data(self, data: Fingerprint) -> None:
        """Records the data of the run or, where data is recorded already, refuses other data.

        Call it before anything is computed from the data.

        Args:
            data: The fingerprint of the data.

        Raises:
            InputError: If the run is of other data, with what differs, or if it was made before runs recorded their data.

        Example:
            >>> import tempfile, numpy as np
            >>> from metajax import run
            >>> from metajax.types import InputError
            >>> path = tempfile.mkdtemp()
            >>> with run.RunDirectory(path, {}, data=run.fingerprint(x=np.zeros(3))) as directory:
            ...     directory.bind_data(run.fingerprint(x=np.zeros(3)))
            >>> try:
            ...     run.RunDirectory(path, {}, resume=True, data=run.fingerprint(x=np.ones(3)))
            ... except InputError as error:
            ...     print(str(error).replace(path, "runs/a"))
            runs/a: the run there is of other data (x: other content); use the data of the run, or another directory
        """
        recorded = read_data(self.path)
        if recorded is None:
            if self._is_writer:
                write_data(self.path, data)
        elif differ := differences(recorded, data):
            raise InputError(
                f"{self.path}: the run there is of other data ({'; '.join(differ)}); use the data of the run, or another "
                "directory"
            )

    def _clear(self) -> None:
        """Deletes a run, or what was left of one. A kill at any instant leaves a directory that counts as empty."""
        if (self.path / _MARK).is_file():
            (self.path / _MARK).replace(self.path / _CLEARED)
        for child in self.path.iterdir():
            if child.name not in (_LOCK, _CLEARED):
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        (self.path / _CLEARED).unlink(missing_ok=True)

    @property
    def metrics_file(self) -> Path:
        """The file of the metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    def log(self, record: dict[str, Any]) -> None:
        """Appends one line to ``metrics.jsonl``.

        Args:
            record: Plain values by name, usually with ``step``.
        """
        if not self._is_writer:
            return
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if "step" in record:
            self._writers.send(record)

    def metrics(self) -> list[dict[str, Any]]:
        """Returns all lines of ``metrics.jsonl``. A last line that a kill cut off is left out.

        Raises:
            InputError: If another line is damaged.
        """
        if not self.metrics_file.is_file():
            return []
        *lines, last = self.metrics_file.read_bytes().split(b"\n")
        records = []
        for number, line in enumerate([*lines, last], 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
            except ValueError as error:
                if number > len(lines):
                    break
                raise InputError(
                    f"{self.metrics_file}: line {number} is damaged ({error}); delete the line to continue without it"
                ) from error
            records.append(record)
        return records

    def rewind(self, step: float) -> list[dict[str, Any]]:
        """Drops the metrics after a step, which a resumed run writes again, and returns the others.

        Args:
            step: The last step whose metrics stay.
        """
        remaining = [r for r in self.metrics() if r.get("step", 0) <= step]
        if self._is_writer:
            write_text(self.metrics_file, "".join(json.dumps(r) + "\n" for r in remaining))
        return remaining

    def finish(self, result: dict[str, Any]) -> None:
        """Writes ``result.json``, completely or not at all.

        Args:
            result: Plain values. The numbers of the run belong under ``"metrics"``.

        Raises:
            InputError: If a metric is not a plain number.
        """
        non_numbers = [
            k for k, v in result.get("metrics", {}).items() if isinstance(v, bool) or not isinstance(v, int | float)
        ]
        if non_numbers:
            raise InputError(
                f"finish: result['metrics'] must hold int and float values only, but {non_numbers} are not plain numbers"
            )
        if self._is_writer:
            write_json(self.path / "result.json", result)
        wait(f"result of {self.path}")

    @property
    def result(self) -> dict[str, Any] | None:
        """The contents of ``result.json``, or ``None`` if the run is not finished."""
        path = self.path / "result.json"
        return read_json(path) if path.is_file() else None

    def close(self) -> None:
        """Releases the lock, and closes the writers."""
        self._writers.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
