"""What is tried before anything is known."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import search
from metajax.space import Categorical, Float, Space
from metajax.types import InputError


def reach(x, chosen):
    """The mean distance of a row to the nearest chosen one."""
    return np.abs(x[:, None] - x[chosen][None]).sum(axis=-1).min(axis=1).mean()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_representative_rows_reach_all_better_than_drawn_ones(seed, k):
    rng = np.random.default_rng(seed)
    x = rng.random((60, 4)).astype(np.float32)
    chosen = search.representative(x, k)
    assert len(set(chosen.tolist())) == k
    assert reach(x, chosen) <= np.mean([reach(x, rng.permutation(60)[:k]) for _ in range(20)])


def test_the_first_is_the_best_single_one():
    x = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    assert search.representative(x, 1)[0] == np.argmin([reach(x, [i]) for i in range(50)])


@pytest.mark.parametrize("k", [0, 4])
def test_impossible_numbers_are_named(k):
    with pytest.raises(InputError, match=rf"k must be an integer from 1 to the number of rows \(3\), got {k}"):
        search.representative(np.zeros((3, 1)), k)


def test_a_proposer_begins_in_the_middle_and_covers_every_choice():
    space = Space({"x": Float(0.0, 1.0), "kind": Categorical(("a", "b"))})
    asked = search.Proposer(space, n_initial=4, key=jax.random.key(1)).ask(4)
    assert abs(asked[0]["x"] - 0.5) < 0.15
    assert {c["kind"] for c in asked} == {"a", "b"}


def test_a_warm_start_complements_itself():
    """Each dataset has its own best and a common second best: sets are judged by the best of them on each dataset."""
    values = np.zeros((4, 40))
    values[np.arange(4), np.arange(4)] = 1.0
    values[:, 4:10] = 0.6
    assert set(search.complementary(values, 4, steps=4000).tolist()) == {0, 1, 2, 3}
    assert search.complementary(values, 1, steps=400)[0] in range(4, 10)
    mixed = search.complementary(values, 3, steps=4000)
    assert mixed[0] in range(4, 10) and set(mixed[1:].tolist()) < {0, 1, 2, 3}, "in the order of what each adds"
    assert search.complementary(-values, 1, maximize=False, steps=400)[0] in range(4, 10)
    np.testing.assert_array_equal(search.complementary(1e6 * values + 5, 3, steps=4000), mixed)
    with pytest.raises(InputError, match="k=41"):
        search.complementary(values, 41)
