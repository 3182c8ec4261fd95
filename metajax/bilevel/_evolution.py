"""Hypergradients by evolution strategies: from the values of perturbed inner runs, without any derivative."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.bilevel._inner import InnerState, Solution
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem, descent, solution, split
from metajax.bilevel._through_solution import no_warm_start, solve_and_judge
from metajax.bilevel._unroll import learn_and_judge
from metajax.types import Hyper, InputError, Key, stream


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
    pairs = population // 2

    def perturbations(hyper: Hyper, key: Key) -> Hyper:
        leaves, tree = jax.tree.flatten(hyper)
        draws = [
            sigma * jax.random.normal(jax.random.fold_in(key, i), (pairs, *leaf.shape), leaf.dtype)
            for i, leaf in enumerate(leaves)
        ]
        return tree.unflatten(draws)

    def estimator(problem: Problem[Any]) -> HypergradientFn:
        is_solved = isinstance(problem.inner, Solution) and not persistent
        problem = (solution if is_solved else descent)(problem, f"evolution(persistent={persistent})")
        init = no_warm_start if is_solved else problem.inner.begin

        def begin(hyper: Hyper, key: Key) -> Any:
            state = init(hyper, key)
            if not persistent:
                return state
            copies = jax.tree.map(lambda x: jnp.broadcast_to(x, (population, *jnp.shape(x))), state)
            return PersistentState(state, copies, jax.tree.map(lambda h: jnp.zeros((pairs, *jnp.shape(h))), hyper))

        def estimate(hyper, start: Any, inner_batches, outer_batch, key):
            noise = perturbations(hyper, stream(key, "perturbations"))
            if persistent and start is None:
                start = begin(hyper, split(key).init)
            main, particles = (start.main, start.particles) if persistent else (start, start)
            total = jax.tree.map(jnp.add, start.total, noise) if persistent else noise

            def run(h, state):
                if is_solved:
                    return solve_and_judge(problem, h, inner_batches, outer_batch, key)
                return learn_and_judge(problem, h, state, inner_batches, outer_batch, key)

            hypers = jax.tree.map(lambda h, e: jnp.concatenate([h + e, h - e]), hyper, noise)
            value, (end, info) = run(hyper, main)
            values, (ends, _) = jax.vmap(run, in_axes=(0, 0 if persistent else None))(hypers, particles)
            weight = (values[:pairs] - values[pairs:]) / (2 * pairs * sigma**2)
            grad = jax.tree.map(lambda e: jnp.tensordot(weight, e, axes=1), total)
            return Hypergradient(value, grad, PersistentState(end, ends, total) if persistent else end, info)

        return HypergradientFn(estimate, begin)

    return estimator
