"""A controller that learns by REINFORCE which paths are good."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metajax.supernet._protocols import Relaxation, ScoreFunction
from metajax.supernet.relaxations._paths import policy_paths
from metajax.supernet.relaxations._rules import probabilities
from metajax.types import Info, InputError, Scalar


def controller(
    number: int = 4,
    tanh_constant: float = 2.5,
    temperature: float = 5.0,
    cost: Callable[[Scalar, Info], Scalar] = lambda loss, info: -info["accuracy"],
) -> Relaxation:
    """A controller whose reward is accuracy: the weights learn on a path drawn from it, and it learns by REINFORCE.

    As in the authors' controller, paths are drawn from ``softmax(c · tanh(logits / T))``, which keeps every value
    possible. That controller is an LSTM; here choices are independent, and the baseline of a path is the mean of the other
    paths instead of a moving average.

    Args:
        number: The number of paths for each update of the controller, at least 2, so that a path has others to be compared
            with.
        tanh_constant: The bound c of the logits, positive.
        temperature: The temperature T, positive.
        cost: A function ``(loss, info) -> scalar`` of a path, which the controller minimizes; by default the negative accuracy.

    Returns:
        The relaxation, with initial logits of exactly 0.

    Raises:
        InputError: If ``number`` is below 2 or a constant is not positive.

    References:
        Pham et al. 2018, "Efficient neural architecture search via parameter sharing" (ENAS), arXiv:1802.03268.

    Example:
        >>> from metajax.supernet import spaces
        >>> space = spaces.cell_space(2)
        >>> sure = {"edge_0_1": jnp.asarray([1e6, 0.0, 0.0, 0.0, 0.0])}
        >>> round(float(controller().strengths(space, sure, jnp.ones(5))[0]), 3)  # e^2.5 / (e^2.5 + 4)
        0.753
    """
    if number < 2 or tanh_constant <= 0 or temperature <= 0:
        raise InputError(
            "controller: number must be an integer >= 2, tanh_constant and temperature must be positive, got "
            f"number={number}, tanh_constant={tanh_constant}, temperature={temperature}"
        )
    bounded = lambda logits: jax.tree.map(lambda x: tanh_constant * jnp.tanh(x / temperature), logits)
    with_bounded_logits = lambda paths: lambda space, logits, moment, key: paths(space, bounded(logits), moment, key)
    strengths = lambda space, logits, mask: probabilities(space, bounded(logits), mask)
    score = ScoreFunction(bounded, cost)
    return Relaxation(
        with_bounded_logits(policy_paths(1)), with_bounded_logits(policy_paths(number)), strengths, 0.0, score
    )
