"""Estimators of the hypergradient by name, and which of them suits what."""

from collections.abc import Callable
from typing import Any, NamedTuple

from metajax import bilevel
from metajax.bilevel import Estimator
from metajax.types import InputError


class EstimatorEntry(NamedTuple):
    """A row of ``ESTIMATORS``.

    Attributes:
        make: Makes the estimator; its arguments are the settings.
        suits: The hyperparameters and inner problems that the estimator is good for.
    """

    make: Callable[..., Estimator]
    suits: str


ESTIMATORS: dict[str, EstimatorEntry] = {
    "unroll": EstimatorEntry(
        bilevel.unroll,
        "anything, exactly: rates, schedules, decays, weights, labels, synthetic data; memory grows with the inner steps, "
        "or with their root under remat='sqrt'",
    ),
    "truncated": EstimatorEntry(
        lambda steps=1, **settings: bilevel.unroll(truncate=steps, **settings),
        "the last steps only: data weights, augmentation, Meta-Weight-Net, warm-started; biased for rates (short horizon)",
    ),
    "forward": EstimatorEntry(
        bilevel.forward,
        "a handful of hyperparameters (a rate, a decay) over a long inner loop; time grows with their number",
    ),
    "cg": EstimatorEntry(
        lambda **settings: bilevel.implicit("cg", **settings),
        "decays, penalties, data weights where the inner loss is convex or damped, and nearly solved",
    ),
    "neumann": EstimatorEntry(
        lambda **settings: bilevel.implicit("neumann", **settings),
        "millions of hyperparameters of the inner loss, warm-started; look at solver_residual",
    ),
    "identity": EstimatorEntry(
        lambda **settings: bilevel.implicit("identity", **settings),
        "T1-T2: the cheapest online gradient of decays, noise and augmentation; biased",
    ),
    "finite-difference": EstimatorEntry(
        bilevel.finite_difference,
        "the last step, by two gradients more; a check of `truncated`, which is exact and as cheap",
    ),
    "first-order": EstimatorEntry(
        bilevel.first_order,
        "what the outer loss reads itself (an architecture); nothing that acts through learning alone",
    ),
    "evolution": EstimatorEntry(
        bilevel.evolution, "few hyperparameters of a loop that has no derivative, or whose derivative explodes"
    ),
    "pes": EstimatorEntry(
        lambda **settings: bilevel.evolution(persistent=True, **settings),
        "few hyperparameters of a very long loop in short segments, warm-started and unbiased",
    ),
}
"""The estimators by name. An implicit one raises where a hyperparameter reaches neither loss (an inner learning rate, an
initialization), because its gradient would be zero in silence."""


def make_estimator(name: str, **settings: Any) -> Estimator:
    """Makes an estimator of the hypergradient from its name.

    Args:
        name: A key of ``ESTIMATORS``, which says what each of them suits.
        **settings: The arguments of the estimator in ``metajax.bilevel``, such as ``iterations`` of ``"neumann"``. The number
            of differentiated steps of ``"truncated"`` is ``steps``.

    Returns:
        The estimator, for ``bilevel.learner``.

    Raises:
        InputError: If there is no estimator of this name.

    Example:
        >>> estimator = make_estimator("neumann", iterations=5, step_size=0.1)
        >>> ESTIMATORS["neumann"].suits
        'millions of hyperparameters of the inner loss, warm-started; look at solver_residual'
    """
    if name not in ESTIMATORS:
        raise InputError(f"make_estimator: no estimator {name!r}; must be one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[name].make(**settings)
