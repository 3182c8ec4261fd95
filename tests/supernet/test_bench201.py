"""NAS-Bench-201: official names for every cell, and a table that is checked when it is read."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metajax import supernet
from metajax.data._home import home
from metajax.data._plain import load_plain_pickle
from metajax.types import InputError

SPACE = supernet.spaces.cell_space()


@given(st.integers(0, 15_624))
def test_names_are_read_as_they_are_written(index):
    config = SPACE.dicts(SPACE.at([index]))[0]
    name = supernet.truth.to_string(config)
    assert supernet.truth.from_string(name) == config
    assert name.count("~") == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("|none~0|", "must have 3 nodes joined by '.', got 1"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|", "node 3 must have 3 edges between '|', got '|none~0|none~1|'"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "edge 1 of node 2 must be .*, got 'none~0'"),
        ("|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "edge 0 of node 1 must be one of .*, got 'conv~0'"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "node 1 must have 1 edges between '|', got 'none~0'"),
    ],
)
def test_wrong_names_say_where(name, message):
    with pytest.raises(InputError, match=message.replace("|", r"\|")):
        supernet.truth.from_string(name)


def test_configurations_of_other_spaces_have_no_name():
    with pytest.raises(InputError, match="must be a configuration of cell_space"):
        supernet.truth.to_string({"edge_0_1": "none"})
    with pytest.raises(InputError, match="must be a configuration of cell_space"):
        supernet.truth.canonical_form({"edge_0_1": "none"})
    with pytest.raises(InputError, match=r"config must be a dictionary, got list \[\]"):
        supernet.truth.to_string([])
    with pytest.raises(InputError, match=r"name must be a text .*, got int 3"):
        supernet.truth.from_string(3)


@pytest.fixture(scope="module")
def oracle():
    try:
        return supernet.truth.load_oracle()
    except InputError as missing:
        pytest.skip(f"needs the table of NAS-Bench-201: {missing}")


def test_the_table_has_the_published_cells(oracle):
    best = SPACE.dicts(SPACE.at([np.argmax(oracle.columns["cifar10"]["test200"])]))[0]
    assert oracle.rank(best) == 1
    assert oracle.query(best) == pytest.approx(94.37, abs=0.01)
    collapsed = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
    accuracies = [oracle.query(collapsed, name) for name in ("cifar10", "cifar100", "imagenet16")]
    np.testing.assert_allclose(accuracies, [54.30, 15.61, 16.32], atol=0.01)  # where DARTS ends, as published
    assert len(set(oracle.unique.tolist())) == 6466
    file = np.load(home() / "nasbench201" / "nasbench201.npz")
    ours = oracle.unique[[oracle.row(str(name)) for name in file["arch_str"]]]
    assert len(set(zip(file["unique_str"].tolist(), ours.tolist()))) == 6466, "one function there is one function here"
    rows = [oracle.row(config) for config in SPACE.dicts(SPACE.at(np.arange(0, 15_625, 997)))]
    assert rows == list(range(0, 15_625, 997))
    with pytest.raises(InputError, match=r"dataset must be one of .*, got 'mnist' and 'test200'"):
        oracle.query(best, "mnist")


def test_a_missing_or_altered_table_is_named(tmp_path, monkeypatch, oracle):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"nasbench201\.npz: no such file"):
        supernet.truth.load_oracle()
    folder = tmp_path / "nasbench201"
    folder.mkdir()
    (folder / "nasbench201.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        supernet.truth.load_oracle()
    ops = np.stack([np.arange(15_625) // 5**i % 5 for i in range(6)], axis=1).astype(np.int8)
    names = np.array(["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"])
    columns = {f"{d}_{c}": v for d, table in oracle.columns.items() for c, v in table.items()}
    whole = {"op_names": names}
    np.savez(folder / "nasbench201.npz", ops=ops, **whole, **columns)
    np.testing.assert_array_equal(
        supernet.truth.load_oracle().columns["cifar10"]["val12"], oracle.columns["cifar10"]["val12"]
    )
    np.savez(folder / "nasbench201.npz", ops=ops * 0, **whole, **columns)
    with pytest.raises(InputError, match="a cell occurs twice"):
        supernet.truth.load_oracle()
    columns["cifar10_test200"] = columns["cifar10_test200"] + 1
    np.savez(folder / "nasbench201.npz", ops=ops, **whole, **columns)
    with pytest.raises(InputError, match="altered: the best test accuracies"):
        supernet.truth.load_oracle()


def test_the_package_has_the_same_cells(oracle):
    package = supernet.truth.load_package_oracle()
    assert "test200" not in package.columns["cifar10"]
    for dataset in package.columns:
        a, b = package.scores(dataset, "val200_seeds"), oracle.scores(dataset, "val200_seeds")
        np.testing.assert_allclose(a, b, atol=1e-4)
    sizes = package.scores(column="params_M"), oracle.scores(column="params_M")
    assert np.mean(np.abs(sizes[0] - sizes[1]) < 1e-5) > 0.98, "a few cells have runs of another size in the package"
    best = SPACE.dicts(SPACE.at([np.argmax(package.scores(column="val200_seeds"))]))[0]
    assert package.rank(best, column="val200_seeds") == 1
    with pytest.raises(InputError, match=r"column one of .*, got 'cifar10' and 'test200'"):
        package.query(best)


def test_pickles_that_would_call_something_are_refused(tmp_path):
    class Call:
        def __reduce__(self):
            return print, ("called",)

    plain = {
        "a": [1.5, -2, 300, 70_000, 2**40, "x", None, True],
        "b": (),
        "c": ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "d": {},
    }
    plain["again"] = plain["a"]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "good").write_bytes(pickle.dumps(plain, protocol))
        assert load_plain_pickle(tmp_path / "good") == plain
        content = pickle.dumps([1.0, "x", Call()], protocol)
        damaged = {"call": content, "cut": pickle.dumps([1.0, "x"], protocol)[:-3], "text": b"hello", "empty": b""}
        for name, data in damaged.items():
            (tmp_path / name).write_bytes(data)
            with pytest.raises(InputError, match=f"{name} is not a pickle of plain containers"):
                load_plain_pickle(tmp_path / name)
    with pytest.raises(InputError, match="missing: no such file"):
        load_plain_pickle(tmp_path / "missing")
