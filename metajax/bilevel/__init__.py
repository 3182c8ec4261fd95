"""The differentiable core: hypergradients through learning, by every estimator the field uses.

A ``Problem`` says what is to be minimized and how inner learning arrives at its parameters; an estimator makes of it a function
that returns the hypergradient; ``learner`` descends it.
"""

from metajax.bilevel._batched import batched
from metajax.bilevel._evolution import PersistentState, evolution
from metajax.bilevel._finite_difference import finite_difference
from metajax.bilevel._first_order import first_order
from metajax.bilevel._forward import forward
from metajax.bilevel._implicit import implicit
from metajax.bilevel._inner import Descent, HyperLoss, Inner, InnerState, Solution
from metajax.bilevel._learner import BilevelInfo, BilevelState, learner
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem
from metajax.bilevel._supervised import SupervisedInfo, SupervisedState, supervised
from metajax.bilevel._through_solution import through_solution
from metajax.bilevel._trajectory import trajectory
from metajax.bilevel._unroll import unroll
from metajax.bilevel._weights_only import weights_only

__all__ = [
    "BilevelInfo",
    "BilevelState",
    "Descent",
    "Estimator",
    "HyperLoss",
    "Hypergradient",
    "HypergradientFn",
    "Inner",
    "InnerState",
    "PersistentState",
    "Problem",
    "Solution",
    "SupervisedInfo",
    "SupervisedState",
    "batched",
    "evolution",
    "finite_difference",
    "first_order",
    "forward",
    "implicit",
    "learner",
    "supervised",
    "through_solution",
    "trajectory",
    "unroll",
    "weights_only",
]
