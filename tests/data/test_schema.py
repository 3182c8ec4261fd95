"""Schemas: every rule by which cells are read, and what holds for every table."""

import datetime
import decimal
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax.data.tabular import Column, Schema, as_frame
from metajax.types import InputError

pd = pytest.importorskip("pandas")
NAN = float("nan")


def only(cells, name="c", **more):
    """The schema of a column, beside one of numbers, so that something is learned from the table."""
    frame = pd.DataFrame({name: cells, "beside": np.arange(len(cells)) / 3, **more})
    schema = Schema.infer(frame)
    return schema.columns[0], schema, frame


def times(cells, n=40):
    """A list of cells, repeated to n rows."""
    return (list(cells) * n)[:n]


# What is inferred of cells, and the numbers that they are read as.
NUMBERS = {
    "plain": (["1", "-2.5", "1e3", ".5"], [1, -2.5, 1000, 0.5], {}),
    "decimal comma": (["1,5", "-2,25", "3"], [1.5, -2.25, 3], {"decimal": ","}),
    "thousands": (["1,234", "1,234,567.5", "12"], [1234, 1234567.5, 12], {"thousands": ","}),
    "thousands and decimal comma": (
        ["1.234,5", "12", "1.234.567"],
        [1234.5, 12, 1234567],
        {"decimal": ",", "thousands": "."},
    ),
    "points that group are seen beside others": (["1.234", "1.234.567"], [1234, 1234567], {"thousands": "."}),
    "three digits after a point are a fraction": (["1.234", "5.678"], [1.234, 5.678], {"thousands": ""}),
    "three digits after a comma are a thousand": (["1,234", "5,678"], [1234, 5678], {"thousands": ","}),
    "a zero before a comma is not a thousand": (["0,123", "5,678"], [0.123, 5.678], {"decimal": ","}),
    "apostrophes": (["1'234.5", "12"], [1234.5, 12], {"thousands": "'"}),
    "hard blanks": (["1\u00a0234,5", "1\u202f234"], [1234.5, 1234], {"decimal": ",", "thousands": " "}),
    "percent": (["12%", "3.5 %"], [12, 3.5], {"unit": "%"}),
    "currency before": (["$1,200", "-$3", "$ 5"], [1200, -3, 5], {"unit": "$"}),
    "currency after": (["12 €", "7,5 €"], [12, 7.5], {"unit": "€", "decimal": ","}),
    "currency in letters": (["EUR 12", "EUR 7"], [12, 7], {"unit": "EUR"}),
    "a unit": (["5 kg", "7.5kg", "3"], [5, 7.5, 3], {"unit": "kg"}),
    "Unicode minus": (["−5", "–6", "7"], [-5, -6, 7], {}),
    "parentheses": (["(5)", "(1,000.5)", "7"], [-5, -1000.5, 7], {"thousands": ","}),
    "blanks around": ([" 1", "2 ", "3"], [1, 2, 3], {}),
    "a question mark": (["1", "2", "3", "?"], [1, 2, 3, NAN], {"missing": ("?",)}),
    "a dash": (["1", "2", "3", "-"], [1, 2, 3, NAN], {"missing": ("-",)}),
    "n.a. in any case": (["1", "2", "3", "N.A."], [1, 2, 3, NAN], {"missing": ("N.A.",)}),
    "inf is not a number": (["1", "2", "3", "inf"], [1, 2, 3, NAN], {"missing": ("inf",)}),
    "too large for a number": (["1", "2", "1e999"] + ["3"] * 57, [1, 2, NAN, 3], {"missing": ("1e999",)}),
    "one odd text in fifty": (["1", "abc"] + ["2"] * 48, [1, NAN, 2], {"missing": ("abc",)}),
    "an empty cell": (["1", "", "2"], [1, NAN, 2], {"missing": ()}),
    "numbers beside a quoted 02": (["2.5", "0.2"], [2.5, 0.2], {}),
}


@pytest.mark.parametrize("rule", NUMBERS)
def test_numbers(rule):
    cells, values, parameters = NUMBERS[rule]
    column, schema, frame = only(times(cells, max(len(cells), 12)))
    assert column.kind == "number"
    assert {name: getattr(column, name) for name in parameters} == parameters
    np.testing.assert_array_equal(schema.apply(frame).numbers[: len(values), 0], values)


