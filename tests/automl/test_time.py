"""A fit that takes long looks at the clock, and ends with what it has learned so far."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from metajax.automl._training import Data
from metajax.automl.models import time_is_over
from metajax.automl.models._installed import BUILT_IN
from metajax.automl.models._time import is_limited, time_limit

pytest.importorskip("sklearn")
pytestmark = pytest.mark.optimized  # nothing is compiled here
WATCHED = [name for name in ("boosted_trees", "extra_trees", "lightgbm", "xgboost", "catboost") if name in BUILT_IN]


def rows(n=600, outputs=1):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    y = (x[:, 0] * x[:, 1]).astype(np.float32) if outputs == 1 else (x[:, 0] > 0).astype(np.int32)
    return Data(*map(np.asarray, (x[:400], y[:400], x[400:], y[400:])))  # type: ignore[arg-type]


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("name", WATCHED)
def test_a_fit_without_time_ends_early_and_predicts(name, outputs, monkeypatch):
    from metajax.automl.models import _boosted_trees

    kind, package = BUILT_IN[name]
    if package:
        pytest.importorskip(package)
    monkeypatch.setattr(_boosted_trees, "_MAX_UNWATCHED", 0)
    data, classification = rows(outputs=outputs), outputs == 2
    config = kind.default_config(classification)
    fit = lambda: kind.fit(config, data, 0, classification, outputs)
    size = lambda member: sum(array.nbytes for array in member.arrays().values())
    with time_limit(0.0):
        short = fit()
    with time_limit(600.0):
        whole = fit()
    assert size(short) < size(whole)
    assert np.isfinite(short.predict(np.asarray(data.x_eval))).all()


def test_boosting_by_parts_decides_as_boosting_at_once(monkeypatch):
    """The number of iterations is the best one within the parts that were fitted; the trees are the same."""
    from metajax.automl.models import _boosted_trees

    kind, data = BUILT_IN["boosted_trees"][0], rows()
    config = kind.default_config(False)
    at_once = kind.fit(config, data, 0, False, 1)
    monkeypatch.setattr(_boosted_trees, "_MAX_UNWATCHED", 0)
    with time_limit(600.0):
        by_parts = kind.fit(config, data, 0, False, 1)
    assert abs(by_parts.decided["iterations"] - at_once.decided["iterations"]) <= 25
    error = lambda member: np.mean((member.predict(np.asarray(data.x_eval))[:, 0] - np.asarray(data.y_eval)) ** 2)
    assert error(by_parts) == pytest.approx(error(at_once), rel=0.05)


def test_the_first_fit_of_a_worker_has_one_thread():
    """Libraries are loaded by the first fit. What is loaded inside of a limit of OpenMP is not limited by it."""
    code = """
    from metajax.automl.models._threads import limited_threads, side_by_side

    def threads():
        with limited_threads():
            from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

            return _openmp_effective_n_threads()

    print(side_by_side([threads]))
    """
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, env=environment
    )
    assert process.stdout.strip() == "[1]"


def test_a_limit_is_that_of_its_block_and_thread():
    assert not time_is_over() and not is_limited()
    with time_limit(0.0):
        assert time_is_over() and is_limited()
    assert not time_is_over() and not is_limited()
