"""The differentiable core: hypergradients through learning, by every estimator the field uses."""

from metajax.bilevel._batched import batched
from metajax.bilevel._finite import PersistentState, evolution, finite_difference
from metajax.bilevel._implicit import implicit
from metajax.bilevel._inner import trajectory
from metajax.bilevel._learner import BilevelState, learner
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, InnerState, Problem
from metajax.bilevel._solved import solved
from metajax.bilevel._supervised import SupervisedState, supervised
from metajax.bilevel._unroll import first_order, forward, unroll, weights_only

__all__ = [
    "BilevelState",
    "Estimator",
    "Hypergradient",
    "HypergradientFn",
    "InnerState",
    "PersistentState",
    "Problem",
    "SupervisedState",
    "batched",
    "evolution",
    "finite_difference",
    "first_order",
    "forward",
    "implicit",
    "learner",
    "solved",
    "supervised",
    "trajectory",
    "unroll",
    "weights_only",
]
