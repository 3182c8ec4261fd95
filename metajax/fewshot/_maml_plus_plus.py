"""MAML++ (Antoniou et al. 2019, arXiv:1810.09502): each of its improvements can be switched on alone.

The formulas are those of the authors' code, github.com/AntreasAntoniou/HowToTrainYourMAMLPytorch.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel import BilevelState
from metajax.fewshot._method import Method, solution_learner
from metajax.fewshot.episodes import Episode
from metajax.fewshot.parameters import Selection, combine, partition
from metajax.types import InputError, LossFn, Params

MULTI_STEP_EPOCHS = 10
"""Over so many epochs the authors anneal the multi-step loss, of 100 in all; the weights change once an epoch."""

_LEAST_SHARE = 0.03
"""The weight that a step before the last keeps in the end, as a share of its even weight."""


def importance(epoch: jax.Array | int, inner_steps: int, epochs: int = MULTI_STEP_EPOCHS) -> jax.Array:
    """The weights f32[inner_steps] of the losses after every inner step, in an epoch of the multi-step phase.

    With S inner steps and E epochs: ``max(1/S - epoch/(S·E), 0.03/S)`` before the last step, and
    ``min(1/S + epoch·(S-1)/(S·E), 1 - (S-1)·0.03/S)`` for the last one. They are even in epoch 0 and always add up to 1.

    Args:
        epoch: 0 to ``epochs - 1``.
        inner_steps: S.
        epochs: E.

    Example:
        >>> [round(float(weight), 2) for weight in importance(9, 5)]
        [0.02, 0.02, 0.02, 0.02, 0.92]
    """
    even = 1.0 / inner_steps
    moved = jnp.asarray(epoch, jnp.result_type(float)) * (even / epochs)
    others = inner_steps - 1
    early = jnp.maximum(even - moved, _LEAST_SHARE * even)
    last = jnp.minimum(even + others * moved, 1.0 - others * _LEAST_SHARE * even)
    return jnp.full(inner_steps, early).at[-1].set(last)


def maml_plus_plus(
    loss: LossFn,
    rate: float,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 5,
    multi_step_until: int = 0,
    multi_step_epochs: int = MULTI_STEP_EPOCHS,
    learned_rates: bool = True,
    per_step: Selection | None = None,
    first_order_until: int = 0,
    chunk: int | None = None,
) -> Method:
    """MAML with per-layer per-step rates, per-step batch norm, a multi-step loss and derivative-order annealing.

    The paper's cosine schedule is the caller's ``outer_optimizer``: ``optax.adam(optax.cosine_decay_schedule(...))``, down to
    a hundredth. Steps in a test are those of training: what is learned per step says nothing of further ones.
    ``state.hyper`` has the entries ``"params"``, ``"rates"`` (one for each array of parameters and step) and
    ``"per_step"``. Inner step t runs on the support with batch norm t, and the query that follows it runs with batch norm t
    too, as in the authors' code. They always normalize by the batch (transductive) and only record running statistics.

    What differs from the authors' code: they score an ensemble of the five checkpoints that were best on validation tasks,
    here it is one checkpoint; their cosine schedule changes once an epoch, the caller's changes at every step.

    Args:
        rate: the inner rate, or its initial value; 0.1 in the authors' Omniglot, for a mean loss.
        inner_steps: adaptation steps, in training and in a test; 5 in the paper.
        multi_step_until: outer steps over which the loss after every inner step counts, with the weights of
            ``importance``; 0 counts the last step throughout. The authors take the first 10% of the steps.
        multi_step_epochs: equal parts of these outer steps; the weights change from part to part.
        learned_rates: learn a rate for each array of parameters and each step.
        per_step: the parameters to keep apart for each step, not adapted: scale and shift of batch norms, by path, as
            ``lambda path: "norms" in path``.
        first_order_until: outer steps that take the first-order gradient, before the exact one. The authors' settings have
            none.
        loss, outer_optimizer, chunk: as in ``maml``.

    Raises:
        InputError: if a number of steps is out of range.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = maml_plus_plus(fewshot.squared_error(apply), 0.01, optax.adam(1e-3), 3, multi_step_until=100)
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> state.hyper["rates"]["layers"][0]["bias"].shape
        (3,)
    """
    least = {"inner_steps": 1, "multi_step_until": 0, "multi_step_epochs": 1, "first_order_until": 0}
    given = dict(zip(least, (inner_steps, multi_step_until, multi_step_epochs, first_order_until)))
    for name, low in least.items():
        if given[name] < low:
            raise InputError(f"maml_plus_plus: {name}={given[name]}; accepted are whole numbers from {low}")

    def begin(params: Params) -> dict[str, Any]:
        kept, moved = partition(params, per_step) if per_step else (None, params)
        each = lambda w: jnp.broadcast_to(w, (inner_steps, *w.shape))
        rates = jax.tree.map(lambda w: jnp.full(inner_steps, rate, w.dtype), moved)
        return {"params": moved, "rates": rates, "per_step": jax.tree.map(each, kept)}

    def weights(hyper, params, index):
        """What the network runs with at a step: the adapted parameters, and those that the step has for itself."""
        return combine(params, jax.tree.map(lambda x: x[index], hyper["per_step"])) if per_step else params

    def path(hyper, support, key, exact: bool):
        rates = hyper["rates"] if learned_rates else jax.lax.stop_gradient(hyper["rates"])

        def body(params, index):
            task = lambda p: loss(weights(hyper, p, index), support, jax.random.fold_in(key, index))
            grads = jax.grad(task, has_aux=True)(params)[0]
            grads = grads if exact else jax.lax.stop_gradient(grads)
            params = jax.tree.map(lambda w, g, r: w - r[index] * g, params, grads, rates)
            return params, params

        _, moved = jax.lax.scan(body, hyper["params"], jnp.arange(inner_steps))
        whole = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), hyper["params"], moved)
        # the query after inner step t runs with the batch norm of step t; before any step, with that of the first
        return {"params": whole, "step": jnp.maximum(jnp.arange(inner_steps + 1) - 1, 0)}

    def judge(hyper, learned, batch, key):
        return loss(weights(hyper, learned["params"], learned["step"]), batch, key)

    def last(hyper, learned, batch, key):
        query, _ = batch
        return judge(hyper, jax.tree.map(lambda x: x[-1], learned), query, key)

    def every(hyper, learned, batch, key):
        query, weight = batch
        later = jax.tree.map(lambda x: x[1:], learned)
        losses, info = jax.vmap(lambda one: judge(hyper, one, query, key))(later)
        return jnp.sum(weight * losses), jax.tree.map(lambda x: x[-1], info)

    def updater(exact: bool, multi: bool):
        solve = functools.partial(path, exact=exact)
        search = solution_learner(solve, every if multi else last, outer_optimizer, chunk)

        def update(state: BilevelState, episodes: Episode):
            epoch = state.step * multi_step_epochs // max(1, multi_step_until)
            tasks = jax.tree.leaves(episodes.query)[0].shape[0]
            weight = jnp.broadcast_to(importance(epoch, inner_steps, multi_step_epochs), (tasks, inner_steps))
            once = jax.tree.map(lambda x: x[None], episodes.support)
            return search.update(state, (once, (episodes.query, weight)))

        return search, update

    ends = sorted({0, multi_step_until, first_order_until})
    phases = [updater(exact=start >= first_order_until, multi=start < multi_step_until) for start in ends]

    def update(state: BilevelState, episodes: Episode):
        if len(phases) == 1:
            return phases[0][1](state, episodes)
        phase = sum((state.step >= end).astype(jnp.int32) for end in ends[1:])
        return jax.lax.switch(phase, [phase_update for _, phase_update in phases], state, episodes)

    return Method(
        lambda key, params: phases[0][0].init(key, begin(params)),
        update,
        functools.partial(path, exact=True),
        judge,
        inner_steps,
        inner_steps,
    )
