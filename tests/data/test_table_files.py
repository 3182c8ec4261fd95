"""Files of tables: delimiters, quotes, encodings, rows of other lengths, and other formats."""

import contextlib
import gzip
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax.data import tabular
from metajax.types import InputError

pd = pytest.importorskip("pandas")

PLAIN = 'name,price,note\nA,1.5,"says ""no"", twice"\nB,2.5,\nÄ,-3,x\n'
CELLS = [["A", "1.5", 'says "no", twice'], ["B", "2.5", ""], ["Ä", "-3", "x"]]
SAME = {
    "comma": PLAIN.encode(),
    "semicolon": 'name;price;note\nA;1.5;"says ""no"", twice"\nB;2.5;\nÄ;-3;x\n'.encode(),
    "tab": 'name\tprice\tnote\nA\t1.5\t"says ""no"", twice"\nB\t2.5\t\nÄ\t-3\tx\n'.encode(),
    "bar": 'name|price|note\nA|1.5|"says ""no"", twice"\nB|2.5|\nÄ|-3|x\n'.encode(),
    "blanks after commas": 'name, price, note\nA, 1.5, "says ""no"", twice"\nB, 2.5,\nÄ, -3, x\n'.encode(),
    "Windows line ends": PLAIN.replace("\n", "\r\n").encode(),
    "old line ends": PLAIN.replace("\n", "\r").encode(),
    "no last line end": PLAIN.rstrip().encode(),
    "byte order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-32": PLAIN.encode("utf-32"),
    "Windows-1252": PLAIN.encode("cp1252"),
    "a delimiter that is stated": b"sep=#\r\n"
    + 'name#price#note\nA#1.5#"says ""no"", twice"\nB#2.5#\nÄ#-3#x\n'.encode(),
    "gzip": gzip.compress(PLAIN.encode()),
    "gzip with a byte order mark": gzip.compress(PLAIN.encode("utf-8-sig")),
    "blank lines": PLAIN.replace("\nB", "\n\nB").encode() + b"\n\n",
}


@pytest.mark.parametrize("form", SAME)
def test_one_table_in_many_forms(form, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(SAME[form])
    frame = tabular.read_csv(path)
    assert frame.columns.tolist() == ["name", "price", "note"]
    assert frame.astype(object).to_numpy().tolist() == CELLS


def test_a_semicolon_divides_where_commas_are_decimal(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1,5;2,5\n3,5;4,5\n")
    assert tabular.Schema.infer(tabular.read_csv(path)).apply(tabular.read_csv(path)).numbers.tolist() == [
        [1.5, 2.5],
        [3.5, 4.5],
    ]


def test_blank_lines_of_one_column_are_rows(tmp_path):
    """Otherwise predictions would stand beside other rows."""
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n\n2,5\n\n")
    assert tabular.read_csv(path)["x"].tolist() == ["1", "", "2,5", ""]


def test_only_empty_cells_are_missing_and_no_cell_is_changed(tmp_path):
    path = tmp_path / "t.csv"
    cells = ["NA", "None", "null", "nan", "007", "1.0", "1e5", "TRUE", "1_000", "#N/A"]
    path.write_text("x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    assert tabular.read_csv(path)["x"].tolist() == cells


BAD = {
    "a row of more fields": ("a,b\n1,2\n3,4,5\n", ": line 3 must have 2 fields, as the header, got 3"),
    "a row of fewer fields": ("a,b,c\n1,2,3\n\n3,4\n", ": line 4 must have 3 fields, as the header, got 2"),
    "a delimiter at the end": ("a,b\n1,2,\n", ": line 2 must have 2 fields, as the header, got 3"),
    "a short row below a stated delimiter": ("sep=;\na;b\n1\n", ": line 3 must have 2 fields, as the header, got 1"),
    "an open quote": ('a,b\n1,2\n"3,4\n5,6\n', r": line \d cannot be read \(.*\); is a quote left open"),
    "a name twice": ("a,b,a\n1,2,3\n", " must have a different name for each column, but a appear"),
    "no rows": ("a,b\n", " must have at least one row below the header"),
    "nothing": (" \n", " is empty; its first row must name the columns"),
    "zero bytes": (PLAIN.encode("utf-16-le"), " contains zero bytes; if it is UTF-16 without a byte order mark"),
    "half a gzip": (gzip.compress(PLAIN.encode())[:-9], " cannot be read"),
    "Excel": (b"PK\x03\x04...", " is a zip or Excel file, not text; export it as CSV"),
    "Parquet": (b"PAR1....", " is a Parquet file, not text"),
    "a false mark": (b"\xff\xfea", " begins as utf-16, but cannot be decoded"),
}


@pytest.mark.parametrize("form", BAD)
def test_bad_files_are_named(form, tmp_path):
    content, message = BAD[form]
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"t.csv{message}") as error:
        tabular.read_csv(path)
    assert "\n" not in str(error.value)


def test_what_was_guessed_is_noted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("x,ä,y\n".encode("cp1252") + b"".join(b"%d.5,q%d,%d\n\n" % (i, i % 3, i % 2) for i in range(30)))
    notes = tabular.load(str(path), "y").notes
    assert notes == ["The file is not UTF-8; it is read as cp1252.", "Blank lines are left out: 29."]


def test_columns_without_a_name(tmp_path):
    """That of row numbers, as pandas writes it, and an empty one after a delimiter at the end of all rows."""
    path = tmp_path / "t.csv"
    path.write_text(",a,\n" + "".join(f"{i},{i % 3},\n" for i in range(30)))
    frame = tabular.read_csv(path)
    assert frame.columns.tolist() == ["column 1", "a"]
    assert tabular.Schema.infer(frame).columns[0].kind == "identifier"


@pytest.mark.parametrize("ending", [".parquet", ".feather"])
def test_columnar_files(ending, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {"n": [1.5, None, 3.0] * 8, "c": pd.Categorical(["a", "b", None] * 8), "t": pd.date_range("2020", periods=24)}
    )
    frame["y"] = [0, 1] * 12
    path = tmp_path / f"t{ending}"
    (frame.to_parquet if ending == ".parquet" else frame.to_feather)(path)
    loaded = tabular.load(path, "y")
    assert loaded.classes == ["0", "1"] and loaded.schema is not None
    assert [column.kind for column in loaded.schema.columns] == ["number", "category", "date"]
    assert tabular.read_rows(path).shape == (24, 4)
    path.write_bytes(b"not at all")
    with pytest.raises(InputError, match=f"is not a readable {ending[1:]} file"):
        tabular.load(path, "y")


def test_tables_in_memory_are_loaded():
    frame = pd.DataFrame({"x": np.arange(30) / 7, "y": ["a", "b"] * 15})
    assert tabular.load(frame, "y").classes == ["a", "b"]
    with pytest.raises(InputError, match="target: must name a column, one of x, y"):
        tabular.load(frame)
    schema = tabular.load(frame, "y").schema
    assert tabular.load(frame, schema=schema).name == "y", "the schema names the target"
    with pytest.raises(InputError, match="got 3 values for 30 rows"):
        tabular.to_dataset(frame[["x"]], ["a", "b", "c"], "y", [], None)


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=40), st.text("ab1.,;\t|\"'\n\r \0é\ufeff", max_size=40).map(lambda text: text.encode())
    )
)
def test_no_bytes_make_anything_but_a_table_or_one_line(content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "t.csv"
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            frame = tabular.read_csv(path)
            tabular.Schema.infer(frame).apply(frame)
