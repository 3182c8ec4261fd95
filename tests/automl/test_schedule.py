"""What a search does next, by the plan and the clock, and in which order."""

import time

import jax.numpy as jnp
import numpy as np
import pytest

from metajax import predictor
from metajax.automl import _bags as bags
from metajax.automl import _proposing as proposing
from metajax.automl._explore import explore, start
from metajax.automl._metrics import metric
from metajax.automl._selection import select
from metajax.automl._settings import Config
from metajax.automl._task import Task
from metajax.automl._training import CURVE_POINTS, Data, TrainingResults
from metajax.run import RunDirectory
from metajax.space import Float, Space

SPACE = Space({"x": Float(0.0, 1.0)})


def train_at_once(
    encodings,
    data,
    key,
    keep_params=False,
    output_rows=0,
    progress=None,
    stop=None,
    allows=lambda seconds: True,
    past_curves=None,
):
    """A score is 1 - x, and a prediction is x; the truth is 0. A training does not start where no time is left for it."""
    x, n = np.asarray(encodings, np.float32)[:, 0], len(encodings)
    has_time = np.array([allows is None or allows(0.125) for _ in range(n)])
    return TrainingResults(
        1 - x.astype(float),
        np.zeros(n),
        np.zeros((n, CURVE_POINTS)),
        np.where(has_time, 0.125, np.nan),
        [{"x": value} for value in x],
        np.tile(x[:, None, None], (1, min(output_rows, 4), 1)),
        np.ones(n),
    )


class Built(list):
    """A model: its members."""


def build(members, threshold=0.5):
    return Built(members)


def write(params):
    return {"kind": "x"}, {"x": np.asarray(params["x"])}


def read(header, arrays):
    return {"x": arrays["x"]}


ROWS = Data(jnp.zeros((8, 1)), jnp.zeros(8), jnp.zeros((4, 1)), jnp.zeros(4))
FOLDS = [ROWS, *(ROWS._replace() for _ in range(4))]  # other objects with the same rows
TASK = Task(
    SPACE, {"x": 0.5}, ROWS, FOLDS, ROWS, False, metric(None, 1, False), train_at_once, build, write, read, wave_size=32
)


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """A whole search, with a ridge regression as the meta-learner."""
    monkeypatch.setattr(proposing, "SPECS", (predictor.ridge(), predictor.ridge()))

    def run(config: Config, task: Task = TASK, seconds: float = 0.0, name: str = "r"):
        with RunDirectory(tmp_path / name, {}, resume=True) as directory:
            recorder = start(config, directory, task, False, time.perf_counter() - seconds)
            exploration = explore(config, recorder)
            return exploration, directory.metrics()

    return run


def test_configurations_are_tried_and_good_ones_are_trained_on_every_fold(searched):
    exploration, records = searched(Config("table", trials=96))
    history = exploration.history
    sizes = {source: history.count(source) for source in ("random", "proposed", "promoted", "baseline")}
    assert sizes == {"random": 32, "proposed": 64, "promoted": 4 * (1 + 2 + 2 + 2 + 2), "baseline": 64}
    assert [record["source"] for record in records[:5]] == ["random", "promoted", "random", "promoted", "proposed"]
    assert records[-1]["tried"] == 160
    found = bags.bags(history)
    assert len(found) == 9 and found[0].requested.tolist() == [0.5], "the default is the first one"
    assert all(bag.outputs.shape == (5, 4, 1) and len(bag.members) == 5 for bag in found)
    lowest = min(bag.requested[0] for bag in found)
    assert lowest == history.trials("random", "proposed").encodings.min(), "the best of all is among them"
    model = exploration.selection.build(TASK)
    assert [part[1]["x"] for part in model] == [lowest] * 5 and sum(part[3] for part in model) == pytest.approx(1)
    random = history.trials("random", "baseline").encodings[1:]
    assert exploration.best_random is not None and exploration.best_random[0] == random.min()


def test_a_budget_ends_the_search_and_leaves_what_is_done(searched):
    """The clock stands at 59.9 of 60 seconds: the default is tried and trained on every fold, and nothing else."""
    exploration, records = searched(Config("table", minutes=1.0, baseline=False), seconds=59.9)
    history = exploration.history
    assert history.count("proposed") == 0 and history.count("random") == 1
    assert len(exploration.selection.bags) == 1 and exploration.selection.bags[0].requested.tolist() == [0.5]
    assert [record["source"] for record in records][:2] == ["random", "promoted"]


def test_a_wave_that_is_cut_short_holds_what_was_trained(searched):
    """A task that says after two trainings that the time is over."""
    done = []

    def train(encodings, data, key, *rest, allows=None, **options):
        def count(seconds):
            done.append(seconds)
            return len(done) % 4 != 0 or data is not ROWS

        return train_at_once(encodings, data, key, *rest, allows=count, **options)

    exploration, _ = searched(Config("table", trials=16), TASK._replace(train=train))
    history = exploration.history
    assert all(len(wave.score) == len(wave.requested) == len(wave.encodings) for wave in history.waves)
    assert history.count("random") < 16 and all(np.isfinite(wave.seconds).all() for wave in history.waves)


