"""Every choice that a space accepts comes back from a table, however it was kept."""

import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metajax.predictor import Trials
from metajax.predictor import _frames as readers
from metajax.predictor import _tabletext as tabletext
from metajax.space import Categorical, Float, Integer, Space, Subset, interop
from metajax.types import InputError

WORDS = [
    "",
    " ",
    "null",
    "None",
    "nan",
    "NA",
    "#N/A N/A",
    "1",
    "1.0",
    "01",
    "1e3",
    "+1",
    "0x10",
    "inf",
    "True",
    "FALSE",
    "json:1",
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=4)
NUMBERS = (
    st.sampled_from([0, 1, 1000, 2**53 + 1, 2**63, 2**70, 0.1, 0.30000000000000004, float("inf")])
    | st.integers()
    | (st.floats(allow_nan=False))
)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
CHOICES = st.lists(PLAIN | st.lists(PLAIN, max_size=2).map(tuple), min_size=1, max_size=5, unique=True)


FILE = Path(tempfile.mkdtemp()) / "t.csv"  # hypothesis and tmp_path do not go together


def readings(table):
    """A data frame as it is after it has been kept in each of the ways."""
    text = table.to_csv(index=False)
    store = io.BytesIO()
    table.to_parquet(store)
    yield "in memory", table
    yield "Parquet", pd.read_parquet(store)
    yield "CSV as pandas reads it", pd.read_csv(io.StringIO(text), dtype={"seed": "Int64"} if "seed" in table else None)


@settings(max_examples=60, deadline=None)
@given(CHOICES, st.booleans())
@example([None, "null", "", "nan", "1", "True", (3, 3)], True)
@example(["1", 1], True)
@example(["True", False, 0.5], True)
@example([2**53, 2**53 + 1], True)
@example(["json:1", 1, "1"], False)
@example([" x", "x", "x\r", "\ud800", "\x00"], True)
def test_every_choice_comes_back(choices, blanks):
    domain = Categorical(choices)
    cells = tabletext.Cells("x", domain)
    written = [cells.write(choice) for choice in choices] + [None] * blanks
    table = pd.DataFrame([{"x": cell} for cell in written]).assign(metric=range(len(written)))
    same = lambda a, b: repr(a) == repr(b)
    for way, frame in readings(table):
        back = [None if pd.isna(v) else cells.read(v) for v in frame["x"].tolist()]
        assert all(map(same, back, [*choices, *[None] * blanks])), way
    table.to_csv(FILE, index=False)
    space = Space({"x": domain})
    if not blanks or None in choices:
        again = Trials.from_csv(space, FILE, "metric").configs()
        assert all(map(same, [config["x"] for config in again], [*choices, *[None] * blanks]))
    frame = readers.csv(space, FILE)
    back = [None if v is None else cells.read(v) for v in frame["x"].tolist()]
    assert all(map(same, back, [*choices, *[None] * blanks]))


SPACE = Space(
    {
        "weight": Categorical((None, "balanced", "null", "")),
        "kernel": Categorical(((1, 1), (3, 3), (3, (None, "1")))),
        "mixed": Categorical(("1", 1, 1.5, False, "None", "auto")),
        "flag": Categorical((False, True)),
        "seed": Integer(0, 2**62),
        "layers": Integer(1, 4),
        "features": Subset(3),
        "rate": Float(0.0, 1.0, grid=11),
    },
    [
        ("kernel", "weight", (None,)),
        ("flag", "mixed", ("1",)),
        ("seed", "mixed", (1, "None")),
        ("layers", "kernel", ((3, 3),)),
    ],
)


def drawn(n=60):
    rng = np.random.default_rng(0)
    index = [int(i) for i in rng.integers(0, 2**62, n)]
    configs = SPACE.dicts(SPACE.at([i % SPACE.size for i in index]))
    for config, i in zip(configs, index):  # the wide seeds have nearly all of the indices
        config["weight"] = SPACE.domains["weight"].choices[i % 4]
        config["mixed"] = SPACE.domains["mixed"].choices[i % 6]
        config["kernel"] = SPACE.domains["kernel"].choices[i % 3]
        config |= {"flag": bool(i % 2), "seed": i, "layers": 1 + i % 4, "rate": (i >> 9) % 11 / 10}
        config["features"] = tuple(item for item in range(3) if i >> (20 + item) & 1)
        for name, parent, values in SPACE.conditions.values():
            if parent not in config or config[parent] not in values:
                del config[name]
    return Trials.from_arrays(SPACE, configs, rng.normal(size=n)), configs


def test_trials_come_back(tmp_path):
    trials, configs = drawn()
    assert trials.configs() == configs
    table = trials.to_frame("score")
    for _, frame in readings(table):
        again = Trials.from_frame(SPACE, frame, "score")
        assert again.configs() == configs
        np.testing.assert_allclose(again.metric, trials.metric, rtol=1e-12)
    table.to_csv(tmp_path / "t.csv")  # with an index
    table.to_parquet(tmp_path / "t.parquet")
    for again in (
        Trials.from_csv(SPACE, tmp_path / "t.csv", "score"),
        Trials.from_parquet(SPACE, tmp_path / "t.parquet", "score"),
    ):
        assert again.configs() == configs
        np.testing.assert_allclose(again.metric, trials.metric, rtol=1e-12)