def test_a_comma_is_what_it_is_in_other_columns():
    """1,234 and 1.234 alone could be either; another column of the table says which."""
    frame = pd.DataFrame({"a": times(["1,234", "5,678"]), "b": times(["1.234", "2.500"]), "c": times(["0,5", "12,25"])})
    assert Schema.infer(frame).apply(frame).numbers[0].tolist() == [1.234, 1234, 0.5]
    assert Schema.infer(frame[["a", "b"]]).apply(frame).numbers[0].tolist() == [1234, 1.234]


KINDS = {
    "a postal code is text": (times(["02134", "10001", "94105"]), "category"),
    "padded numbers are text": (times(["007", "010"]), "category"),
    "yes and no": (times(["yes", "no"]), "boolean"),
    "TRUE and false": (times(["TRUE", "false", ""]), "boolean"),
    "truth values": (times([True, False]), "boolean"),
    "truth values with a gap": (times([True, False, None]), "boolean"),
    "words": (times(["a", "b"]), "category"),
    "different units are not numbers": (times(["5 kg", "300 g", "2 lb"]), "category"),
    "declared categories of numbers": (pd.Categorical(times([1, 2, 3])), "category"),
    "mostly words among numbers": (times(["1", "2", "red", "blue", "green"]), "category"),
    "words that mean nothing alone": (times(["NA", "?"]), "category"),
    "many levels that come again": (
        times([f"level{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(60)], 240),
        "category",
    ),
    "sentences": ([f"the {i}th of the words{i % 7} here" for i in range(90)], "text"),
    "words that never come again": ([f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(90)], "text"),
    "numbers of rows": (list(range(1, 41)), "identifier"),
    "numbers of rows as text": ([str(i) for i in range(40)], "identifier"),
    "numbers of rows in disorder": (list(np.random.default_rng(0).permutation(40)), "identifier"),
    "codes of their own": ([f"A-{i * i}" for i in range(40)], "identifier"),
    "years": (list(range(1960, 2000)), "number"),
    "whole numbers with holes": ([3 * i for i in range(40)], "number"),
    "few rows": (list(range(1, 11)), "number"),
    "one value": (times(["x"]), "constant"),
    "one number": (times([3]), "constant"),
    "one value and a gap": (times(["x", ""]), "category"),
    "nothing": (times(["", " "]), "empty"),
    "missing values only": (times([None, NAN]), "empty"),
}


@pytest.mark.parametrize("rule", KINDS)
def test_kinds(rule):
    cells, kind = KINDS[rule]
    column, schema, frame = only(cells)
    assert column.kind == kind
    schema.apply(frame)


@pytest.mark.parametrize("name", ["id", "customer_id", "PassengerId", "uuid", "row"])
def test_whole_numbers_that_differ_and_are_called_an_identifier(name):
    cells = (np.random.default_rng(0).permutation(1000)[:40] * 7).tolist()
    assert only(cells, name)[0].kind == "identifier"
    assert only(cells, "paid")[0].kind == "number"
    assert only([*cells[:-1], cells[0]], name)[0].kind == "number", "one recurs"


DATES = {
    "ISO": (["2020-01-31", "2021-12-01"], "ISO8601", "2020-01-31"),
    "ISO with a time": (["2020-01-31T12:30:00", "2021-12-01T08:00:00"], "ISO8601", "2020-01-31T12:30"),
    "ISO with a zone": (["2020-01-31 12:30:00+02:00", "2021-12-01 08:00:00Z"], "ISO8601", "2020-01-31T10:30"),
    "months": (["2020-01", "2021-12"], "ISO8601", "2020-01-01"),
    "points": (["31.01.2020", "01.12.2021"], "%d.%m.%Y", "2020-01-31"),
    "points and two digits": (["31.01.20", "01.12.21"], "%d.%m.%y", "2020-01-31"),
    "slashes, month first": (["01/31/2020", "12/01/2021"], "%m/%d/%Y", "2020-01-31"),
    "slashes, day first": (["31/01/2020", "01/12/2021"], "%d/%m/%Y", "2020-01-31"),
    "year first": (["2020/01/31", "2021/12/01"], "%Y/%m/%d", "2020-01-31"),
    "with minutes": (["31.01.2020 12:30", "01.12.2021 08:00"], "%d.%m.%Y %H:%M", "2020-01-31T12:30"),
    "with AM and PM": (["01/31/2020 01:30 PM", "12/01/2021 08:00 AM"], "%m/%d/%Y %I:%M %p", "2020-01-31T13:30"),
    "eight digits": (["20200131", "20211201"], "%Y%m%d", "2020-01-31"),
    "names of months": (["31 Jan 2020", "01 Dec 2021"], "%d %b %Y", "2020-01-31"),
    "American": (["January 31, 2020", "December 1, 2021"], "%B %d, %Y", "2020-01-31"),
    "one odd cell": (["31.01.2020", "01.12.2021", "?"], "%d.%m.%Y", "2020-01-31"),
}


@pytest.mark.parametrize("rule", DATES)
def test_dates(rule):
    cells, format, first = DATES[rule]
    column, schema, frame = only(times(cells))
    assert (column.kind, column.format) == ("date", format)
    days, year = (np.flatnonzero([s.name == f"c: {part}" for s in schema.numbers])[0] for part in ("days", "year"))
    numbers = schema.apply(frame).numbers
    assert numbers[0, days] == 0 and numbers[0, year] == 2020 and np.isnan(numbers[2, days]) == (len(cells) == 3)
    exact = np.datetime64("2021-12-01T08:00" if "T" in first else "2021-12-01") - np.datetime64(first)
    assert numbers[1, days] == pytest.approx(exact / np.timedelta64(1, "D"))


def test_typed_dates_and_their_parts():
    """Dates as text, as objects and as pandas types are one thing; what does not vary is left out."""
    typed = pd.Series(pd.date_range("2020-01-01 06:00", periods=60, freq="36h"))
    column, schema, frame = only(typed)
    assert column.parts == tuple(
        f"{n}{w}" for n in ("days", "month", "weekday", "hour") for w in ("", "_sin", "_cos") if n != "days" or not w
    )
    expected = schema.apply(frame).numbers
    for other in (typed.astype(str), typed.dt.to_pydatetime(), typed.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")):
        np.testing.assert_array_equal(schema.apply(frame.assign(c=list(other))).numbers, expected)
    assert expected[1, 1:4] == pytest.approx([0, 0, 1]), "January is month 0"
    assert expected[0, 7] == 6 and expected[0, 8] == pytest.approx(1), "sine and cosine of six o'clock"
    days = only([datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(40)])[0]
    assert days.kind == "date" and "hour" not in (days.parts or ())
    assert only(times(["08:15", "23:00"]))[0].parts == ("hour", "hour_sin", "hour_cos")


def test_day_and_month_that_could_be_exchanged_are_noted():
    _, schema, _ = only(times(["01/02/2020", "03/04/2020"]))
    assert any("day and month could be exchanged" in note for note in schema.notes)
    assert not any("exchanged" in note for note in only(times(["01/02/2020", "03/14/2020"]))[1].notes)


def test_what_is_left_out_or_changed_is_said_once():
    frame = pd.DataFrame(
        {
            "id": range(40),
            "k": 1,
            "empty": None,
            "x": times(["1", "2", "?", "4.5"]),
            "day": pd.date_range("2020", periods=40),
        }
    )
    notes = Schema.infer(frame).notes
    assert sorted(notes) == [
        "Column x: what counts as missing is '?' (rows: 10).",
        "Left out, because they are constant: k.",
        "Left out, because they are empty: empty.",
        "Left out, because they are identifiers or row numbers: id.",
    ]


@pytest.mark.parametrize(
    "cells",
    [
        [1, 2, 3, None],
        [1.0, 2.0, 3.0, NAN],
        ["1", "2", "3", None],
        ["1.0", " 2", "3 ", ""],
        pd.array([1, 2, 3, None], dtype="Int64"),
        pd.array([1, 2, 3, None], dtype="Float32"),
        pd.array(["1", "2", "3", None], dtype="string"),
        pd.Categorical([1, 2, 3, None]),
        pd.Categorical(["1", "2", "3", None]),
        pd.array([1, 2, 3, NAN], dtype=pd.SparseDtype(float, NAN)),
        [decimal.Decimal(1), 2, 3.0, pd.NA],
        [np.int8(1), np.float32(2), "3", NAN],
    ],
    ids=lambda cells: str(getattr(cells, "dtype", [type(v).__name__ for v in cells])),
)
@pytest.mark.parametrize("kind", ["number", "category"])
def test_how_pandas_typed_a_column_does_not_matter(cells, kind):
    """The numbers 1, 2, 3 and a gap, by a schema that reads numbers and by one that reads categories."""
    column = Column("c", kind, levels=("3", "2", "1") if kind == "category" else None)
    columns = Schema((column,)).apply(pd.DataFrame({"c": cells}))
    if kind == "number":
        np.testing.assert_array_equal(columns.numbers[:, 0], [1, 2, 3, NAN])
    else:
        assert columns.codes[:, 0].tolist() == [2, 1, 0, -1]


def test_arrow_types_are_read():
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "i": [1, 2, None],
            "s": ["1,5", "2,5", None],
            "b": [True, None, False],
            "t": ["2020-01-01", "2020-01-02", None],
        }
    )
    frame = frame.astype(
        {"i": "int64[pyarrow]", "s": "string[pyarrow]", "b": "bool[pyarrow]", "t": "timestamp[us][pyarrow]"}
    )
    schema = Schema.infer(frame)
    assert [c.kind for c in schema.columns] == ["number", "number", "boolean", "date"]
    np.testing.assert_array_equal(schema.apply(frame).numbers[:, :3], [[1, 1.5, 1], [2, 2.5, NAN], [NAN, NAN, 0]])


def test_other_tables():
    class Dataset:
        """As a dataset of Hugging Face: it turns into a data frame."""

        def to_pandas(self):
            return pd.DataFrame({"a": [1], 7: [2]})

    assert as_frame(Dataset()).columns.tolist() == ["a", "7"]
    assert as_frame({"a": [1, 2]}).shape == (2, 1)
    assert as_frame(np.zeros((2, 3))).columns.tolist() == ["x0", "x1", "x2"]
    for bad, message in (
        (3, "must be a data frame, .*, got int"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"different name for each column, but a appear"),
        ({"a": [1], "b": [1, 2]}, "cannot be read as a table"),
    ):
        with pytest.raises(InputError, match=message):
            as_frame(bad)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([1.0, np.inf, 2.0], "column c must have finite values, but 1 are infinite"),
        ([1j, 2j, 3j], "column c must not have complex numbers"),
        ([[1], [2], [3]], "column c must have numbers, text or dates, got values of type list"),
        ([{}, {}, {}], "got values of type dict"),
    ],
)
def test_what_no_rule_reads_is_refused(cells, message):
    frame = pd.DataFrame({"c": cells})
    with pytest.raises(InputError, match=message):
        Schema.infer(frame)
    with pytest.raises(InputError, match=message):
        Schema((Column("c", "number"),)).apply(frame)


