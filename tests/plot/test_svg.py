"""Graphs as SVG text."""

from xml.etree import ElementTree

import pytest

from metajax import plot
from metajax.types import InputError


def test_a_graph_is_well_formed_and_has_every_node_edge_and_label():
    edges = [("a", "b", "skip & go"), ("a", "c", "conv"), ("b", "c", "conv"), ("a", "c", "")]
    root = ElementTree.fromstring(plot.graph_svg(["a", "b", "c"], edges, "cell <1>"))
    space = "{http://www.w3.org/2000/svg}"
    texts = [e.text for e in root.iter(f"{space}text")]
    assert sorted(texts) == sorted(["cell <1>", "skip & go", "conv", "a", "b", "c"])
    arrows = [e for e in root.iter(f"{space}path") if e.get("marker-end")]
    assert [e.find(f"{space}title").text for e in arrows] == [f"{s} → {t}: {label}" for s, t, label in edges]
    assert len({e.get("d") for e in arrows}) == 4, "edges between the same nodes do not hide each other"
    inside = lambda e: (
        0 <= float(e.get("x", 0)) <= float(root.get("width")) and 0 <= float(e.get("y", 0)) <= float(root.get("height"))
    )
    assert all(inside(e) for e in root.iter() if e.tag in (f"{space}text", f"{space}rect"))


def test_edges_that_lead_back_or_nowhere_are_named():
    for edge in (("b", "a", ""), ("a", "z", ""), ("a", "a", "")):
        with pytest.raises(
            InputError, match=rf"edges must lead from a node to a later one of .*, got 'a|b' -> '{edge[1]}'"
        ):
            plot.graph_svg(["a", "b"], [edge])
