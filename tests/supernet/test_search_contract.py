"""Every search method of ``supernet.METHODS`` under one contract."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import supernet
from metajax.run import Checkpoints

sys.path.insert(0, str(Path(__file__).parent))
import search_contract as contract


@pytest.fixture(scope="module", params=supernet.METHODS)
def case(request, own_programs):
    return contract.Case(request.param)


def test_a_loop_of_steps_is_the_steps_in_one_program(case):
    state = case.begun
    for step in range(contract.STEPS):
        state, info = case.advance(state, case.batches, step, step + 1)
    contract.close(state, case.ended, 1e-3)
    contract.close(info, case.info, 1e-3)
    assert case.advance._cache_size() == 1, "compiled more than once"


def test_types_and_shapes_are_kept_and_all_is_finite(case):
    of = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert of(case.begun) == of(case.ended)
    assert contract.finite(case.info, case.ended.params, case.ended.logits)


def test_a_search_that_was_saved_ends_in_the_same_bits(case, tmp_path):
    half = contract.STEPS // 2
    state, _ = case.advance(case.begun, case.batches, 0, half)
    Checkpoints(tmp_path / "checkpoints").save(half, state)
    resumed = Checkpoints(tmp_path / "checkpoints").restore(case.begun).state
    ended, left_alone = (case.advance(s, case.batches, half, contract.STEPS)[0] for s in (resumed, state))
    contract.same(ended, left_alone)
    assert case.advance._cache_size() == 1, "compiled more than once"


def test_data_without_information_stay_finite(case):
    nothing = jax.tree.map(jnp.zeros_like, case.batches)
    state, info = case.advance(case.begun, nothing, 0, contract.STEPS)
    assert contract.finite(info, state.params, state.logits)


def test_its_strengths_decide(case):
    strengths = np.asarray(case.search.strengths(case.ended))
    assert strengths.shape == (contract.SPACE.width,)
    assert contract.SPACE.configs([supernet.decide(contract.SPACE, strengths, case.recipe.threshold)])
    assert np.all(strengths[np.asarray(case.ended.mask) == 0] == 0)
    supernet.events.check_mask(contract.SPACE, case.ended.mask)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), case.begun.logits, case.ended.logits)
    assert all(moved.values()) == case.recipe.learns_logits
