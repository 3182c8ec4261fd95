"""Fills measured numbers into the pages, so that no number is typed.

The sources are the ``result.json`` of the experiments: their tables are made at every build, as ``python -m
experiments.tables`` makes ``RESULTS.md``. The claims of the benchmarks are the section ``benchmarks``. A page refers to them by

* ``{{ SECTION / ROW / COLUMN }}``: one cell, where a row is named by its first cell. If several rows share it, further cells
  are added: ``{{ Omniglot, all methods / protonet, transductive / 5-way 1-shot }}``.
* ``{{ table: SECTION / COLUMN, COLUMN }}`` on a line of its own: these columns of the section's table, with a line that names
  the source. All columns are taken if none is named, and the beginning of a name does. ``/ where PATTERN`` at the end keeps
  the rows whose first cell matches.
* ``{{ order: SECTION / COLUMN }}``: a sentence that says which row has the largest number in a column (with ``/ least`` the
  smallest one), which rows are level with it by what stands after their ±, and which is next. ``/ where PATTERN`` as above.
* ``{{ range: SECTION / COLUMN / where PATTERN }}``: the smallest and the largest number of these rows.
* ``{{ said: SECTION / BEGINNING }}``: the paragraph of a section that begins so.
* ``{{ found: EXPERIMENT }}``: the sentences of an experiment on the first page of the results.
* ``{{ holds: SECTION / COLUMN / ROW < ROW }}``: nothing. The build fails if it does not hold (any more): for a conclusion in
  words. The signs are ``<``, ``>``, and ``~`` for numbers that are level by what stands after their ±.

A reference that names nothing fails the build.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [path for path in [str(Path(__file__).parent)] if path not in sys.path]

from resulttables import Unknown, find_experiments, protocol, results, source, tables  # noqa: E402

REFERENCE = re.compile(r"\{\{ (?!methods: |settings: )(.*?) \}\}")


NUMBER = re.compile(r"[+]?(-?\d+(?:\.\d+)?)(?: ± (\d+(?:\.\d+)?))?")
"""The number at the beginning of a cell, and what stands after its ±."""


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
    return "\n".join([*lines, "", source(name, section), ""])


def rows(pattern: str, known: dict[str, str], only: tuple[str, ...] = ()) -> str:
    """All that results say of what a pattern matches: rows, or columns with what names the rows, by sections.

    Args:
        pattern: Matches the first cell of a row, or the head of a column.
        known: The sections by their names, see ``results``.
        only: The names of the sections that are searched; empty for all.
    """
    matches = lambda cell: re.fullmatch(pattern, cell.removesuffix("†").strip(" `"))
    parts = []
    for name, section in known.items():
        shown = []
        for head, *body in tables(section) if not only or name in only else ():
            indices, kept = list(range(len(head))), [row for row in body if matches(row[0])]
            if not kept and (columns := [i for i, cell in enumerate(head) if matches(cell)]):
                # of a wide table the columns that match, and as many as tell the rows apart
                keys = next(n for n in indices if n and len({tuple(row[:n]) for row in body}) == len(body))
                indices, kept = (sorted({*range(keys), *columns}) if len(head) > 5 else indices), body
            if kept:
                lines = ["| " + " | ".join(row[i] for i in indices) + " |" for row in (head, *kept)]
                shown += ["\n".join([lines[0], "|" + "---|" * len(indices), *lines[1:]])]
        if shown:
            parts.append("\n\n".join([f"### {name}", protocol(section), *shown, source(name, section)]))
    return "\n\n".join(parts)


def found(experiment: str) -> str:
    """The sentences of an experiment on the first page of the results, as a list."""
    find_experiments()
    from experiments import harness

    named = {result.name: result for result in harness.committed()}
    statements = {each.name: each.statement for each in harness.experiments() if each.statement}
    if experiment not in statements:
        raise Unknown(f"found: the experiment must be one of {', '.join(statements)}, got {experiment}")
    return "\n".join(f"- {sentence}" for sentence in statements[experiment](named))


class Number(NamedTuple):
    """A number of a column: the name of its row, the value, what stands after ±, and the cell."""

    row: str
    value: float
    margin: float
    cell: str


def numbers(section: str, column: str, where: str) -> list[Number]:
    """The numbers of a column in the rows that match, in the order of the table."""
    for head, *body in tables(section):
        if column in head:
            kept = [row for row in body if re.search(where, row[0])]
            is_named = len({row[0] for row in kept}) == len(kept)
            read = [(row, NUMBER.match(row[head.index(column)])) for row in kept]
            return [
                Number(row[0] if is_named else ", ".join(row[:2]), float(found[1]), float(found[2] or 0), found.string)
                for row, found in read
                if found
            ]
    raise Unknown(f"no column {column}")


def order(section: str, column: str, where: str, least: bool) -> str:
    """Which row has the largest or the smallest number, which are level with it, and which is next."""
    best, *others = sorted(numbers(section, column, where), key=lambda each: each.value if least else -each.value)
    say = lambda each: f"{each.row} ({NUMBER.match(each.cell)[0]})"
    level = [each for each in others if _compared(each, best) == "~"]
    rest = [each for each in others if each not in level]
    sentence = f"{'Smallest' if least else 'Largest'}: **{best.row}** with {best.cell}."
    sentence += f" Not told apart from it: {', '.join(map(say, level))}." if level else ""
    return sentence + (f" Next: {say(rest[0])}." if rest else "")


def _compared(one: Number, other: Number) -> str:
    """``<``, ``>``, or ``~`` if the difference is no more than what stands after ±."""
    if abs(one.value - other.value) <= one.margin + other.margin:
        return "~"
    return "<" if one.value < other.value else ">"


def held(section: str, column: str, claim: str) -> str:
    """Nothing, if a claim such as ``cg < unroll`` holds for the numbers of two rows."""
    one, sign, other = re.fullmatch(r"(.+) ([<>~]) (.+)", claim).groups()
    named = {each.row: each for each in numbers(section, column, "")}
    if missing := {one, other} - {*named}:
        raise Unknown(f"holds: {claim}: there is no row {missing}")
    if (is_so := _compared(named[one], named[other])) != sign:
        raise Unknown(f"holds: {column}: {claim} does not hold any more, it is {is_so}; write the text anew")
    return ""


def span(section: str, column: str, where: str) -> str:
    """The smallest and the largest number of a column."""
    values = [(each.value, NUMBER.match(each.cell)[1]) for each in numbers(section, column, where)]
    return f"{min(values)[1]} to {max(values)[1]}"


def said(section: str, beginning: str) -> str:
    """The paragraph of a section that begins so."""
    paragraphs = [text for text in section.split("\n\n") if text.strip().startswith(beginning)]
    if len(paragraphs) != 1:
        raise Unknown(f"{len(paragraphs)} paragraphs begin with {beginning!r}")
    text = paragraphs[0].strip()
    return text[0].upper() + text[1:].removesuffix(".") + "."


def filled(markdown: str, known: dict[str, str]) -> str:
    """A page's text with all references to sections filled in."""

    def value(match: re.Match[str]) -> str:
        form, reference = re.fullmatch(r"(?:(table|order|range|said|found|holds): )?(.*)", match[1]).groups()
        name, *parts = [part.strip() for part in reference.split(" / ")]
        if form == "found":
            return found(name)
        if name not in known:
            raise Unknown(f"{match[1]}: there is no section {name!r}")
        section = known[name]
        if form in (None, "said") and len(parts) != (1 if form else 2):
            raise Unknown(f"{match[1]}: a cell is SECTION / ROW / COLUMN, a paragraph SECTION / BEGINNING")
        if form is None:
            return cell(section, *parts)
        if form == "said":
            return said(section, *parts)
        if form == "holds":
            return held(section, *parts)
        where = parts.pop().removeprefix("where ") if parts and parts[-1].startswith("where ") else ""
        if form == "table":
            return table(name, section, parts[0] if parts else "", where)
        return span(section, parts[0], where) if form == "range" else order(section, parts[0], where, "least" in parts)

    return REFERENCE.sub(value, markdown)


def on_page_markdown(markdown, page, config, files):
    # a number and what stands after its ± are not broken into two lines
    text = filled(markdown, results()) if "{{ " in markdown else markdown
    return text.replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
