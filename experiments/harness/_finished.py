"""Finished runs: what their files say, and copies of the small ones below ``experiments/results/``."""

import json
import shutil
from pathlib import Path
from typing import Any

from metajax.run import read_json
from metajax.types import InputError

RESULTS = Path(__file__).parents[1] / "results"
_FIGURES = (
    "adaptation.png",
    "ranking.png",
    "regret.png",
    "returns.png",
    "scaling.png",
    "tau.png",
    "times.png",
    "normal.svg",
    "reduce.svg",
)
_FILES = ("result.json", "meta.json", "config.json", *_FIGURES)


def add(directory: Path, results: Path = RESULTS) -> None:
    """Copies the small files of a finished run."""
    if not (directory / "result.json").is_file():
        raise InputError(f"--add {directory}: has no result.json; only finished runs can be added")
    target = results / directory.name
    target.mkdir(parents=True, exist_ok=True)
    for file in _FILES:
        if (directory / file).is_file():
            shutil.copyfile(directory / file, target / file)


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return read_json(path)


def origin(meta: dict[str, Any]) -> str:
    """With which command, commit or version, hardware and when, by a ``meta.json``."""
    code = _code(meta) + (" with local changes" if meta["dirty"] else "")
    resumed = ""
    if meta.get("resumed"):
        resumed = f", resumed {len(meta['resumed'])} times, last at {_code(meta['resumed'][-1])}"
    return (
        f"`{meta['command']}`, {code}, {meta['hardware']}, jax {meta['versions']['jax']}, "
        f"{meta['started'][:10]}{resumed}"
    )


def _code(meta: dict[str, Any]) -> str:
    """The commit, or the version of an installed package."""
    if meta["commit"]:
        return f"commit {meta['commit'][:10]}"
    return f"metajax {meta['versions'].get('metajax') or 'of unknown version'}"


def heading(directory: Path, found: bool = True) -> str:
    """Name, origin and protocol of a run, and what it found unless the table says so."""
    result = read(directory / "result.json")
    protocol = f"\n{result['protocol']}\n" if "protocol" in result else ""
    told = f"\nFound: `{json.dumps(result['found'])}`\n" if found and "found" in result else ""
    made = origin(read(directory / "meta.json"))
    return f"## {directory.name}\n\n{made}\n{protocol}{told}"


def number(value: float) -> str:
    """A whole number whole, another to four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
