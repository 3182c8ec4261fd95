"""Decided cells of the space of DARTS as papers print them, and as graphs."""

import ast
import contextlib
import re
from collections.abc import Mapping
from typing import Any

from metajax.supernet.spaces._darts import CELLS, PRIMITIVES, cell_edges, darts_space
from metajax.types import InputError

_OFFICIAL: dict[str, str] = dict(
    zip(
        PRIMITIVES,
        ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
        + ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
    )
)


def to_genotype(config: Mapping[str, str]) -> str:
    """Returns decided cells in the form in which papers print them, ``Genotype(normal=[('sep_conv_3x3', 0), ...], ...)``.

    The form has two edges for each node. A node with fewer is filled up with edges ``('none', source)``, which compute nothing.

    Args:
        config: A configuration of ``darts_space`` with at most two edges into a node, as ``derive`` makes it.

    Returns:
        The text.

    Raises:
        InputError: If config is not a configuration of ``darts_space``, or a node has more than two edges.

    Example:
        >>> config = {f"{cell}_{i}_2": "skip" for cell in ("normal", "reduce") for i in (0, 1)}
        >>> to_genotype(config)[:61]
        "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1)], n"
    """
    nodes = max((j for _, _, j in map(_parts, config)), default=2) - 1
    space = darts_space(nodes)
    space.configs([config])  # checks it
    cells = {cell: [pair for j in range(2, 2 + nodes) for pair in _pairs(config, cell, j)] for cell in CELLS}
    concat = list(range(2, 2 + nodes))
    return (
        f"Genotype(normal={cells['normal']}, normal_concat={concat}, reduce={cells['reduce']}, reduce_concat={concat})"
    )


def _parts(name: Any) -> tuple[str, int, int]:
    """Returns the cell, the source and the target of an edge."""
    match = re.fullmatch(r"([a-z]+)_(\d+)_(\d+)", str(name))
    if match is None:
        raise InputError(f"config must have edges as names, such as 'normal_0_2' and 'reduce_1_3', got {name!r}")
    return match[1], int(match[2]), int(match[3])


def _pairs(config: Mapping[str, str], cell: str, node: int) -> list[tuple[str, int]]:
    """Returns the two edges into a node, as ``(operation, source)``."""
    edges = [(_OFFICIAL[config[f"{cell}_{i}_{node}"]], i) for i in range(node)]
    used = [edge for edge in edges if edge[0] != "none"]
    if len(used) > 2:
        raise InputError(
            f"to_genotype: config must have at most two edges into a node (spaces.derive keeps two), but node {node} "
            f"of {cell} has {len(used)}, {used}"
        )
    return sorted(used + [edge for edge in edges if edge[0] == "none"][: 2 - len(used)], key=lambda edge: edge[1])


def from_genotype(text: str) -> dict[str, str]:
    """Returns a configuration of ``darts_space`` from the form in which papers print it.

    The form has two edges ``(operation, source)`` for each node. A configuration has one operation on every edge, and its
    cells concatenate all their nodes. A text that says otherwise is refused: two edges from one source into a node (as in the
    cells of NASNet and AmoebaNet), or a ``normal_concat`` or ``reduce_concat`` that leaves a node out. Where a concat is
    missing, all nodes are meant.

    Args:
        text: The text, such as ``"Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...])"``.

    Returns:
        The configuration, ``{edge: operation}``.

    Raises:
        InputError: If a part of the text does not have that form. The error names it.

    Example:
        >>> pairs = "[('skip_connect', 0), ('sep_conv_3x3', 1)]"
        >>> from_genotype(f"Genotype(normal={pairs}, normal_concat=[2], reduce={pairs}, reduce_concat=[2])")["normal_1_2"]
        'sep_conv3x3'
    """
    arguments = _keywords(text)
    config, sizes = {}, {}
    for cell in CELLS:
        pairs = arguments.get(cell)
        if not isinstance(pairs, list | tuple) or not pairs or len(pairs) % 2:
            raise InputError(
                f"from_genotype: text must have {cell}=[(operation, source), ...] with two edges for each node, got "
                f"{text!r}"
            )
        sizes[cell] = len(pairs) // 2
        _check_concat(arguments, cell, sizes[cell])
        config.update(dict.fromkeys(cell_edges(cell, sizes[cell]), "none"))
        for index, pair in enumerate(pairs):
            operation, source = _checked(pair, index, cell)
            if index % 2 and source == pairs[index - 1][1]:
                raise InputError(
                    "from_genotype: the two edges of a node must have different sources, because darts_space has one "
                    f"operation on an edge, but edges {index - 1} and {index} of {cell} both come from {source}"
                )
            config[f"{cell}_{source}_{2 + index // 2}"] = operation
    if sizes["normal"] != sizes["reduce"]:
        raise InputError(
            f"from_genotype: normal and reduce must have the same number of nodes, got {sizes['normal']} and "
            f"{sizes['reduce']}"
        )
    return config


