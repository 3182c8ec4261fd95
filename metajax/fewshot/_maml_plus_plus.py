"""MAML++ (Antoniou et al. 2019, arXiv:1810.09502): each of its improvements can be switched on alone.

The formulas are those of the authors' code, github.com/AntreasAntoniou/HowToTrainYourMAMLPytorch.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel import BilevelState
from metajax.bilevel._with_info import with_info
from metajax.fewshot import parameters
from metajax.fewshot._builders import FIVE_STEPS, BuiltMethod, has_norms, outer_optimizer, whole_network
from metajax.fewshot._method import Method, solution_learner
from metajax.fewshot._recipe import Network, Recipe
from metajax.fewshot._tasks import with_tasks
from metajax.fewshot.episodes import Episode
from metajax.fewshot.parameters import Selection, combine, partition
from metajax.types import Batch, Hyper, Info, InputError, Key, Learner, LossFn, Params, Scalar

MULTI_STEP_EPOCHS = 10
"""The number of epochs over which the authors anneal the multi-step loss, of 100 in all; the weights change once an epoch."""

_LEAST_SHARE = 0.03
"""The weight that a step before the last keeps in the end, as a share of its even weight."""


def importance(epoch: jax.Array | int, inner_steps: int, epochs: int = MULTI_STEP_EPOCHS) -> jax.Array:
    """Returns the weights f32[inner_steps] of the losses after every inner step, in an epoch of the multi-step phase.

    With S inner steps and E epochs: ``max(1/S - epoch/(S·E), 0.03/S)`` before the last step, and
    ``min(1/S + epoch·(S-1)/(S·E), 1 - (S-1)·0.03/S)`` for the last one. They are even in epoch 0 and always add up to 1.

    Args:
        epoch: Number of the epoch, 0 to ``epochs - 1``.
        inner_steps: S, the number of inner steps.
        epochs: E, the number of epochs of the multi-step phase.

    Example:
        >>> [round(float(weight), 2) for weight in importance(9, 5)]
        [0.02, 0.02, 0.02, 0.02, 0.92]
    """
    even = 1.0 / inner_steps
    shift = jnp.asarray(epoch, jnp.result_type(float)) * (even / epochs)
    n_early = inner_steps - 1
    early_weight = jnp.maximum(even - shift, _LEAST_SHARE * even)
    last_weight = jnp.minimum(even + n_early * shift, 1.0 - n_early * _LEAST_SHARE * even)
    return jnp.full(inner_steps, early_weight).at[-1].set(last_weight)


class _Inner(NamedTuple):
    """The inner learner: gradient descent with a rate for each array of parameters and each step.

    Attributes:
        loss_fn: Loss of a task.
        learning_rate: The initial rate.
        steps: Number of inner steps.
        learned_rates: Whether the rates are meta-learned.
        per_step: The parameters that every step has for itself, or ``None``.
    """

    loss_fn: LossFn
    learning_rate: float
    steps: int
    learned_rates: bool
    per_step: Selection | None

    def initial_hyper(self, params: Params) -> dict[str, Any]:
        """Returns the initial meta-learned parameters, from those of the network."""
        per_step, adapted = partition(params, self.per_step) if self.per_step else (None, params)
        repeat = lambda w: jnp.broadcast_to(w, (self.steps, *w.shape))
        rates = jax.tree.map(lambda w: jnp.full(self.steps, self.learning_rate, w.dtype), adapted)
        return {"params": adapted, "rates": rates, "per_step": jax.tree.map(repeat, per_step)}

    def weights(self, hyper: Hyper, params: Params, step: jax.Array) -> Params:
        """Returns the parameters of the network at a step: the adapted ones and those of this step alone."""
        return combine(params, jax.tree.map(lambda x: x[step], hyper["per_step"])) if self.per_step else params

    def path(self, hyper: Hyper, support: Batch, key: Key, exact: bool) -> dict[str, Any]:
        """The parameters after 0, 1, ... inner steps; ``exact`` differentiates through the gradients of the steps."""
        rates = hyper["rates"] if self.learned_rates else jax.lax.stop_gradient(hyper["rates"])

        def body(params, step):
            task = lambda p: self.loss_fn(self.weights(hyper, p, step), support, jax.random.fold_in(key, step))
            grads = jax.grad(task, has_aux=True)(params)[0]
            grads = grads if exact else jax.lax.stop_gradient(grads)
            params = jax.tree.map(lambda w, g, r: w - r[step] * g, params, grads, rates)
            return params, params

        _, later_params = jax.lax.scan(body, hyper["params"], jnp.arange(self.steps))
        all_params = jax.tree.map(
            lambda initial, later: jnp.concatenate([initial[None], later]), hyper["params"], later_params
        )
        # the query after inner step t runs with the batch norm of step t; before any step, with that of the first
        return {"params": all_params, "step": jnp.maximum(jnp.arange(self.steps + 1) - 1, 0)}

    def loss_after_step(self, hyper: Hyper, learned: Any, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        """The loss of one entry of ``path``."""
        return self.loss_fn(self.weights(hyper, learned["params"], learned["step"]), batch, key)

    def last_loss(self, hyper: Hyper, learned: Any, batch: Any, key: Key) -> tuple[Scalar, Info]:
        """The query loss after the last step."""
        query, _ = batch
        return self.loss_after_step(hyper, jax.tree.map(lambda x: x[-1], learned), query, key)

    def weighted_loss(self, hyper: Hyper, learned: Any, batch: Any, key: Key) -> tuple[Scalar, Info]:
        """The weighted sum of the query losses after every step; the info is that of the last one."""
        query, weight = batch
        later = jax.tree.map(lambda x: x[1:], learned)
        losses, info = jax.vmap(lambda entry: self.loss_after_step(hyper, entry, query, key))(later)
        return jnp.sum(weight * losses), jax.tree.map(lambda x: x[-1], info)


class _Schedule(NamedTuple):
    """The phases of a training; see ``maml_plus_plus``."""

    multi_step_until: int
    multi_step_epochs: int
    first_order_until: int

    @property
    def starts(self) -> list[int]:
        """The steps at which a phase begins."""
        return sorted({0, self.multi_step_until, self.first_order_until})

    def weights(self, step: jax.Array, inner_steps: int) -> jax.Array:
        """The weights of the losses after every inner step."""
        epoch = step * self.multi_step_epochs // max(1, self.multi_step_until)
        return importance(epoch, inner_steps, self.multi_step_epochs)


Update = Callable[[Any, Episode], tuple[Any, Info]]


def _phase(inner: _Inner, schedule: _Schedule, start: int, learn: Callable[..., Learner]) -> tuple[Learner, Update]:
    """The learner of the phase that begins at a step, and its update of episodes."""
    path = functools.partial(inner.path, exact=start >= schedule.first_order_until)
    learner = learn(path, inner.weighted_loss if start < schedule.multi_step_until else inner.last_loss)

    def update(state: BilevelState, episodes: Episode) -> tuple[BilevelState, Info]:
        tasks = jax.tree.leaves(episodes.query)[0].shape[0]
        weight = jnp.broadcast_to(schedule.weights(state.step, inner.steps), (tasks, inner.steps))
        single_step = jax.tree.map(lambda x: x[None], episodes.support)
        return learner.update(state, (single_step, (episodes.query, weight)))

    return learner, update


def maml_plus_plus(
    loss_fn: LossFn,
    learning_rate: float,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 5,
    multi_step_until: int = 0,
    multi_step_epochs: int = MULTI_STEP_EPOCHS,
    learned_rates: bool = True,
    per_step: Selection | None = None,
    first_order_until: int = 0,
    chunk: int | None = None,
) -> Method:
    r"""MAML with per-layer per-step rates, per-step batch norm, a multi-step loss and derivative-order annealing.

    Every array of parameters has a learned rate for each inner step, batch norm has scale and shift $\beta_s$ for each inner
    step, and early in training the query loss after every step counts, with the weights $v_s$ of ``importance``:

    $$\min_{h, \alpha, \beta} \; \frac1T \sum_\tau \sum_{s=1}^{S} v_s \, L_{Q_\tau}\bigl(w^\tau_s, \beta_s\bigr), \qquad
    w^\tau_{s+1} = w^\tau_s - \alpha_s \odot \nabla L_{S_\tau}(w^\tau_s, \beta_s)$$

    ``state.hyper`` has the entries ``"params"``, ``"rates"`` (one for each array of parameters and step) and
    ``"per_step"``. Inner step t runs on the support with batch norm t, and the query that follows it runs with batch norm t
    too, as in the authors' code. They always normalize by the batch (transductive) and only record running statistics.

    The paper's cosine schedule is the caller's ``outer_optimizer``: ``optax.adam(optax.cosine_decay_schedule(...))``, down to
    a hundredth. Steps in a test are those of training: what is learned per step says nothing of further ones.

    Args:
        loss_fn: Loss of a task; see ``maml``.
        learning_rate: The inner rate, or its initial value; 0.1 in the authors' Omniglot, for a mean loss.
        outer_optimizer: Optimizer of everything that is meta-learned.
        inner_steps: Adaptation steps, in training and in a test, >= 1; 5 in the paper.
        multi_step_until: Outer steps over which the loss after every inner step counts, with the weights of
            ``importance``, >= 0; 0 counts the last step throughout. The authors take the first 10% of the steps.
        multi_step_epochs: Number of equal parts of these outer steps, >= 1; the weights change from part to part.
        learned_rates: Learn a rate for each array of parameters and each step.
        per_step: Selects the parameters to keep apart for each step, which then do not adapt: scale and shift of batch
            norms, as ``fewshot.parameters.is_norm`` does. ``None`` keeps none.
        first_order_until: Outer steps that take the first-order gradient, before the exact one, >= 0. The authors'
            settings have none.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If a number of steps is out of range.

    Deviations:
        The authors score an ensemble of the five checkpoints that were best on validation tasks, here it is one checkpoint.
        Their cosine schedule changes once an epoch, the caller's changes at every step.

    References:
        Antoniou et al. 2019, arXiv:1810.09502.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = maml_plus_plus(fewshot.squared_error(apply), 0.01, optax.adam(1e-3), 3, multi_step_until=100)
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> state.hyper["rates"]["layers"][0]["bias"].shape
        (3,)
    """
    _check({"inner_steps": inner_steps, "multi_step_epochs": multi_step_epochs}, 1)
    _check({"multi_step_until": multi_step_until, "first_order_until": first_order_until}, 0)
    inner = _Inner(with_info(loss_fn, "loss_fn"), learning_rate, inner_steps, learned_rates, per_step)
    schedule = _Schedule(multi_step_until, multi_step_epochs, first_order_until)
    learn = lambda path, loss_after_step: solution_learner(path, loss_after_step, outer_optimizer, chunk)
    phases = [_phase(inner, schedule, start, learn) for start in schedule.starts]

    def update(state: BilevelState, episodes: Episode) -> tuple[BilevelState, Info]:
        with_tasks(episodes)
        if len(phases) == 1:
            return phases[0][1](state, episodes)
        phase = sum((state.step >= start).astype(jnp.int32) for start in schedule.starts[1:])
        return jax.lax.switch(phase, [phase_update for _, phase_update in phases], state, episodes)

    def init(key: Key, params: Params) -> BilevelState:
        return phases[0][0].init(key, inner.initial_hyper(params))

    adapt = functools.partial(inner.path, exact=True)
    return Method(init, update, adapt, inner.loss_after_step, inner_steps, inner_steps)


def _check(numbers: dict[str, int], minimum: int) -> None:
    """Names an argument that is less than it may be."""
    for name, value in numbers.items():
        if value < minimum:
            raise InputError(f"maml_plus_plus: {name} must be an integer >= {minimum}, got {value}")


MULTI_STEP_PART = 10
"""MAML++ counts the loss after every inner step in the first 1/10 of the outer steps, as its authors do."""


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds MAML++ with batch norms for each step, and with the multi-step loss in the first part of the training."""
    model = whole_network(recipe, network)
    options = {
        "multi_step_until": network.steps // MULTI_STEP_PART,
        "per_step": parameters.is_norm if has_norms(model) else None,
        **recipe.options,
    }
    loss_fn, outer = network.loss(model.apply), outer_optimizer(recipe, network)
    return maml_plus_plus(
        loss_fn, recipe.inner_rate, outer, recipe.inner_steps, chunk=recipe.chunk, **options
    ), model.init


RECIPES = {"maml++": Recipe(_build, maml_plus_plus, "gradient", **FIVE_STEPS, tasks=8, final_share=0.01)}
"""The recipes of this file by the names of the methods."""
