"""Directed graphs, such as the cells of an architecture, as SVG text. No drawing package is needed."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from metajax.plot._style import ACCENT, INK, MUTED, SECOND, THIRD
from metajax.types import InputError

_COLORS = (ACCENT, SECOND, THIRD, "#7c3aed", "#0e7490", "#a16207", "#be185d", MUTED)
_WIDTH, _HEIGHT = 66, 30  # of a node, in pixels
_GAP_X, _GAP_Y, _MARGIN = 150, 56, 24  # from node to node, and around the graph

Edge = tuple[str, str, str]


class _Grid(NamedTuple):
    """Where the nodes stand: their columns, their upper left corners, and the extent of all of them."""

    column: dict[str, int]
    corner: dict[str, tuple[float, float]]
    top: int
    rows: int
    width: int

    @property
    def bottom(self) -> int:
        return self.top + self.rows * _GAP_Y + 14


def graph_svg(nodes: Sequence[str], edges: Sequence[Edge], title: str = "") -> str:
    """Draws a directed graph that is read from left to right.

    A node stands one column after the last of the nodes that lead to it.

    Args:
        nodes: The names of the nodes, in an order in which edges only lead onward.
        edges: Each ``(source, target, label)``. Each label has a color; "" is gray and has no entry in the legend.
        title: The title above the graph.

    Returns:
        The text of an SVG file, which HTML can also hold as it is.

    Raises:
        InputError: If an edge names a node that does not exist, or leads back.

    Example:
        >>> graph_svg(["in", "out"], [("in", "out", "skip")]).startswith("<svg")
        True
    """
    index = {name: i for i, name in enumerate(nodes)}
    for source, target, _ in edges:
        if source not in index or target not in index or index[source] >= index[target]:
            raise InputError(
                f"edges must lead from a node to a later one of {list(nodes)}, got {source!r} -> {target!r}"
            )
    grid = _grid(nodes, edges, has_title=bool(title))
    labels = list(dict.fromkeys(label for _, _, label in edges if label))
    color = {"": MUTED, **{label: _COLORS[i % len(_COLORS)] for i, label in enumerate(labels)}}
    legend, legend_bottom = _legend(labels, color, grid)
    height = (legend_bottom if labels else grid.bottom) + _MARGIN / 2
    heading = f'<text x="{_MARGIN}" y="{_MARGIN}" font-weight="bold">{escape(title)}</text>'
    lines = [
        *_head(grid.width, height, list(dict.fromkeys(color.values()))),
        *([heading] if title else []),
        *_edges(edges, color, grid),
        *_nodes(grid),
        *legend,
        "</svg>\n",
    ]
    return "\n".join(lines)


def _grid(nodes: Sequence[str], edges: Sequence[Edge], has_title: bool) -> _Grid:
    """Places the nodes in columns, each column centered."""
    column = dict.fromkeys(nodes, 0)
    for node in nodes:
        column[node] = max((column[s] + 1 for s, t, _ in edges if t == node), default=0)
    columns = [[node for node in nodes if column[node] == c] for c in range(max(column.values()) + 1)]
    rows = max(len(c) for c in columns)
    top = _MARGIN + (16 if has_title else 0) + 36
    corner: dict[str, tuple[float, float]] = {}
    for c, column_nodes in enumerate(columns):
        shift = (rows - len(column_nodes)) / 2
        for i, node in enumerate(column_nodes):
            corner[node] = (_MARGIN + c * _GAP_X, top + (i + shift) * _GAP_Y)
    return _Grid(column, corner, top, rows, 2 * _MARGIN + (len(columns) - 1) * _GAP_X + _WIDTH)


def _head(width: int, height: float, colors: list[str]) -> list[str]:
    """Returns the opening element, the background and an arrowhead of each color."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:g}" viewBox="0 0 {width} {height:g}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}"><rect width="100%" height="100%" fill="white"/>',
        *(
            f'<marker id="{_anchor(c)}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0L8 4L0 8z" fill="{c}"/></marker>'
            for c in colors
        ),
    ]


def _legend(labels: list[str], color: dict[str, str], grid: _Grid) -> tuple[list[str], int]:
    """Returns the legend below the graph, and where it ends."""
    lines, x, y = [], _MARGIN, grid.bottom + 18
    for label in labels:
        length = 34 + 7 * len(label)
        if x + length > grid.width:
            x, y = _MARGIN, y + 20
        lines.append(f'<path d="M{x} {y - 4}h18" stroke="{color[label]}" stroke-width="2.5"/>')
        lines.append(f'<text x="{x + 24}" y="{y}">{escape(label)}</text>')
        x += length
    return lines, y


def _edges(edges: Sequence[Edge], color: dict[str, str], grid: _Grid) -> list[str]:
    """Returns the edges as curves. Several edges between two nodes stand apart."""
    lines, last_repeats = [], {}
    for source, target, label in edges:
        (x0, y0), (x1, y1) = grid.corner[source], grid.corner[target]
        repeat = last_repeats[source, target] = last_repeats.get((source, target), -1) + 1
        x0, y0, y1 = x0 + _WIDTH, y0 + _HEIGHT / 2, y1 + _HEIGHT / 2
        third, c0, c1 = (x1 - x0) / 3, y0 + 12 * repeat, y1 + 12 * repeat
        if grid.column[target] - grid.column[source] > 1:  # an arc around the columns that lie between
            is_above = y0 + y1 <= 2 * grid.top + (grid.rows - 1) * _GAP_Y + _HEIGHT
            c0 = c1 = (grid.top - 46 if is_above else grid.bottom + 12) + 12 * repeat
        path = f"M{x0:g} {y0:g}C{x0 + third:g} {c0:g} {x1 - third:g} {c1:g} {x1 - 2:g} {y1:g}"
        lines.append(
            f'<path d="{path}" fill="none" stroke="{color[label]}" stroke-width="1.8" '
            f'marker-end="url(#{_anchor(color[label])})"><title>{escape(f"{source} → {target}: {label}")}</title></path>'
        )
    return lines


def _nodes(grid: _Grid) -> list[str]:
    """Returns the nodes as boxes with names."""
    lines = []
    for node, (x, y) in grid.corner.items():
        lines.append(
            f'<rect x="{x}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#f4f4f2" stroke="{INK}"/>'
        )
        lines.append(
            f'<text x="{x + _WIDTH / 2:g}" y="{y + _HEIGHT / 2 + 4:g}" text-anchor="middle">{escape(node)}</text>'
        )
    return lines


def _anchor(color: str) -> str:
    """Returns the name of the arrowhead of a color."""
    return "end" + color.lstrip("#")
