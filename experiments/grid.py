"""Experiments that are many small measurements: each is kept as soon as it is made, and a resumed run makes those missing."""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from metajax import run

Cell = dict[str, Any]


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
