"""Writes ``experiments/RESULTS.md`` from the results committed under ``experiments/results/``.

    python -m experiments.tables                       # remake the table
    python -m experiments.tables --add runs/sinusoid   # copy a finished run there first

Each run becomes a section: its metrics, its protocol, and with which command, commit, hardware and time they came about.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from metajax import run
from metajax.types import InputError

RESULTS = Path(__file__).parent / "results"
_FILES = ("result.json", "meta.json", "config.json", "adaptation.png", "ranking.png")


def add(directory: Path) -> None:
    """Copies the small files of a finished run."""
    if not (directory / "result.json").is_file():
        raise InputError(f"--add {directory}: has no result.json; only finished runs can be added")
    target = RESULTS / directory.name
    target.mkdir(parents=True, exist_ok=True)
    for file in _FILES:
        if (directory / file).is_file():
            shutil.copyfile(directory / file, target / file)


def section(directory: Path) -> str:
    """One run as Markdown."""
    result, meta = (json.loads((directory / name).read_text()) for name in ("result.json", "meta.json"))
    commit = (meta["commit"] or "unknown")[:10] + (" with local changes" if meta["dirty"] else "")
    rows = "\n".join(f"| {name} | {_number(value)} |" for name, value in result["metrics"].items())
    protocol = f"\n{result['protocol']}\n" if "protocol" in result else ""
    found = f"\nFound: `{json.dumps(result['found'])}`\n" if "found" in result else ""
    resumed = f", resumed {len(meta['resumed'])} times" if meta.get("resumed") else ""
    return (
        f"## {directory.name}\n\n`{meta['command']}`, commit {commit}, {meta['hardware']}, "
        f"jax {meta['versions']['jax']}, {meta['started'][:10]}{resumed}\n{protocol}{found}\n"
        f"| metric | value |\n|---|---|\n{rows}\n"
    )


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def quickstart_summary(directories: list[Path]) -> str:
    """The seeds of the quickstart side by side."""
    rows, gaps = [], []
    for directory in directories:
        m = json.loads((directory / "result.json").read_text())["metrics"]
        rows.append(
            f"| {directory.name} | {100 * m['test_accuracy']:.2f} | {100 * m['random_test_accuracy']:.2f} | "
            f"{100 * m['default_test_accuracy']:.2f} | {m['seconds']:.0f} |"
        )
        gaps.append(m["test_accuracy"] - m["random_test_accuracy"])
    mean = 100 * sum(gaps) / len(gaps)
    return (
        "## quickstart over seeds\n\nTest accuracy on digits, %; 192 models each for the search and for random search.\n\n"
        "| run | search | random | default | seconds |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nSearch minus random: {mean:+.2f} points on average, {sum(g >= 0 for g in gaps)} of {len(gaps)} not below.\n"
    )


def main(argv=None) -> int:
    parser = run.OneLineParser(prog="tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, action="append", default=[], help="a finished run to copy to the results")
    given = parser.parse_args(argv)

    def command():
        for directory in given.add:
            add(directory)
        every = sorted(p for p in RESULTS.iterdir() if (p / "result.json").is_file())
        seeds = [p for p in every if p.name.startswith("quickstart")]
        parts = [section(p) for p in every if p not in seeds]
        if seeds:
            parts.append(quickstart_summary(seeds))
            parts.append(section(seeds[0]))
        head = (
            "# Results\n\nMade by `python -m experiments.tables` from `experiments/results/`; no number is typed.\n\n"
        )
        run.write_text(Path(__file__).parent / "RESULTS.md", head + "\n".join(parts))
        print(f"{len(every)} results written to experiments/RESULTS.md")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
