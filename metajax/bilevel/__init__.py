"""The differentiable core: hypergradients through learning, by every estimator the field uses."""

from metajax.bilevel.batched import batched
from metajax.bilevel.finite import PersistentState, evolution, finite_difference
from metajax.bilevel.implicit import implicit
from metajax.bilevel.inner import trajectory
from metajax.bilevel.learner import BilevelState, learner
from metajax.bilevel.problem import Estimator, Hypergradient, HypergradientFn, InnerState, Problem
from metajax.bilevel.solved import solved
from metajax.bilevel.supervised import SupervisedState, supervised
from metajax.bilevel.unroll import first_order, forward, unroll, weights_only

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
