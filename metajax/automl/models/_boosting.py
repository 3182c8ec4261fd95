"""What all libraries of gradient boosting share here: their hyperparameters, and when to stop."""

from metajax.automl._training import Data
from metajax.space import Domain, Float, Integer

PATIENCE = 20
"""Iterations without an improvement on the evaluation rows after which boosting stops, in the search."""
_MIN_ITERATIONS, _MAX_ITERATIONS = 4, 500
_MAX_TREES_OF_CLASSES = 1_000  # With more than two classes, an iteration trains one tree for each class.
_MIN_ITERATIONS_OF_CLASSES = 50


def boosting_domains() -> dict[str, Domain]:
    """Returns the domains that the libraries have in common."""
    return {
        "learning_rate": Float(0.1 / 9, 0.3, log=True, grid=49),  # 0.1 and 0.3 are among the points
        "iterations": Integer(_MIN_ITERATIONS, _MAX_ITERATIONS, log=True),
        "l2": Float(0.0, 10.0, grid=21),
        "columns": Float(0.2, 1.0, grid=9),
    }


def max_iterations(configured: int, data: Data, outputs: int) -> int:
    """Returns the maximum number of iterations: the configured one, or a limit within which the evaluation rows decide."""
    if not len(data.x_eval):
        return configured
    if outputs <= 2:
        return _MAX_ITERATIONS
    return max(_MIN_ITERATIONS_OF_CLASSES, min(_MAX_ITERATIONS, _MAX_TREES_OF_CLASSES // outputs))


def decided_iterations(best: int) -> dict[str, int]:
    """Returns what a fit decided, within the domain."""
    return {"iterations": max(_MIN_ITERATIONS, best)}
