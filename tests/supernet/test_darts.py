"""The space of DARTS: decided cells, their printed form, and their drawing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import supernet
from metajax.types import InputError

SPACE = supernet.spaces.darts_space()
# the cells that the DARTS paper found by its second order
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def test_the_space_is_as_large_as_the_paper_says():
    assert SPACE.log10_size == pytest.approx(28 * np.log10(8))
    assert supernet.spaces.log10_cells() == pytest.approx(2 * np.log10(180 * 49**4))


def test_published_cells_are_read():
    cells = supernet.spaces.from_genotype(DARTS_V2)
    edges = {name: op for name, op in cells.items() if op != "none"}
    assert len(edges) == 16
    assert edges["normal_2_5"] == "dil_conv3x3"
    assert edges["reduce_1_5"] == "max_pool"
    assert supernet.spaces.from_genotype(supernet.spaces.to_genotype(cells)) == cells


@settings(max_examples=25, deadline=None)
@given(nodes=st.integers(1, 4), seed=st.integers(0, 2**20))
def test_derived_cells_keep_the_two_strongest_edges_into_every_node(nodes, seed):
    space = supernet.spaces.darts_space(nodes)
    values = np.random.default_rng(seed).permutation(space.width).astype(np.float32)  # no ties
    cells = supernet.spaces.derive(space, values)
    assert list(cells) == list(space.domains)
    for cell in ("normal", "reduce"):
        for j in range(2, 2 + nodes):
            names = [f"{cell}_{i}_{j}" for i in range(j)]
            best = {name: values[space.slices[name]][1:].max() for name in names}
            strongest = sorted(names, key=best.get)[-2:]
            assert {name for name in names if cells[name] != "none"} == set(strongest)
            for name in strongest:
                at = supernet.spaces.PRIMITIVES.index(cells[name])
                assert values[space.slices[name]][at] == best[name]
    assert supernet.spaces.from_genotype(supernet.spaces.to_genotype(cells)) == cells


@settings(max_examples=25, deadline=None)
@given(nodes=st.integers(1, 4), data=st.data())
def test_every_cell_of_two_edges_a_node_or_fewer_survives_its_printed_form(nodes, data):
    """Also those with fewer edges, as a threshold leaves them, and with concat given as a range."""
    space = supernet.spaces.darts_space(nodes)
    config = dict.fromkeys(space.domains, "none")
    for cell in ("normal", "reduce"):
        for j in range(2, 2 + nodes):
            sources = data.draw(st.lists(st.integers(0, j - 1), max_size=2, unique=True))
            for i in sources:
                config[f"{cell}_{i}_{j}"] = data.draw(st.sampled_from(supernet.spaces.PRIMITIVES[1:]))
    text = supernet.spaces.to_genotype(config)
    assert supernet.spaces.from_genotype(text) == config
    assert text.count("', ") == 4 * nodes, "two pairs for every node"
    for spelled in (text.replace(str(list(range(2, 2 + nodes))), f"range(2, {2 + nodes})"), f"BEST = {text}"):
        assert supernet.spaces.from_genotype(spelled) == config


def test_cells_with_three_edges_into_a_node_have_no_printed_form():
    config = {name: "skip" if name.endswith("_4") else "none" for name in supernet.spaces.darts_space(3).domains}
    with pytest.raises(InputError, match=r"at most two edges into a node .*, but node 4 of normal has 4"):
        supernet.spaces.to_genotype(config)
    with pytest.raises(InputError, match=r"config must have edges as names, .*, got 'edge'"):
        supernet.spaces.to_genotype({"edge": "skip"})
    with pytest.raises(InputError, match=r"config must have edges as names, .*, got 'edge'"):
        supernet.spaces.cell_graphs({"edge": "skip"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nonsense",
            r"text must have normal=\[\(operation, source\), ...\] with two edges for each node, got 'nonsense'",
        ),
        (DARTS_V2.replace("reduce=", "other="), "text must have reduce="),
        (
            DARTS_V2.replace("('skip_connect', 0), ('skip_connect', 0)", "('skip_connect', 0)"),
            "two edges for each node",
        ),
        (
            DARTS_V2.replace("sep_conv_3x3', 0", "sep_conv_9x9', 0", 1),
            r"edge 0 of normal must be .*, got \('sep_conv_9x9', 0\)",
        ),
        (DARTS_V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', 5"), "a source below 5"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "open('x')"), "text must have normal="),
        (
            DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[4, 5]"),
            r"normal_concat must be \[2, 3, 4, 5\], .*, got \[4, 5\]",
        ),
        (
            DARTS_V2.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=range(2, 5)"),
            r"reduce_concat must be .* got \[2, 3, 4\]",
        ),
        (DARTS_V2.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=4"), "reduce_concat must be .* got 4"),
        (
            DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=list(range(3, 5))"),
            r"normal_concat must be .* got \[3, 4\]",
        ),
        (
            DARTS_V2.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=CONCAT"),
            "normal_concat must be .* got 'CONCAT'",
        ),
        (
            DARTS_V2.replace("('sep_conv_3x3', 1)", "('sep_conv_5x5', 0)", 1),
            "edges 0 and 1 of normal both come from 0",
        ),
        (DARTS_V2.replace("('skip_connect', 0)", "5", 1), "edge 5 of normal must be a pair .*, got 5"),
        (DARTS_V2.replace("('skip_connect', 0)", "'ab'", 1), "edge 5 of normal must be a pair .*, got 'ab'"),
        (DARTS_V2.replace("('skip_connect', 0)", "('skip_connect', 0, 1)", 1), "edge 5 of normal"),
        (DARTS_V2.replace("('skip_connect', 0)", "('skip_connect', True)", 1), "edge 5 of normal"),
        (DARTS_V2.replace("('skip_connect', 0)", "(['skip_connect'], 0)", 1), "edge 5 of normal"),
        (
            DARTS_V2.replace("('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5]", "]"),
            "the same number of nodes, got 3 and 4",
        ),
    ],
)
def test_strings_of_another_form_are_named(text, message):
    with pytest.raises(InputError, match=message):
        supernet.spaces.from_genotype(text)


def test_graphs_of_both_kinds_of_cells():
    nodes, edges = supernet.spaces.cell_graphs(supernet.spaces.from_genotype(DARTS_V2))["normal"]
    assert nodes == ["c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}"]
    assert ("0", "3", "dil_conv3x3") in edges
    assert [edge for edge in edges if edge[1] == "c_{k}"] == [(str(i), "c_{k}", "") for i in range(4)]
    assert len(edges) == 8 + 4
    both = supernet.spaces.cell_graphs({f"edge_{i}_{j}": "skip" for j in range(1, 4) for i in range(j)})
    assert both["edge"][0] == ["in", "1", "2", "out"]
    assert len(both["edge"][1]) == 6


def test_bad_sizes_are_named():
    with pytest.raises(InputError, match="nodes must be an integer >= 1, got 0"):
        supernet.spaces.darts_space(0)
    with pytest.raises(InputError, match="channels=6, partial=4"):
        supernet.spaces.darts_supernet(10, channels=6, partial=4)
    with pytest.raises(InputError, match="layers=2"):
        supernet.spaces.darts_supernet(10, layers=2)
