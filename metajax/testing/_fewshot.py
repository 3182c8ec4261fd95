"""What every few-shot method must do, as checks of one method."""

import operator
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from metajax import fewshot
from metajax.testing._contract import Contract
from metajax.testing._stopped import uninterrupted_and_resumed
from metajax.types import Key, Params

DRAWS = 4
"""Number of batches that the checks train on."""


class FewShotContract(Contract):
    """Checks everything that metajax expects of a few-shot method.

    One compiled program serves all steps, and it changes neither shapes nor types. A blank task gives no NaN. Something is
    learned. ``adapt`` has an entry for each step. The update is a pure function. Without ``jit`` it computes the same. Seeds
    side by side in a scan learn what each learns alone. A training that is stopped, saved and resumed ends in the same bits.

    Compiling takes nearly all of the time, so all checks share the compiled programs. They are compiled when a check first
    uses them.

    Args:
        method: The method. Give it an outer optimizer such as ``optax.sgd(0.1)``: Adam divides a gradient by its size, so
            that it makes a whole step of rounding errors where a gradient is zero, and equal programs appear to differ.
        task: The sampler of one episode.
        init_params: A function ``key -> initial parameters`` of the network. ``None`` takes ``method.init_params``, which a
            method has that a recipe built.
        batches: A function ``key -> batch``, whose batches ``method.update`` takes, such as labeled examples. ``None`` takes
            episodes of four tasks.
        metric: The metric of the evaluation, an entry of the info of the loss.
        episodes: The number of evaluated episodes, a multiple of 20.

    Attributes:
        method: The method.
        draws: The ``DRAWS`` batches.
        update: The compiled ``method.update``.
        judge: The compiled evaluation protocol, ``hyper -> Report``.

    Example:
        >>> import optax
        >>> from metajax.fewshot import episodes
        >>> points = jax.random.normal(jax.random.key(0), (6, 8, 4))
        >>> method = fewshot.protonet(lambda params, x: jnp.tanh(x @ params), optax.sgd(0.1))
        >>> task = episodes.classes(points, ways=3, shots=2, queries=2)
        >>> contract = FewShotContract(method, task, lambda key: jax.random.normal(key, (4, 4)))
        >>> contract.check_evaluation()  # each check raises an AssertionError that says what is broken
        >>> contract.check()  # all of them
    """

    def __init__(
        self,
        method: fewshot.Method,
        task: fewshot.episodes.Sampler,
        init_params: Callable[[Key], Params] | None = None,
        *,
        batches: Callable[[Key], Any] | None = None,
        metric: str = "accuracy",
        episodes: int = 40,
    ):
        self.method: fewshot.Method = method
        self._init_params = init_params or method.init_params
        batches = batches or jax.jit(fewshot.episodes.tasks(task, 4))
        self.draws: list[Any] = [batches(key) for key in jax.random.split(jax.random.key(2), DRAWS)]
        self.update: Any = jax.jit(method.update)
        self.judge: Callable[[Any], fewshot.Report] = fewshot.evaluation.evaluator(
            method, task, metric, jax.random.key(6), episodes, chunk=20
        )

    @property
    def start(self) -> Any:
        """The state before the first step."""
        return self.method.init(jax.random.key(0), self._init_params(jax.random.key(1)))

    def check_steps(self) -> None:
        """One program serves all steps, shapes and types stay, something is learned, and a blank task gives no NaN."""
        start = self.start
        state, _ = self.update(start, self.draws[0])
        state, info = self.update(state, self.draws[1])
        assert int(state.step) == 2, "the state does not count its steps"
        assert all(np.isfinite(v) for v in info.values()), f"info is not finite: {info}"
        kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
        assert kinds(state) == kinds(start), "an update changes shapes or types of the state"
        before, after = _floats(start.hyper), _floats(state.hyper)
        assert any(np.any(x != y) for x, y in zip(before, after)), "nothing was learned"
        blank = jax.tree.map(jnp.zeros_like, self.draws[0])
        after, info = self.update(state, blank)
        assert all(bool(jnp.all(jnp.isfinite(x))) for x in _floats((after, info))), "a blank task gives NaN"
        number = self.update._cache_size()
        assert number == 1, "an update is compiled again although shapes and types stay"

    def check_evaluation(self) -> None:
        """``adapt`` has an entry for each step, and the evaluation protocol takes it."""
        report, steps = self.judge(self.start.hyper), self.method.test_steps
        assert report.mean.shape == (steps + 1,), f"adapt has {len(report.mean)} entries, not {steps} + 1 (test_steps)"
        assert np.all(np.isfinite(report.mean)) and not report.diverged, f"scores are not finite: {report}"

    def check_purity(self) -> None:
        """The update is the same program whenever it is traced.

        The trace that was compiled is compared with a later one from scratch, operation by operation, with the constants
        in them. They differ where the update reads or writes what is not among its arguments: a counter, a cache, the
        clock, NumPy's random numbers, an array that an earlier trace left behind (which JAX also refuses as a leaked
        tracer). That Python branches on the value of an argument cannot happen in a trace at all: JAX raises an error. So
        what the compiled update computes is decided by its arguments alone.
        """
        start, draw = self.start, self.draws[0]
        first = self.update.trace(start, draw).jaxpr
        self.update(start, draw)
        with jax.checking_leaks():
            second = jax.make_jaxpr(lambda *args: self.method.update(*args))(start, draw)
        assert str(first) == str(second), "the update is another program when it is traced again: it is not pure"
        for a, b in zip(first.consts, second.consts, strict=True):
            np.testing.assert_array_equal(a, b, err_msg="a constant of the update changes: it is not pure")

    def check_without_jit(self) -> None:
        """The update computes the same operation by operation, without ``jit``, where Python sees the values."""
        with jax.disable_jit():  # also inside of scans, so that the small programs of operations serve all methods
            plain, _ = self.method.update(self.start, self.draws[0])
        compiled, _ = self.update(self.start, self.draws[0])
        _assert_close(plain.hyper, compiled.hyper, "without jit the update computes something else")

    def check_resume(self) -> None:
        """Two seeds side by side in a scan learn what each learns alone, and resume to the same bits.

        The training is run as a whole, and again with a stop, a checkpoint and a resume in its middle.
        """
        starts = [self.start, self.method.init(jax.random.key(5), self._init_params(jax.random.key(4)))]
        uninterrupted, resumed = uninterrupted_and_resumed(self.method.learner, starts, self.draws)
        for seed, state in enumerate(starts):
            for draw in self.draws:
                state, _ = self.update(state, draw)
            alone = jax.tree.map(operator.itemgetter(seed), uninterrupted.states.hyper)
            _assert_close(alone, state.hyper, "a seed beside another learns something else than alone")
        for a, b in zip(_floats(uninterrupted), _floats(resumed), strict=True):
            np.testing.assert_array_equal(a, b, err_msg="a resumed training ends in other bits")

    CHECKS: ClassVar[tuple[Callable[[Any], None], ...]] = (
        check_steps,
        check_evaluation,
        check_purity,
        check_without_jit,
        check_resume,
    )


def _floats(tree: Any) -> list[Any]:
    """The leaves of a floating-point type."""
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def _assert_close(a: Any, b: Any, message: str) -> None:
    """Compares the floats of two trees up to rounding."""
    for x, y in zip(_floats(a), _floats(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-3, atol=2e-4, err_msg=message)
