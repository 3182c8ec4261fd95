"""Hypergradients from finite differences: DARTS' Hessian-vector product, and evolution strategies."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel import _inner as inner
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, InnerState, Problem, split
from metajax.bilevel._unroll import learn_and_judge
from metajax.types import InputError, stream


def finite_difference(eps: float = 0.01) -> Estimator:
    """DARTS' second order (Liu et al. 2019, arXiv:1806.09055, equation 8): the last inner step is differentiated, its
    mixed second derivative by a central difference of two gradients, ``ε = eps/‖v‖`` apart.

    The vector ``v`` is the outer gradient pulled back through the inner optimizer's update, so any optax transformation
    works; for plain gradient descent it is the paper's. Kept as a check: ``unroll(truncate=1)`` is exact and as cheap.
    """
    if eps <= 0:
        raise InputError(f"finite_difference: eps={eps}; accepted are positive numbers")

    def estimator(problem: Problem) -> HypergradientFn:
        def estimate(hyper, start, inner_batches, outer_batch, key):
            keys, steps = split(key), inner.length(inner_batches)
            state = inner.begin(problem, hyper, keys.init) if start is None else start
            if steps > 1:
                state, _ = inner.run(problem, hyper, state, jax.tree.map(lambda x: x[:-1], inner_batches), keys.inner)
            batch = jax.tree.map(lambda x: x[-1], inner_batches)
            step_key = inner.step_key(keys.inner, steps - 1)

            def inner_value(h, params):
                return problem.inner_loss(h, params, batch, step_key)[0]

            def update(h, grads):
                updates, opt_state = problem.optimizer(h).update(grads, state.opt_state, state.params)
                return optax.apply_updates(state.params, updates), opt_state

            inner_loss, grads = jax.value_and_grad(inner_value, argnums=1)(hyper, state.params)
            params, pull_back, opt_state = jax.vjp(update, hyper, grads, has_aux=True)
            outer = jax.value_and_grad(problem.outer_loss, argnums=(0, 1), has_aux=True)
            (value, info), (direct, pull) = outer(hyper, params, outer_batch, keys.outer)
            through_optimizer, vector = pull_back(pull)

            # (∂²inner/∂h∂w)·vector, by moving the parameters along the vector
            radius = eps / jnp.maximum(optax.tree.norm(vector), 1e-12)
            moved = [jax.tree.map(lambda w, v, s=s: w + s * radius * v, state.params, vector) for s in (1.0, -1.0)]
            plus, minus = (jax.grad(inner_value)(hyper, w) for w in moved)
            mixed = jax.tree.map(lambda p, m: (p - m) / (2 * radius), plus, minus)
            grad = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]), direct, through_optimizer, mixed)
            return Hypergradient(value, grad, InnerState(params, opt_state), {**info, "inner_loss": inner_loss})

        return HypergradientFn(estimate, partial(inner.begin, problem))

    return estimator


class PersistentState(NamedTuple):
    """What persistent evolution strategies carry: the unperturbed run, 2·pairs perturbed ones, and the sum of the
    perturbations that each pair has seen since it began."""

    main: InnerState
    particles: InnerState
    total: Any


def evolution(population: int = 16, sigma: float = 0.01, persistent: bool = False) -> Estimator:
    """Evolution strategies: the gradient of the loss smoothed by Gaussian noise, from forward runs alone.

    Works where nothing can be differentiated or where unrolled gradients explode (Metz et al. 2019, arXiv:1810.10180).
    Perturbations come in antithetic pairs.

    Args:
        population: how many perturbed inner runs; an even number.
        sigma: standard deviation of the perturbations, in the units of ``hyper``.
        persistent: carry the perturbed runs on between calls and credit each with the sum of its perturbations, so that
            short segments of a long inner run give an unbiased gradient (PES, Vicol et al. 2021, arXiv:2112.13835).
            The outer loss of the whole run is then the sum of the segments' values, and the carried state is a
            ``PersistentState``.

    Raises:
        InputError: if the population is odd or sigma is not positive.
    """
    if population < 2 or population % 2 or sigma <= 0:
        raise InputError(
            f"evolution: population={population}, sigma={sigma}; accepted are an even population >= 2 and sigma > 0"
        )
    pairs = population // 2

    def estimator(problem: Problem) -> HypergradientFn:
        def begin(hyper, key, tasks=None):
            state = inner.begin(problem, hyper, key, tasks)
            if not persistent:
                return state
            copies = jax.tree.map(lambda x: jnp.broadcast_to(x, (population, *jnp.shape(x))), state)
            return PersistentState(state, copies, jax.tree.map(lambda h: jnp.zeros((pairs, *jnp.shape(h))), hyper))

        def estimate(hyper, start: Any, inner_batches, outer_batch, key):
            noise_key = stream(key, "perturbations")
            leaves, tree = jax.tree.flatten(hyper)
            noise = tree.unflatten(
                [
                    sigma * jax.random.normal(jax.random.fold_in(noise_key, i), (pairs, *leaf.shape), leaf.dtype)
                    for i, leaf in enumerate(leaves)
                ]
            )
            if persistent and start is None:
                start = begin(hyper, split(key).init)
            main, particles = (start.main, start.particles) if persistent else (start, start)
            total = jax.tree.map(jnp.add, start.total, noise) if persistent else noise

            def run(h, state):
                return learn_and_judge(problem, h, state, inner_batches, outer_batch, key)

            hypers = jax.tree.map(lambda h, e: jnp.concatenate([h + e, h - e]), hyper, noise)
            value, (end, info) = run(hyper, main)
            values, (ends, _) = jax.vmap(run, in_axes=(0, 0 if persistent else None))(hypers, particles)
            weight = (values[:pairs] - values[pairs:]) / (2 * pairs * sigma**2)
            grad = jax.tree.map(lambda e: jnp.tensordot(weight, e, axes=1), total)
            return Hypergradient(value, grad, PersistentState(end, ends, total) if persistent else end, info)

        return HypergradientFn(estimate, begin)

    return estimator