def test_optuna_studies_come_back(tmp_path):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    domains = {name: d for name, d in SPACE.domains.items() if name != "seed"}
    domains |= {"half": Float(0.5, 0.5), "one": Integer(3, 3)}
    space = Space(domains, [c for c in SPACE.conditions.values() if c.child != "seed"])
    trials, _ = drawn()
    configs = [{n: v for n, v in c.items() if n in domains} | {"half": 0.5, "one": 3} for c in trials.configs()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of choices that are not text
        distributions = interop.to_optuna(space)
        study = optuna.create_study()
        stored = optuna.create_study(study_name="a", storage=f"sqlite:///{tmp_path}/t.db")
        for config in configs:
            params = interop.to_params(space, config)
            own = {name: distributions[name] for name in params}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=own, value=1.0))
        stored.add_trial(
            study.trials[0]
        )  # Optuna makes lists of tuples in a storage, and then adds no more such trials
        again = Trials.from_optuna(study, space=space)
        one = Trials.from_optuna(f"sqlite:///{tmp_path}/t.db", space=space)
    assert one.configs() == configs[:1]
    assert again.configs() == configs
    assert interop.from_params(space, study.trials[0].params) == configs[0]


def test_a_users_own_tables(tmp_path):
    space = Space(
        {"weight": Categorical((None, "balanced")), "depth": Categorical((None, 3, 10)), "C": Categorical(("1", "10"))},
        [("C", "weight", (None,))],
    )
    table = pd.DataFrame({"weight": [None, "balanced"], "depth": [3.0, np.nan], "C": ["10", None], "score": [1.0, 2.0]})
    expected = [{"weight": None, "depth": 3, "C": "10"}, {"weight": "balanced", "depth": None}]
    assert Trials.from_frame(space, table, "score").configs() == expected
    for text in (
        "weight,depth,C,score\n,3,10,1\nbalanced,,,2\n",
        "weight,depth,C,score\nNone,3,10,1\nbalanced,null,NA,2\n",
    ):
        (tmp_path / "t.csv").write_text(text)
        assert Trials.from_csv(space, tmp_path / "t.csv", "score").configs() == expected
        assert Trials.from_frame(space, pd.read_csv(tmp_path / "t.csv"), "score").configs() == expected
    kernels = Space({"k": Categorical(((3, 3), (5, 5)))})
    lists = pd.DataFrame({"k": [[3, 3], np.array([5, 5])], "score": [1.0, 2.0]})
    assert Trials.from_frame(kernels, lists, "score").configs() == [{"k": (3, 3)}, {"k": (5, 5)}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,n,s,m\n1,1,0,1\n", r"'1' may be any of \['1', 1\]; write json:\"1\" or json:1"),
        ("a,n,s,m\nNone,1,0,1\n", "'None' may be any of"),
        ("a,n,s,m\nx,1,0,1\n", "a: 'x' is not one of"),
        ("a,n,s,m\n2,,0,1\n", "configuration 0 must have a value of n"),
        ("a,n,s,m\n2,1.5,0,1\n", "not a whole number"),
        ("a,n,s,m\n2,9007199254740993.0,0,1\n", "give an int"),
        ("a,n,s,m\n2,1,a b,1\n", "not a subset"),
        ("a,n,s,m\n2,1,,1\n", "configuration 0 must have a value of s"),
        ("a,n,s,m\n2,1,0,yes\n", "metric must hold numbers"),
        ("a,n,s,m\n2,1,0,1,7\n2,1,0,1,8\n", "more cells than the header has names"),
        ("a,n,s\n2,1,0\n", r"must have the columns \['m'\]"),
        ("", "not a readable CSV"),
    ],
)
def test_bad_tables_are_refused_by_row_and_name(text, message, tmp_path):
    space = Space({"a": Categorical((None, "None", "1", 1, 2)), "n": Integer(0, 2**60), "s": Subset(3)})
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        Trials.from_csv(space, tmp_path / "t.csv", "m")


def test_names_that_meet_are_refused(tmp_path):
    space = Space({"metric": Integer(0, 3)})
    trials = Trials.from_arrays(space, [{"metric": 1}], [0.5])
    with pytest.raises(InputError, match="pass another name as metric"):
        trials.to_frame()
    assert Trials.from_frame(space, trials.to_frame("score"), "score").configs() == [{"metric": 1}]
    with pytest.raises(InputError, match="'metric' occurs twice, or is both"):
        Trials.from_frame(space, pd.DataFrame({"metric": [1.0]}), "metric")
    table = pd.DataFrame({"metric": [1, 2], "score": [1.0, 2.0], "data": ["a", None]})
    with pytest.raises(InputError, match="got none in row 1"):
        Trials.from_frame(space, table, "score", group="data")
    optuna = pytest.importorskip("optuna")
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(params={"metric": 1}, distributions=interop.to_optuna(space), value=3.0))
    with pytest.raises(InputError, match="names of columns of the record"):
        Trials.from_optuna(study, space=space)
