"""What the report says beside the scores: a verdict, classes, columns and model types."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from metajax.automl import _columns as columns
from metajax.automl import _report_tables as tables
from metajax.automl._metrics import metric
from metajax.automl._training import Data
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


def test_a_lopsided_interval_is_said_as_it_is():
    """Near a perfect score, and where plus and minus would include zero although the interval does not."""
    score = {"test_accuracy": 0.972, "test_accuracy_low": 0.858, "test_accuracy_high": 0.995}
    gain = {"gain_over_default": 0.066, "gain_over_default_low": 0.005, "gain_over_default_high": 0.143}
    said = verdict({**score, **gain}, "accuracy")
    assert said.startswith("Accuracy 97.2% (95% interval 85.8 to 99.5%) on")
    assert said.endswith("by 6.6 points (95% interval 0.5 to 14.3).")
    behind = {name: -value for name, value in gain.items()}
    behind["gain_over_default_low"], behind["gain_over_default_high"] = -0.143, -0.005
    assert "is behind the untuned default by 6.6 points (95% interval 0.5 to 14.3)." in verdict(
        {**score, **behind}, "accuracy"
    )


def test_errors_are_said_in_their_own_unit():
    score = {
        f"test_neg_mean_absolute_error{end}": value
        for end, value in (("", -250.0), ("_low", -260.0), ("_high", -240.0))
    }
    said = verdict({**score, **gains(3.0, 5.0)}, "neg_mean_absolute_error")
    assert said.startswith("Mean absolute error 250 ± 10 on") and "by 4.00 ± 1.0." in said


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
    assert "66.7% of the test rows are predicted correctly" in page and "“a”, would be correct for 50.0%" in page
    assert "Never predicted: “c”." in page and "--metric balanced_accuracy" in page
    rare = tables.classes(np.arange(20) // 19, np.eye(2)[np.zeros(20, int)], ["no", "yes"])
    assert "Never predicted: “yes”." in rare and "--metric f1" in rare
    many = tables.classes(np.arange(30), np.eye(30)[::-1], [str(i) for i in range(30)])
    assert many.count("<tr>") == 13, "the twelve worst of thirty"


def test_columns_that_make_no_difference_are_named_and_not_listed():
    page = tables.columns({"a": 0.1666, "<b>": 0.02, "c": 0.0, "d": -0.0278}, "accuracy")
    assert "<td>16.7 points</td>" in page and page.count("<tr>") == 3 and "&lt;b&gt;" in page
    assert "Without a measurable fall on these test rows: c, d." in page
    assert "<td>500.0</td>" in tables.columns({"a": 0.5}, "neg_mean_absolute_error", unit=1_000.0)