@pytest.mark.parametrize("method", ["metalearner", "random"])
def test_a_search_that_was_killed_after_any_wave_ends_in_the_same_bits(searched, tmp_path, method):
    import shutil

    config = Config("table", trials=40, method=method)
    whole, records = searched(config)
    n = len(whole.history.waves)
    for kept in (1, 2, n // 2, n - 1):
        name = f"killed{kept}"
        shutil.copytree(tmp_path / "r", tmp_path / name)
        for file in sorted((tmp_path / name / "waves").iterdir())[kept:]:
            file.unlink()
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines[:kept]) + "\n")
        again, repeated = searched(config, name=name)
        assert [r["source"] for r in repeated] == [r["source"] for r in records]
        for one, other in zip(whole.history.waves, again.history.waves):
            np.testing.assert_array_equal(one.requested, other.requested)
        np.testing.assert_array_equal(whole.selection.counts, again.selection.counts)


def test_without_a_search_every_default_is_trained_on_every_fold(searched):
    task = TASK._replace(initial=({"x": 0.5}, {"x": 0.25}, {"x": 0.75}))
    exploration, _ = searched(Config("table", method="defaults", baseline=False), task)
    history = exploration.history
    assert history.count("random") == 3 and not history.count("proposed")
    assert sorted(bag.requested[0] for bag in bags.bags(history)) == [0.25, 0.5, 0.75]


def test_a_large_table_is_compared_on_a_part_of_its_one_split(searched):
    """Where no fold is the split of the search, the promising ones are trained on the folds alone."""
    fold = ROWS._replace()
    task = TASK._replace(folds=[fold], search=ROWS)
    exploration, _ = searched(Config("table", trials=40), task)
    promoted = [wave for wave in exploration.history.waves if wave.source == "promoted"]
    assert promoted and all((wave.split == 1).all() for wave in promoted)
    assert all(len(bag.members) == 1 for bag in exploration.selection.bags)


def test_in_the_end_the_ensemble_is_trained_on_other_folds(searched):
    """It has three times the members then, and the same predictions of held-out rows. A run that was killed reads them back."""
    drawn = []

    def more_folds(number):
        drawn.append(number)
        return [ROWS._replace() for _ in range(5)]

    task, config = TASK._replace(more_folds=more_folds), Config("table", minutes=1.0, baseline=False)
    whole, records = searched(config, task, seconds=50.0)
    assert drawn == [1, 2] and [record["source"] for record in records][-2:] == ["repeated"] * 2
    repeated = [wave for wave in whole.history.waves if wave.source == "repeated"]
    assert [np.unique(wave.split).tolist() for wave in repeated] == [list(range(6, 11)), list(range(11, 16))]
    (bag,) = whole.selection.bags
    assert len(bag.members) == len(bag.encodings) == len(bag.stop) == 15 and bag.outputs.shape[0] == 5
    assert [part[3] for part in whole.selection.build(task)] == pytest.approx([1 / 15] * 15)
    assert set(whole.history.trials("random").group) == {0} and whole.history.count("random") == 1
    again, _ = searched(config, task, seconds=50.0)  # its time is over, and what it has trained counts
    assert [wave.source for wave in again.history.waves] == [wave.source for wave in whole.history.waves]
    np.testing.assert_array_equal(again.selection.bags[0].encodings, bag.encodings)
    searched(Config("table", trials=16), task, name="trials")
    assert drawn == [1, 2] * 2, "a search of a number of trials is the same on every machine"


def test_time_is_kept_for_the_end_and_for_the_default(tmp_path):
    config = Config("table", minutes=1.0, baseline=False)
    with RunDirectory(tmp_path / "r", {}) as directory:
        schedule = start(config, directory, TASK, False, time.perf_counter() - 20.0, 4.0).schedule
        assert schedule.allows(35.0) and not schedule.allows(37.0), "4 of 40 seconds are kept"
        assert schedule.n_to_explore(asks_model=False) > 0
        assert not schedule.is_short
    with RunDirectory(tmp_path / "s", {}) as directory:
        schedule = start(config, directory, TASK, False, time.perf_counter() - 50.0, 4.0).schedule
        assert schedule.n_to_explore(asks_model=False) == 0, "the last fifth is for promising configurations"
    short = Config("table", minutes=0.2, baseline=False)
    with RunDirectory(tmp_path / "t", {}) as directory:
        assert start(short, directory, TASK, False, time.perf_counter(), 4.0).schedule.is_short


def test_no_model_at_all_is_an_error_that_says_so(searched):
    def fail(encodings, data, key, *rest, **options):
        results = train_at_once(encodings, data, key, *rest, **options)
        return results._replace(score=np.full(len(encodings), np.nan))

    from metajax.types import InputError

    with pytest.raises(InputError, match="no model could be trained"):
        searched(Config("table", trials=16), TASK._replace(train=fail))


def test_the_selection_is_by_every_fold(searched):
    exploration, _ = searched(Config("table", trials=16))
    again = select(exploration.history)
    np.testing.assert_array_equal(again.counts, exploration.selection.counts)
    assert again.n_candidates == len(bags.bags(exploration.history))
