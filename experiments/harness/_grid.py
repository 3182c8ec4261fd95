"""Experiments that are many small measurements: each is kept as soon as it is made, and a resumed run makes those missing.
Their table is written by one function, on the screen and in ``experiments/RESULTS.md``."""

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


def chosen(given: str, known: Iterable[str], flag: str) -> list[str]:
    """The names of a flag: ``all``, or some of those known, separated by commas.

    Raises:
        InputError: on another name.
    """
    names = list(known)
    some = names if given == "all" else given.split(",")
    unknown = [name for name in some if name not in names]
    if unknown:
        raise InputError(f"--{flag} {unknown[0]}: accepted are all, or some of {', '.join(names)}")
    return some


def measure(
    directory: run.RunDirectory,
    cells: Iterable[Cell],
    work: Callable[[Cell], dict[str, Any]],
    label: str = "",
    show: bool = True,
) -> list[dict[str, Any]]:
    """One record for each cell, its names and what ``work`` returns of it, with its seconds; kept in ``metrics.jsonl``."""
    cells = list(cells)
    names = list(cells[0])
    place = lambda record: tuple(record[name] for name in names)
    known = {place(record): record for record in directory.metrics()}
    run.write_text(directory.metrics_file, "".join(f"{json.dumps(record)}\n" for record in known.values()))
    bar = run.Progress(len(cells), sum(place(c) in known for c in cells), label, show=show)
    for cell in cells:
        if place(cell) in known:
            continue
        began = time.perf_counter()
        record = {**cell, **work(cell)}
        record["seconds"] = time.perf_counter() - began
        directory.log(record)
        known[place(cell)] = record
        bar.update(sum(place(c) in known for c in cells), {k: v for k, v in record.items() if k not in names})
    bar.close()
    return [known[place(cell)] for cell in cells]


@contextlib.contextmanager
def compiled_anew() -> Iterator[None]:
    """Inside, nothing is found compiled, neither by this process nor by an earlier one."""
    before = jax.config.values["jax_enable_compilation_cache"]

    def switch(on: bool) -> None:
        jax.config.update("jax_enable_compilation_cache", on)
        compilation_cache.reset_cache()  # which looks at the setting once

    jax.clear_caches()
    switch(False)
    try:
        yield
    finally:
        switch(before)


def command(
    name: str,
    made: tuple[type, dict[str, Any], str | None],
    argv: list[str] | None,
    experiment: Callable[..., Any],
    markdown: Callable[[dict[str, Any], dict[str, Any]], str],
    what: str,
    figure: str | None = None,
) -> int:
    """The command line of such an experiment: runs it and prints its table; returns the exit status.

    Args:
        name: of the experiment.
        made: its config, presets and docstring.
        argv: arguments; those of the process by default.
        experiment: ``(config, directory)``, which finishes the directory.
        markdown: ``(config, result)`` as dictionaries, the table.
        what: the table shows.
        figure: its file, if it draws one.
    """
    config, options = run.parse(*made[:2], argv, made[2], name, f"runs/{name}")

    def work() -> None:
        with run.RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
            experiment(config, directory)
            result = directory.result or {}
        print(f"{what} {result['protocol']}\n\n{markdown(run.to_dict(config), result)}")
        print(f"written to {options.out}: result.json{f', {figure}' if figure else ''}")

    return run.main(work)
