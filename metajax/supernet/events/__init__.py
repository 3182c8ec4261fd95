"""What happens to a search at some of its steps: pruning, widening, projection, stopping."""

from metajax.supernet._state import Event, EventContext
from metajax.supernet.events._eigenvalue import eigenvalue
from metajax.supernet.events._project import project
from metajax.supernet.events._prune import check_mask, prune
from metajax.supernet.events._widen import widen

__all__ = [
    "Event",
    "EventContext",
    "check_mask",
    "eigenvalue",
    "project",
    "prune",
    "widen",
]
