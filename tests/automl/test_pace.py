"""How many models are trained next, by the clock."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import predictor
from metajax.automl import _explore as explorer
from metajax.automl._explore import begin, explore
from metajax.automl._settings import Config
from metajax.automl._task import CURVE, Data, Outcome, Task
from metajax.run import RunDirectory
from metajax.space import Float, Space

SPACE = Space({"x": Float(0.0, 1.0)})


def instant(encodings, data, key, keep=False, outputs_of=0, progress=None):
    n = len(encodings)
    return Outcome(
        encodings[:, 0].astype(float),
        np.zeros(n),
        np.zeros((n, CURVE)),
        np.full(n, 0.125),
        [{}] * n,
        np.tile(np.asarray(encodings, np.float32)[:, None], (1, min(outputs_of, 4), 1)),
    )


ROWS = Data(jnp.zeros((8, 1)), jnp.zeros(8), jnp.zeros((4, 1)), jnp.zeros(4))
MODEL: Any = None  # nothing here is refitted
TASK = Task(SPACE, {"x": 0.5}, ROWS, [ROWS] * 5, ROWS, False, instant, MODEL)


@pytest.fixture
def log(tmp_path):
    """After two waves that took no time, 20 seconds into a minute."""

    def made(minutes: float | None = 1.0, spent: float = 20.0, resume: bool = False):
        config = Config("table", minutes=minutes, trials=None if minutes else 192, baseline=False)
        with RunDirectory(tmp_path / "r", {}, resume=resume) as directory:
            found = begin(config, directory, TASK, False, time.perf_counter() - spent)
            encodings = np.linspace(0, 1, 64, dtype=np.float32)[:, None]
            found.train(encodings[:32], "random")
            found.train(encodings[32:], "random")
        return found

    return made


def test_several_waves_as_long_as_training_has_had_less_than_half_of_the_time(log):
    made = log()
    assert made.proposable(1000, proposal=True) == 128
    assert made.proposable(100, proposal=True) == 64, "no more than are wanted"
    assert made.proposable(1000, proposal=False) == 32, "what costs no thought is asked for often"
    made.pace.training = 100.0
    assert made.proposable(1000, proposal=True) == 32


def test_a_plan_without_a_clock_is_kept(log):
    made = log(minutes=None)
    assert made.proposable(1000, proposal=True) == 32


def test_nothing_is_begun_that_would_not_end_in_time(log):
    assert log(spent=58.0).proposable(1000, proposal=True) == 0


def test_programs_that_are_not_compiled_yet_take_time_at_the_end(log):
    made = log()
    with made.pace.proposal(made.size(0)):
        jax.jit(lambda x: 3.7 * x)(jnp.ones(3))
    assert made.ending(made.plan.room) > made.ending(0), "another size is compiled anew"


def test_without_time_the_ensemble_is_selected_by_what_was_said_of_the_validation_rows(log, monkeypatch):
    """A score is x, what is said is x, and the truth is 0: of the best by score, the smallest is selected."""
    monkeypatch.setattr(explorer, "SPECS", (predictor.ridge(),))  # which model is asked in the end changes nothing here
    made = log(spent=58.0)
    found = explore(made.config, made)
    assert found.finals == (8, 0) and found.waves.count("final") == found.waves.count("proposed") == 0
    kept, said = found.waves.said("random")
    scores = found.waves.trials("random").metric
    assert said.shape == (len(kept), 4, 1) and np.allclose(said[:, 0, 0], scores[kept])
    assert len(set(found.members[:, 0].tolist())) == 1 and np.median(scores) < found.members[0, 0] < scores.max()


def test_a_resumed_search_knows_what_its_waves_took(log):
    assert log().pace.slowest < 1.0
    made = log(resume=True)
    assert made.pace.slowest == 32 * 0.125 and made.pace.training == 64 * 0.125
