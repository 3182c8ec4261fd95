"""Searches without a gradient: random, evolution, local search, REINFORCE."""

from metajax.supernet.baselines._baselines import (
    Evaluate,
    Trail,
    best_of,
    by_shared_weights,
    evolve,
    local_search,
    random_search,
    reinforce,
)

__all__ = [
    "Evaluate",
    "Trail",
    "best_of",
    "by_shared_weights",
    "evolve",
    "local_search",
    "random_search",
    "reinforce",
]
