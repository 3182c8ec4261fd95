"""Graphs of cells as SVG text, without any drawing package."""

from collections.abc import Sequence
from html import escape

from metajax.plot._figures import ACCENT, INK, MUTED, SECOND, THIRD

_COLORS = (ACCENT, SECOND, THIRD, "#7c3aed", "#0e7490", "#a16207", "#be185d", MUTED)
_WIDE, _HIGH, _GAP_X, _GAP_Y, _MARGIN = 66, 30, 150, 56, 24


def graph(nodes: Sequence[str], edges: Sequence[tuple[str, str, str]], title: str = "") -> str:
    """A directed graph, read from left to right: a node stands one column behind the last of those that lead to it.

    Args:
        nodes: their names, in an order in which edges only lead onward.
        edges: ``(source, target, label)``; one color for each label, "" is grey and goes unnamed.
        title: above it.

    Raises:
        ValueError: on an edge that names no node or leads back.

    Example:
        >>> graph(["in", "out"], [("in", "out", "skip")]).startswith("<svg")
        True
    """
    place = {name: i for i, name in enumerate(nodes)}
    for source, target, _ in edges:
        if source not in place or target not in place or place[source] >= place[target]:
            raise ValueError(f"graph: edge {source!r} -> {target!r}; accepted are edges onward between {list(nodes)}")
    column = dict.fromkeys(nodes, 0)
    for node in nodes:
        column[node] = max((column[s] + 1 for s, t, _ in edges if t == node), default=0)
    columns = [[node for node in nodes if column[node] == c] for c in range(max(column.values()) + 1)]
    tallest = max(len(c) for c in columns)
    top = _MARGIN + (16 if title else 0) + 36
    at = {}
    for c, inside in enumerate(columns):
        shift = (tallest - len(inside)) / 2
        for i, node in enumerate(inside):
            at[node] = (_MARGIN + c * _GAP_X, top + (i + shift) * _GAP_Y)

    width = 2 * _MARGIN + (len(columns) - 1) * _GAP_X + _WIDE
    labels = list(dict.fromkeys(label for _, _, label in edges if label))
    color = {"": MUTED, **{label: _COLORS[i % len(_COLORS)] for i, label in enumerate(labels)}}
    low = top + tallest * _GAP_Y + 14
    legend, x, y = [], _MARGIN, low + 18
    for label in labels:
        long = 34 + 7 * len(label)
        if x + long > width:
            x, y = _MARGIN, y + 20
        legend.append(f'<path d="M{x} {y - 4}h18" stroke="{color[label]}" stroke-width="2.5"/>')
        legend.append(f'<text x="{x + 24}" y="{y}">{escape(label)}</text>')
        x += long
    height = (y if labels else low) + _MARGIN / 2

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}"><rect width="100%" height="100%" fill="white"/>',
        *(
            f'<marker id="{_anchor(c)}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{c}"/></marker>'
            for c in dict.fromkeys(color.values())
        ),
    ]
    if title:
        lines.append(f'<text x="{_MARGIN}" y="{_MARGIN}" font-weight="bold">{escape(title)}</text>')
    drawn: dict[tuple[str, str], int] = {}
    for source, target, label in edges:
        (x0, y0), (x1, y1) = at[source], at[target]
        again = drawn[source, target] = drawn.get((source, target), -1) + 1
        x0, y0, y1 = x0 + _WIDE, y0 + _HIGH / 2, y1 + _HIGH / 2
        third, c0, c1 = (x1 - x0) / 3, y0 + 12 * again, y1 + 12 * again
        if column[target] - column[source] > 1:  # an arc around the columns that lie between
            above = y0 + y1 <= 2 * top + (tallest - 1) * _GAP_Y + _HIGH
            c0 = c1 = (top - 46 if above else low + 12) + 12 * again
        path = f"M{x0:g} {y0:g}C{x0 + third:g} {c0:g} {x1 - third:g} {c1:g} {x1 - 2:g} {y1:g}"
        lines.append(
            f'<path d="{path}" fill="none" stroke="{color[label]}" stroke-width="1.8" '
            f'marker-end="url(#{_anchor(color[label])})"><title>{escape(f"{source} → {target}: {label}")}</title></path>'
        )
    for node, (x, y) in at.items():
        lines.append(f'<rect x="{x}" y="{y:g}" width="{_WIDE}" height="{_HIGH}" rx="6" fill="#f4f4f2" stroke="{INK}"/>')
        lines.append(
            f'<text x="{x + _WIDE / 2:g}" y="{y + _HIGH / 2 + 4:g}" text-anchor="middle">{escape(node)}</text>'
        )
    return "\n".join([*lines, *legend, "</svg>\n"])


def _anchor(color: str) -> str:
    return "end" + color.lstrip("#")
