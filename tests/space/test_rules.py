"""A temperature is positive, wherever it is known."""

import jax
import jax.numpy as jnp
import pytest

from metajax.space import rules
from metajax.supernet import relaxations
from metajax.types import InputError

RULES = {f.__name__: f for f in (rules.softmax, rules.gumbel_softmax, rules.straight_through, rules.sigmoid)}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), jnp.zeros(())])
def test_a_temperature_that_is_not_positive_is_refused(name, temperature):
    with pytest.raises(InputError, match=f"{name}: temperature must be positive, got "):
        RULES[name](temperature)


def test_inside_of_a_program_it_is_not_known():
    weights = jax.jit(lambda t: rules.softmax(t)(jnp.zeros(4)))(2.0)
    assert weights.tolist() == [0.25] * 4


@pytest.mark.parametrize("made", [relaxations.straight_through_path, relaxations.concrete_sample])
def test_a_temperature_that_falls_to_zero_is_refused(made):
    with pytest.raises(InputError, match=r"end must be positive, got 0\.0"):
        made(1.0, 0.0)
    with pytest.raises(InputError, match="start must be positive, got -1"):
        made(-1, 0.1)
    with pytest.raises(InputError, match="softmax: temperature must be positive, got 0"):
        relaxations.softmax_mixture(0)
