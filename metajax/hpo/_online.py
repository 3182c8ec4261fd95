"""Hyperparameters of the optimizer, adapted while it trains."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.types import Hyper, Info, Key, Learner, LossFn, Params, stream


class OnlineState(NamedTuple):
    """Weights in training, and the last step: what it started from and the gradient that it took."""

    step: jax.Array
    key: Key
    params: Params
    opt_state: Any
    before: tuple[Params, Any, Params]
    hyper: Hyper
    hyper_opt: Any


def hypergradient_descent(
    init: Callable[[Key], Params],
    loss: LossFn,
    optimizer: Callable[[Hyper], optax.GradientTransformation],
    outer_optimizer: optax.GradientTransformation,
) -> Learner:
    """Trains once, and moves the hyperparameters of the optimizer at every step by the derivative of the loss now in what they
    were at the step before (Baydin et al. 2018, arXiv:1703.04782; for any optimizer, Chandra et al. 2022, arXiv:1909.13371).

    One gradient a step, as in plain training: that of this step is pulled back through the update of the last. It sees one
    step ahead, so it is greedy: for a schedule over a whole training unroll it (Wu et al. 2018, arXiv:1803.02021).

    ``init(key, hyper) -> OnlineState``, ``update(state, batch) -> (state, info)``.

    Args:
        init: ``(key) -> params``.
        loss: ``(params, batch, key) -> (loss, info)``.
        optimizer: of the weights, from ``hyper``.
        outer_optimizer: of ``hyper``.

    Example:
        >>> from metajax import hpo
        >>> bowl = lambda w, batch, key: (0.5 * jnp.sum(w**2), {})
        >>> made = hypergradient_descent(lambda key: jnp.ones(2), bowl, lambda h: hpo.sgd(h), optax.sgd(0.01))
        >>> state = made.init(jax.random.key(0), jnp.asarray(0.1))
        >>> for _ in range(2):
        ...     state, info = made.update(state, ())
        >>> round(float(state.hyper), 4)  # 0.1 + 0.01 * (0.9 * 1 + 0.9 * 1)
        0.118
    """

    def start(key: Key, hyper: Hyper) -> OnlineState:
        params = init(stream(key, "init"))
        hyper = jax.tree.map(lambda x: jax.lax.convert_element_type(jnp.asarray(x), jnp.asarray(x).dtype), hyper)
        opt_state = optimizer(hyper).init(params)
        nothing = jax.tree.map(jnp.zeros_like, params)
        return OnlineState(
            jnp.zeros((), jnp.int32),
            key,
            params,
            opt_state,
            (params, opt_state, nothing),
            hyper,
            outer_optimizer.init(hyper),
        )

    def update(state: OnlineState, batch: Any) -> tuple[OnlineState, Info]:
        key = jax.random.fold_in(state.key, state.step)
        (value, info), grads = jax.value_and_grad(loss, has_aux=True)(state.params, batch, key)

        def last_step(hyper: Hyper) -> Params:
            params, opt_state, taken = state.before
            updates, _ = optimizer(hyper).update(taken, opt_state, params)
            return optax.apply_updates(params, updates)

        (slope,) = jax.vjp(last_step, state.hyper)[1](grads)
        slope = jax.tree.map(lambda g: jnp.where(state.step > 0, g, jnp.zeros_like(g)), slope)
        moved, hyper_opt = outer_optimizer.update(slope, state.hyper_opt, state.hyper)
        hyper = optax.apply_updates(state.hyper, moved)
        updates, opt_state = optimizer(hyper).update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        before = (state.params, state.opt_state, grads)
        told = {"loss": value, "hypergradient_norm": optax.tree.norm(slope), **info}
        return OnlineState(state.step + 1, state.key, params, opt_state, before, hyper, hyper_opt), told

    return Learner(start, update)
