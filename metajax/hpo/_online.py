"""Hyperparameters of the optimizer, adapted while it trains."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel._with_info import with_info
from metajax.types import Batch, Hyper, Info, Key, Learner, LossFn, Params, stream


class OnlineState(NamedTuple):
    """Weights in training together with the hyperparameters of their optimizer.

    Attributes:
        step: Number of updates made so far.
        key: The key from which the randomness of every step is derived.
        params: The weights.
        opt_state: The state of their optimizer.
        previous: What the last step started from, the weights and the state of the optimizer, and the gradient that it used.
        hyper: The hyperparameters of the optimizer.
        outer_opt_state: The state of the optimizer of the hyperparameters.
    """

    step: jax.Array
    key: Key
    params: Params
    opt_state: Any
    previous: tuple[Params, Any, Params]
    hyper: Hyper
    outer_opt_state: Any


def hypergradient_descent(
    init: Callable[[Key], Params],
    loss_fn: LossFn,
    optimizer: Callable[[Hyper], optax.GradientTransformation],
    outer_optimizer: optax.GradientTransformation,
) -> Learner:
    r"""Trains once, and adapts the hyperparameters of the optimizer at every step.

    With $u$ the update of the optimizer and $f_t$ the loss on the batch of step $t$,

    $$h_t = h_{t-1} - \beta \Bigl(\frac{\partial w_t}{\partial h_{t-1}}\Bigr)^{\!\top} \nabla f_t(w_t), \qquad
    w_t = w_{t-1} + u\bigl(h_{t-1}, \nabla f_{t-1}(w_{t-1})\bigr), \qquad
    w_{t+1} = w_t + u\bigl(h_t, \nabla f_t(w_t)\bigr)$$

    The hyperparameters descend the derivative of the loss now in what they were at the step before: the gradient of this step
    is pulled back through the update of the last, so that it costs one gradient a step, as plain training does. The method
    looks one step ahead and is therefore greedy; for a schedule over a whole training, unroll it (Wu et al. 2018). ``info``
    holds ``loss``, ``hypergradient_norm`` and what the loss reports.

    Args:
        init: ``(key) -> params``.
        loss_fn: ``(params, batch, key) -> (loss, info)``.
        optimizer: ``(hyper) -> optax.GradientTransformation``, for the weights; ``hpo.sgd`` and ``hpo.adam`` are differentiable
            in their learning rates.
        outer_optimizer: Any optax transformation, for the hyperparameters.

    Returns:
        A learner with ``init(key, hyper) -> OnlineState`` and ``update(state, batch) -> (state, info)``.

    Deviations:
        Baydin et al. learn the learning rate by plain descent. Here every hyperparameter of the optimizer is learned, by any
        transformation of optax. As in their method, one update is differentiated: the state of the optimizer before it counts
        as a constant. The optimizers of optimizers of Chandra et al. are not built: ``outer_optimizer`` has fixed settings.

    References:
        * Baydin et al. 2018, "Online learning rate adaptation with hypergradient descent", arXiv:1703.04782.
        * Chandra et al. 2022, "Gradient descent: The ultimate optimizer", arXiv:1909.13371.
        * Wu et al. 2018, "Understanding short-horizon bias in stochastic meta-optimization", arXiv:1803.02021.

    Example:
        >>> from metajax import hpo
        >>> bowl = lambda w, batch, key: (0.5 * jnp.sum(w**2), {})
        >>> learner = hpo.hypergradient_descent(lambda key: jnp.ones(2), bowl, hpo.sgd, optax.sgd(0.01))
        >>> state = learner.init(jax.random.key(0), jnp.asarray(0.1))
        >>> for _ in range(2):
        ...     state, info = learner.update(state, ())
        >>> round(float(state.hyper), 4)  # the learning rate: 0.1 + 0.01 * (0.9 * 1 + 0.9 * 1)
        0.118
    """

    def begin(key: Key, hyper: Hyper) -> OnlineState:
        params = init(stream(key, "init"))
        hyper = jax.tree.map(lambda x: jax.lax.convert_element_type(jnp.asarray(x), jnp.asarray(x).dtype), hyper)
        opt_state = optimizer(hyper).init(params)
        previous = (params, opt_state, jax.tree.map(jnp.zeros_like, params))
        outer_opt_state = outer_optimizer.init(hyper)
        return OnlineState(jnp.zeros((), jnp.int32), key, params, opt_state, previous, hyper, outer_opt_state)

    def update(state: OnlineState, batch: Batch) -> tuple[OnlineState, Info]:
        key = jax.random.fold_in(state.key, state.step)
        (value, info), grads = jax.value_and_grad(with_info(loss_fn, "loss_fn"), has_aux=True)(state.params, batch, key)

        def last_step(hyper: Hyper) -> Params:
            params, opt_state, last_grads = state.previous
            updates, _ = optimizer(hyper).update(last_grads, opt_state, params)
            return optax.apply_updates(params, updates)

        (slope,) = jax.vjp(last_step, state.hyper)[1](grads)
        slope = jax.tree.map(lambda g: jnp.where(state.step > 0, g, jnp.zeros_like(g)), slope)
        outer_updates, outer_opt_state = outer_optimizer.update(slope, state.outer_opt_state, state.hyper)
        hyper = optax.apply_updates(state.hyper, outer_updates)
        updates, opt_state = optimizer(hyper).update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        previous = (state.params, state.opt_state, grads)
        new = OnlineState(state.step + 1, state.key, params, opt_state, previous, hyper, outer_opt_state)
        return new, {"loss": value, "hypergradient_norm": optax.tree.norm(slope), **info}

    return Learner(begin, update)
