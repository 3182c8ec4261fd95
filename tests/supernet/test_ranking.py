"""Ranks, τ and its standard error."""

import numpy as np
import pytest

from metajax import supernet
from metajax.types import InputError


def test_infinite_scores_have_ranks_and_nan_has_none():
    """Scores that are not finite stand for the worst; two of them are a tie, whose difference is not a number."""
    truth = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert supernet.diagnosis.kendall_tau([-np.inf, -np.inf, 1.0, 2.0, 3.0], truth) == supernet.diagnosis.kendall_tau(
        [0, 0, 1, 2, 3], truth
    )
    with pytest.raises(InputError, match="a score is NaN"):
        supernet.diagnosis.kendall_tau([1.0, np.nan], [1.0, 2.0])


def test_the_error_of_tau_is_its_deviation_over_draws():
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(200):
        a = rng.normal(size=60)
        b = a + rng.normal(size=60)
        draws.append((supernet.diagnosis.kendall_tau(a, b), supernet.diagnosis.kendall_tau_error(a, b)))
    taus, errors = np.array(draws).T
    assert errors.mean() == pytest.approx(taus.std(), rel=0.15)
    left_out = [supernet.diagnosis.kendall_tau(np.delete(a, i), np.delete(b, i)) for i in range(60)]
    expected = np.sqrt(59 / 60 * np.sum((left_out - np.mean(left_out)) ** 2))
    assert supernet.diagnosis.kendall_tau_error(a, b) == pytest.approx(expected)
    with pytest.raises(InputError, match="must have at least 3 scores, got 2"):
        supernet.diagnosis.kendall_tau_error([1, 2], [1, 2])


def test_long_lists_need_no_table_of_all_pairs():
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = np.random.default_rng(0).integers(0, 50, (2, 700))
    assert supernet.diagnosis.kendall_tau(a, b) == pytest.approx(scipy_stats.kendalltau(a, b).statistic)


def test_architectures_within_one_test_image_share_a_rank():
    images = 450
    right = np.array([[440, 441], [440, 440], [438, 439], [430, 430]])  # the third is 1.5 images below the second
    table = supernet.truth.TruthTable((right / images).astype(np.float32).astype(float), np.array([7, 3, 5, 2]))
    assert [table.rank(i) for i in (7, 3, 5, 2)] == [1, 2, 3, 4]
    assert [table.rank(i, within=1 / images) for i in (7, 3, 5, 2)] == [1, 1, 3, 4]
    assert [table.rank(i, within=2 / images) for i in (7, 3, 5, 2)] == [1, 1, 1, 4]
    with pytest.raises(InputError, match="index must be one of the 4 architectures of this table, got 4"):
        table.rank(4)
