"""Results of finished runs: what their files say, and copies of the small ones below ``experiments/results/``."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metajax.run import read_json
from metajax.types import InputError

RESULTS = Path(__file__).parents[1] / "results"
_FILES = ("result.json", "meta.json", "config.json")


class Result(NamedTuple):
    """A finished run.

    Attributes:
        name: The name of its directory.
        config: The content of ``config.json``.
        result: The content of ``result.json``.
        meta: The content of ``meta.json``: command, commit, hardware, versions and time.
        folder: The directory.
    """

    name: str
    config: dict[str, Any]
    result: dict[str, Any]
    meta: dict[str, Any]
    folder: Path = RESULTS

    @property
    def metrics(self) -> dict[str, Any]:
        return self.result["metrics"]

    @property
    def command(self) -> str:
        return self.meta.get("command", "")


Results = Mapping[str, Result]
"""Finished runs by the name of their directory."""


def read(folder: Path) -> Result:
    """Reads the files of a finished run."""
    config, result, meta = (read_json(folder / f"{name}.json") for name in ("config", "result", "meta"))
    return Result(folder.name, config, result, meta, folder)


def committed(results: Path = RESULTS) -> list[Result]:
    """Returns the finished runs below ``experiments/results``, by name."""
    return [read(folder) for folder in sorted(results.iterdir()) if (folder / "result.json").is_file()]


def check_finished(folders: Sequence[Path]) -> None:
    """Raises an error that names the first directory without the result of a finished run."""
    for folder in folders:
        if not (folder / "result.json").is_file():
            raise InputError(f"--add {folder}: must be the directory of a finished run, but it has no result.json")


def add(folder: Path, figures: Sequence[str] = (), results: Path = RESULTS) -> None:
    """Copies the small files and the figures of a finished run.

    Raises:
        InputError: If the run is not finished.
    """
    check_finished([folder])
    target = results / folder.name
    target.mkdir(parents=True, exist_ok=True)
    for file in (*_FILES, *figures):
        if (folder / file).is_file():
            shutil.copyfile(folder / file, target / file)


def origin(meta: Mapping[str, Any]) -> str:
    """Returns the command, the commit or version, the hardware and the date of a run, from its ``meta.json``."""
    code = _code(meta) + (" with local changes" if meta["dirty"] else "")
    resumed = ""
    if meta.get("resumed"):
        resumed = f", resumed {len(meta['resumed'])} times, last at {_code(meta['resumed'][-1])}"
    return (
        f"`{meta['command']}`, {code}, {meta['hardware']}, jax {meta['versions']['jax']}, "
        f"{meta['started'][:10]}{resumed}"
    )


def _code(meta: Mapping[str, Any]) -> str:
    """The commit, or the version of an installed package."""
    if meta["commit"]:
        return f"commit {meta['commit'][:10]}"
    return f"metajax {meta['versions'].get('metajax') or 'of unknown version'}"


def heading(result: Result, with_found: bool = True) -> str:
    """Returns the name, the origin and the protocol of a run, and what it found unless the table says so."""
    protocol = f"\n{result.result['protocol']}\n" if "protocol" in result.result else ""
    line = f"\nFound: `{json.dumps(result.result['found'])}`\n" if with_found and "found" in result.result else ""
    return f"## {result.name}\n\n{origin(result.meta)}\n{protocol}{line}"


def figure_line(result: Result, name: str) -> str:
    """Returns the Markdown of a figure of a run, if it was drawn."""
    is_there = (result.folder / name).is_file()
    return f"\n![{Path(name).stem} of {result.name}](results/{result.name}/{name})\n" if is_there else ""