TARGETS = {
    "digits are classes": (["0", "1", "2"], "classification", ("0", "1", "2")),
    "0 and 1 beside a gap": ([0.0, 1.0, NAN], "classification", ("0", "1")),
    "spelling": (["1.0", "2.0"], "classification", ("1.0", "2.0")),
    "two spellings": (["1.0", "1", "2"], "classification", ("1", "2")),
    "None and NA": (["None", "NA", "x"], "classification", ("NA", "None", "x")),
    "NA among digits": (["0", "1", "NA"], "classification", ("0", "1", "NA")),
    "padded": (["01", "02"], "classification", ("01", "02")),
    "truth": ([True, False], "classification", ("False", "True")),
    "numbers in order": (["10", "9", "-1"], "classification", ("-1", "9", "10")),
    "fractions": (["0.5", "1", "2"], "regression", None),
    "prices": (["1.000,50 €", "2,25 €"], "regression", None),
    "many whole numbers": ([str(i) for i in range(30)], "regression", None),
}


@pytest.mark.parametrize("rule", TARGETS)
def test_targets(rule):
    cells, task, classes = TARGETS[rule]
    n = 60
    frame = pd.DataFrame({"x": np.arange(n) / 7, "y": times(cells, n)})
    target = Schema.infer(frame, "y").target
    assert target is not None and (target.task, target.classes) == (task, classes)


