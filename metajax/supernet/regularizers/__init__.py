"""Terms that a search adds to its outer loss, and disturbances of its encoding."""

from metajax.supernet._regularizers import (
    adversarial_disturbance,
    beta_decay,
    costs,
    entropy_bonus,
    expected_cost,
    random_disturbance,
    zero_one,
)

__all__ = [
    "adversarial_disturbance",
    "beta_decay",
    "costs",
    "entropy_bonus",
    "expected_cost",
    "random_disturbance",
    "zero_one",
]
