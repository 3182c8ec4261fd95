"""MAML++ (Antoniou et al. 2019, arXiv:1810.09502): each of its improvements can be switched on alone."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel import BilevelState
from metajax.fewshot.episodes import Episode
from metajax.fewshot.method import Method, solution_learner
from metajax.fewshot.partition import Selection, combine, partition
from metajax.types import LossFn, Params


def maml_plus_plus(
    loss: LossFn,
    rate: float,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 5,
    multi_step_until: int = 0,
    learned_rates: bool = True,
    per_step: Selection | None = None,
    first_order_until: int = 0,
    chunk: int | None = None,
) -> Method:
    """MAML with per-layer per-step rates, per-step batch norm, a multi-step loss and derivative-order annealing.

    The paper's cosine schedule is the caller's ``outer_optimizer``: ``optax.adam(optax.cosine_decay_schedule(...))``.
    Steps in a test are those of training: what is learned per step says nothing of further ones.
    ``state.hyper`` has the entries ``"params"``, ``"rates"`` (one for each array of parameters and step) and
    ``"per_step"``.

    Args:
        rate: the inner rate, or its initial value.
        multi_step_until: outer steps over which the loss after every inner step counts, with weights that go from even
            to the last step alone; 0 counts the last step throughout.
        learned_rates: learn a rate for each array of parameters and each step.
        per_step: the parameters to keep apart for each step, not adapted: scale and shift of batch norms, by path, as
            ``lambda path: "norms" in path``.
        first_order_until: outer steps that take the first-order gradient, before the exact one.
        loss, outer_optimizer, inner_steps, chunk: as in ``maml``.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = maml_plus_plus(fewshot.squared_error(apply), 0.01, optax.adam(1e-3), 3, multi_step_until=100)
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> state.hyper["rates"]["layers"][0]["bias"].shape
        (3,)
    """
    if inner_steps < 1 or multi_step_until < 0 or first_order_until < 0:
        raise ValueError(
            "maml_plus_plus: need inner_steps >= 1, multi_step_until >= 0 and first_order_until >= 0; got "
            f"inner_steps={inner_steps}, multi_step_until={multi_step_until}, first_order_until={first_order_until}"
        )

    def begin(params: Params) -> dict[str, Any]:
        kept, moved = partition(params, per_step) if per_step else (None, params)
        each = lambda w: jnp.broadcast_to(w, (inner_steps + 1, *w.shape))
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
        return {"params": whole, "step": jnp.arange(inner_steps + 1)}

    def judge(hyper, learned, batch, key):
        return loss(weights(hyper, learned["params"], learned["step"]), batch, key)

    def last(hyper, learned, batch, key):
        query, _ = batch
        return judge(hyper, jax.tree.map(lambda x: x[-1], learned), query, key)

    def every(hyper, learned, batch, key):
        query, importance = batch
        later = jax.tree.map(lambda x: x[1:], learned)
        losses, info = jax.vmap(lambda one: judge(hyper, one, query, key))(later)
        return jnp.sum(importance * losses), jax.tree.map(lambda x: x[-1], info)

    def updater(exact: bool, multi: bool):
        solve = functools.partial(path, exact=exact)
        search = solution_learner(solve, every if multi else last, outer_optimizer, chunk)

        def update(state: BilevelState, episodes: Episode):
            share = jnp.clip(state.step.astype(jnp.result_type(float)) / max(1, multi_step_until), 0.0, 1.0)
            even, end = jnp.full(inner_steps, 1 / inner_steps), jnp.eye(inner_steps)[-1]
            tasks = jax.tree.leaves(episodes.query)[0].shape[0]
            importance = jnp.broadcast_to((1 - share) * even + share * end, (tasks, inner_steps))
            once = jax.tree.map(lambda x: x[None], episodes.support)
            return search.update(state, (once, (episodes.query, importance)))

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
