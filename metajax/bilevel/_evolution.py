"""Hypergradients by evolution strategies: from the values of perturbed inner runs, without any derivative."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.bilevel._inner import InnerState, Solution
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem, descent, solution, split
from metajax.bilevel._through_solution import no_warm_start, solve_and_judge
from metajax.bilevel._unroll import learn_and_judge
from metajax.types import Batch, Hyper, InputError, Key, stream


class PersistentState(NamedTuple):
    """What persistent evolution strategies carry from one segment of inner learning to the next.

    Attributes:
        main: The inner state of the run without perturbation.
        particles: The inner states of the perturbed runs, along a leading axis of size ``population``.
        total: For each antithetic pair the sum of the perturbations that it has seen since it began: leaves as those of
            ``hyper``, with a leading axis of size ``population / 2``.
    """

    main: InnerState
    particles: InnerState
    total: Hyper


def evolution(population: int = 16, sigma: float = 0.01, persistent: bool = False) -> Estimator:
    r"""Estimates the gradient of the outer loss smoothed by Gaussian noise, from forward runs alone.

    With n pairs of antithetic perturbations of the hyperparameters, where ``population`` is 2n:

    $$\frac{1}{2 n \sigma^2} \sum_{i=1}^{n} \epsilon_i \bigl(F(h + \epsilon_i) - F(h - \epsilon_i)\bigr), \qquad
    \epsilon_i \sim N(0, \sigma^2 I)$$

    It works where nothing can be differentiated or where unrolled gradients explode (Metz et al. 2019). Its variance grows with
    the number of hyperparameters, so it is for few of them.

    Args:
        population: The number of perturbed inner runs, an even integer >= 2.
        sigma: Standard deviation of the perturbations in the units of ``hyper``, a positive number.
        persistent: Whether to carry the perturbed runs on between calls and to credit each with the sum of its
            perturbations, so that short segments of a long inner run give an unbiased gradient (PES, Vicol et al. 2021). The
            outer loss of the whole run is then the sum of the segments' values, and the carried state is a
            ``PersistentState``.

    Returns:
        An estimator for problems made with ``Inner.descent`` or, unless it is persistent, ``Inner.solution``.

    Raises:
        InputError: If ``population`` is odd or ``sigma`` is not positive; later, if it is persistent and the problem is made
            with ``Inner.solution``.

    Deviations:
        Metz et al. (2019) combine this estimate with that of unrolling, by their variances. Here it stands alone.

    References:
        * Metz et al. 2019, "Understanding and correcting pathologies in the training of learned optimizers",
          arXiv:1810.10180.
        * Vicol et al. 2021, "Unbiased gradient estimation in unrolled computation graphs with persistent evolution
          strategies", arXiv:2112.13835.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> staircase = lambda h, batch, key: jnp.floor(100 * h) / 100  # its derivative is zero almost everywhere
        >>> square = lambda h, w, batch, key: (w**2, {})
        >>> fn = bilevel.evolution(population=1000, sigma=0.1)(bilevel.Problem(bilevel.Inner.solution(staircase), square))
        >>> result = fn(jnp.asarray(0.5), None, jnp.zeros(1), jnp.zeros(()), jax.random.key(0))
        >>> round(float(result.grad), 1)  # that of h^2
        1.0
    """
    if population < 2 or population % 2 or sigma <= 0:
        raise InputError(
            f"evolution: population must be an even integer >= 2 and sigma a number > 0, got population={population}, "
            f"sigma={sigma}"
        )

    def estimator(problem: Problem[Any]) -> HypergradientFn:
        is_solved = isinstance(problem.inner, Solution) and not persistent
        problem = (solution if is_solved else descent)(problem, f"evolution(persistent={persistent})")
        perturbed = _PerturbedRuns(problem, population // 2, sigma, is_solved)
        if persistent:
            return HypergradientFn(perturbed.persistent_estimate, perturbed.begin)
        return HypergradientFn(perturbed.estimate, no_warm_start if is_solved else problem.inner.begin)

    return estimator


@dataclasses.dataclass(frozen=True, eq=False)
class _PerturbedRuns:
    """Inner runs under antithetic perturbations of the hyperparameters, and the gradient that their values give.

    Attributes:
        problem: The bilevel problem.
        pairs: The number of antithetic pairs.
        sigma: The standard deviation of the perturbations.
        is_solved: Whether the inner problem is solved by a function.
    """

    problem: Problem[Any]
    pairs: int
    sigma: float
    is_solved: bool

    def begin(self, hyper: Hyper, key: Key) -> PersistentState:
        """Returns the first state of persistent runs, which all begin at the same inner state."""
        state = self.problem.inner.begin(hyper, key)
        copies = jax.tree.map(lambda x: jnp.broadcast_to(x, (2 * self.pairs, *jnp.shape(x))), state)
        return PersistentState(state, copies, jax.tree.map(lambda h: jnp.zeros((self.pairs, *jnp.shape(h))), hyper))

    def estimate(self, hyper: Hyper, start: Any, inner_batches: Batch, outer_batch: Batch, key: Key) -> Hypergradient:
        """Estimates the gradient from runs that all begin at ``start``."""
        noise = self._perturbations(hyper, stream(key, "perturbations"))
        run = self._run_on(inner_batches, outer_batch, key)
        value, (end, info) = run(hyper, start)
        values, _ = jax.vmap(run, in_axes=(0, None))(_antithetic(hyper, noise), start)
        return Hypergradient(value, self._gradient(values, noise), end, info)

    def persistent_estimate(
        self, hyper: Hyper, start: PersistentState | None, inner_batches: Batch, outer_batch: Batch, key: Key
    ) -> Hypergradient:
        """Estimates the gradient from runs that go on, each credited with the sum of its perturbations."""
        noise = self._perturbations(hyper, stream(key, "perturbations"))
        state = self.begin(hyper, split(key).init) if start is None else start
        total = jax.tree.map(jnp.add, state.total, noise)
        run = self._run_on(inner_batches, outer_batch, key)
        value, (end, info) = run(hyper, state.main)
        values, (ends, _) = jax.vmap(run)(_antithetic(hyper, noise), state.particles)
        return Hypergradient(value, self._gradient(values, total), PersistentState(end, ends, total), info)

    def _perturbations(self, hyper: Hyper, key: Key) -> Hyper:
        """Draws one perturbation for each pair, along a leading axis."""
        leaves, tree = jax.tree.flatten(hyper)
        draws = [
            self.sigma * jax.random.normal(jax.random.fold_in(key, i), (self.pairs, *leaf.shape), leaf.dtype)
            for i, leaf in enumerate(leaves)
        ]
        return tree.unflatten(draws)

    def _run_on(self, inner_batches: Batch, outer_batch: Batch, key: Key) -> Callable[[Hyper, Any], Any]:
        """Returns ``(hyper, inner state) -> (outer loss, (end, info))``."""

        def run(hyper: Hyper, state: Any) -> Any:
            if self.is_solved:
                return solve_and_judge(self.problem, hyper, inner_batches, outer_batch, key)
            return learn_and_judge(self.problem, hyper, state, inner_batches, outer_batch, key)

        return run

    def _gradient(self, values: jax.Array, perturbations: Hyper) -> Hyper:
        """Returns the estimate from the values of the runs with ``+`` and then of those with ``-`` the perturbations."""
        weight = (values[: self.pairs] - values[self.pairs :]) / (2 * self.pairs * self.sigma**2)
        return jax.tree.map(lambda e: jnp.tensordot(weight, e, axes=1), perturbations)


def _antithetic(hyper: Hyper, noise: Hyper) -> Hyper:
    """Returns the hyperparameters of all runs: those with ``+noise``, and then those with ``-noise``."""
    return jax.tree.map(lambda h, e: jnp.concatenate([h + e, h - e]), hyper, noise)
