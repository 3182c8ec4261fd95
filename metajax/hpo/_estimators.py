"""Estimators of the hypergradient by name, and which one fits what."""

from collections.abc import Callable
from typing import Any, NamedTuple

from metajax import bilevel
from metajax.bilevel import Estimator
from metajax.types import InputError


class Named(NamedTuple):
    """How an estimator is made, and what it is good for."""

    make: Callable[..., Estimator]
    fits: str


ESTIMATORS: dict[str, Named] = {
    "unroll": Named(
        bilevel.unroll,
        "anything, exactly: rates, schedules, decays, weights, labels, synthetic data; memory grows with the inner steps, "
        "or with their root under remat='sqrt'",
    ),
    "truncated": Named(
        lambda steps=1, **more: bilevel.unroll(truncate=steps, **more),
        "the last steps only: data weights, augmentation, Meta-Weight-Net, warm-started; biased for rates (short horizon)",
    ),
    "forward": Named(
        bilevel.forward,
        "a handful of hyperparameters (a rate, a decay) over a long inner loop; time grows with their number",
    ),
    "cg": Named(
        lambda **more: bilevel.implicit("cg", **more),
        "decays, penalties, data weights where the inner loss is convex or damped, and nearly solved",
    ),
    "neumann": Named(
        lambda **more: bilevel.implicit("neumann", **more),
        "millions of hyperparameters of the inner loss, warm-started; look at solver_residual",
    ),
    "identity": Named(
        lambda **more: bilevel.implicit("identity", **more),
        "T1-T2: the cheapest online gradient of decays, noise and augmentation; biased",
    ),
    "finite-difference": Named(
        bilevel.finite_difference,
        "the last step, by two gradients more; a check of `truncated`, which is exact and as cheap",
    ),
    "first-order": Named(
        bilevel.first_order,
        "what the outer loss reads itself (an architecture); nothing that acts through learning alone",
    ),
    "evolution": Named(
        bilevel.evolution, "few hyperparameters of a loop that has no derivative, or whose derivative explodes"
    ),
    "pes": Named(
        lambda **more: bilevel.evolution(persistent=True, **more),
        "few hyperparameters of a very long loop in short segments, warm-started and unbiased",
    ),
}
"""Name -> ``Named``. An implicit estimator raises where a hyperparameter reaches neither loss (an inner learning rate, an
initialization): its gradient would be zero in silence."""


def estimator(name: str, **settings: Any) -> Estimator:
    """An estimator from its name in ``ESTIMATORS``.

    Raises:
        InputError: on another name.

    Example:
        >>> made = estimator("neumann", iterations=5, step_size=0.1)
        >>> estimator("backprop")
        Traceback (most recent call last):
        ...
        metajax.types.InputError: estimator: no 'backprop'; accepted are unroll, truncated, forward, cg, neumann, identity, \
finite-difference, first-order, evolution, pes
    """
    if name not in ESTIMATORS:
        raise InputError(f"estimator: no {name!r}; accepted are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name].make(**settings)
