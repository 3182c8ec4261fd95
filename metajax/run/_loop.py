"""The one training loop: chunks of steps inside a compiled scan, with metrics, evaluation, checkpoints and signals."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from metajax.run._checkpoint import Checkpoints, check_leaves
from metajax.run._directory import RunDirectory
from metajax.run._progress import Progress
from metajax.run._signals import Interrupted, Watch
from metajax.types import InputError, Learner, stream


class Diverged(RuntimeError):
    """The loss or the state is no longer finite; the message names the last good checkpoint."""


def train(
    learner: Learner,
    state: Any,
    batches: Callable[[jax.Array], Any] | Iterator[Any],
    steps: int,
    directory: RunDirectory | None = None,
    *,
    chunk: int = 100,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    evaluate_every: int | None = None,
    best: str | None = None,
    maximize: bool = True,
    checkpoint_seconds: float = 60.0,
    minutes: float | None = None,
    label: str = "",
    show: bool = True,
) -> Any:
    """Trains to ``steps`` and returns the state.

    Killed at any instant and called again with a resumed ``directory``, it ends in the same bits: the randomness of a
    step depends on the state's key and step alone, and chunks begin at multiples of ``chunk`` whatever happened before.
    A damaged checkpoint is named on standard error and set aside, and the run goes on from the last good one.

    Args:
        learner: what to train.
        state: its initial state, with ``.step`` and ``.key``. It is donated: use the returned one afterwards.
        batches: a sampler ``key -> batch`` to be compiled into the chunk (as a ``jax.tree_util.Partial`` of its arrays, the
            program does not depend on them, and a second process finds it compiled), or an iterator of batches; one that has
            ``get_state`` and ``set_state`` (as grain's do; bytes or JSON) is resumed at its position.
        steps: the step at which to stop.
        directory: where metrics and checkpoints go; ``None`` keeps nothing.
        chunk: steps in one compiled scan; metrics are means over a chunk.
        evaluate: ``state -> metrics``, called every ``evaluate_every`` steps (default: at the end only).
        best: the metric of ``evaluate`` by which the best checkpoint is kept.
        maximize: whether larger is better.
        checkpoint_seconds: time between checkpoints; evaluations with ``best`` and the end also save.
        minutes: stop after this much time in all, resumed time included.

    Raises:
        InputError: if steps or chunk are out of range, or batches end before the steps do.
        Diverged: at the first value that is not finite, naming the last good checkpoint.
        Interrupted: after SIGTERM or SIGINT, once the state is saved.
        InputError: if the state holds what a checkpoint cannot keep, or if no checkpoint of a resumed run is good.
    """
    if steps < 0 or chunk < 1:
        raise InputError(f"train: steps={steps}, chunk={chunk}; accepted are steps >= 0 and chunk >= 1")
    if evaluate_every is not None and evaluate_every % chunk:
        raise InputError(f"train: evaluate_every={evaluate_every}; accepted are multiples of chunk={chunk}")
    saved = Checkpoints(directory.path / "checkpoints", best, maximize) if directory else None
    check_leaves(state)
    step, spent = int(state.step), 0.0
    state = jax.tree.map(lambda x: jnp.array(x, copy=True), state)  # the caller's arrays survive the donation
    if directory and saved and directory.resumed and saved.latest is not None:
        step, state, position = saved.restore(state)
        saved.set_aside(step)
        if position is not None:
            batches.set_state(position)  # type: ignore[union-attr]
        spent = max((r.get("seconds", 0.0) for r in directory.rewind(step)), default=0.0)
    elif directory:
        directory.rewind(step)
    run_chunk = compiled_chunk(learner, batches if callable(batches) else None)
    progress = Progress(steps, step, label, show=show)
    began = last_save = time.perf_counter()
    stop_at = math.inf if minutes is None else 60 * minutes

    def save(metrics: dict[str, float] | None = None) -> None:
        nonlocal last_save
        if saved is not None and saved.latest != step:
            position = None if callable(batches) or not hasattr(batches, "get_state") else batches.get_state()  # type: ignore[union-attr]
            saved.save(step, state, position, metrics)
            last_save = time.perf_counter()

    try:
        with Watch() as watch:
            while step < steps and spent + time.perf_counter() - began < stop_at:
                length = min(chunk - step % chunk, steps - step)
                stacked = None if callable(batches) else _stack(batches, length)
                state, info, healthy = run_chunk(state, stacked, length)
                step += length
                record = {k: np.asarray(v).tolist() for k, v in info.items()}
                if not bool(healthy):
                    raise Diverged(_advice(record, step, saved))
                seconds = spent + time.perf_counter() - began
                evaluated: dict[str, float] = {}
                if evaluate and ((evaluate_every and step % evaluate_every == 0) or step == steps):
                    evaluated = {k: float(v) for k, v in evaluate(state).items()}
                record = {"step": step, "seconds": round(seconds, 3), **record, **evaluated}
                if directory:
                    directory.log(record)
                progress.update(step, {**evaluated, **record})
                if (evaluated and best) or step == steps or time.perf_counter() - last_save >= checkpoint_seconds:
                    save(evaluated)
                if watch.signal is not None:
                    save()
                    where = f"; --resume --out {directory.path} goes on" if directory else ""
                    message = f"stopped by signal {watch.signal} at step {step}, saved{where}"
                    print(message, file=sys.stderr)
                    raise Interrupted(watch.signal, message)
            save()
    finally:
        progress.close()
    return state


def compiled_chunk(learner: Learner, sampler: Callable[[jax.Array], Any] | None) -> Callable[..., Any]:
    """``(state, stacked batches or None, length) -> (state, mean info, healthy)``, compiled once for each length.

    The arrays of a sampler that is a ``jax.tree_util.Partial`` are arguments of the program; those that another sampler closes
    over are constants in it.
    """

    def body(sampler, state, batch):
        if sampler is not None:
            batch = sampler(data_key(state))
        return learner.update(state, batch)

    def run(sampler, state, stacked, length):
        state, info = jax.lax.scan(partial(body, sampler), state, stacked, length)
        healthy = jnp.array(True)
        for leaf in jax.tree.leaves(info):
            healthy &= jnp.all(jnp.isfinite(leaf))
        for leaf in jax.tree.leaves(state):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                healthy &= ~jnp.any(jnp.isnan(leaf))
        return state, jax.tree.map(lambda x: jnp.mean(x.astype(jnp.float32), axis=0), dict(info)), healthy

    given = sampler if sampler is None or isinstance(sampler, Partial) else Partial(sampler)
    return partial(jax.jit(run, static_argnums=3, donate_argnums=1), given)


def data_key(state: Any) -> jax.Array:
    """The key by which ``train`` draws the batch of a step, apart from the keys that a learner draws for itself."""
    return jax.random.fold_in(stream(state.key, "data"), state.step)


def _stack(iterator: Iterator[Any], length: int) -> Any:
    got = []
    for _ in range(length):
        try:
            got.append(next(iterator))
        except StopIteration:
            raise InputError(
                "train: batches ended before the steps did; accepted is an iterator that repeats"
            ) from None
    return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(a) for a in x]), *got)


def _advice(record: dict[str, Any], step: int, saved: Checkpoints | None) -> str:
    broken = [k for k, v in record.items() if not np.all(np.isfinite(v))] or ["the state"]
    where = "no checkpoint was saved before"
    if saved is not None and saved.latest is not None:
        where = f"last good checkpoint: {saved.path / str(saved.latest)}"
    return f"not finite by step {step}: {', '.join(broken)}; {where}. Try a smaller learning rate or clip gradients."


def load(like: Any, directory: Path | str, step: int | None = None, best: tuple[str, bool] | None = None) -> Any:
    """A state from a finished or stopped run.

    Args:
        like: a state of the same structure.
        directory: of the run.
        step: of the checkpoint; by default the latest.
        best: ``(metric, maximize)`` as given to ``train``, to take the best checkpoint instead.
    """
    metric, maximize = best or (None, True)
    saved = Checkpoints(Path(directory) / "checkpoints", metric, maximize)
    return saved.restore(like, saved.best if step is None and best else step).state
