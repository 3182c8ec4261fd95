"""Searches without a gradient: random, evolution, local search, REINFORCE, and decisions by shared weights."""

from metajax.supernet._protocols import Evaluate
from metajax.supernet.baselines._reinforce import reinforce
from metajax.supernet.baselines._shared_weights import best_of, by_shared_weights
from metajax.supernet.baselines._trail import Trail
from metajax.supernet.baselines._walks import evolve, local_search, random_search

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
