"""An estimator for many inner problems at once: meta-learning is a bilevel problem averaged over tasks."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel.problem import Estimator, Hypergradient, HypergradientFn, Problem, over_tasks


def batched(estimator: Estimator, chunk: int | None = None) -> Estimator:
    """The mean hypergradient over tasks that share ``hyper`` and each learn for themselves.

    Leaves of ``inner_batches`` are ``[steps, tasks, ...]``, of ``outer_batch`` and of a ``start`` ``[tasks, ...]``. The
    value and the gradient are means over tasks, and so are the scalars in ``info``.

    Args:
        estimator: for one task.
        chunk: how many tasks to run side by side; the rest follow in a scan that adds up the gradient, so that memory
            does not grow with the tasks. ``None`` runs all at once. The number of tasks must be a multiple of it.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"batched: chunk={chunk}; accepted are None or a positive number of tasks")

    def batched_estimator(problem: Problem) -> HypergradientFn:
        one = estimator(problem)
        mean = one.mean or (lambda hyper, start, *work: _mean(one, hyper, start, *work))

        def estimate(hyper, start, inner_batches, outer_batch, key):
            tasks = jax.tree.leaves(outer_batch)[0].shape[0]
            size = tasks if chunk is None else min(chunk, tasks)
            if tasks % size:
                raise ValueError(f"batched: {tasks} tasks are not a multiple of chunk={chunk}")
            keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(tasks))
            inner_first = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), inner_batches)
            work = (start, inner_first, outer_batch, keys)
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

        return HypergradientFn(estimate, one.begin)

    return batched_estimator


def _mean(one: HypergradientFn, hyper: Any, start: Any, *work: Any) -> Hypergradient:
    """The mean of every task's own hypergradient."""
    found = over_tasks(one, hyper, start, *work)
    value, grad, info = jax.tree.map(lambda x: jnp.mean(x, axis=0), (found.value, found.grad, dict(found.info)))
    return Hypergradient(value, grad, found.end, info)
