"""What every few-shot method must do, as checks of one method. Compiling takes nearly all of the time, so all checks of a
method share its compiled programs."""

import functools
import operator
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from metajax import fewshot, run
from metajax.run import _loop
from metajax.types import Key, Learner, Params

DRAWS = 4
"""Number of batches that the checks train on."""


class FewShotCase(NamedTuple):
    """A few-shot method with its compiled programs, which all checks share.

    Attributes:
        method: The method.
        init_params: ``key -> initial parameters`` of the network.
        draws: ``DRAWS`` batches that ``method.update`` takes.
        update: The compiled ``method.update``.
        judge: ``hyper -> Report``, the compiled evaluation protocol.
    """

    method: fewshot.Method
    init_params: Callable[[Key], Params]
    draws: list[Any]
    update: Any
    judge: Callable[[Any], fewshot.Report]

    @property
    def start(self) -> Any:
        """The initial state."""
        return self.method.init(jax.random.key(0), self.init_params(jax.random.key(1)))


def few_shot_case(
    method: fewshot.Method,
    init_params: Callable[[Key], Params],
    batches: Callable[[Key], Any],
    task: fewshot.episodes.Sampler,
    metric: str = "accuracy",
    episodes: int = 40,
) -> FewShotCase:
    """Makes the case of a method, for running the checks one by one.

    Args:
        method: The method to be checked.
        init_params: ``key -> initial parameters``; ``method.init_params`` of a method that a recipe built.
        batches: ``key -> batch`` that ``method.update`` takes: episodes of several tasks, or labeled examples.
        task: Sampler of one episode, to evaluate on.
        metric: The metric of the evaluation, an entry of the info of the loss.
        episodes: Number of evaluated episodes, a multiple of 20.

    Returns:
        The case. Its programs are compiled when a check first uses them.

    Example:
        >>> import optax
        >>> from metajax.fewshot import episodes
        >>> method = fewshot.maml(fewshot.squared_error(lambda w, x: w * x), optax.sgd(0.01), optax.sgd(0.01))
        >>> wave = episodes.sinusoid(5, 5)
        >>> case = few_shot_case(method, lambda key: jax.random.normal(key), episodes.tasks(wave, 2), wave, "mse")
        >>> [check.__name__ for check in FEW_SHOT_CHECKS][:2]
        ['check_compiles_once_and_stays_finite', 'check_evaluation']
        >>> FEW_SHOT_CHECKS[1](case)
    """
    draws = [batches(key) for key in jax.random.split(jax.random.key(2), DRAWS)]
    judge = fewshot.evaluation.evaluator(method, task, metric, jax.random.key(6), episodes, chunk=20)
    return FewShotCase(method, init_params, draws, jax.jit(method.update), judge)


def check_few_shot_method(
    method: fewshot.Method,
    task: fewshot.episodes.Sampler,
    init_params: Callable[[Key], Params] | None = None,
    *,
    tasks: int = 4,
    metric: str = "accuracy",
) -> None:
    """Checks everything that metajax expects of a few-shot method that trains on episodes.

    One compiled program serves all steps, and it changes neither shapes nor types. A blank task gives no NaN. Something is
    learned. ``adapt`` has an entry for each step. The update is a pure function. Without ``jit`` it computes the same. Seeds
    side by side in a scan learn what each learns alone. A training that is stopped, saved and resumed ends in the same bits.

    Args:
        method: The method. Give it an outer optimizer such as ``optax.sgd(0.1)``: Adam divides a gradient by its size, so
            that it makes a whole step of rounding errors where a gradient is zero, and equal programs appear to differ.
        task: Sampler of one episode.
        init_params: ``key -> initial parameters`` of the network. ``None`` takes ``method.init_params``, which a method has
            that a recipe built.
        tasks: Number of tasks in an update.
        metric: The metric of the evaluation, an entry of the info of the loss.

    Raises:
        AssertionError: If the method breaks a rule; the message says which.

    Example:
        >>> import optax
        >>> from metajax import fewshot
        >>> from metajax.fewshot import episodes
        >>> points = jax.random.normal(jax.random.key(0), (6, 8, 4))
        >>> method = fewshot.protonet(lambda params, x: jnp.tanh(x @ params), optax.sgd(0.1))
        >>> task = episodes.classes(points, ways=3, shots=2, queries=2)
        >>> check_few_shot_method(method, task, lambda key: jax.random.normal(key, (4, 4)))
    """
    batches = jax.jit(fewshot.episodes.tasks(task, tasks))
    case = few_shot_case(method, init_params or method.init_params, batches, task, metric)
    for check in FEW_SHOT_CHECKS:
        check(case)


def _floats(tree: Any) -> list[Any]:
    """The leaves of a floating-point type."""
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def _assert_close(a: Any, b: Any, message: str) -> None:
    """Compares the floats of two trees up to rounding."""
    for x, y in zip(_floats(a), _floats(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-4, err_msg=message)


def check_compiles_once_and_stays_finite(case: FewShotCase) -> None:
    """One program serves all steps, shapes and types stay, something is learned, and a blank task gives no NaN.

    Args:
        case: The method and its programs.

    Raises:
        AssertionError: If one of these does not hold.
    """
    start = case.start
    state, _ = case.update(start, case.draws[0])
    state, info = case.update(state, case.draws[1])
    assert int(state.step) == 2, "the state counts its steps"
    assert all(np.isfinite(v) for v in info.values()), f"info is not finite: {info}"
    kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert kinds(state) == kinds(start), "an update changes shapes or types of the state"
    before, after = _floats(start.hyper), _floats(state.hyper)
    assert any(np.any(x != y) for x, y in zip(before, after)), "nothing was learned"
    blank = jax.tree.map(jnp.zeros_like, case.draws[0])
    after, info = case.update(state, blank)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in _floats((after, info))), "a blank task gives NaN"
    assert case.update._cache_size() == 1, "an update is compiled again although shapes and types stay"


