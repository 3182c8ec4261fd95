"""What all libraries of gradient boosting share here: their hyperparameters, and when to stop."""

from metajax.space import Domain, Float, Integer

MIN_ITERATIONS = 4
PATIENCE = 20
"""Iterations without an improvement on the evaluation rows after which boosting stops, in the search."""


def boosting_domains(max_iterations: int = 500) -> dict[str, Domain]:
    """Returns the domains that the libraries have in common."""
    return {
        "learning_rate": Float(0.01, 1.0, log=True, grid=47),  # holds 0.1 and, within 0.3%, 0.3
        "iterations": Integer(MIN_ITERATIONS, max_iterations, log=True),
        "l2": Float(0.0, 10.0, grid=21),
        "columns": Float(0.2, 1.0, grid=9),
    }