def _keywords(text: str) -> dict[str, Any]:
    """Returns the arguments of the first ``Genotype(...)`` in a text; what is not a literal or ``range`` is its own text."""
    match = re.search(r"\w*\(.*\)", text, re.DOTALL)
    try:
        call = ast.parse(match[0], mode="eval").body if match else None
    except (SyntaxError, ValueError):
        call = None
    arguments = {}
    for keyword in call.keywords if isinstance(call, ast.Call) else ():
        arguments[keyword.arg] = _value(keyword.value)
    return arguments


def _value(node: ast.expr) -> Any:
    """Returns a literal, the list of a ``range`` or of ``list(range(...))``, or else the text, which no check accepts."""
    with contextlib.suppress(ValueError, TypeError, SyntaxError):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            return list(range(*map(ast.literal_eval, node.args)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("list", "tuple"):
            (inner,) = map(_value, node.args)
            return list(inner) if not isinstance(inner, str) else ast.unparse(node)
        return ast.literal_eval(node)
    return ast.unparse(node)


def _check_concat(arguments: Mapping[str, Any], cell: str, nodes: int) -> None:
    """Checks that a cell concatenates all its nodes."""
    name, expected = f"{cell}_concat", list(range(2, 2 + nodes))
    value = arguments.get(name, expected)
    if not isinstance(value, list | tuple) or list(value) != expected:
        raise InputError(
            f"from_genotype: {name} must be {expected}, because a cell of darts_space concatenates all its nodes, got "
            f"{value!r}"
        )


def _checked(pair: Any, index: int, cell: str) -> tuple[str, int]:
    """Returns an edge in the names of this module."""
    names, target = {official: name for name, official in _OFFICIAL.items()}, 2 + index // 2
    fits = isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str) and type(pair[1]) is int
    if not fits or pair[0] not in names or pair[1] not in range(target):
        raise InputError(
            f"from_genotype: edge {index} of {cell} must be a pair of an operation of {list(names)} and a source "
            f"below {target}, got {pair!r}"
        )
    return names[pair[0]], pair[1]


def cell_graphs(config: Mapping[str, str]) -> dict[str, tuple[list[str], list[tuple[str, str, str]]]]:
    """Returns nodes and labeled edges of decided cells, for ``plot.graph_svg``; edges that are ``none`` are left out.

    Args:
        config: A configuration of ``darts_space`` or of ``cell_space``.

    Returns:
        The graphs, ``{cell: (nodes, [(source, target, operation), ...])}``. The cells are ``normal`` and ``reduce``, or
        ``edge`` for ``cell_space``.

    Raises:
        InputError: If a name is not an edge.

    Example:
        >>> cell_graphs({"edge_0_1": "skip", "edge_0_2": "none", "edge_1_2": "conv3x3"})["edge"][1]
        [('in', '1', 'skip'), ('1', 'out', 'conv3x3')]
    """
    graphs, parts = {}, list(map(_parts, config))
    for cell in dict.fromkeys(cell for cell, _, _ in parts):
        ends = [(i, j) for own, i, j in parts if own == cell]
        last = max(j for _, j in ends)
        if cell == "edge":
            names, out = ["in", *map(str, range(1, last)), "out"], []
        else:
            names = ["c_{k-2}", "c_{k-1}", *map(str, range(last - 1)), "c_{k}"]
            out = [(name, names[-1], "") for name in names[2:-1]]
        edges = [(names[i], names[j], config[f"{cell}_{i}_{j}"]) for i, j in ends]
        graphs[cell] = (names, [edge for edge in edges if edge[2] != "none"] + out)
    return graphs
