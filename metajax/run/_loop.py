"""The one training loop: chunks of steps inside a compiled scan, with metrics, evaluation, checkpoints and signals."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from metajax.parallel import Devices, Placement, agreed, mesh, wait
from metajax.run._checkpoint import Checkpoints
from metajax.run._chunk import compiled_chunk
from metajax.run._directory import RunDirectory
from metajax.run._leaves import check_leaves
from metajax.run._progress import Progress
from metajax.run._signals import Interrupted, Watch
from metajax.types import Batch, InputError, Key, Learner


class Diverged(RuntimeError):
    """The loss or the state is no longer finite. The message names the last good checkpoint."""


class StepRecord(TypedDict):
    """What ``train`` logs of a chunk, beside the means of the learner's info and the metrics of an evaluation.

    Attributes:
        step: The number of updates so far.
        seconds: The seconds of training so far, earlier processes included.

    Example:
        >>> record: StepRecord = {"step": 100, "seconds": 2.5}
        >>> {**record, "loss": 0.3}  # a line of metrics.jsonl
        {'step': 100, 'seconds': 2.5, 'loss': 0.3}
    """

    step: int
    seconds: float


def train(
    learner: Learner,
    state: Any,
    batches: Callable[[Key], Batch] | Iterator[Batch],
    steps: int,
    directory: RunDirectory | None = None,
    *,
    chunk: int = 100,
    evaluate: Callable[[Any], Mapping[str, float]] | None = None,
    evaluate_every: int | None = None,
    best: str | None = None,
    maximize: bool = True,
    checkpoint_seconds: float = 60.0,
    minutes: float | None = None,
    label: str = "",
    show: bool = True,
    devices: Devices | None = None,
    batch_axes: Any = 0,
) -> Any:
    """Trains a learner to a number of steps and returns its state.

    Killed at any instant and called again with a resumed ``directory``, it ends in the same bits: the randomness of a step
    depends on the key and the number of the step alone, and chunks begin at multiples of ``chunk`` whatever happened before. A
    damaged checkpoint is named on standard error and set aside, and the run continues from the last good one.

    With ``devices``, batches are cut over them, and the state is whole on each. The result is that of one device except for
    rounding: sums are made in another order. A checkpoint does not know of devices, so a run goes on with any number of them.
    In a program over hosts (``parallel.connect``), every process calls this with the same arguments, and the first one writes.

    Args:
        learner: The learner.
        state: Its initial state, a pytree of arrays with ``.step`` and ``.key``. ``Any``, because each learner has its own
            type.
        batches: A sampler ``key -> batch``, which is compiled into the chunk, or an iterator of batches. A sampler that is a
            ``jax.tree_util.Partial`` of its arrays gives a program that does not depend on them, so that a second process finds
            it compiled. An iterator with ``get_state`` and ``set_state`` (as those of grain; bytes or JSON) is resumed at its
            position.
        steps: The step at which to stop, an integer >= 0.
        directory: The run directory for metrics and checkpoints; ``None`` writes nothing.
        chunk: The number of steps of one compiled scan, an integer >= 1. Metrics are means over a chunk.
        evaluate: A function ``state -> metrics``. Its results are logged beside those of the learner.
        evaluate_every: The number of steps between evaluations, a multiple of ``chunk``. By default only the end is evaluated.
        best: The metric of ``evaluate`` by which the best checkpoint is kept beside the latest.
        maximize: Whether a larger value of ``best`` is better.
        checkpoint_seconds: The time between checkpoints. Evaluations with ``best`` and the end save a checkpoint too.
        minutes: The training stops after this time in all, earlier processes included.
        label: What is trained, for the progress.
        show: Whether to show progress on standard error.
        devices: The devices that share each step: how many, ``"all"``, a list, or a mesh of one axis. By default it is the one
            that the arrays are on.
        batch_axes: The axis of the arrays of a batch that is cut over the devices, which must divide it: one for all, or a tree
            as ``in_axes`` of ``jax.vmap``, with ``None`` for arrays that stay whole. For ``bilevel.learner`` it is ``(1, 0)``.
            In a program over hosts, an iterator yields the part of this process.

    Returns:
        The state after ``steps`` steps, or after ``minutes``.

    Raises:
        InputError: If ``steps``, ``chunk`` or ``evaluate_every`` is out of range, batches end before the steps do, the state
            holds what a checkpoint cannot keep, no checkpoint of a resumed run is good, or the devices do not divide the batch.
        Diverged: At the first value that is not finite.
        Interrupted: After SIGTERM or SIGINT, once the state is saved.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> loss = lambda params, batch, key: (jnp.mean((params - batch) ** 2), {})
        >>> learner = bilevel.supervised(lambda key: jnp.zeros(()), loss, optax.sgd(0.1))
        >>> state = learner.init(jax.random.key(0))
        >>> state = train(learner, state, lambda key: 3.0 + jax.random.normal(key, (64,)), steps=100, show=False)
        >>> round(float(state.params))
        3
    """
    if steps < 0 or chunk < 1:
        raise InputError(f"train: steps must be >= 0 and chunk >= 1, got steps={steps}, chunk={chunk}")
    if evaluate_every is not None and evaluate_every % chunk:
        raise InputError(f"train: evaluate_every must be a multiple of chunk={chunk}, got {evaluate_every}")
    check_leaves(state)
    if devices is None and jax.process_count() > 1:
        raise InputError("train: devices must be 'all' in a program that runs on several hosts, got None")
    placement = None if devices is None else Placement(mesh(devices), batch_axes)
    if placement is not None and callable(batches):
        placement.check(jax.eval_shape(batches, jax.random.key(0)))
    state = jax.tree.map(lambda x: jnp.array(x, copy=True), state)  # the caller's arrays survive the donation
    if placement is not None:
        state = placement.replicate(state)
    checkpoints = Checkpoints(directory.path / "checkpoints", best, maximize) if directory else None
    training = _Training(
        learner=learner,
        batches=batches,
        steps=steps,
        directory=directory,
        checkpoints=checkpoints,
        chunk=chunk,
        evaluate=evaluate,
        evaluate_every=evaluate_every,
        has_best=best is not None,
        checkpoint_seconds=checkpoint_seconds,
        max_seconds=math.inf if minutes is None else 60 * minutes,
        state=state,
        step=int(state.step),
        placement=placement,
    )
    training.resume()
    return training.run(label, show)


@dataclasses.dataclass
class _Training:
    """One call of ``train``: its arguments, and how far it is."""

    learner: Learner
    batches: Any
    steps: int
    directory: RunDirectory | None
    checkpoints: Checkpoints | None
    chunk: int
    evaluate: Callable[[Any], Mapping[str, float]] | None
    evaluate_every: int | None
    has_best: bool
    checkpoint_seconds: float
    max_seconds: float
    state: Any
    step: int
    placement: Placement | None = None
    started: float = dataclasses.field(default_factory=time.perf_counter)
    last_save: float = dataclasses.field(default_factory=time.perf_counter)
    earlier_seconds: float = 0.0

    def resume(self) -> None:
        """Continues from the last good checkpoint of a resumed run."""
        if self.directory is None or self.checkpoints is None:
            return
        if not self.directory.resumed or self.checkpoints.latest is None:
            self.directory.rewind(self.step)
            return
        self.step, self.state, position = self.checkpoints.restore(self.state)
        self.checkpoints.set_aside(self.step)
        if position is not None:
            self.batches.set_state(position)
        wait("checkpoint read")
        records = self.directory.rewind(self.step)
        self.earlier_seconds = max((r.get("seconds", 0.0) for r in records), default=0.0)

    def seconds(self) -> float:
        """Returns the time that this process and earlier ones have trained."""
        return self.earlier_seconds + time.perf_counter() - self.started

    def save(self, metrics: dict[str, float] | None = None) -> None:
        """Saves a checkpoint, unless there is one of this step."""
        if self.checkpoints is None or self.checkpoints.latest == self.step:
            return
        has_position = not callable(self.batches) and hasattr(self.batches, "get_state")
        position = self.batches.get_state() if has_position else None
        self.checkpoints.save(self.step, self.state, position, metrics)
        self.last_save = time.perf_counter()

    def run(self, label: str, show: bool) -> Any:
        """Trains chunk by chunk and returns the state."""
        run_chunk = compiled_chunk(self.learner, self.batches if callable(self.batches) else None, self.placement)
        progress = Progress(self.steps, self.step, label, show=show)
        self.started = self.last_save = time.perf_counter()
        try:
            with Watch() as watch:
                while self.step < self.steps and not self.is_late:
                    self.advance(run_chunk, progress)
                    (signal,) = agreed(watch.signal or 0)
                    if signal:
                        self.leave(int(signal))
                self.save()
        finally:
            progress.close()
        return self.state

    @property
    def is_late(self) -> bool:
        """Whether the time is over."""
        return math.isfinite(self.max_seconds) and bool(agreed(self.seconds() >= self.max_seconds)[0])

    def advance(self, run_chunk: Callable[..., Any], progress: Progress) -> None:
        """Trains one chunk, logs and evaluates it, and saves a checkpoint where one is due."""
        length = min(self.chunk - self.step % self.chunk, self.steps - self.step)
        stacked = None if callable(self.batches) else _stack(self.batches, length, self.placement)
        self.state, info, is_finite = run_chunk(self.state, stacked, length)
        self.step += length
        record = {k: np.asarray(v).tolist() for k, v in info.items()}
        if not bool(is_finite):
            raise Diverged(_advice(record, self.step, self.checkpoints))
        seconds = self.seconds()
        evaluated: dict[str, float] = {}
        is_due = self.evaluate_every is not None and self.step % self.evaluate_every == 0
        if self.evaluate and (is_due or self.step == self.steps):
            evaluated = {k: float(v) for k, v in self.evaluate(self.state).items()}
        step_record: StepRecord = {"step": self.step, "seconds": round(seconds, 3)}
        record = {**step_record, **record, **evaluated}
        if self.directory:
            self.directory.log(record)
        progress.update(self.step, {**evaluated, **record})
        (is_old,) = agreed(time.perf_counter() - self.last_save >= self.checkpoint_seconds)
        if (evaluated and self.has_best) or self.step == self.steps or is_old:
            self.save(evaluated)

    def leave(self, signal: int) -> None:
        """Saves the state and ends the process."""
        self.save()
        hint = f"; resume the run in {self.directory.path} to continue" if self.directory else ""
        message = f"stopped by signal {signal} at step {self.step}; the state is saved{hint}"
        print(message, file=sys.stderr)
        raise Interrupted(signal, message)


def _stack(iterator: Iterator[Batch], length: int, placement: Placement | None) -> Batch:
    """Returns the next batches, stacked along a new leading axis, on the devices of a placement."""
    batches = []
    for _ in range(length):
        try:
            batches.append(next(iterator))
        except StopIteration:
            raise InputError(
                "train: batches must yield one batch per step, but the iterator ended early; use one that repeats"
            ) from None
    if placement is None:
        return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(a) for a in x]), *batches)
    placement.check_own(batches[0])
    return placement.spread(jax.tree.map(lambda *x: np.stack([np.asarray(a) for a in x]), *batches), stacked=True)


def _advice(record: dict[str, Any], step: int, checkpoints: Checkpoints | None) -> str:
    """Returns what is not finite, where the last good checkpoint is, and what to try."""
    broken = [k for k, v in record.items() if not np.all(np.isfinite(v))] or ["the state"]
    checkpoint = "no checkpoint was saved before"
    if checkpoints is not None and checkpoints.latest is not None:
        checkpoint = f"last good checkpoint: {checkpoints.path / str(checkpoints.latest)}"
    return (
        f"not finite by step {step}: {', '.join(broken)}; {checkpoint}. Try a smaller learning rate or clip gradients."
    )
