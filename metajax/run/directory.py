"""A run is a directory: config, metadata, metrics, checkpoints, and a result that is written last or not at all."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from metajax.run import meta
from metajax.types import InputError

_MARK = "config.json"


class RunDirectory:
    """The directory of one run.

    Args:
        path: where; made if it is not there.
        config: plain values; written to ``config.json``, and compared with it on ``resume``.
        resume: go on in an existing run; one that does not exist yet is begun.
        overwrite: replace an existing run. A directory that is not a run is never deleted.

    Raises:
        InputError: if the directory exists and neither flag is given, if it holds the run of another config, or if
            another process is writing to it.
    """

    def __init__(
        self, path: str | os.PathLike[str], config: dict[str, Any], resume: bool = False, overwrite: bool = False
    ):
        self.path, self.config = Path(path), json.loads(json.dumps(config))
        occupied = self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        if occupied and not (self.path / _MARK).is_file():
            raise InputError(f"--out {path}: exists and is not a run directory; give a new or an empty one")
        if occupied and not (resume or overwrite):
            raise InputError(f"--out {path}: a run is there already; --resume goes on with it, --overwrite replaces it")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"--out {path}: another process is writing to this run; wait for it or stop it") from None
        if occupied and resume:
            self._compare()
        elif occupied:
            self._clear()
        self.resumed = occupied and resume
        if not self.resumed:
            write_json(self.path / "meta.json", meta.collect(config.get("seed")))
            write_json(self.path / _MARK, self.config)
        else:
            self._append_meta(config.get("seed"))

    def _compare(self) -> None:
        there = json.loads((self.path / _MARK).read_text())
        differ = sorted(k for k in {*there, *self.config} if there.get(k, ...) != self.config.get(k, ...))
        if differ:
            changes = ", ".join(f"{k}: {there.get(k)!r} there, {self.config.get(k)!r} given" for k in differ)
            raise InputError(f"--resume {self.path}: the run there has another config ({changes}); give the same one")

    def _clear(self) -> None:
        for child in self.path.iterdir():
            if child.name != ".lock":
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()

    def _append_meta(self, seed: Any) -> None:
        path = self.path / "meta.json"
        known = json.loads(path.read_text()) if path.is_file() else meta.collect(seed)
        known.setdefault("resumed", []).append(meta.collect(seed))
        write_json(path, known)

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    def log(self, record: dict[str, Any]) -> None:
        """Appends one line to ``metrics.jsonl``."""
        with self.metrics_file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All complete lines of ``metrics.jsonl``; a last line cut off by a kill is left out."""
        if not self.metrics_file.is_file():
            return []
        records = []
        for line in self.metrics_file.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Drops the metrics of steps after ``step``, which a resumed run will write again; returns what is left."""
        kept = [r for r in self.metrics() if r.get("step", 0) <= step]
        write_text(self.metrics_file, "".join(json.dumps(r) + "\n" for r in kept))
        return kept

    def finish(self, result: dict[str, Any]) -> None:
        """Writes ``result.json``, whole or not at all; figures asked for belong under ``"metrics"``."""
        bad = [k for k, v in result.get("metrics", {}).items() if isinstance(v, bool) or not isinstance(v, int | float)]
        if bad:
            raise InputError(
                f"finish: result['metrics'] has {bad}, which are no plain numbers; accepted are int and float"
            )
        write_json(self.path / "result.json", result)

    @property
    def result(self) -> dict[str, Any] | None:
        path = self.path / "result.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_text(path: Path, text: str) -> None:
    """Replaces a file at once: a reader or a kill sees the old text or the new, never a part."""
    part = path.with_name(path.name + ".part")
    with part.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    write_text(path, json.dumps(value, indent=indent) + "\n")
