"""The data of a search, as a section of the report: what was left out or changed, and how each column was read."""

import html
from typing import Any

_MAX_COLUMNS = 200  # Of a table that are listed.


def section(data: dict[str, Any]) -> str:
    """Returns the notes and the columns as HTML.

    Args:
        data: The dataset in plain values, as ``describe_data`` returns it; images have no columns.
    """
    return _notes(data["notes"]) + _columns(data.get("columns", []))


def _notes(notes: list[str]) -> str:
    """What was done to the data, as a list."""
    if not notes:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return f"<div class='note'>Notes on the data:<ul>{items}</ul></div>"


def _columns(columns: list[dict[str, str]]) -> str:
    """How each column was read, as a table to unfold."""
    if not columns:
        return ""
    rows = "".join(
        f"<tr><th>{html.escape(column['name'])}</th><td>{column['kind']}</td><td>{html.escape(column['rule'])}</td></tr>"
        for column in columns[:_MAX_COLUMNS]
    )
    more = f"<p class='note'>{len(columns) - _MAX_COLUMNS} more columns are in <code>schema.json</code>.</p>"
    return (
        "<details><summary class='note'>How each column was read</summary>"
        f"<table><tr><th>column</th><th>kind</th><th>rule</th></tr>{rows}</table>{more * (len(columns) > _MAX_COLUMNS)}"
        "<p class='note'>To read a column otherwise, edit <code>schema.json</code> and give it to "
        "<code>metajax search --schema schema.json</code>.</p></details>"
    )
