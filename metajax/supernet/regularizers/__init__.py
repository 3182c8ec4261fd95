"""Terms that a search adds to its outer loss, and disturbances of its encoding."""

from metajax.supernet._protocols import Disturb, Regularizer
from metajax.supernet.regularizers._costs import cost_table, expected_cost
from metajax.supernet.regularizers._disturbances import adversarial_disturbance, random_disturbance
from metajax.supernet.regularizers._penalties import beta_decay, entropy_bonus, zero_one

__all__ = [
    "Disturb",
    "Regularizer",
    "adversarial_disturbance",
    "beta_decay",
    "cost_table",
    "entropy_bonus",
    "expected_cost",
    "random_disturbance",
    "zero_one",
]
