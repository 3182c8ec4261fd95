"""The report of a regression as an outsider reads it: its errors, the card of data and run, and a page that fits a phone.

The search is one of a linear model, which stands for the default, in a budget that ends after it.
"""

import html.parser
import json
import re

import numpy as np
import pytest

from metajax import automl
from metajax.automl import _residuals as residuals
from metajax.automl import models
from metajax.run import RunDirectory

pd = pytest.importorskip("pandas")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.optimized  # nothing is compiled here

N_ROWS, OUTLIER = 100, 40.0


class Line(models.Member):
    """Least squares."""

    def __init__(self, weights):
        self.weights = weights

    def predict(self, x):
        return (np.column_stack([x, np.ones(len(x))]) @ self.weights)[:, None].astype(np.float32)

    def arrays(self):
        return {"weights": self.weights}


class Lines:
    """The type of these; the search compares with what has this name."""

    name = "boosted_trees"

    def domains(self, features, classification):
        return {}

    def default_config(self, classification):
        return {}

    def fit(self, config, data, seed, classification, outputs):
        x = np.column_stack([data.x, np.ones(len(data.x))])
        return Line(np.linalg.lstsq(x, data.y, rcond=None)[0])

    def from_arrays(self, arrays, settings):
        return Line(arrays["weights"])


