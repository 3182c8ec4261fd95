"""Which version of a method made a result.

A method whose mathematics is corrected gets a new number here. The tables then leave out the results of earlier versions,
and say so, until the runs are repeated.
"""

from collections.abc import Iterable, Mapping
from typing import Any

VERSIONS = {
    "beta-darts": 2,  # the weight of the decay grows with epochs
    "darts-pt": 2,  # no renormalization after a removal; more validation images; the rate is set back
    "darts-pt-fixed": 2,
    "drnas": 2,  # L2 on the raw logits in place of a distance
    "drnas-pruned": 2,  # partial channels that widen
    "enas": 2,  # the best of sampled cells by shared weights; entropy bonus, accuracy as reward
    "fair-darts": 2,  # no operation "none"; a threshold
    "idarts": 2,  # four weight steps for one of the logits
    "pc-darts": 2,  # edges have logits of their own
    "r-darts-stop": 2,  # the state at the center of the window
    "s-darts-adversarial": 2,  # the radius grows from .03 to .3, on the simplex
    "s-darts-random": 2,
    "sandwich": 2,  # the smallest path can learn
    "snas": 2,  # 150 epochs, by which the rate of the logits goes
    # proxies: five cells a stage; gradient norms layer by layer
    "gradient-norm": 2,
    "snip": 2,
    "grasp": 2,
    "synflow": 2,
    "jacobian": 2,
    "ntk": 2,
    "naswot": 2,
}
"""The present versions. A method that is not named is at its first version."""
EARLIER = "An earlier version of the method made this result.\n\n"


def version(method: str) -> int:
    """Returns the present version of a method.

    Example:
        >>> version("gdas")
        1
    """
    return VERSIONS.get(method, 1)


def is_current(method: str, result: Mapping[str, Any]) -> bool:
    """Returns whether the present version of a method made a result; one that records no version is of the first.

    Example:
        >>> is_current("gdas", {}), is_current("fair-darts", {}), is_current("fair-darts", {"method_version": 2})
        (True, False, True)
    """
    return result.get("method_version", 1) >= version(method)


def left_out(methods: Iterable[str]) -> str:
    """Returns the line that names the results of earlier versions; it is empty if there are none.

    Example:
        >>> left_out(["enas", "drnas", "drnas"])
        '\\nLeft out, because an earlier version of the method made them: drnas (2 runs), enas (1 run).\\n'
    """
    names = list(methods)
    if not names:
        return ""
    counts = [f"{name} ({(n := names.count(name))} run{'s' if n > 1 else ''})" for name in sorted(set(names))]
    return f"\nLeft out, because an earlier version of the method made them: {', '.join(counts)}.\n"
