"""Fills measured numbers into the pages, so that no number is typed.

The source is ``experiments/RESULTS.md``, which is generated from the results of the experiments. A page refers to it by

* ``{{ SECTION / ROW / COLUMN }}``: one cell, where a row is named by its first cell. If several rows share it, further cells
  are added: ``{{ Omniglot, all methods / protonet, transductive / 5-way 1-shot }}``.
* ``{{ table: SECTION / COLUMN, COLUMN }}`` on a line of its own: these columns of the section's table, with a line that names
  the source. ``/ 2`` behind the section takes its second table. All columns are taken if none is named.

A reference that names nothing fails the build.
"""

import re
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "experiments" / "RESULTS.md"
REFERENCE = re.compile(r"\{\{ (.*?) \}\}")


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


def cell(section: str, row: str, column: str) -> str:
    """The cell of a section's table at a row and a column, by their names."""
    wanted = row.split(", ")
    for table in tables(section):
        header = table[0]
        if column not in header:
            continue
        for line in table[1:]:
            if line[0] == row or (line[0] == wanted[0] and all(w in line for w in wanted)):
                return line[header.index(column)]
    raise Unknown(f"{row} / {column}")


def table(name: str, section: str, number: int, columns: list[str]) -> str:
    """A table of a section in Markdown, with its source."""
    rows = tables(section)[number]
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise Unknown(f"{name}: columns {missing} of {rows[0]}")
    places = [rows[0].index(column) for column in columns] or range(len(rows[0]))
    lines = ["| " + " | ".join(row[i] for i in places) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(list(places)))
    origin = re.search(r"^`(.+?)`, commit (\w+).*?, (\d+ cores? of [^,]+),", section, re.MULTILINE)
    source = f"Measured: `{origin[1]}`, {origin[3]}." if origin else f"Measured: RESULTS.md, section “{name}”."
    return "\n".join([*lines, "", f'<p class="source" markdown>{source}</p>', ""])


def filled(markdown: str, results: str) -> str:
    """A page's text with all references filled in."""
    known = sections(results)

    def value(match: re.Match[str]) -> str:
        parts = [part.strip() for part in match[1].removeprefix("table: ").split(" / ")]
        if parts[0] not in known:
            raise Unknown(f"{match[1]}: RESULTS.md has no section {parts[0]!r}")
        section = known[parts[0]]
        if not match[1].startswith("table: "):
            if len(parts) != 3:
                raise Unknown(f"{match[1]}: SECTION / ROW / COLUMN")
            return cell(section, parts[1], parts[2])
        number = int(parts.pop(1)) - 1 if len(parts) > 1 and parts[1].isdigit() else 0
        return table(parts[0], section, number, parts[1].split(", ") if len(parts) > 1 else [])

    return REFERENCE.sub(value, markdown)


def on_page_markdown(markdown, page, config, files):
    return filled(markdown, RESULTS.read_text()) if "{{ " in markdown else markdown
