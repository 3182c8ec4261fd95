"""How many models are trained next, by the plan and the clock."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import predictor
from metajax.automl import _explore as explorer
from metajax.automl._explore import explore, start
from metajax.automl._metrics import metric
from metajax.automl._settings import Config
from metajax.automl._task import CURVE_POINTS, Data, Task, TrainingResults
from metajax.run import RunDirectory
from metajax.space import Float, Space

SPACE = Space({"x": Float(0.0, 1.0)})


def train_at_once(encodings, data, key, keep_params=False, output_rows=0, progress=None, stop=None):
    n = len(encodings)
    return TrainingResults(
        encodings[:, 0].astype(float),
        np.zeros(n),
        np.zeros((n, CURVE_POINTS)),
        np.full(n, 0.125),
        [{}] * n,
        np.tile(np.asarray(encodings, np.float32)[:, None], (1, min(output_rows, 4), 1)),
        np.ones(n),
    )


def build_nothing(configs, params, temperatures):
    raise AssertionError("nothing here is refitted")


ROWS = Data(jnp.zeros((8, 1)), jnp.zeros(8), jnp.zeros((4, 1)), jnp.zeros(4))
FOLDS = [ROWS._replace() for _ in range(5)]  # other objects with the same rows
TASK = Task(SPACE, {"x": 0.5}, ROWS, FOLDS, ROWS, False, metric(None, 1, False), train_at_once, build_nothing)


@pytest.fixture
def recorder_after(tmp_path):
    """A search after two waves that took no time, by default 20 seconds into a minute."""

    def run(minutes: float | None = 1.0, seconds: float = 20.0, resume: bool = False):
        config = Config("table", minutes=minutes, trials=None if minutes else 192, baseline=False)
        with RunDirectory(tmp_path / "r", {}, resume=resume) as directory:
            recorder = start(config, directory, TASK, False, time.perf_counter() - seconds)
            encodings = np.linspace(0, 1, 64, dtype=np.float32)[:, None]
            recorder.train(encodings[:32], "random")
            recorder.train(encodings[32:], "random")
        return config, recorder

    return run


def test_several_waves_as_long_as_training_has_had_less_than_half_of_the_time(recorder_after):
    schedule = recorder_after()[1].schedule
    assert schedule.next_wave_size(1000, asks_model=True) == 128
    assert schedule.next_wave_size(100, asks_model=True) == 64, "no more than the plan leaves"
    assert schedule.next_wave_size(1000, asks_model=False) == 32, "a proposal that takes no time is asked for often"
    schedule.durations.training = 100.0
    assert schedule.next_wave_size(1000, asks_model=True) == 32


def test_a_plan_without_a_time_budget_is_kept(recorder_after):
    assert recorder_after(minutes=None)[1].schedule.next_wave_size(1000, asks_model=True) == 32


def test_no_wave_begins_that_would_not_end_in_time(recorder_after):
    assert recorder_after(seconds=58.0)[1].schedule.next_wave_size(1000, asks_model=True) == 0


def test_programs_that_are_not_compiled_yet_take_time_at_the_end(recorder_after):
    schedule = recorder_after()[1].schedule
    with schedule.durations.measure_proposal(schedule.padded_size(0)):
        jax.jit(lambda x: 3.7 * x)(jnp.ones(3))
    later = schedule.seconds_after_last_wave(schedule.plan.padded_size)
    assert later > schedule.seconds_after_last_wave(0), "another size is compiled anew"


def test_without_time_the_members_are_selected_by_their_predictions_for_the_validation_rows(
    recorder_after, monkeypatch
):
    """A score is x, a prediction is x, and the truth is 0: among the best by score, the smallest is selected."""
    monkeypatch.setattr(explorer, "SPECS", (predictor.ridge(),))  # The choice of the model changes nothing here.
    config, recorder = recorder_after(seconds=58.0)
    exploration = explore(config, recorder)
    history, members = exploration.history, exploration.members
    assert (members.n_finalists, members.n_folds) == (8, 0)
    assert history.count("final") == history.count("proposed") == 0
    index, outputs = history.outputs("random")
    scores = history.trials("random").metric
    assert outputs.shape == (len(index), 4, 1) and np.allclose(outputs[:, 0, 0], scores[index])
    selected = members.encodings[:, 0]
    assert len(set(selected.tolist())) == 1 and np.median(scores) < selected[0] < scores.max()


def test_the_stages_of_a_search_are_as_large_as_planned(tmp_path, monkeypatch):
    """A random wave, a warm start, eight finalists on four splits, and a baseline as large as all three."""
    monkeypatch.setattr(explorer, "SPECS", (predictor.ridge(),))
    draw = lambda n, key, tried: np.asarray(SPACE.encode(SPACE.sample(key, n)))
    config = Config("table", trials=96)
    with RunDirectory(tmp_path / "r", {}) as directory:
        recorder = start(config, directory, TASK._replace(warm_start=draw), False, time.perf_counter())
        exploration = explore(config, recorder)
        records = directory.metrics()
    history, members = exploration.history, exploration.members
    sizes = {source: history.count(source) for source in ("random", "proposed", "final", "baseline")}
    assert sizes == {"random": 32, "proposed": 32, "final": 32, "baseline": 64}
    assert [record["trained"] for record in records] == [32, 64, 96, 128, 160]
    assert (members.n_finalists, members.n_folds) == (8, 4) and members.encodings.shape == (8, 1)
    finalists = history.waves[2]
    assert finalists.split.tolist() == [1] * 8 + [2] * 8 + [3] * 8 + [4] * 8 and len(finalists.outputs) == 32
    candidates = finalists.encodings[:8, 0]
    assert exploration.default[0] in candidates and (members.encodings == candidates.min()).all()
    random = history.trials("random", "baseline").encodings[1:]
    assert exploration.best_random is not None and exploration.best_random[0] == random.max()


def test_a_resumed_search_knows_how_long_its_waves_took(recorder_after):
    assert recorder_after()[1].schedule.durations.slowest_wave < 1.0
    durations = recorder_after(resume=True)[1].schedule.durations
    assert durations.slowest_wave == 32 * 0.125 and durations.training == 64 * 0.125
