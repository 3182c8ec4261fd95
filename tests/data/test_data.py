"""Reading: official formats, user tables, and what is refused."""

import hashlib
import importlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import data
from metajax.data import tabular
from metajax.types import InputError

pd = pytest.importorskip("pandas")
omniglot_module = importlib.import_module("metajax.data._omniglot")


def archive(path, characters=2, drawings=20, alphabet="Latin"):
    from PIL import Image

    with zipfile.ZipFile(path, "w") as file:
        for c in range(characters):
            for d in range(drawings):
                page = np.ones((105, 105), bool)
                page[40:60, 10 + 20 * c : 30 + 20 * c] = False  # ink is 0
                buffer = io.BytesIO()
                Image.fromarray(page).save(buffer, format="PNG")
                file.writestr(f"images_background/{alphabet}/character{c:02d}/{c:04d}_{d:02d}.png", buffer.getvalue())
    return path


def test_official_omniglot_archives_are_read(tmp_path):
    images = omniglot_module.read_archives(
        [archive(tmp_path / "a.zip"), archive(tmp_path / "b.zip", 3, alphabet="Greek")]
    )
    assert images.shape == (5, 20, 28, 28)
    assert images.dtype == np.uint8


def test_ink_is_bright(tmp_path):
    (image, *_), *_ = omniglot_module.read_archives([archive(tmp_path / "a.zip", 1)])
    assert image.max() > 200
    assert np.mean(image) < 40


def test_damaged_and_short_archives_are_named(tmp_path):
    (tmp_path / "bad.zip").write_bytes(archive(tmp_path / "a.zip").read_bytes()[:500])
    with pytest.raises(InputError, match=r"bad\.zip is a damaged archive"):
        omniglot_module.read_archives([tmp_path / "bad.zip"])
    with pytest.raises(InputError, match="every character must have 20 drawings"):
        omniglot_module.read_archives([archive(tmp_path / "short.zip", drawings=19)])


def test_checksums_are_checked_and_missing_files_say_where(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"metajax")
    good = "md5:" + hashlib.md5(b"metajax").hexdigest()
    assert data.download("https://localhost:1/x.bin", tmp_path / "x.bin", good).is_file()
    with pytest.raises(InputError, match=r"must have the md5 00.*, got "):
        data.download("https://localhost:1/x.bin", tmp_path / "x.bin", "md5:00")
    with pytest.raises(InputError, match=r"put the file of https://localhost:1/y\.bin at"):
        data.download("https://localhost:1/y.bin", tmp_path / "y.bin", good)


def test_the_prepared_omniglot(monkeypatch):
    if not (data.home() / "omniglot" / "omniglot28.npz").is_file():
        pytest.skip("omniglot/omniglot28.npz is not below METAJAX_DATA")
    parts = data.omniglot(0)
    assert [len(p.counts) for p in parts] == [1100, 100, 423]
    assert all(p.x.shape == (20 * len(p.counts), 28, 28, 1) for p in parts)
    again = data.omniglot(0)
    np.testing.assert_array_equal(parts.test.x, again.test.x)
    assert not np.array_equal(parts.test.x, data.omniglot(1).test.x)


def test_a_damaged_npz_is_told_wherever_the_damage_is(tmp_path):
    """Every byte of a file is turned over in turn: what is read is what was saved, or one error says that it is damaged."""
    arrays = {"x": np.arange(40.0), "name": np.asarray("random"), "n": np.zeros((0, 3), np.int32)}
    path, refused = tmp_path / "a.npz", 0
    data.save_npz(path, **arrays)
    intact = path.read_bytes()
    for at in range(len(intact)):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ (1 << at % 8)]) + intact[at + 1 :])
        try:
            loaded = data.load_npz(path, tuple(arrays))
        except InputError as error:
            refused += "a.npz" in str(error)
            continue
        assert all(loaded[k].dtype == v.dtype and np.array_equal(loaded[k], v) for k, v in arrays.items()), at
    assert refused > len(intact) // 4
    for cut in range(0, len(intact), 7):
        path.write_bytes(intact[:cut])
        with pytest.raises(InputError, match=r"a\.npz"):
            data.load_npz(path, tuple(arrays))


def test_npz_is_never_unpickled(tmp_path):
    np.savez(tmp_path / "p.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"not a readable \.npz of plain arrays"):
        data.load_npz(tmp_path / "p.npz", ("x",))
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match="not a readable"):
        data.load_npz(tmp_path / "t.npz", ("x",))
    np.savez(tmp_path / "q.npz", x=np.ones(3))
    with pytest.raises(InputError, match=r"lacks the arrays \['y'\]"):
        data.load_npz(tmp_path / "q.npz", ("x", "y"))


