"""The space of DARTS: decided cells, their printed form, and their drawing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import supernet
from metajax.types import InputError

SPACE = supernet.darts_space()
# the cells that the DARTS paper found by its second order
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


def test_the_space_is_as_large_as_the_paper_says():
    assert SPACE.log10_size == pytest.approx(28 * np.log10(8))
    assert supernet.log10_cells() == pytest.approx(2 * np.log10(180 * 49**4))


def test_published_cells_are_read():
    cells = supernet.from_genotype(DARTS_V2)
    kept = {name: op for name, op in cells.items() if op != "none"}
    assert len(kept) == 16
    assert kept["normal_2_5"] == "dil_conv3x3"
    assert kept["reduce_1_5"] == "max_pool"
    assert supernet.from_genotype(supernet.to_genotype(cells)) == cells


@settings(max_examples=25, deadline=None)
@given(nodes=st.integers(1, 4), seed=st.integers(0, 2**20))
def test_derived_cells_keep_the_two_strongest_edges_into_every_node(nodes, seed):
    space = supernet.darts_space(nodes)
    values = np.random.default_rng(seed).permutation(space.width).astype(np.float32)  # no ties
    found = supernet.derive(space, values)
    assert list(found) == list(space.domains)
    for cell in ("normal", "reduce"):
        for j in range(2, 2 + nodes):
            names = [f"{cell}_{i}_{j}" for i in range(j)]
            best = {name: values[space.slices[name]][1:].max() for name in names}
            kept = sorted(names, key=best.get)[-2:]
            assert {name for name in names if found[name] != "none"} == set(kept)
            for name in kept:
                at = supernet.PRIMITIVES.index(found[name])
                assert values[space.slices[name]][at] == best[name]
    assert supernet.from_genotype(supernet.to_genotype(found)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", r"no normal=\[\(operation, source\), ...\] with two edges a node in 'nonsense'"),
        (DARTS_V2.replace("reduce=", "other="), "no reduce="),
        (DARTS_V2.replace("('skip_connect', 0), ('skip_connect', 0)", "('skip_connect', 0)"), "two edges a node"),
        (DARTS_V2.replace("sep_conv_3x3', 0", "sep_conv_9x9', 0", 1), r"edge 0 of normal is \('sep_conv_9x9', 0\)"),
        (DARTS_V2.replace("dil_conv_3x3', 2", "dil_conv_3x3', 5"), "a source below 5"),
        (DARTS_V2.replace("('dil_conv_3x3', 2)", "open('x')"), "no normal="),
    ],
)
def test_strings_of_another_form_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        supernet.from_genotype(text)


def test_graphs_of_both_kinds_of_cells():
    nodes, edges = supernet.cell_graphs(supernet.from_genotype(DARTS_V2))["normal"]
    assert nodes == ["c_{k-2}", "c_{k-1}", "0", "1", "2", "3", "c_{k}"]
    assert ("0", "3", "dil_conv3x3") in edges
    assert [edge for edge in edges if edge[1] == "c_{k}"] == [(str(i), "c_{k}", "") for i in range(4)]
    assert len(edges) == 8 + 4
    both = supernet.cell_graphs({f"edge_{i}_{j}": "skip" for j in range(1, 4) for i in range(j)})
    assert both["edge"][0] == ["in", "1", "2", "out"]
    assert len(both["edge"][1]) == 6


def test_bad_sizes_are_named():
    with pytest.raises(InputError, match="nodes=0"):
        supernet.darts_space(0)
    with pytest.raises(InputError, match="channels=6, partial=4"):
        supernet.darts(10, channels=6, partial=4)
    with pytest.raises(InputError, match="layers=2"):
        supernet.darts(10, layers=2)
