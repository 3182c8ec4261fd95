"""Why a search finds what it finds: curvature, ranking, conflict of gradients, zero-cost proxies, cost models."""

from metajax.supernet.diagnosis._cost import Cost, fit_cost, measure
from metajax.supernet.diagnosis._diagnose import (
    conflict,
    count,
    dominant_eigenvalue,
    index_of,
    kendall_tau,
    kendall_tau_error,
)
from metajax.supernet.diagnosis._proxies import (
    gradient_norm,
    grasp,
    jacobian_covariance,
    naswot,
    ntk_condition,
    snip,
    synflow,
)

__all__ = [
    "Cost",
    "conflict",
    "count",
    "dominant_eigenvalue",
    "fit_cost",
    "gradient_norm",
    "grasp",
    "index_of",
    "jacobian_covariance",
    "kendall_tau",
    "kendall_tau_error",
    "measure",
    "naswot",
    "ntk_condition",
    "snip",
    "synflow",
]