def test_free_text_is_counted_alike_in_every_process():
    """CRC-32, not the hash of Python, which is another one in every process."""
    schema = Schema((Column("t", "text", width=4),))
    numbers = schema.apply(pd.DataFrame({"t": ["red car", "Car, red!", "", None]})).numbers
    assert numbers.shape == (4, 10) and len(schema.numbers) == 10
    np.testing.assert_array_equal(numbers[0, :4], numbers[1, :4])
    np.testing.assert_allclose(np.expm1(numbers[0]), [0, 1, 0, 1, *np.expm1(numbers[0, 4:8]), 7, 2], atol=1e-9)
    assert not np.expm1(numbers[2:])[:, [0, 1, 2, 3, 8, 9]].any()


def test_the_levels_of_a_wide_category_are_those_that_come_again():
    cells = [f"often{chr(97 + i % 26)}{chr(97 + i // 26 % 3)}" for i in range(400)] + [
        f"once{chr(97 + i)}" for i in range(20)
    ]
    column, schema, frame = only(cells)
    assert column.kind == "category" and column.levels is not None and len(column.levels) == 78
    assert (schema.apply(frame).codes[-20:] == -1).all() and (schema.apply(frame).codes[:400] >= 0).all()


def test_an_edited_schema_is_kept_and_completed():
    """Kinds are changed, a rule is left open, a column is left out by leaving it out."""
    frame = pd.DataFrame(
        {
            "zip": times([2134, 10001]),
            "day": times(["01/02/2020", "03/04/2020"]),
            "x": times([0.5, -999.0]),
            "z": np.arange(40) / 3,
        }
    )
    frame["y"] = times(["a", "b", "c"])
    content = json.loads(Schema.infer(frame, "y").to_json())
    by_name = {column["name"]: column for column in content["columns"]}
    by_name["zip"]["kind"] = "category"
    by_name["day"] |= {"format": "%d/%m/%Y", "parts": None}
    by_name["x"]["missing"] = ["-999"]
    content["columns"].remove(by_name["z"])
    edited = Schema.infer(frame, "y", edited=Schema.from_json(json.dumps(content)))
    assert [c.kind for c in edited.columns] == ["category", "date", "number"]
    assert edited.columns[0].levels == ("10001", "2134") and edited.target == Schema.infer(frame, "y").target
    assert "Columns that the schema does not name are left out: z." in edited.notes
    first, second = edited.apply(frame).numbers[:2]
    by_name["day"]["format"] = "%Q"
    with pytest.raises(InputError, match="format must be a format of dates, got '%Q'"):
        Schema.infer(frame, "y", edited=Schema.from_json(json.dumps(content)))
    assert first[0] == 0 and second[0] == 62 and first[-1] == 0.5 and np.isnan(second[-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: "{", "schema: must be JSON"),
        (lambda s: json.dumps([1]), "must be 1 in this version"),
        (lambda s: json.dumps({**s, "format": 9}), "the format must be 1 in this version, got 9"),
        (
            lambda s: json.dumps({**s, "columns": [{"kind": "number"}]}),
            "a column must be an object with a name and a kind",
        ),
        (
            lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "real"}]}),
            "column a: kind must be one of number, boolean, .*, got 'real'",
        ),
        (
            lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "number", "comma": 1}]}),
            "column a: parameters must be among name, .*, got comma",
        ),
        (
            lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "number", "decimal": 1}]}),
            "column a: decimal must be a text",
        ),
        (
            lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "number", "decimal": ";"}]}),
            "decimal must be . or ,",
        ),
        (
            lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "date", "origin": "soon"}]}),
            "column a: origin must be a date .*, got 'soon'",
        ),
        (
            lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "date", "parts": ["second"]}]}),
            "parts must be among .*, got 'second'",
        ),
        (lambda s: json.dumps({**s, "columns": [{"name": "a", "kind": "text"}] * 2}), "every column must appear once"),
        (
            lambda s: json.dumps({**s, "target": {"name": "y", "task": "guess"}}),
            "must be 'classification' or 'regression', got 'guess'",
        ),
    ],
)
def test_a_wrong_schema_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Schema.from_json(change({"format": 1, "columns": [], "target": None}))