def check_evaluation(case: FewShotCase) -> None:
    """``adapt`` has an entry for each step, and the evaluation protocol takes it.

    Args:
        case: The method and its programs.

    Raises:
        AssertionError: If entries are missing or scores are not finite.
    """
    report = case.judge(case.start.hyper)
    assert report.mean.shape == (case.method.test_steps + 1,), "adapt has test_steps + 1 entries"
    assert np.all(np.isfinite(report.mean)) and not report.diverged, f"scores are not finite: {report}"


def check_update_is_pure(case: FewShotCase) -> None:
    """The update is the same program whenever it is traced.

    It is traced twice from scratch, with an update between, and the two programs are compared operation by operation, with
    the constants in them. They differ where the update reads or writes what is not among its arguments: a counter, a cache,
    the clock, NumPy's random numbers, an array that an earlier trace left behind (which JAX also refuses as a leaked
    tracer). That Python branches on the value of an argument cannot happen in a trace at all: JAX raises an error. So what
    the compiled update computes is decided by its arguments alone.

    Args:
        case: The method and its programs.

    Raises:
        AssertionError: If the two programs differ.
    """
    start, draw = case.start, case.draws[0]
    trace = lambda: jax.make_jaxpr(lambda *args: case.method.update(*args))(start, draw)
    with jax.checking_leaks():
        first = trace()
    case.update(start, draw)
    second = trace()
    assert str(first) == str(second), "the update is another program when it is traced again: it is not pure"
    for a, b in zip(first.consts, second.consts, strict=True):
        np.testing.assert_array_equal(a, b, err_msg="a constant of the update changes: it is not pure")


def check_update_without_jit(case: FewShotCase) -> None:
    """The update computes the same operation by operation, without ``jit``, where Python sees the values.

    Args:
        case: The method and its programs.

    Raises:
        AssertionError: If the results differ by more than rounding.
    """
    with jax.disable_jit():  # also inside of scans, so that the small programs of operations serve all methods
        plain, _ = case.method.update(case.start, case.draws[0])
    compiled, _ = case.update(case.start, case.draws[0])
    _assert_close(plain.hyper, compiled.hyper, "without jit the update computes something else")


class _Seeds(NamedTuple):
    """States of several seeds, stacked."""

    step: jax.Array
    each: Any


class _Replay:
    """The draws of a case as an iterator whose position can be saved."""

    def __init__(self, draws: list[Any]):
        self.draws, self.position = draws, 0

    def __next__(self) -> Any:
        self.position += 1
        return self.draws[self.position - 1]

    def __iter__(self) -> Iterator[Any]:
        return self

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def check_seeds_in_a_scan_resume(case: FewShotCase) -> None:
    """Two seeds side by side in a scan learn what each learns alone, and resume to the same bits.

    The training is run as a whole, and again with a stop, a checkpoint and a resume in its middle.

    Args:
        case: The method and its programs.

    Raises:
        AssertionError: If a seed learns something else than alone, or if the resumed training ends in other bits.
    """
    starts = [case.start, case.method.init(jax.random.key(5), case.init_params(jax.random.key(4)))]
    whole, resumed = _two_trainings(case.method.learner, starts, case.draws)
    for seed, state in enumerate(starts):
        for draw in case.draws:
            state, _ = case.update(state, draw)
        alone = jax.tree.map(operator.itemgetter(seed), whole.each.hyper)
        _assert_close(alone, state.hyper, "a seed beside another learns something else than alone")
    for a, b in zip(_floats(whole), _floats(resumed), strict=True):
        np.testing.assert_array_equal(a, b, err_msg="a resumed training ends in other bits")


def _two_trainings(learner: Learner, starts: list[Any], draws: list[Any]) -> tuple[_Seeds, _Seeds]:
    """What seeds have learned side by side, without a stop and with one; a single program does all of it."""
    stacked = _Seeds(jnp.zeros((), jnp.int32), jax.tree.map(lambda *x: jnp.stack(x), *starts))
    stacked = jax.device_put(stacked, jax.devices()[0])  # as restored states are, for which JAX would compile again

    def both(state: _Seeds, batch: Any) -> tuple[_Seeds, Any]:
        each, info = jax.vmap(learner.update, in_axes=(0, None))(state.each, batch)
        return _Seeds(state.step + 1, each), jax.tree.map(lambda x: x.mean(axis=0), info)

    seeds = learner._replace(update=both)

    def train(steps: int, *where: run.RunDirectory) -> _Seeds:
        return run.train(seeds, stacked, _Replay(draws), steps, *where, chunk=DRAWS // 2, show=False)

    compiled = functools.cache(_loop.compiled_chunk)
    with mock.patch.object(_loop, "compiled_chunk", compiled), tempfile.TemporaryDirectory() as folder:
        whole = train(DRAWS)
        with run.RunDirectory(f"{folder}/r", {}) as directory:
            train(DRAWS // 2, directory)
        with run.RunDirectory(f"{folder}/r", {}, resume=True) as directory:
            return whole, train(DRAWS, directory)


FEW_SHOT_CHECKS = (
    check_compiles_once_and_stays_finite,
    check_evaluation,
    check_update_is_pure,
    check_update_without_jit,
    check_seeds_in_a_scan_resume,
)
"""All checks of ``check_few_shot_method``, for tests that run them one by one."""
