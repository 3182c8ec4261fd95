"""Experiments that consist of many small measurements. Each one is saved as soon as it is
made, and a resumed run makes those that are missing."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from metajax import run
from metajax.types import InputError

Cell = dict[str, Any]
"""The names of one measurement, such as ``{"method": "tpe", "seed": 0}``."""


def selected(value: str, choices: Iterable[str], flag: str) -> list[str]:
    """Returns the names that a flag selects: ``all``, or some of the choices, separated by commas.

    Raises:
        InputError: If another name is given.

    Example:
        >>> selected("tpe,random", ["random", "tpe", "gp"], "methods")
        ['tpe', 'random']
    """
    names = list(choices)
    selection = names if value == "all" else value.split(",")
    unknown = [name for name in selection if name not in names]
    if unknown:
        raise InputError(f"--{flag} must be all, or some of {', '.join(names)} separated by commas, got {unknown[0]}")
    return selection


def measure(
    directory: run.RunDirectory,
    cells: Iterable[Cell],
    work: Callable[[Cell], dict[str, Any]],
    label: str = "",
    show: bool = True,
) -> list[dict[str, Any]]:
    """Measures every cell that was not measured before, and returns one record for each.

    A record holds the names of the cell, what ``work`` returns, and the seconds that it took. It is one line of
    ``metrics.jsonl``.

    Args:
        directory: The directory of the run.
        cells: The measurements. All have the same names.
        work: Measures one cell.
        label: The label of the progress bar.
        show: Whether to show the progress bar.
    """
    cells = list(cells)
    names = list(cells[0])
    identity = lambda record: tuple(record[name] for name in names)
    records = {identity(record): record for record in directory.metrics()}
    run.write_text(directory.metrics_file, "".join(f"{json.dumps(record)}\n" for record in records.values()))
    bar = run.Progress(len(cells), sum(identity(c) in records for c in cells), label, show=show)
    for cell in cells:
        if identity(cell) in records:
            continue
        start = time.perf_counter()
        record = {**cell, **work(cell)}
        record["seconds"] = time.perf_counter() - start
        directory.log(record)
        records[identity(cell)] = record
        bar.update(sum(identity(c) in records for c in cells), {k: v for k, v in record.items() if k not in names})
    bar.close()
    return [records[identity(cell)] for cell in cells]


@contextlib.contextmanager
def compiled_anew() -> Iterator[None]:
    """Within this context JAX compiles every program anew, as in a first run on a new machine."""
    before = jax.config.values["jax_enable_compilation_cache"]

    def switch(on: bool) -> None:
        jax.config.update("jax_enable_compilation_cache", on)
        compilation_cache.reset_cache()  # JAX reads the setting once, unless it is reset

    jax.clear_caches()
    switch(False)
    try:
        yield
    finally:
        switch(before)
