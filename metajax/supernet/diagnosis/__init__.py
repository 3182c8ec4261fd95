"""Why a search finds what it finds: curvature, ranking, conflict of gradients, zero-cost proxies, cost models."""

from metajax.supernet.diagnosis._configs import count_value, index_of
from metajax.supernet.diagnosis._conflict import gradient_conflict
from metajax.supernet.diagnosis._cost import Cost, fit_cost, measure_cost
from metajax.supernet.diagnosis._curvature import dominant_eigenvalue
from metajax.supernet.diagnosis._proxies import gradient_norm, grasp, snip
from metajax.supernet.diagnosis._proxies_without_labels import jacobian_covariance, naswot, ntk_condition, synflow
from metajax.supernet.diagnosis._ranking import kendall_tau, kendall_tau_error

__all__ = [
    "Cost",
    "count_value",
    "dominant_eigenvalue",
    "fit_cost",
    "gradient_conflict",
    "gradient_norm",
    "grasp",
    "index_of",
    "jacobian_covariance",
    "kendall_tau",
    "kendall_tau_error",
    "measure_cost",
    "naswot",
    "ntk_condition",
    "snip",
    "synflow",
]
