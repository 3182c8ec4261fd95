"""What is solved, and what comes back: the bilevel problem, the inner state, the hypergradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import optax

from metajax.types import Batch, Hyper, Info, Key, Params, Scalar, stream


class Problem(NamedTuple):
    """``min over h of outer(h, w*(h))``, where ``w*(h)`` is what the inner optimizer arrives at under ``h``.

    Attributes:
        inner_loss: ``(hyper, params, batch, key) -> (loss, info)``.
        outer_loss: ``(hyper, params, batch, key) -> (loss, info)``.
        init: ``(hyper, key) -> params``. MAML's reads ``hyper``, so that the gradient flows through it.
        optimizer: ``(hyper) -> optax.GradientTransformation``; rates and decays may be hyperparameters. An inner Adam
            needs ``eps_root=1e-8``: the derivative of its square root at a zero gradient is NaN otherwise.
    """

    inner_loss: Callable[[Hyper, Params, Batch, Key], tuple[Scalar, Info]]
    outer_loss: Callable[[Hyper, Params, Batch, Key], tuple[Scalar, Info]]
    init: Callable[[Hyper, Key], Params]
    optimizer: Callable[[Hyper], optax.GradientTransformation]


class InnerState(NamedTuple):
    """Where inner learning stands: the parameters and the state of the inner optimizer."""

    params: Params
    opt_state: Any


class Hypergradient(NamedTuple):
    """What an estimator returns.

    Attributes:
        value: the outer loss at ``end``.
        grad: its gradient (or the estimate of it) with the structure of ``hyper``.
        end: the inner state that was arrived at, to go on from in a warm-started search.
        info: scalars to log, among them ``inner_loss``, the inner loss before the last inner step, where there are steps.
    """

    value: Scalar
    grad: Hyper
    end: Any
    info: Info


@dataclass(frozen=True)
class HypergradientFn:
    """What an estimator makes of a problem.

    Call it as ``fn(hyper, start, inner_batches, outer_batch, key) -> Hypergradient``. ``start`` is an inner state to go
    on from, or ``None``: then it is ``problem.init(hyper, key)``, differentiated through where the estimator can. The
    leading axis of ``inner_batches`` counts the inner steps.

    ``begin(hyper, key, tasks=None)`` makes the first inner state of a warm-started search: that of one inner problem, or, for
    an estimator made by ``batched``, those of so many tasks along a leading axis.

    ``mean``, if there is one, is ``estimate`` averaged over tasks, at less than the cost of every task's own gradient: all
    arguments but ``hyper`` and a ``start`` of ``None`` have a leading axis of tasks, and so has ``end``.
    """

    estimate: Callable[[Hyper, Any, Batch, Batch, Key], Hypergradient]
    begin: Callable[..., Any]
    mean: Callable[[Hyper, Any, Batch, Batch, Key], Hypergradient] | None = None

    def __call__(self, hyper: Hyper, start: Any, inner_batches: Batch, outer_batch: Batch, key: Key) -> Hypergradient:
        return self.estimate(hyper, start, inner_batches, outer_batch, key)


Estimator = Callable[[Problem], HypergradientFn]


def over_tasks(work: Callable[..., Any], hyper: Hyper, start: Any, *batches: Any) -> Any:
    """``work(hyper, start, *batches)`` of every task, stacked: all have a leading axis of tasks but ``hyper``, and a ``start``
    of ``None``."""
    axes = (None, None if start is None else 0, *(0 for _ in batches))
    return jax.vmap(work, in_axes=axes)(hyper, start, *batches)


class Keys(NamedTuple):
    """One key each for the initial parameters, the inner steps and the outer loss."""

    init: jax.Array
    inner: jax.Array
    outer: jax.Array


def split(key: Key) -> Keys:
    return Keys(*(stream(key, name) for name in Keys._fields))
