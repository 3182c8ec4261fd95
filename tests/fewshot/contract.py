"""What every few-shot method must do, as checks of a ``Case``. Used by the test suite, and by whoever adds a method.

Compiling is nearly all of the time, so a case compiles each program once and all checks share it.
"""

import functools
import operator
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from metajax import fewshot, run
from metajax.run import _loop

DRAWS = 4


class Case(NamedTuple):
    """A method with what is compiled of it.

    Attributes:
        method: the method.
        init: ``key -> params``, the initial parameters.
        draws: ``DRAWS`` batches that ``update`` takes.
        update: the compiled update.
        judge: ``hyper -> Report``, the compiled evaluation.
    """

    method: fewshot.Method
    init: Callable[[jax.Array], Any]
    draws: list[Any]
    update: Any
    judge: Callable[[Any], fewshot.Report]

    @property
    def start(self) -> Any:
        return self.method.init(jax.random.key(0), self.init(jax.random.key(1)))


def case(method, init, batches, task, metric="accuracy", episodes=40) -> Case:
    """A case of a method: ``batches(key)`` is what ``update`` takes, ``task(key)`` an episode to be tested on."""
    draws = [batches(key) for key in jax.random.split(jax.random.key(2), DRAWS)]
    judge = fewshot.evaluation.evaluator(method, task, metric, jax.random.key(6), episodes, chunk=20)
    return Case(method, init, draws, jax.jit(method.update), judge)


def floats(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def close(a, b, rtol=2e-3, atol=2e-4):
    for x, y in zip(floats(a), floats(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def compiles_once_and_stays_finite(case: Case):
    """One compilation serves all steps, types and shapes stay, something is learned, a blank task gives no NaN."""
    state, _ = case.update(case.start, case.draws[0])
    state, info = case.update(state, case.draws[1])
    assert int(state.step) == 2
    assert all(np.isfinite(v) for v in info.values())
    kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert kinds(state) == kinds(case.start)
    before, after = floats(case.start.hyper), floats(state.hyper)
    assert any(np.any(x != y) for x, y in zip(before, after)), "nothing was learned"
    blank = jax.tree.map(jnp.zeros_like, case.draws[0])
    after, info = case.update(state, blank)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in floats((after, info)))
    assert case.update._cache_size() == 1, "one compilation serves all steps"


def evaluates(case: Case):
    """``adapt`` has an entry for each step, and the protocol takes it."""
    report = case.judge(case.start.hyper)
    assert report.mean.shape == (case.method.test_steps + 1,)
    assert np.all(np.isfinite(report.mean)) and not report.diverged


def jit_changes_nothing(case: Case):
    """The same with and without jit; without any, so that the small programs of operations serve all methods."""
    with jax.disable_jit():
        plain, _ = case.method.update(case.start, case.draws[0])
    close(plain.hyper, case.update(case.start, case.draws[0])[0].hyper)


class Seeds(NamedTuple):
    """States of several seeds, stacked."""

    step: jax.Array
    each: Any


class Replay:
    """The draws of a case as an iterator whose position can be saved."""

    def __init__(self, draws):
        self.draws, self.position = draws, 0

    def __next__(self):
        self.position += 1
        return self.draws[self.position - 1]

    def __iter__(self):
        return self

    def get_state(self):
        return {"position": self.position}

    def set_state(self, state):
        self.position = state["position"]


def two_seeds_in_a_scan_resume_to_the_same_bits(case: Case):
    """Seeds side by side in a scan learn what each learns alone in a loop; and stopped, saved and resumed, to the last bit what
    they learn without a stop. One program does all of it."""
    learner = case.method.learner
    starts = [case.start, case.method.init(jax.random.key(5), case.init(jax.random.key(4)))]
    stacked = Seeds(jnp.zeros((), jnp.int32), jax.tree.map(lambda *x: jnp.stack(x), *starts))

    def both(state, batch):
        each, info = jax.vmap(learner.update, in_axes=(0, None))(state.each, batch)
        return Seeds(state.step + 1, each), jax.tree.map(lambda x: x.mean(axis=0), info)

    chunk = functools.cache(_loop.compiled_chunk)  # three trainings of one program
    seeds = learner._replace(update=both)
    train = lambda steps, *where: run.train(
        seeds, stacked, Replay(case.draws), steps, *where, chunk=DRAWS // 2, show=False
    )
    with mock.patch.object(_loop, "compiled_chunk", chunk), tempfile.TemporaryDirectory() as folder:
        whole = train(DRAWS)
        with run.RunDirectory(f"{folder}/r", {}) as directory:
            train(DRAWS // 2, directory)
        with run.RunDirectory(f"{folder}/r", {}, resume=True) as directory:
            resumed = train(DRAWS, directory)
    for seed, state in enumerate(starts):
        for draw in case.draws:
            state, _ = case.update(state, draw)
        alone = jax.tree.map(operator.itemgetter(seed), whole.each.hyper)
        close(alone, state.hyper)
    for a, b in zip(floats(whole), floats(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


CHECKS = (
    compiles_once_and_stays_finite,
    evaluates,
    jit_changes_nothing,
    two_seeds_in_a_scan_resume_to_the_same_bits,
)


def check(method, init, task, tasks=4, metric="accuracy"):
    """The whole contract for a method that takes episodes of ``task``."""
    made = case(method, init, fewshot.episodes.tasks(task, tasks), task, metric)
    for part in CHECKS:
        part(made)
