"""The data of a search and the circumstances of the run, as a section of the report."""

import collections
import html
import time
from typing import Any

from metajax.automl._footprint import ROWS, Footprint
from metajax.data.schema._column import DROPPED

_MAX_COLUMNS = 200  # The report lists at most this number of columns.
_KINDS = {
    "number": ("number", "numbers"),
    "boolean": ("yes or no", "yes or no"),
    "category": ("category", "categories"),
    "date": ("date", "dates"),
    "text": ("text", "texts"),
    "identifier": ("identifier", "identifiers"),
    "constant": ("constant", "constant"),
    "empty": ("empty", "empty"),
}


def section(data: dict[str, Any], meta: dict[str, Any], footprint: Footprint) -> str:
    """Returns the card, the notes and the columns as HTML.

    Args:
        data: The dataset in plain values, as ``describe_data`` returns it, with its ``name`` and ``digest``; images have no
            columns.
        meta: The content of ``meta.json``.
        footprint: What the model costs.
    """
    entries = {**_of_data(data), **_of_run(meta), **_of_model(footprint)}
    rows = "".join(f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>" for name, text in entries.items())
    return f"<div class='wide'><table>{rows}</table></div>{_notes(data['notes'])}{_columns(data.get('columns', []))}"


def _of_data(data: dict[str, Any]) -> dict[str, str]:
    """The dataset: its name, target, rows, columns and digest."""
    rows, n_classes = data["rows"], data["classes"]
    entries = {
        "data": data["name"],
        "target": f"{data['target']} ({'a number' if n_classes is None else f'one of {n_classes} classes'})",
        "rows": f"{rows['learned'] + rows['test']:,}: {rows['learned']:,} to learn from, {rows['test']:,} to test with",
    }
    if data.get("columns"):
        used_kinds = [column["kind"] for column in data["columns"] if column["kind"] not in DROPPED]
        dropped_kinds = [column["kind"] for column in data["columns"] if column["kind"] in DROPPED]
        entries["columns used"] = f"{len(used_kinds)}: {_by_kind(used_kinds)}"
        if dropped_kinds:
            entries["columns left out"] = f"{len(dropped_kinds)}: {_by_kind(dropped_kinds)}"
    else:
        entries["images"] = " x ".join(map(str, data["inputs"])) + " (height x width x channels)"
    if data.get("digest"):
        entries["fingerprint of the data"] = f"{data['digest']} (equal for equal data)"
    return entries


def _of_run(meta: dict[str, Any]) -> dict[str, str]:
    """When, by which version and where the run was made."""
    commit = meta.get("commit")
    version = meta["versions"].get("metajax") or "of unknown version"
    start = time.strptime(meta["started"], "%Y-%m-%dT%H:%M:%SZ")
    return {
        "date": f"{start.tm_mday} {time.strftime('%B %Y, %H:%M', start)} UTC",
        "metajax": f"{version}{f', commit {commit[:7]}' if commit else ''}",
        "hardware": meta["hardware"],
    }


def _of_model(footprint: Footprint) -> dict[str, str]:
    """The size and the speed of the model, as far as they are known."""
    entries = {}
    if footprint.size is not None:
        entries["size of the model"] = _bytes(footprint.size)
    if footprint.seconds is not None:
        entries[f"predicting {ROWS:,} rows"] = f"{footprint.seconds:.2g} seconds, once they are read"
    return entries


def _bytes(n: int) -> str:
    """A size of files as people write it."""
    return f"{n / 1e6:,.1f} MB" if n >= 1e6 else f"{max(1, round(n / 1e3))} kB"


def _by_kind(kinds: list[str]) -> str:
    """How many columns there are of each kind, the most frequent first."""
    counts = collections.Counter(kinds).most_common()
    return ", ".join(f"{n} {_KINDS.get(kind, (kind, kind))[n > 1]}" for kind, n in counts)


def _notes(notes: list[str]) -> str:
    """The changes that were made to the data, as a list."""
    if not notes:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f"<div class='note'>What was left out, changed or is to be known:<ul>{items}</ul></div>"


def _columns(columns: list[dict[str, str]]) -> str:
    """How each column was read, as a table to unfold."""
    if not columns:
        return ""
    rows = "".join(
        f"<tr><td>{html.escape(column['name'])}</td><td>{column['kind']}{' (left out)' * (column['kind'] in DROPPED)}</td>"
        f"<td>{html.escape(column['rule'])}</td></tr>"
        for column in columns[:_MAX_COLUMNS]
    )
    more = f"<p class='note'>{len(columns) - _MAX_COLUMNS} more columns are in <code>schema.json</code>.</p>"
    return (
        "<details><summary>How each column was read</summary><div class='wide'><table class='rules'>"
        f"<tr><th>column</th><th>kind</th><th>rule</th></tr>{rows}</table></div>{more * (len(columns) > _MAX_COLUMNS)}"
        "<p class='note'>To read a column otherwise, edit <code>schema.json</code> and give it to "
        "<code>metajax search --schema schema.json</code>.</p></details>"
    )
