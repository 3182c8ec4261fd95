"""An estimator for many inner problems at once: meta-learning is a bilevel problem averaged over tasks."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem, over_tasks
from metajax.types import InputError, Key


def batched(estimator: Estimator, chunk: int | None = None) -> Estimator:
    """The mean hypergradient over tasks that share ``hyper`` and each learn for themselves.

    Leaves of ``inner_batches`` are ``[steps, tasks, ...]``, of ``outer_batch`` and of a ``start`` ``[tasks, ...]``. The
    value and the gradient are means over tasks, and so are the scalars in ``info``. A warm start holds one inner state for
    each task, so the tasks of a warm-started search are the same at every step; say their number to ``bilevel.learner``.

    Args:
        estimator: for one task.
        chunk: how many tasks to run side by side; the rest follow in a scan that adds up the gradient, so that memory
            does not grow with the tasks. ``None`` runs all at once. The number of tasks must be a multiple of it.

    Raises:
        InputError: if chunk is not positive; when it is used, if the number of tasks is not a multiple of chunk, if leaves
            disagree in the number of tasks, or if a warm start is begun without it.
    """
    if chunk is not None and chunk < 1:
        raise InputError(f"batched: chunk={chunk}; accepted are None or a positive number of tasks")

    def batched_estimator(problem: Problem) -> HypergradientFn:
        one = estimator(problem)
        mean = one.mean or (lambda hyper, start, *work: _mean(one, hyper, start, *work))

        def estimate(hyper, start, inner_batches, outer_batch, key):
            tasks = _agreed(start, inner_batches, outer_batch)
            size = tasks if chunk is None else min(chunk, tasks)
            if tasks % size:
                raise InputError(f"batched: {tasks} tasks are not a multiple of chunk={chunk}")
            inner_first = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), inner_batches)
            work = (start, inner_first, outer_batch, _each(key, tasks))
            if size == tasks:
                return mean(hyper, *work)

            folded = jax.tree.map(lambda x: x.reshape(tasks // size, size, *x.shape[1:]), work)

            def add(total, part):
                found = mean(hyper, *part)
                return jax.tree.map(jnp.add, total, (found.value, found.grad, dict(found.info))), found.end

            shapes = jax.eval_shape(lambda part: mean(hyper, *part), jax.tree.map(lambda x: x[0], folded))
            zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (shapes.value, shapes.grad, dict(shapes.info)))
            total, ends = jax.lax.scan(add, zeros, folded)
            value, grad, info = jax.tree.map(lambda x: x / (tasks // size), total)
            end = jax.tree.map(lambda x: x.reshape(tasks, *x.shape[2:]), ends)
            return Hypergradient(value, grad, end, info)

        def begin(hyper, key, tasks=None):
            if tasks is None or tasks < 1:
                raise InputError(
                    f"batched: tasks={tasks} for a warm start, which holds an inner state for each task; accepted is their "
                    "number, as in bilevel.learner(..., warm_start=True, tasks=4)"
                )
            return jax.vmap(lambda own: one.begin(hyper, own))(_each(key, tasks))

        return HypergradientFn(estimate, begin)

    return batched_estimator


def _each(key: Key, tasks: int) -> Key:
    """One key for each task."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(tasks))


def _agreed(start: Any, inner_batches: Any, outer_batch: Any) -> int:
    """The number of tasks, on which the axes that count them must agree.

    Raises:
        InputError: if they do not, or if there is no such axis.
    """
    axes = {"start": (start, 0), "inner_batches": (inner_batches, 1), "outer_batch": (outer_batch, 0)}
    sizes = {
        name: {leaf.shape[axis] if jnp.ndim(leaf) > axis else None for leaf in jax.tree.leaves(tree)}
        for name, (tree, axis) in axes.items()
    }
    counts = {size for found in sizes.values() for size in found}
    tasks = next(iter(counts), None)
    if len(counts) != 1 or tasks is None:
        told = ", ".join(f"{name} {sorted(map(str, size))}" for name, size in sizes.items() if size)
        raise InputError(
            f"batched: sizes of the tasks' axis are {told}; accepted is one number of tasks throughout: the first axis of "
            "start and outer_batch, the second of inner_batches"
        )
    return int(tasks)


def _mean(one: HypergradientFn, hyper: Any, start: Any, *work: Any) -> Hypergradient:
    """The mean of every task's own hypergradient."""
    found = over_tasks(one, hyper, start, *work)
    value, grad, info = jax.tree.map(lambda x: jnp.mean(x, axis=0), (found.value, found.grad, dict(found.info)))
    return Hypergradient(value, grad, found.end, info)
