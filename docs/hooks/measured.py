"""Fills measured numbers into the pages, so that no number is typed.

The source is ``experiments/RESULTS.md``, which is generated from the results of the experiments, and as section ``benchmarks``
the first table of ``experiments/benchmarks/RESULTS.md``. A page refers to it by

* ``{{ SECTION / ROW / COLUMN }}``: one cell, where a row is named by its first cell. If several rows share it, further cells
  are added: ``{{ Omniglot, all methods / protonet, transductive / 5-way 1-shot }}``.
* ``{{ table: SECTION / COLUMN, COLUMN }}`` on a line of its own: these columns of the section's table, with a line that names
  the source. All columns are taken if none is named, and the beginning of a name does. ``/ where PATTERN`` at the end keeps
  the rows whose first cell matches.

A reference that names nothing fails the build.
"""

import re
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
REFERENCE = re.compile(r"\{\{ (?!methods: )(.*?) \}\}")


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
    matches = re.findall(r"(?:^\|.*\|$\n?)+", section, re.MULTILINE)
    return [[_row(line) for i, line in enumerate(table.strip().splitlines()) if i != 1] for table in matches]


def cell(section: str, row: str, column: str) -> str:
    """The cell of a section's table at a row and a column, by their names."""
    columns = row.split(", ")
    for table in tables(section):
        header = table[0]
        if column not in header:
            continue
        for line in table[1:]:
            if line[0] == row or (line[0] == columns[0] and all(w in line for w in columns)):
                return line[header.index(column)]
    raise Unknown(f"{row} / {column}")


def columns(text: str, header: list[str]) -> list[int]:
    """The indices of the columns that a list names.

    Names may hold commas themselves, so that the longest one is taken. The beginning of a name does if it has one meaning.
    """
    indices = []
    while text:
        fits = [name for name in header if text == name or text.startswith(f"{name},")]
        name = max(fits, key=len, default=text.split(", ")[0])
        matching = [column for column in header if column == name or (not fits and column.startswith(name))]
        if not fits and len(matching) != 1:
            raise Unknown(f"no column at the beginning of {text!r}; there are {header}")
        indices.append(header.index(matching[0]))
        text = text[len(name) :].removeprefix(",").lstrip()
    return indices or list(range(len(header)))


def table(name: str, section: str, named: str, where: str) -> str:
    """A table of a section in Markdown, with its source."""
    rows = next((rows for rows in tables(section) if set(named.split(", ")) & {*rows[0], ""}), None)
    if rows is None:
        raise Unknown(f"{name} has no table with columns {named}")
    indices = columns(named, rows[0])
    selected = [rows[0], *(row for row in rows[1:] if re.search(where, row[0]))]
    lines = ["| " + " | ".join(row[i] for i in indices) + " |" for row in selected]
    lines.insert(1, "|" + "---|" * len(indices))
    origin = re.search(r"^`(.+?)`, commit (\w+).*?, (\d+ cores? of [^,]+),", section, re.MULTILINE)
    source = (
        f"Measured by `{origin[1]}` at commit {origin[2]}, {origin[3]}."
        if origin
        else f"Section “{name}” of RESULTS.md."
    )
    return "\n".join([*lines, "", f'<p class="source" markdown>{source}</p>', ""])


def results() -> dict[str, str]:
    """The sections of all results by name."""
    benchmarks = (EXPERIMENTS / "benchmarks" / "RESULTS.md").read_text()
    return {**sections((EXPERIMENTS / "RESULTS.md").read_text()), "benchmarks": benchmarks.split("\n## ")[0]}


def filled(markdown: str, known: dict[str, str]) -> str:
    """A page's text with all references to sections filled in."""

    def value(match: re.Match[str]) -> str:
        parts = [part.strip() for part in match[1].removeprefix("table: ").split(" / ")]
        if parts[0] not in known:
            raise Unknown(f"{match[1]}: there is no section {parts[0]!r}")
        section = known[parts[0]]
        if not match[1].startswith("table: "):
            if len(parts) != 3:
                raise Unknown(f"{match[1]}: SECTION / ROW / COLUMN")
            return cell(section, parts[1], parts[2])
        where = parts.pop().removeprefix("where ") if parts[-1].startswith("where ") else ""
        return table(parts[0], section, parts[1] if len(parts) > 1 else "", where)

    return REFERENCE.sub(value, markdown)


def on_page_markdown(markdown, page, config, files):
    return filled(markdown, results()) if "{{ " in markdown else markdown
