"""Writes ``experiments/RESULTS.md`` from the results committed below ``experiments/results/``, and the list of experiments.

    python -m experiments.tables                       # remake the tables
    python -m experiments.tables --add runs/sinusoid   # copy a finished run to the results first
    python -m experiments.tables --figures             # draw the figures anew, of what the results say

The first page says in plain words what was found. Then every experiment has its sections: a summary of its runs, and each
run with its metrics, its protocol, and the command, commit, hardware and time with which they came about. The experiments
are found by walking the packages. The list in ``experiments/README.md`` is remade as well.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import harness
from experiments.harness import Experiment, Pillar, Result
from experiments.harness.markdown import metrics_table, table
from metajax import run
from metajax.types import InputError

FOLDER = Path(__file__).parent
INTRODUCTION = (
    "For each part: what was asked, what was found, what it cost, and what it beats. Times are mostly of one or two CPU cores. "
    "A difference smaller than the spread beside it is no claim."
)
HEAD = (
    "# Results\n\n`python -m experiments.tables` makes this file from `experiments/results/`; no number is typed.\n\n"
)
NOTE = (
    "## Commands\n\nThe command of a section is the one that made its run. Earlier ones name modules by `experiments.NAME`, "
    "which are `experiments.PILLAR.NAME` now.\n"
)


@dataclasses.dataclass(frozen=True)
class Config:
    """The data behind the tables."""

    add: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """A finished run to copy to the results first. The flag may be repeated."""
    figures: bool = False
    """Draw the figures of all results anew, where they show what ``result.json`` says."""


def section(result: Result, experiment: Experiment | None) -> str:
    """Returns one run as Markdown."""
    figures = experiment.figures if experiment else ()
    shown = "".join(harness.figure_line(result, name) for name in figures)
    return f"{harness.heading(result)}\n{_table(result, experiment)}\n{shown}"


def _table(result: Result, experiment: Experiment | None) -> str:
    """The table of the experiment, or a line instead of it where the result lacks what the table shows by now."""
    if experiment is None:
        return metrics_table(result.metrics)
    try:
        return experiment.table(result.config, result.result)
    except KeyError as missing:
        return f"An earlier version of the experiment made this result, without {missing}; run it again for its table."


def page(results: list[Result]) -> str:
    """Returns the first page: what was asked of every pillar, and the sentences of its experiments.

    Every number is computed from a ``result.json``, and every "above" and "below" is decided by comparing numbers. A statement
    whose result is missing, or has another form than it expects, is left out, and the page names it.
    """
    named, parts, missing = {result.name: result for result in results}, [], []
    for pillar in harness.pillars():
        sentences = []
        for experiment in pillar.experiments:
            try:
                sentences += (
                    [f"- {sentence}" for sentence in experiment.statement(named)] if experiment.statement else []
                )
            except (KeyError, StopIteration, ValueError):
                missing.append(experiment.name.replace("_", " "))
        if sentences:
            parts.append("\n".join([f"### {pillar.title}", "", f"**Asked:** {pillar.question}", "", *sentences]))
    absent = f"\n\nNot on this page, because a result is missing: {', '.join(missing)}." if missing else ""
    return f"## In one page\n\n{INTRODUCTION}\n\n" + "\n\n".join(parts) + absent + "\n"


def document(results: list[Result]) -> str:
    """Returns the text of ``RESULTS.md``."""
    owners = {result.name: harness.owner(result.name) for result in results}
    parts = [page(results)]
    for experiment in (*harness.experiments(), None):
        own = [result for result in results if owners[result.name] is experiment]
        if experiment and experiment.summary and own:
            parts += [text] if (text := experiment.summary(own)) else []
        if experiment is None or experiment.sections:
            parts += [section(result, experiment) for result in own]
    return HEAD + "\n".join([*parts, NOTE])


def listing(pillars: tuple[Pillar, ...]) -> str:
    """Returns the list of experiments for ``experiments/README.md``."""
    parts = []
    for package, pillar in zip(harness.PILLARS, pillars):
        rows = [[f"`experiments.{package}.{each.name}`", each.title.replace("``", "`")] for each in pillar.experiments]
        parts.append(f"### {pillar.title}\n\n{table(['module', 'what it measures'], rows)}")
    return "\n\n".join(parts)


def redraw(results: list[Result]) -> None:
    """Draws the figures of results anew, each in the directory of its run."""
    for result in results:
        if (experiment := harness.owner(result.name)) and experiment.draw:
            experiment.draw(result.config, result.result, result.folder)


def write(folder: Path = FOLDER) -> int:
    """Writes ``RESULTS.md``, the figures of several runs and the list in ``README.md``; returns the number of results."""
    results = harness.committed()
    for experiment in harness.experiments():
        if experiment.overview:
            own = [result for result in results if harness.owner(result.name) is experiment]
            experiment.overview(own, folder / "results")
    run.write_text(folder / "RESULTS.md", document(results))
    readme = folder / "README.md"
    start, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    run.write_text(readme, f"{start}{BEGIN}\n\n{listing(harness.pillars())}\n\n{END}{rest.split(END)[1]}")
    return len(results)


def check_added(folders: Sequence[Path]) -> None:
    """Makes the document with these runs in memory, so that a run that the tables cannot read is not copied.

    Raises:
        InputError: If a run is not finished, or its result is not what the tables of its experiment read.
    """
    if not folders:
        return
    harness.check_finished(folders)
    results = {result.name: result for result in [*harness.committed(), *map(harness.read, folders)]}
    try:
        document([results[name] for name in sorted(results)])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"--add: the tables must be able to read every result, but they cannot with these ({error!r}); an experiment that "
            "has changed needs all of its results again"
        ) from error


BEGIN, END = "<!-- experiments -->", "<!-- end of experiments -->"
"""The marks in ``README.md`` between which the list stands."""


def main(argv: Any = None) -> int:
    """Remakes the tables from the command line."""
    config = harness.command_line(Config, argv, "tables", __doc__ or "")

    def command() -> None:
        check_added(config.add)
        for folder in config.add:
            experiment = harness.owner(folder.name)
            harness.add(folder, experiment.figures if experiment else ())
        if config.figures:
            redraw(harness.committed())
        print(f"{write()} results written to experiments/RESULTS.md")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
