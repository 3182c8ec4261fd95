"""One experiment: what each script exports as ``EXPERIMENT``, and how one runs."""

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from experiments.harness import _flags
from experiments.harness._results import Result, Results
from experiments.harness.markdown import metrics_table
from metajax import run
from metajax.run import RunDirectory
from metajax.types import InputError

C = TypeVar("C")


def _no_data(config: Any) -> Mapping[str, Any]:
    return {}


def _no_packages(config: Any) -> Sequence[str]:
    return ()


def _metrics(config: dict[str, Any], result: dict[str, Any]) -> str:
    return metrics_table(result["metrics"])


@dataclasses.dataclass(frozen=True)
class Experiment(Generic[C]):
    """A table or a figure of a paper, or a comparison of our own: how it is run, and how its results read.

    A script assigns one to ``EXPERIMENT``. The tables, the first page of ``RESULTS.md``, the list of experiments and the
    tests find it there.

    Attributes:
        name: The name of the script's module. No two experiments share one. The default run directory is ``runs/<name>``.
        doc: The docstring of the script: what is measured, the command, the hardware and time, the number to expect.
        config: A frozen dataclass. Its fields are the flags, and their docstrings are the help.
        run: ``(config, directory, data) -> result``. The result holds ``metrics`` (name -> number) and ``protocol`` (one
            text that says how they were measured), and whatever else the table needs.
        data: ``config -> {name: arrays}``. It is loaded before anything is written. A resumed run is refused if its data
            differs.
        presets: Settings by name; the first one is the default. A preset may be a function of the flags that are given.
        table: ``(config, result) -> Markdown``, of the JSON files of a run. It must read committed results as they are.
        figures: The files that a run draws. ``RESULTS.md`` shows them.
        draw: ``(config, result, directory)``: draws figures from the JSON files of a run. It must read committed results as
            they are, so that their figures can be drawn anew without training. A figure of what is not in ``result.json`` is
            drawn by ``run``.
        overview: ``(results, directory)``: draws a figure of all runs of the experiment side by side.
        results: The beginning of the names of its runs below ``experiments/results``. The default is ``name``.
        out: The default run directory, if that is not ``runs/<name>``.
        summary: ``results -> Markdown``: a section on all runs of the experiment side by side.
        sections: Whether every run also has a section of its own.
        statement: ``results by name -> sentences`` for the first page. It raises ``KeyError``, ``ValueError`` or
            ``StopIteration`` where a result is missing.
        needs: ``config -> names``: the optional packages that the settings need, by the names under which they are imported
            and installed. A missing one is an error before data is loaded. Matplotlib need not be named where the experiment
            has ``draw`` or a figure other than an SVG.
    """

    name: str
    doc: str | None
    config: type[C]
    run: Callable[[C, RunDirectory, Mapping[str, Any]], dict[str, Any]]
    data: Callable[[C], Mapping[str, Any]] = _no_data
    presets: Mapping[str, _flags.Preset] = dataclasses.field(default_factory=dict)
    table: Callable[[dict[str, Any], dict[str, Any]], str] = _metrics
    figures: tuple[str, ...] = ()
    draw: Callable[[dict[str, Any], dict[str, Any], Path], None] | None = None
    overview: Callable[[Sequence[Result], Path], None] | None = None
    results: str = ""
    out: str = ""
    summary: Callable[[Sequence[Result]], str] | None = None
    sections: bool = True
    statement: Callable[[Results], list[str]] | None = None
    needs: Callable[[C], Sequence[str]] = _no_packages

    @property
    def title(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join((self.doc or "").strip().split("\n\n")[0].split())

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Runs the experiment from a command line, prints its protocol and its table, and returns the exit status."""
        # Before OpenMP is loaded: threads that wait for one another leave the processor to what runs beside them.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        config, options = _flags.parse(self.config, self.presets, argv, self.name, self.doc or "", self.out)

        def command() -> None:
            self.check_packages(config)
            data = self.data(config)  # bad data is an error before anything is written
            with RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
                result = self.execute(config, directory, data)
            print(f"{result.get('protocol', '')}\n\n{self.table(run.to_dict(config), result)}")
            print(f"written to {options.out}: {', '.join(('result.json', *self.figures))}")

        return run.main(command, _flags.by_argument(self.config))

    def check_packages(self, config: C) -> None:
        """Raises an ``InputError`` that names all missing packages, so that none is missed after the training."""
        draws = self.draw is not None or any(not figure.endswith(".svg") for figure in self.figures)
        needed = [*self.needs(config), *(["matplotlib"] if draws else [])]
        if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
            raise InputError(f"{self.name} needs {' and '.join(missing)}: pip install {' '.join(missing)}")

    def execute(self, config: C, directory: RunDirectory, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Runs the experiment in an open directory: binds the data, measures, and writes and returns the result."""
        data = self.data(config) if data is None else data
        if data:
            directory.bind_data(run.fingerprint(**data))
        result = self.run(config, directory, data)
        if self.draw is not None:
            self.draw(run.to_dict(config), result, directory.path)
        directory.finish(result)
        return result

    def exit(self) -> None:
        """Runs the experiment from the command line of the process, and exits."""
        sys.exit(self.main())
