"""Which rows are learned from and which judge, where a table says that some belong together or come later."""

import jax
import numpy as np
import pytest

from metajax.automl import _splits as splits
from metajax.automl._prepare import prepare
from metajax.automl._selection import select
from metajax.automl._tables import table_task
from metajax.automl._waves import WaveHistory
from metajax.automl.models._installed import BUILT_IN
from metajax.data import tabular
from metajax.data._row_roles import as_groups, as_weights
from metajax.types import InputError

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


def table(n=300, groups=30, classification=True):
    """A table with a group, a day and a weight for each row, in random order."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"x": rng.normal(size=n), "who": rng.integers(groups, size=n), "w": rng.integers(1, 4, size=n)}
    )
    frame["day"] = (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.permutation(n) // 3, unit="D")).strftime(
        "%d.%m.%Y"
    )
    frame["y"] = np.where(frame["x"] + rng.normal(size=n) > 0, "a", "b") if classification else frame["x"] ** 2
    return frame


def loaded(frame=None, **columns):
    return tabular.load(table() if frame is None else frame, "y", row_columns=tabular.RowColumns(**columns))


@pytest.mark.parametrize("classification", [True, False])
@pytest.mark.parametrize("groups", [3, 30, 1_200])
def test_groups_stay_together(groups, classification):
    dataset = loaded(table(1_500, groups, classification), group="who")
    held_out = splits.hold_out(dataset, 0)
    of = dataset.roles.groups
    assert not set(of[held_out.train]) & set(of[held_out.evaluation])
    share = len(held_out.evaluation) / 1_500
    assert 0.15 < share < 0.25 if groups > 5 else 0.3 < share < 0.4
    learned = dataset.take(splits.spread(dataset, held_out.train, 0))
    for n in (1, 5):
        parts = splits.splits(learned, n, 0)
        assert len(parts) == min(n, groups - 1), "no more folds than groups"
        assert len({len(part.evaluation) for part in parts}) == 1, "folds of one size share programs"
        for part in parts:
            assert not set(learned.roles.groups[part.train]) & set(learned.roles.groups[part.evaluation])
        seen = np.unique(np.concatenate([part.evaluation for part in parts]))
        assert len(seen) > (0.9 * len(learned.target) if n == 5 and groups > 5 else 0)
    others = splits.hold_out(dataset, 1)
    assert groups == 3 or set(of[others.evaluation]) != set(of[held_out.evaluation]), "the seed draws the groups"


def test_in_the_order_of_time_what_comes_last_judges():
    dataset = loaded(time="day")
    held_out = splits.hold_out(dataset, 0)
    times = dataset.roles.times
    assert times[held_out.train].max() < times[held_out.evaluation].min(), "rows of one day stay together"
    assert len(held_out.evaluation) == 60
    learned = dataset.take(splits.spread(dataset, held_out.train, 0))
    (part,) = splits.splits(learned, 5, 0)
    assert learned.roles.times[part.train].max() < learned.roles.times[part.evaluation].min()
    assert len(part.evaluation) == 48 and len(part.train) == 192


def test_a_table_says_what_its_columns_are_for():
    prepared = prepare(loaded(group="who", weight="w"), 0)
    assert [column.name for column in prepared.encoder.schema.used] == ["x", "day"], (
        "a group and a weight are not features"
    )
    assert prepared.search.weights.shape == prepared.search.y.shape
    assert prepared.final.weights_eval.shape == prepared.final.y_eval.shape
    assert len(prepared.everything.weights) == 300 and np.isclose(prepared.everything.weights.mean(), 1.0)
    assert any("same who are on the same side" in note for note in prepared.notes)
    assert any("overestimates a model of the future (dates in day)" in note for note in prepared.notes)
    prepared = prepare(loaded(time="day"), 0)
    assert "day" in [column.name for column in prepared.encoder.schema.used] and len(prepared.folds) == 1
    assert prepared.notes == [
        "Rows are split in the order of day: the last ones judge, and are learned from after they have."
    ]
    assert [len(prepare(loaded(), 0, folds=n).folds) for n in (1, 3)] == [1, 3]


@pytest.mark.parametrize("columns", [{}, {"group": "who"}])
def test_other_folds_are_of_the_same_rows(columns):
    prepared = prepare(loaded(table(240), **columns), 0)
    rows = lambda data: sorted(map(tuple, np.concatenate([data.x, data.x_eval]).tolist()))
    first, others = prepared.folds, [prepared.more_folds(number) for number in (1, 2)]
    assert all(len(folds) == 5 for folds in others)
    for folds in others:
        assert not any(np.array_equal(own.x_eval, fold.x_eval) for own, fold in zip(first, folds))
        if not columns:
            assert all(rows(fold) == rows(first[0]) for fold in folds)
            seen = np.concatenate([fold.x_eval for fold in folds])
            assert len(np.unique(seen, axis=0)) >= len(np.unique(first[0].x_eval, axis=0)) * 4.5
    np.testing.assert_array_equal(others[0][2].x_eval, prepared.more_folds(1)[2].x_eval)
    assert prepare(loaded(), 0, folds=1).more_folds is None


def test_where_the_table_drifts_the_latest_rows_are_learned_from_before_the_test(tmp_path):
    """Trees predict no value later than those they know; the rows that compared configurations are known to the default."""
    frame = table(classification=False).assign(y=lambda rows: pd.to_datetime(rows["day"], dayfirst=True).dt.dayofyear)
    task = table_task(prepare(loaded(frame, time="day"), 0), model_types=(BUILT_IN["boosted_trees"][0],))
    history = WaveHistory(tmp_path, task, jax.random.key(0))
    history.train(task.space.encode(task.space.configs([task.default])), "random", task.folds)
    selection = select(history)
    refits = selection.refit(task, task.final, jax.random.key(1), lambda seconds: True)
    before, after = selection.build(task), selection.build(task, refits)
    truth = np.asarray(task.final.y_eval) * task.target_scale + task.target_shift
    error = lambda model: np.mean(np.abs(model.predict_inputs(task.final.x_eval) - truth))
    assert len(after.configs) == len(before.configs) == 1, "a member that knows less does not vote"
    assert error(after) < 0.6 * error(before)


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        ({"group": "nobody"}, {}, "group='nobody': must be a column of the data, one of x, who, w, day"),
        ({"time": "y"}, {}, "time='y': must be another column than the target"),
        ({"group": "who"}, {"who": 1}, "group='who': must have at least 2 groups"),
        ({"group": "who"}, {"who": [None, *range(299)]}, "group='who': must have a value in every row, but 1 rows"),
        ({"time": "day"}, {"day": "soon"}, "time='day': must have numbers or dates, got values such as soon"),
        ({"time": "day"}, {"day": 2020}, "time='day': must differ between rows"),
        ({"weight": "w"}, {"w": -1.0}, "weight='w': must have finite numbers >= 0, got -1"),
        ({"weight": "w"}, {"w": 0}, "weight='w': must have a positive weight"),
        ({"weight": "w"}, {"w": "heavy"}, "weight='w': must have finite numbers >= 0, got values such as heavy"),
    ],
)
def test_what_says_nothing_about_rows_is_refused(columns, change, message):
    with pytest.raises(InputError, match=message):
        loaded(table().assign(**change), **columns)


def test_rows_without_a_target_need_no_group():
    frame = table()
    frame.loc[:9, ["y", "who"]] = None
    dataset = loaded(frame, group="who")
    assert len(dataset.target) == len(dataset.roles.groups) == 290


def test_a_file_of_test_rows_is_weighted_as_the_others():
    dataset = loaded(weight="w", group="who")
    test = tabular.load_test(table(40), dataset)
    assert len(test.roles.weights) == 40 and test.roles.groups is None
    with pytest.raises(InputError, match="weight='w': must be a column"):
        tabular.load_test(table(40).drop(columns="w"), dataset)


@pytest.mark.parametrize("classification", [True, False])
def test_the_test_is_about_a_fifth_and_drawn_by_the_seed_where_groups_differ_in_size(classification):
    sizes = np.arange(5, 45)
    frame = table(int(sizes.sum()), classification=classification).assign(who=np.repeat(np.arange(40), sizes))
    dataset, drawn = loaded(frame, group="who"), set()
    for seed in range(6):
        held_out = splits.hold_out(dataset, seed)
        assert 0.12 < len(held_out.evaluation) / len(frame) < 0.28
        drawn.add(tuple(np.unique(dataset.roles.groups[held_out.evaluation])))
    assert len(drawn) > 3, "other groups for other seeds, not always the largest"
    largest = frame.assign(who=np.r_[np.zeros(720, int), np.arange(len(frame) - 720) // 10 + 1])
    assert len(splits.hold_out(loaded(largest, group="who"), 0).evaluation) < 400, "not the one that most rows are of"


def test_no_row_sees_the_targets_of_its_own_group():
    """Patients of one diagnosis each, which nothing but their address tells: it must not tell it of a new patient."""
    who = np.repeat(np.arange(120), 8)
    rng = np.random.default_rng(0)
    ill = rng.permutation(np.arange(120) % 2)[who]
    frame = pd.DataFrame({"x": rng.normal(size=960), "home": [f"street {k}" for k in who], "who": who})
    frame["y"] = np.where(ill, "ill", "well")
    dataset = tabular.load(frame, "y", row_columns=tabular.RowColumns(group="who"))
    prepared = prepare(dataset, 0)
    statistic = prepared.search.x[:, -1]
    assert len(set(statistic.round(4))) <= 6, "the mean of all other patients of a fifth"
    leaking = prepare(tabular.load(frame.drop(columns="who"), "y"), 0).search.x[:, -1]
    assert len(set(leaking.round(4))) > 6, "without groups it is the mean of the same home"
    timed = tabular.load(frame, "y", row_columns=tabular.RowColumns(time="x"))
    assert not prepare(timed, 0).encoder.statistics, "statistics know the targets of later rows"


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    frame = table().assign(w=np.r_[np.zeros(50), np.full(250, 4.0)])
    dataset = loaded(frame, weight="w")
    assert len(dataset.target) == 250 and dataset.roles.weights.tolist() == [1.0] * 250
    assert "Rows of weight 0 are left out: 50." in dataset.notes and dataset.row_numbers[0] == 50
    test = tabular.load_test(table(40).assign(w=np.r_[np.zeros(10), np.full(30, 2.0)]), dataset)
    assert test.roles.weights.tolist() == [0.5] * 30, "in the unit of the rows that are learned from"
    assert tabular.RowRoles(weights=np.ones(2)).take([0]).weights.tolist() == [1.0]


def test_too_few_earlier_rows_and_too_many_folds_are_refused():
    with pytest.raises(InputError, match=r"at least half of the training rows must precede .* only 1 of 300 do"):
        prepare(loaded(table().assign(day=np.r_[2019, np.full(299, 2020)]), time="day"), 0)
    with pytest.raises(InputError, match="folds=20: must be at most 14 for 29 training rows"):
        prepare(loaded(table(36)), 0, folds=20)


@pytest.mark.parametrize(
    ("read", "values", "message"),
    [
        (as_weights, ["a", 1], "w: must have finite numbers >= 0, but some values are not numbers"),
        (as_weights, [1j, 1], "w: must have finite numbers >= 0, but some values are not numbers"),
        (as_weights, [1.0, np.inf], "w: must have finite numbers >= 0, got inf"),
        (as_groups, ["a", None, "b"], "w: must have a value in every row, but 1 rows"),
        (as_groups, [1.0, np.nan, 2.0], "w: must have a value in every row, but 1 rows"),
        (as_groups, ["a", "a"], "w: must have at least 2 groups"),
    ],
)
def test_arrays_that_say_nothing_are_refused(read, values, message):
    with pytest.raises(InputError, match=message):
        read(values, "w")
    np.testing.assert_allclose(as_weights([1e308, 1e308, 0.0], "w")[0], [1.0, 1.0, 0.0])