def test_new_rows_that_the_schema_cannot_read():
    frame = pd.DataFrame({"n": times([1, 2.5, 4]), "c": times(["a", "b"]), "day": times(["2020-01-01", "2020-02-01"])})
    schema = Schema.infer(frame)
    assert schema.surprises(frame) == [] == schema.surprises(frame.assign(n="?", c=None))
    new = pd.DataFrame({"n": ["1", "many"], "c": ["a", "z"], "day": ["2020-01-01", "soon"], "more": [1, 2]})
    assert schema.surprises(new) == [
        "column n: no number in 1 of 2 rows ('many'), which count as missing",
        "column c: levels that were not seen in training in 1 of 2 rows ('z')",
        "column day: no date in 1 of 2 rows ('soon'), which count as missing",
    ]
    schema.check(new)
    with pytest.raises(InputError, match=r"column n: holds text \('x'\), but the model was trained with numbers there"):
        schema.check(frame.assign(n="x"))
    with pytest.raises(InputError, match="the data must have the columns of the training data, but lacks c, day"):
        schema.apply(frame[["n"]])


def test_a_schema_is_printed_as_a_table():
    frame = pd.DataFrame(
        {"id": range(40), "price": times(["1,5 €", "2,5 €", "?"]), "c": times(["a", "b"]), "y": times([0, 1])}
    )
    assert str(Schema.infer(frame, "y")).splitlines()[:4] == [
        "target y: classification, classes 0, 1",
        "  id     identifier (left out)",
        "  price  number      decimal ',', thousands '.', '€' stripped, missing: '?'",
        "  c      category    2 levels: a, b",
    ]


