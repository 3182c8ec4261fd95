"""An estimator for many inner problems at once: meta-learning is a bilevel problem averaged over tasks."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from metajax.bilevel._problem import (
    EstimateFn,
    Estimator,
    Hypergradient,
    HypergradientFn,
    Problem,
    over_tasks,
    task_keys,
)
from metajax.types import Batch, Hyper, InputError


def batched(estimator: Estimator, chunk: int | None = None) -> Estimator:
    """Averages the hypergradient over tasks that share ``hyper`` and each learn for themselves.

    Leaves of ``inner_batches`` have the shape ``[steps, tasks, ...]``, those of ``outer_batch`` and of a ``start`` ``[tasks,
    ...]``. The value and the gradient are means over tasks, and so are the scalars in ``info``. A warm start holds one inner
    state for each task, so the tasks of a warm-started search are the same at every step; ``bilevel.learner`` needs their
    number.

    Args:
        estimator: The estimator for one task.
        chunk: How many tasks to run side by side on a device. The other tasks follow in a scan that adds up the gradient, so
            that memory does not grow with the tasks. ``None`` runs all at once. The number of tasks on a device must be a
            multiple of it.

    Returns:
        An estimator whose batches and inner states have an axis of tasks.

    Raises:
        InputError: If ``chunk`` is not positive; later, if the number of tasks is not a multiple of ``chunk``, if leaves
            disagree in the number of tasks, or if a warm start begins without it.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> fit = lambda h, w, batch, key: (0.5 * (w - batch) ** 2, {})  # each task is a number to be fitted
        >>> inner = bilevel.Inner.descent(fit, lambda h, key: h, lambda h: optax.sgd(0.5))  # MAML on the initialization
        >>> fn = bilevel.batched(bilevel.unroll())(bilevel.Problem(inner, fit))
        >>> tasks = jnp.array([1.0, 3.0])
        >>> result = fn(jnp.zeros(()), None, tasks[None], tasks, jax.random.key(0))
        >>> float(result.grad), result.end.params.tolist()  # the mean of -(1 - 1/2)^2 task, and where each task ends
        (-0.5, [0.5, 1.5])
    """
    if chunk is not None and chunk < 1:
        raise InputError(
            f"batched: chunk must be None or an integer >= 1 (the number of tasks that run side by side), got {chunk}"
        )

    def batched_estimator(problem: Problem[Any]) -> HypergradientFn:
        single_task = estimator(problem)
        mean = single_task.mean or (lambda hyper, start, *work: _mean(single_task, hyper, start, *work))

        def estimate(hyper, start, inner_batches, outer_batch, key):
            tasks = _number_of_tasks(start, inner_batches, outer_batch)
            tasks_first = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), inner_batches)
            work = (start, tasks_first, outer_batch, task_keys(key, tasks))
            mean_in_turns = partial(_in_turns, mean, chunk)
            mesh = _mesh_of_tasks(tasks)
            return (mean_in_turns if mesh is None else _over_devices(mean_in_turns, mesh))(hyper, *work)

        return HypergradientFn(estimate, single_task.init, has_tasks=True)

    return batched_estimator


def _in_turns(mean: EstimateFn, chunk: int | None, hyper: Hyper, *work: Any) -> Hypergradient:
    """The mean over tasks, of which ``chunk`` at a time run side by side."""
    tasks = len(work[-1])
    size = tasks if chunk is None else min(chunk, tasks)
    if size == tasks:
        return mean(hyper, *work)
    if tasks % size:
        raise InputError(
            f"batched: the number of tasks on a device must be a multiple of chunk={chunk}, got {tasks} tasks; give a "
            "divisor of that number, or chunk=None"
        )
    turns = jax.tree.map(lambda x: x.reshape(tasks // size, size, *x.shape[1:]), work)

    def add(total, turn):
        part = mean(hyper, *turn)
        return jax.tree.map(jnp.add, total, part.grad), (part.value, part.end, dict(part.info))

    # A gradient has the shapes and types of ``hyper``, so that nothing is traced to learn them.
    total, (values, ends, infos) = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, hyper), turns)
    value, info = jax.tree.map(lambda x: jnp.mean(x, axis=0), (values, infos))
    grad = jax.tree.map(lambda x: x / (tasks // size), total)
    return Hypergradient(value, grad, jax.tree.map(lambda x: x.reshape(tasks, *x.shape[2:]), ends), info)


def _mesh_of_tasks(tasks: int) -> AbstractMesh | None:
    """The mesh on which the caller computes, if its devices can share the tasks evenly."""
    mesh = jax.sharding.get_abstract_mesh()
    is_free = all(kind == AxisType.Auto for kind in mesh.axis_types)
    return mesh if mesh.size > 1 and is_free and tasks % mesh.size == 0 else None


def _over_devices(mean: EstimateFn, mesh: AbstractMesh) -> EstimateFn:
    """The same mean, for which each device runs an equal part of the tasks as if it were alone.

    Left to itself, the compiler would cut each operation along the tasks. Some operations lose their fast form by it.
    """

    def mean_of_own_tasks(hyper, *work):
        part = mean(hyper, *work)
        return jax.lax.pmean((part.value, part.grad, dict(part.info)), mesh.axis_names), part.end

    def mean_of_all(hyper, *work):
        whole, cut = PartitionSpec(), PartitionSpec(mesh.axis_names)
        in_specs = (whole, *[cut] * len(work))
        shared = jax.shard_map(mean_of_own_tasks, mesh=mesh, in_specs=in_specs, out_specs=(whole, cut), check_vma=False)
        (value, grad, info), end = shared(hyper, *work)
        return Hypergradient(value, grad, end, info)

    return mean_of_all


def _number_of_tasks(start: Any, inner_batches: Batch, outer_batch: Batch) -> int:
    """The number of tasks, on which all axes that count them must agree.

    Raises:
        InputError: If they do not agree, or if there is no such axis.
    """
    axes = {"start": (start, 0), "inner_batches": (inner_batches, 1), "outer_batch": (outer_batch, 0)}
    sizes = {
        name: {leaf.shape[axis] if jnp.ndim(leaf) > axis else None for leaf in jax.tree.leaves(tree)}
        for name, (tree, axis) in axes.items()
    }
    counts = {count for counts in sizes.values() for count in counts}
    tasks = next(iter(counts), None)
    if len(counts) != 1 or tasks is None:
        listed = ", ".join(f"{name} {sorted(map(str, size))}" for name, size in sizes.items() if size)
        raise InputError(
            "batched: start, outer_batch (first axis) and inner_batches (second axis) must have the same number of "
            f"tasks, got {listed}"
        )
    return int(tasks)


def _mean(single_task: HypergradientFn, hyper: Hyper, start: Any, *work: Any) -> Hypergradient:
    """The mean of every task's own hypergradient."""
    per_task = over_tasks(single_task, hyper, start, *work)
    value, grad, info = jax.tree.map(
        lambda x: jnp.mean(x, axis=0), (per_task.value, per_task.grad, dict(per_task.info))
    )
    return Hypergradient(value, grad, per_task.end, info)