def table():
    """Prices that a line predicts, except for one wrong entry; the first rows have none."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"area <m²>": rng.normal(size=N_ROWS), "age": rng.normal(size=N_ROWS)})
    frame["unit"], frame["name"] = 1, [f"x{i}" for i in range(N_ROWS)]
    frame["price"] = 3.0 * frame["area <m²>"] - frame["age"] + 0.1 * rng.normal(size=N_ROWS) + 200
    frame.loc[:9, "price"] = np.nan
    return frame


def search(frame, path, test=None):
    """The result and the page of a search."""
    frame.to_csv(path.with_suffix(".csv"), index=False)
    config = automl.Config(str(path.with_suffix(".csv")), "price", minutes=0.01, test=test)
    with RunDirectory(path, {}) as directory:
        result = automl.search(config, directory, show=False, model_types=(Lines(),)).result
    return result, (path / "report.html").read_text()


@pytest.fixture(scope="module")
def wrong_row(tmp_path_factory):
    """The number of the first test row: the same search of other values has the same test rows."""
    _, page = search(table(), tmp_path_factory.mktemp("runs") / "first")
    return int(cells(page, "residual")[1][0])


@pytest.fixture(scope="module")
def searched(wrong_row, tmp_path_factory):
    frame = table()
    frame.loc[wrong_row - 1, "price"] += OUTLIER
    path = tmp_path_factory.mktemp("runs") / "second"
    result, page = search(frame, path)
    return frame, result, page, path


class Page(html.parser.HTMLParser):
    """What stands in which elements."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.loose, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
            if ("div", "wide") not in self.open:
                self.loose.append(self.getpos())
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "img", "br"):
            self.open.append((tag, dict(attrs).get("class")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "td" in tags or "th" in tags:
            self.tables[-1][-1][-1] += data
        elif "style" not in tags:
            self.text.append(data)


def cells(page, heading):
    """The table with this heading in its first row."""
    return next(table for table in Page(page).tables if heading in table[0])


def test_the_errors_of_a_regression_are_shown_in_its_units(searched):
    _, result, page, _ = searched
    metrics = result["metrics"]
    model, mean = cells(page, "mean absolute error")[1:]
    assert float(model[1]) == pytest.approx(metrics["test_r2"], abs=6e-4)
    assert float(model[2]) == pytest.approx(metrics["test_mean_absolute_error"], rel=1e-3)
    assert float(model[3]) == pytest.approx(metrics["test_root_mean_squared_error"], rel=1e-3)
    n = result["data"]["rows"]["test"]
    assert metrics["test_root_mean_squared_error"] == pytest.approx(OUTLIER / np.sqrt(n), rel=0.05)
    assert OUTLIER / n < metrics["test_mean_absolute_error"] < 2 * OUTLIER / n
    assert float(mean[2]) > float(model[2]) and float(mean[1]) < 0.1
    for caption in (
        "Predictions against true values",
        "Residuals (true minus predicted)",
        "The distribution of the residuals",
    ):
        assert f'<img alt="{caption}' in page
    assert "Class by class" not in page


def test_the_rows_with_the_largest_errors_are_rows_of_the_file(searched, wrong_row):
    """Rows without a target are left out of the search, but count."""
    frame, _, page, _ = searched
    rows = cells(page, "residual")[1:]
    assert len(rows) == 10 and int(rows[0][0]) == wrong_row
    assert float(rows[0][3]) == pytest.approx(OUTLIER, rel=0.05)
    for number, true, predicted, residual in rows:
        assert float(true) == pytest.approx(frame["price"][int(number) - 1], abs=0.06)
        assert float(residual) == pytest.approx(float(true) - float(predicted), abs=0.11)
    assert np.all(np.diff([abs(float(row[3])) for row in rows]) <= 0)


def test_the_rows_of_a_test_file_are_numbered_as_in_it(tmp_path):
    frame = table()
    test = frame.iloc[20:40].assign(price=lambda rows: rows["price"].where(rows["age"] > -1))
    test.to_csv(tmp_path / "test.csv", index=False)
    assert test["price"].isna().any(), "these rows count, too"
    _, page = search(frame.drop(index=range(20, 40)), tmp_path / "run", str(tmp_path / "test.csv"))
    for row in cells(page, "residual")[1:]:
        assert float(row[1]) == pytest.approx(test["price"].iloc[int(row[0]) - 1], abs=0.06)
    assert f"Row 1 is the first row of {tmp_path / 'test.csv'} below its header." in page


@pytest.mark.parametrize("size", [1e-200, 1e-5, 1e6, 1e200])
@pytest.mark.filterwarnings("error")
def test_errors_of_any_size_are_written_with_few_digits(size):
    """Squares of values beyond 1e154 are infinite; values this large are not drawn."""
    rng = np.random.default_rng(0)
    truth = size * rng.normal(size=50)
    page = residuals.section(residuals.Residuals(truth, truth + 0.1 * size, 0.0, np.arange(50)), "y", 0.99)
    assert page.count("<img") == (3 if size < 1e100 else 0) and "nan" not in page and "inf" not in page
    assert float(cells(page, "mean absolute error")[1][2].replace(",", "")) == pytest.approx(0.1 * size, rel=1e-3)
    for row in cells(page, "residual")[1:]:
        assert float(row[3].replace(",", "")) == pytest.approx(-0.1 * size, rel=1e-2)
        assert max(map(len, row)) < 14


def test_mean_errors_count_rows_as_they_are_weighted():
    """As often as it counts, each row repeated says the same."""
    rng = np.random.default_rng(0)
    truth, weights = rng.normal(size=30), rng.integers(0, 4, 30)
    predicted = truth + rng.normal(size=30)
    weighted = residuals.Residuals(truth, predicted, 0.5, None, weights.astype(float))
    repeated = residuals.Residuals(np.repeat(truth, weights), np.repeat(predicted, weights), 0.5)
    of = lambda errors: cells(residuals.section(errors, "y", 0.5), "mean absolute error")
    assert of(weighted) == of(repeated) != of(weighted._replace(weights=None))


def test_a_model_without_an_error_has_a_section():
    exact = residuals.Residuals(np.full(3, 5.0), np.full(3, 5.0), 5.0)
    page = residuals.section(exact, "y", 1.0)
    assert "off by at most 0, nine" in page and [row[0] for row in cells(page, "residual")[1:]] == ["–"] * 3


def test_the_card_says_what_data_which_version_and_where(searched):
    _, result, page, path = searched
    card = dict(next(table for table in Page(page).tables if table[0][0] == "data"))
    meta = json.loads((path / "meta.json").read_text())
    assert card["target"] == "price (a number)" and card["rows"] == "90: 72 to learn from, 18 to test with"
    assert card["columns used"] == "2: 2 numbers"
    assert card["columns left out"] == "2: 1 constant, 1 identifier"
    assert card["metajax"].startswith(meta["versions"]["metajax"]) and card["hardware"] == meta["hardware"]
    assert re.fullmatch(r"\d+ \w+ \d{4}, \d\d:\d\d UTC", card["date"]) and meta["started"][:4] in card["date"]
    size = sum((path / name).stat().st_size for name in ("model.json", "model.npz"))
    assert card["size of the model"] == f"{round(size / 1000)} kB"
    assert card["fingerprint of the data"].split()[0] == result["data"]["digest"]
    assert (
        "because they are constant: unit." in page
        and "area &lt;m²&gt;" in page
        and "Rows without a target are left out: 10." in page
    )


def test_other_data_has_another_fingerprint(searched, tmp_path):
    frame, result, _, _ = searched
    same, _ = search(frame, tmp_path / "same")
    other, _ = search(frame.assign(age=frame["age"].round(1)), tmp_path / "other")
    assert same["data"]["digest"] == result["data"]["digest"] != other["data"]["digest"]
    assert re.fullmatch("[0-9a-f]{12}", other["data"]["digest"])


def test_the_page_fits_a_phone_and_a_dark_screen(searched):
    """Whatever may be wide scrolls by itself, figures have the width of a phone, and colors follow the reader's."""
    _, _, page, _ = searched
    parsed = Page(page)
    assert not parsed.open and parsed.tables and not parsed.loose
    style = page.split("<style>")[1].split("</style>")[0]
    assert re.search(r"\.wide \{[^}]*overflow-x: auto", style) and re.search(r"pre \{[^}]*overflow-x: auto", style)
    dark = style.split("@media (prefers-color-scheme: dark)")[1]
    assert "img { filter: invert(1)" in dark
    widths = [int(width) for width in re.findall(r'<img [^>]*?width="(\d+)"', page)]
    assert len(widths) == page.count("<img") == 4 and max(widths) < 500


def test_the_page_speaks_words_and_not_names_of_the_code(searched):
    _, result, page, _ = searched
    parsed = Page(page)
    assert [row[0] for row in cells(page, "model type")[1:]] == ["boosted trees"]
    text = "".join(parsed.text)
    assert "always predicting the mean" in text, "the metric is explained"
    assert "The search tried 1 configuration of" in text
    assert "values, _ = model.predict(pandas.read_csv('FILE.csv'))" in text
    for cell in (cell for table in parsed.tables for row in table for cell in row):
        assert not re.search(r"\d\.\d{5}", cell), "too many digits"
    assert result["verdict"] in text
