"""The selected model in ``report.html``: its parts, and its choices beside those of the default."""

import html
from typing import Any

from metajax.automl import _report_words as words
from metajax.automl._report_scores import NAMES


def section(result: dict[str, Any]) -> str:
    """Returns what the model consists of, and how its first configuration differs from the others.

    Args:
        result: The content of ``result.json``.
    """
    return f"<p>{_members(result['ensemble'])} {_difference_to_default(result['contenders'])}</p>{_table(result)}"


def _members(parts: list[dict[str, Any]]) -> str:
    """The configurations in the model."""
    if len(parts) == 1:
        return "The model is one configuration, trained on every fold of the rows; its prediction is their mean."
    rest = ", ".join(f"{100 * part['weight']:.0f}%" for part in parts[1:])
    return (
        f"The model is the weighted mean prediction of {len(parts)} configurations, each trained on every fold of the rows: "
        f"{100 * parts[0]['weight']:.0f}% of the one in the table; the others have {rest} and are in <code>result.json</code>."
    )


def _difference_to_default(contenders: dict[str, dict[str, Any]]) -> str:
    """Whether the selected configuration is the default, and if not, in how many choices it differs."""
    default = contenders.get("default")
    if default is None:
        return ""
    selected = contenders["found"]
    n_differing = sum(selected.get(name) != default.get(name) for name in {**selected, **default})
    if not n_differing:
        return (
            "It is the default: the search found no configuration that does better on held-out rows than the default."
        )
    if selected.get("model") != default.get("model"):
        return (
            "The table's configuration is of another model type than the default; what differs of the choices that both have "
            "is set in bold."
        )
    return f"The table's configuration differs from the default in {words.count(n_differing, 'choice')}, set in bold."


def _table(result: dict[str, Any]) -> str:
    """Every choice of the selected configuration beside those of the others."""
    contenders = result["contenders"]
    choices = list(dict.fromkeys(name for config in contenders.values() for name in config))
    labels = {**NAMES, "found": f"selected ({100 * result['ensemble'][0]['weight']:.0f}% of the model)"}
    head = "".join(f"<th>{html.escape(labels[name])}</th>" for name in contenders)
    body = "".join(_row(name, contenders) for name in choices)
    dash = any(name not in config for name in choices for config in contenders.values())
    note = " A dash stands where a choice does not apply." if dash else ""
    return (
        f"<div class='wide'><table class='choices'><tr><th>choice</th>{head}</tr>{body}</table></div>"
        f"<p class='note'>Below each choice stands its name in <code>trials.csv</code>.{note}</p>"
    )


def _row(name: str, contenders: dict[str, dict[str, Any]]) -> str:
    """One choice of every contender; that of the selected one is bold where the default differs."""
    format_value = words.model if name == "model" else words.value
    cells = {
        contender: html.escape(format_value(config[name])) if name in config else "–"
        for contender, config in contenders.items()
    }
    selected, default = contenders["found"], contenders.get("default", {})
    is_of_one_type = selected.get("model") == default.get("model")
    if name in selected and (is_of_one_type or name in default) and selected[name] != default.get(name):
        cells["found"] = f"<b>{cells['found']}</b>"
    meaning, raw = words.choice(name), html.escape(name)
    label = f"{html.escape(meaning)}<br><span class='name'>{raw}</span>" if meaning else raw
    return f"<tr><th>{label}</th>{''.join(f'<td>{cell}</td>' for cell in cells.values())}</tr>"
