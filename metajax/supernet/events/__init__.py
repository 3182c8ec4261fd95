"""What happens to a search now and then: pruning, projection, stopping, widening."""

from metajax.supernet._events import alive, eigenvalue, project, prune, widen

__all__ = [
    "alive",
    "eigenvalue",
    "project",
    "prune",
    "widen",
]