def write(path, text):
    path.write_text(text)
    return str(path)


ROWS = "\n".join(f"{i},{'ab'[i % 2]},{i % 3}" for i in range(12))


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (f"x,c,y\n{ROWS}", "z", "target='z': must be a column"),
        (f"x,c,y\n{ROWS}", None, "target: must name a column in .*, one of x, c, y"),
        ("x,y\n" + "\n".join(f"{i},1" for i in range(9)), "y", "is constant"),
        ("x,y\n" + "\n".join(f"{i},c{i % 4}" for i in range(11)), "y", "11 rows for 4 classes"),
        (
            "x,y\n" + "\n".join(f"{i},{'a' if i else 'b'}" for i in range(11)),
            "y",
            "at least 3 rows of each class; merge or remove the classes b",
        ),
        ("y\n1\n2\n3", "y", "at least one column beside the target"),
        ("x,y\n" + "\n".join(f"1,{i % 2}" for i in range(9)), "y", "every column is constant, empty or an identifier"),
        ("x,y\n", "y", "must have at least one row below the header"),
        ("", "y", "is empty; its first row must name the columns"),
        ("x,x,y\n" + "\n".join(f"{i},{i},{i % 2}" for i in range(9)), "y", "different name for each column"),
    ],
)
def test_bad_tables_are_refused_in_one_line(tmp_path, text, target, message):
    with pytest.raises(InputError, match=message) as error:
        tabular.load(write(tmp_path / "t.csv", text), target)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mnist9", "data='mnist9': must be one of digits, iris"),
        ("nowhere.csv", "no such file"),
        ("table.xlsx", "a path ending in .csv, .tsv"),
    ],
)
def test_unknown_data_is_named(given, message):
    with pytest.raises(InputError, match=message):
        tabular.load(given, "y")


def test_tasks_are_judged_by_the_target(tmp_path):
    lines = [f"{i},{'ab'[i % 2]},{i % 3},{i * 0.37:.3f},{'yn'[i % 2]}" for i in range(40)]
    path = write(tmp_path / "t.csv", "x,c,three,real,text\n" + "\n".join(lines))
    assert tabular.load(path, "three").classes == ["0", "1", "2"]
    assert tabular.load(path, "text").classes == ["n", "y"]
    assert tabular.load(path, "real").classes is None
    assert tabular.load(path, "three", "regression").classes is None
    with pytest.raises(InputError, match="must have numbers for regression, got text"):
        tabular.load(path, "text", "regression")


def test_rows_without_a_target_and_constant_columns_are_noted(tmp_path):
    lines = [f"{i},7,{'' if i == 3 else i % 2}" for i in range(30)]
    loaded = tabular.load(write(tmp_path / "t.csv", "x,k,y\n" + "\n".join(lines)), "y")
    assert len(loaded.target) == 29
    assert loaded.schema is not None and [column.name for column in loaded.schema.used] == ["x"]
    assert loaded.notes == ["Left out, because they are constant: k.", "Rows without a target are left out: 1."]
    assert loaded.columns is not None and loaded.columns.numbers[:4, 0].tolist() == [0, 1, 2, 4]


def test_npz_tables(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.random.default_rng(0).normal(size=(30, 2, 2)), y=np.arange(30) % 3)
    loaded = tabular.load(str(tmp_path / "t.npz"))
    assert loaded.frame.shape == (30, 4)
    assert loaded.classes == ["0", "1", "2"]
    assert tabular.read_rows(tmp_path / "t.npz").equals(loaded.frame)
    np.savez(tmp_path / "v.npz", x=np.ones(3), y=np.ones(3))
    with pytest.raises(InputError, match="x must be numbers of shape rows x features"):
        tabular.read_rows(tmp_path / "v.npz")
    np.savez(tmp_path / "u.npz", x=np.ones((3, 2)), y=np.ones(4))
    with pytest.raises(InputError, match=r"shapes \(3, 2\) and \(4,\)"):
        tabular.load(str(tmp_path / "u.npz"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(3, 40), min_size=1, max_size=5), st.integers(0, 99))
def test_splits_are_disjoint_complete_and_stratified(sizes, seed):
    labels = np.array([f"c{i}" for i, n in enumerate(sizes) for _ in range(n)], object)
    dataset = tabular.Dataset(pd.DataFrame({"x": range(len(labels))}), labels, "y", sorted(set(labels)), [])
    parts = tabular.split(dataset, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for part in parts:
        assert set(labels[part]) == set(labels)


def test_digits_split():
    parts = data.digits(0)
    assert sum(len(p[1]) for p in parts) == 1797
    assert parts.train[0].shape[1:] == (8, 8, 1)
    assert parts.train[0].max() == 1.0
