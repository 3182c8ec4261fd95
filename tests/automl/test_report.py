"""What the report says beside the scores: a verdict, classes, columns and model types."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from metajax.automl import _columns as columns
from metajax.automl import _report_tables as tables
from metajax.automl._metrics import metric
from metajax.automl._task import Data
from metajax.automl._verdict import verdict

pytestmark = pytest.mark.optimized  # nothing is compiled here


def gains(low, high, other="default"):
    return {f"gain_over_{other}": (low + high) / 2, f"gain_over_{other}_low": low, f"gain_over_{other}_high": high}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.006, 0.018, "beats the untuned default by 1.2 ± 0.6 points"),
        (-0.018, -0.006, "is behind the untuned default by 1.2 ± 0.6 points"),
        (-0.001, 0.003, "no difference to the untuned default"),
    ],
)
def test_a_verdict_says_better_worse_or_no_difference(low, high, said):
    score = {"test_r2": 0.9, "test_r2_low": 0.88, "test_r2_high": 0.92}
    assert verdict({**score, **gains(low, high)}, "r2") == f"R² 0.900 ± 0.020 on rows that were held back; {said}."
    both = verdict({**score, **gains(low, high), **gains(0.1, 0.2, "random")}, "r2")
    assert both.endswith("; beats the best random configuration by 15.0 ± 5.0 points.")


def test_errors_are_said_in_their_own_unit():
    score = {
        f"test_neg_mean_absolute_error{end}": value
        for end, value in (("", -250.0), ("_low", -260.0), ("_high", -240.0))
    }
    said = verdict({**score, **gains(3.0, 5.0)}, "neg_mean_absolute_error")
    assert said.startswith("Negative mean absolute error -250 ± 10 on") and "by 4 ± 1." in said


def test_the_column_that_is_read_is_the_one_that_matters():
    """A model of the first column of three, which has two inputs; the other columns change nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype(np.float32)
    groups, y = np.array([0, 0, 1, 2]), x[:, 0] + x[:, 1]
    rows = Data(*map(cast(Any, np.asarray), (x, y, x, y)))
    task: Any = SimpleNamespace(
        final=rows, classification=False, metric=metric("r2", 1, False), target_shift=0.0, target_scale=1.0
    )
    model = SimpleNamespace(predict_inputs=lambda x: (x[:, 0] + x[:, 1]).astype(float))
    found = columns.importance(model, task, groups, ["a", "b", "c"], 60.0)
    assert next(iter(found)) == "a" and found["a"] > 1.5 and found["b"] == found["c"] == 0.0
    assert columns.importance(model, task, groups, ["a", "b", "c"], 0.0) == {}, "no time was left"


def test_classes_are_counted_and_named():
    truth = np.array([0, 0, 0, 1, 1, 2])
    outputs = np.eye(3)[[0, 0, 1, 1, 1, 0]]
    page = tables.classes(truth, outputs, ["a", "<b>", "c"])
    assert "&lt;b&gt;" in page and "<td>66.7%</td>" in page and "<td>0.0%</td>" in page
    assert "–" in page, "c is never said"
    many = tables.classes(np.arange(30), np.eye(30)[::-1], [str(i) for i in range(30)])
    assert many.count("<tr>") == 13, "the twelve worst of thirty"
