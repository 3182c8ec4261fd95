"""The results of the experiments as sections of text with tables: made of their ``result.json`` whenever they are asked for."""

import functools
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def find_experiments() -> None:
    """Makes the package ``experiments`` importable: MkDocs takes back what a hook adds to the path when it is loaded."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


class Unknown(KeyError):
    """A reference to a result that does not exist."""


def _row(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def sections(text: str) -> dict[str, str]:
    """The sections of a Markdown text by their headings of the second level."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def tables(section: str) -> list[list[list[str]]]:
    """The tables of a section, each as a list of rows of which the first is the header."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", section, re.MULTILINE)
    return [[_row(line) for i, line in enumerate(table.strip().splitlines()) if i != 1] for table in found]


ORIGIN = re.compile(r"^`(.+?)`, commit (\w+).*?, (\d+ cores? of [^,]+),.*$", re.MULTILINE)
"""The line of a section that says where it comes from."""


def source(name: str, section: str) -> str:
    """The line below a table that says what measured it."""
    if origin := ORIGIN.search(section):
        text = f"Measured by `{origin[1]}` at commit {origin[2]}, {origin[3]}."
    elif name == "benchmarks":
        text = "The runs, with commands and hardware, are in `experiments/benchmarks/RESULTS.md`."
    else:
        text = f"The runs, with commands and hardware, are in `experiments/RESULTS.md` at “{name}”."
    return f'<p class="source" markdown>{text}</p>'


def protocol(section: str) -> str:
    """What a section says in words: without its tables, figures, lists and the line of its origin."""
    paragraphs = [paragraph.strip() for paragraph in ORIGIN.sub("", section).split("\n\n")]
    left_out = ("|", "!", "#", "Found:", "Left out", "Not measured", "Published", "`", "Made by")
    return "\n\n".join(text for text in paragraphs if text and not text.startswith(left_out) and text[-1] != ":")


@functools.cache
def results() -> dict[str, str]:
    """The sections of all results by name."""
    find_experiments()
    from experiments import harness, tables
    from experiments.benchmarks import all as benchmarks

    return {**sections(tables.document(harness.committed())), "benchmarks": benchmarks.table().split("\n## ")[0]}
