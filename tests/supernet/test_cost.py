"""Costs of choices: exact where they add up, and a slope for the search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import supernet
from metajax.types import InputError

SUPERNET = supernet.spaces.cell_supernet(3, channels=4, stages=2, depth=1, nodes=3)
X = jnp.ones((2, 8, 8, 3))
KEY = jax.random.key(0)


def test_parameters_of_cells_add_up():
    cost = supernet.diagnosis.fit_cost(SUPERNET, X)
    assert cost.r2 == pytest.approx(1.0, abs=1e-6)
    configs = SUPERNET.space.sample(jax.random.key(9), 10)
    for config, encoding in zip(SUPERNET.space.dicts(configs), SUPERNET.space.encode(configs)):
        counted = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(SUPERNET.build(config).init, KEY)))
        assert supernet.diagnosis.measure_cost(config, SUPERNET, X, "parameters") == counted
        assert float(cost.of(encoding)) == pytest.approx(counted, rel=1e-4)
    slope = jax.grad(lambda e: cost.of(e))(jnp.full(SUPERNET.space.width, 0.2))
    np.testing.assert_array_equal(slope, cost.table)


def test_operations_grow_with_the_kernel():
    cost = supernet.diagnosis.fit_cost(SUPERNET, X, "flops", samples=30)
    none, skip, conv1, conv3, _ = cost.table[SUPERNET.space.slices["edge_0_2"]]
    assert max(none, skip) < conv1 < conv3
    assert 0.95 < cost.r2 < 1, "what follows a dead node costs nothing, so they add up only nearly"


def test_seconds_are_measured_here():
    config = dict.fromkeys(SUPERNET.space.domains, "conv3x3")
    assert 0 < supernet.diagnosis.measure_cost(config, SUPERNET, X, "seconds", repeats=2) < 10


def test_bad_requests_are_named():
    with pytest.raises(
        InputError, match=r"kind must be 'parameters', 'flops' or 'seconds' .*, got kind='money', repeats=5"
    ):
        supernet.diagnosis.fit_cost(SUPERNET, X, "money")
    with pytest.raises(InputError, match="samples must be an integer >= 10, got 3"):
        supernet.diagnosis.fit_cost(SUPERNET, X, samples=3)
    with pytest.raises(InputError, match="repeats=0"):
        supernet.diagnosis.measure_cost(
            dict.fromkeys(SUPERNET.space.domains, "skip"), SUPERNET, X, "seconds", repeats=0
        )
