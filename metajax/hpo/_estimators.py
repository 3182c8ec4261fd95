"""Estimators of the hypergradient by name, and which of them suits what."""

from collections.abc import Callable
from typing import Any, NamedTuple

from metajax import bilevel
from metajax.bilevel import Estimator
from metajax.types import InputError


class EstimatorEntry(NamedTuple):
    """A row of ``ESTIMATORS``.

    Attributes:
        make: Makes the estimator. Its arguments are the settings, and its docstring has the mathematics and the paper.
        suits: The hyperparameters and inner problems that the estimator is good for.
    """

    make: Callable[..., Estimator]
    suits: str


def truncated(steps: int = 1, **settings: Any) -> Estimator:
    r"""Differentiates through the last inner steps alone, by reverse mode.

    The parameters before the last k of S inner steps are taken as a constant:

    $$\frac{dF}{dh} \approx \frac{\partial F}{\partial h}
    + \sum_{s=S-k}^{S-1} \Bigl(\frac{\partial \Phi_s}{\partial h}\Bigr)^{\!\top} \lambda_{s+1}, \qquad
    \lambda_S = \frac{\partial F}{\partial w_S}, \quad
    \lambda_s = \Bigl(\frac{\partial \Phi_s}{\partial w_s}\Bigr)^{\!\top} \lambda_{s+1}$$

    Args:
        steps: k, the number of inner steps that are differentiated, >= 1.
        **settings: Further arguments of ``bilevel.unroll``.

    Returns:
        The estimator ``bilevel.unroll(truncate=steps)``.

    References:
        Shaban et al. 2019, "Truncated back-propagation for bilevel optimization", arXiv:1810.10667.
    """
    return bilevel.unroll(truncate=steps, **settings)


def conjugate_gradient(**settings: Any) -> Estimator:
    r"""Differentiates the inner solution implicitly, with a linear solve by conjugate gradient.

    $$\frac{dF}{dh} = \frac{\partial F}{\partial h}
    - \Bigl(\frac{\partial^2 f}{\partial w \, \partial h}\Bigr)^{\!\top} x, \qquad
    (H + \mathrm{damping} \cdot I) \, x = \frac{\partial F}{\partial w}, \quad H = \frac{\partial^2 f}{\partial w^2}$$

    The matrix must be positive definite, as it is for a convex inner loss and near a minimum.

    Args:
        **settings: ``iterations``, ``damping`` and ``tolerance`` of ``bilevel.implicit``.

    Returns:
        The estimator ``bilevel.implicit("cg")``.

    References:
        Rajeswaran et al. 2019, "Meta-learning with implicit gradients", arXiv:1909.04630.
    """
    return bilevel.implicit("cg", **settings)


def neumann_series(**settings: Any) -> Estimator:
    r"""Differentiates the inner solution implicitly, with the first terms of a Neumann series as the inverse Hessian.

    $$\frac{dF}{dh} \approx \frac{\partial F}{\partial h}
    - \Bigl(\frac{\partial^2 f}{\partial w \, \partial h}\Bigr)^{\!\top}
    \gamma \sum_{j=0}^{J} (I - \gamma H)^j \, \frac{\partial F}{\partial w}, \qquad H = \frac{\partial^2 f}{\partial w^2}$$

    The series converges for ``0 < γ < 2/λ_max`` and a positive definite Hessian. At the solution it equals truncated unrolling
    of J + 1 steps of gradient descent with the rate γ.

    Args:
        **settings: ``iterations`` (J), ``step_size`` (γ) and ``damping`` of ``bilevel.implicit``.

    Returns:
        The estimator ``bilevel.implicit("neumann")``.

    Deviations:
        Lorraine et al. take the learning rate of the inner descent as γ. Here it is ``1/λ_max`` unless it is given, with
        ``λ_max`` from a few Hessian-vector products more.

    References:
        Lorraine et al. 2020, "Optimizing millions of hyperparameters by implicit differentiation", arXiv:1911.02590.
    """
    return bilevel.implicit("neumann", **settings)


def identity_hessian(**settings: Any) -> Estimator:
    r"""Differentiates the inner solution implicitly, with the identity in place of the inverse Hessian (T1-T2).

    $$\frac{dF}{dh} \approx \frac{\partial F}{\partial h}
    - \gamma \Bigl(\frac{\partial^2 f}{\partial w \, \partial h}\Bigr)^{\!\top} \frac{\partial F}{\partial w}$$

    It costs one mixed second derivative and no solve, and it is biased.

    Args:
        **settings: ``step_size`` (γ) of ``bilevel.implicit``.

    Returns:
        The estimator ``bilevel.implicit("identity")``.

    References:
        Luketina et al. 2016, "Scalable gradient-based tuning of continuous regularization hyperparameters",
        arXiv:1511.06727.
    """
    return bilevel.implicit("identity", **settings)


def persistent_evolution(**settings: Any) -> Estimator:
    r"""Persistent evolution strategies: unbiased gradients of a long inner loop that is cut into short segments.

    Each of n pairs of perturbed runs goes on from segment to segment, and is credited with the sum of all perturbations that
    it has seen since the loop began:

    $$\frac{1}{2 n \sigma^2} \sum_{i=1}^{n} \Bigl(\sum_{u \le t} \epsilon_{i,u}\Bigr)
    \bigl(F_t^{+i} - F_t^{-i}\bigr), \qquad \epsilon_{i,u} \sim N(0, \sigma^2 I)$$

    Here $F_t^{\pm i}$ are the outer losses of segment t in the runs of pair i.

    Args:
        **settings: ``population`` and ``sigma`` of ``bilevel.evolution``.

    Returns:
        The estimator ``bilevel.evolution(persistent=True)``.

    References:
        Vicol et al. 2021, "Unbiased gradient estimation in unrolled computation graphs with persistent evolution
        strategies", arXiv:2112.13835.
    """
    return bilevel.evolution(persistent=True, **settings)


ESTIMATORS: dict[str, EstimatorEntry] = {
    "unroll": EstimatorEntry(
        bilevel.unroll,
        "anything, exactly: rates, schedules, decays, weights, labels, synthetic data; memory grows with the inner steps, "
        "or with their root under remat='sqrt'",
    ),
    "truncated": EstimatorEntry(
        truncated,
        "the last steps only: data weights, augmentation, Meta-Weight-Net, warm-started; biased for rates (short horizon)",
    ),
    "forward": EstimatorEntry(
        bilevel.forward,
        "a handful of hyperparameters (a rate, a decay) over a long inner loop; time grows with their number",
    ),
    "cg": EstimatorEntry(
        conjugate_gradient,
        "decays, penalties, data weights where the inner loss is convex or damped, and nearly solved",
    ),
    "neumann": EstimatorEntry(
        neumann_series,
        "millions of hyperparameters of the inner loss, warm-started; look at solver_residual",
    ),
    "identity": EstimatorEntry(
        identity_hessian,
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
        persistent_evolution,
        "few hyperparameters of a very long loop in short segments, warm-started and unbiased",
    ),
}
"""The estimators by name. An implicit one raises where a hyperparameter reaches neither loss (an inner learning rate, an
initialization), because its gradient would silently be zero."""


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
        raise InputError(f"make_estimator: name must be one of {', '.join(ESTIMATORS)}, got {name!r}")
    return ESTIMATORS[name].make(**settings)