CELL = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "0",
            "1",
            "1.0",
            "1 ",
            "-3",
            "2,5",
            "1.234",
            "1,234",
            "02134",
            "?",
            "n.a.",
            "inf",
            "nan",
            "5%",
            "$7",
            "(8)",
            "−9",
        ]
        + [
            "yes",
            "no",
            "True",
            "a",
            "b",
            "2020-01-31",
            "31.01.2020",
            "01/02/2020",
            "12:30",
            "1e400",
            "١٢",
            "20200101",
            "5 kg",
        ]
    ),
    st.text(max_size=8),
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
COLUMN = st.one_of(
    *(st.lists(cells, min_size=30, max_size=30) for cells in (CELL, st.sampled_from(["1", "2", "", "?"]))),
    st.integers(0, 10**6).map(lambda first: [str(first + i) for i in range(30)]),
    st.integers(0, 10**4).map(lambda day: [str(np.datetime64("1990-01-01") + day + i) for i in range(30)]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(COLUMN, min_size=1, max_size=3), st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_the_rows_is_read_as_among_all(columns, start, stop):
    """No table makes anything but an InputError; a schema survives its JSON; rows are read one by one."""
    frame = pd.DataFrame({f"c{i}": cells for i, cells in enumerate(columns)})
    try:
        schema = Schema.infer(frame)
        Schema.infer(frame.assign(y=columns[0]), "y")
    except InputError:
        return
    assert Schema.from_json(schema.to_json()) == schema
    assert Schema.infer(frame, edited=Schema.from_json(schema.to_json())).columns == schema.columns
    whole, part = schema.apply(frame), schema.apply(frame.iloc[start:stop])
    np.testing.assert_array_equal(part.numbers, whole.numbers[start:stop])
    np.testing.assert_array_equal(part.codes, whole.codes[start:stop])
    assert not np.isinf(whole.numbers).any()
    schema.surprises(frame.iloc[::-1])
    str(schema)
