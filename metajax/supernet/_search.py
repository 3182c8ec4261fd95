"""Differentiable architecture search: a relaxation, an estimator, regularizers and events make a Learner."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.nn import Functional
from metajax.space import Space
from metajax.supernet._logits import initial_logits, log_probability
from metajax.supernet._paths import mean_over_paths
from metajax.supernet._protocols import Disturb, MakeLoss, Moment, OverPaths, Regularizer, Relaxation, ScoreFunction
from metajax.supernet._state import Event, EventContext, OwnSearchInfo, Search, SearchState
from metajax.supernet._strengths import open_values, relative_entropy
from metajax.supernet.relaxations._mixtures import softmax_mixture
from metajax.types import Info, InputError, Key, Scalar, stream

EPOCH_STEPS = 25_000 // 64
"""Steps of an epoch: half of CIFAR-10's training images in batches of 64 (Liu et al. 2019)."""


def compose_search(
    space: Space,
    network: Functional,
    loss: MakeLoss,
    weights_optimizer: optax.GradientTransformation | Callable[[Any], optax.GradientTransformation],
    logits_optimizer: optax.GradientTransformation,
    steps: int,
    relaxation: Relaxation | None = None,
    estimator: bilevel.Estimator | None = None,
    regularizers: Sequence[Regularizer] = (),
    disturb: Disturb | None = None,
    events: Sequence[Event] = (),
    over_paths: OverPaths = mean_over_paths,
    inner_steps: int = 1,
    warm_up: int = 0,
    steps_per_epoch: int = EPOCH_STEPS,
    excluded_values: Sequence[Any] = (),
    widen_at: float | None = None,
) -> Search:
    """Composes a search from its parts: weights learn on training data and the encoding on validation data, in turn.

    The search solves ``min over logits of E[outer_loss(w*(logits), encoding(logits))]`` where ``w*`` are the weights that
    learn under the encoding. The methods of the literature are such compositions by name: see ``METHODS``.

    Args:
        space: The space of architectures.
        network: The network, with ``init(key) -> params`` and ``apply(params, x, encoding) -> outputs``.
        loss: The function that makes a loss from an apply function, such as ``fewshot.cross_entropy``.
        weights_optimizer: The optimizer of the weights; a function of ``hyper`` where rates are searched too.
        logits_optimizer: The optimizer of the logits and of whatever else is in ``hyper``.
        steps: The number of updates of the whole search, at least 1. It scales what depends on the progress of the search.
        relaxation: The relaxation, which makes encodings from logits; by default ``relaxations.softmax_mixture()``.
        estimator: The estimator of the hypergradient. ``bilevel.unroll()`` (the default) is the exact second order,
            ``bilevel.first_order()`` is cheaper, ``bilevel.finite_difference()`` is the approximation of DARTS,
            ``bilevel.implicit("neumann")`` is that of iDARTS, and ``bilevel.weights_only()`` is for methods that decide
            afterwards.
        regularizers: The terms that are added to the outer loss.
        disturb: The disturbance, which moves the encoding under which the weights learn (SmoothDARTS).
        events: The events of the search: pruning, projection, stopping.
        over_paths: The inner loss of several paths; ``distill_from_first`` lets the first path teach the others.
        inner_steps: The number of weight updates for each update of the logits, at least 1.
        warm_up: The number of first steps in which weights learn alone.
        steps_per_epoch: The number of steps in which the training part is seen once, at least 1, for parts of a search that
            count epochs.
        excluded_values: The values that are not searched, in whichever choices have them, such as ``("none",)``.
        widen_at: The share of the search from which the network computes all channels that it has. It is for a network whose
            ``apply`` takes a fourth argument, which says whether it does.

    Returns:
        The search. Every update logs the losses and ``entropy``, the mean entropy of the strengths as a share of the
        largest possible.

    Raises:
        InputError: If ``steps`` or ``steps_per_epoch`` is not positive, or ``excluded_values`` leaves a choice without a value.

    References:
        Liu et al. 2019, "DARTS: differentiable architecture search", arXiv:1806.09055.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space = supernet.spaces.cell_space(3)
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> search = compose_search(space, network, fewshot.cross_entropy, optax.sgd(0.1), optax.adam(0.01), steps=10)
        >>> batch = jnp.ones((8, 6, 6, 1)), jnp.zeros(8, jnp.int32)
        >>> batches = jax.tree.map(lambda a: a[None], batch), batch
        >>> state, info = jax.jit(search.update)(search.init(jax.random.key(0)), batches)
        >>> supernet.decide(space, search.strengths(state)).keys() == space.domains.keys()
        True
    """
    if steps < 1 or steps_per_epoch < 1:
        raise InputError(
            f"compose_search: steps and steps_per_epoch must be integers >= 1, got steps={steps}, "
            f"steps_per_epoch={steps_per_epoch}"
        )
    relaxation = relaxation or softmax_mixture()
    mask = open_values(space, excluded_values)
    levels = _Levels(space, network, loss, relaxation, tuple(regularizers), disturb, over_paths, widen_at)
    optimizer = weights_optimizer if callable(weights_optimizer) else lambda hyper: weights_optimizer
    inner = bilevel.Inner.descent(levels.inner, lambda hyper, key: network.init(key), optimizer)
    problem = bilevel.Problem(inner, levels.outer)
    estimator = estimator or bilevel.unroll()
    core = bilevel.learner(problem, estimator, logits_optimizer, inner_steps, warm_start=True, warm_up=warm_up)
    context = EventContext(space, levels.loss_at(Moment(jnp.ones(()), mask)), relaxation, steps)
    updates = _Updates(core, levels, context, tuple(events), mask, inner_steps, steps_per_epoch)
    return Search(updates.init, updates.update, updates.strengths, space)


@dataclasses.dataclass(frozen=True, eq=False)
class _Levels:
    """The losses of both levels of a search. A batch of either level is a pair of the data and the moment."""

    space: Space
    network: Functional
    loss: MakeLoss
    relaxation: Relaxation
    regularizers: tuple[Regularizer, ...]
    disturb: Disturb | None
    over_paths: OverPaths
    widen_at: float | None

    def outputs(self, params: Any, x: Any, encoding: jax.Array, moment: Moment) -> Any:
        """Applies the network, which is told whether it was widened if it can be."""
        wide = () if self.widen_at is None else (moment.progress >= self.widen_at,)
        return self.network.apply(params, x, encoding, *wide)

    def loss_at(self, moment: Moment) -> Callable[[Any, jax.Array, Any, Key], tuple[Scalar, Info]]:
        """Returns ``(params, encoding, batch, key) -> (loss, info)`` at a moment of the search."""

        def moment_loss(params: Any, encoding: jax.Array, batch: Any, key: Key) -> tuple[Scalar, Info]:
            return self.loss(lambda p, x: self.outputs(p, x, encoding, moment))(params, batch, key)

        return moment_loss

    def inner(self, hyper: Any, params: Any, batch: Any, key: Key) -> tuple[Scalar, Info]:
        """The training loss of the weights."""
        batch, moment = batch
        encodings = self.relaxation.train(self.space, hyper["arch"], moment, stream(key, "encoding"))
        path_loss = lambda encoding: self.loss_at(moment)(params, encoding, batch, stream(key, "loss"))
        if self.disturb is not None:
            value, disturb_key = lambda e: path_loss(e)[0], stream(key, "disturbance")
            disturbed = [
                self.disturb(self.space, value, encoding, moment, jax.random.fold_in(disturb_key, i))
                for i, encoding in enumerate(encodings)
            ]
            encodings = jnp.stack(disturbed)
        return self.over_paths(path_loss, lambda encoding: self.outputs(params, batch[0], encoding, moment), encodings)

    def outer(self, hyper: Any, params: Any, batch: Any, key: Key) -> tuple[Scalar, Info]:
        """The validation loss of the encoding, with its regularizers."""
        batch, moment = batch
        logits = hyper["arch"]
        encodings = self.relaxation.judge(self.space, logits, moment, stream(key, "encoding"))
        path_loss = lambda encoding: self.loss_at(moment)(params, encoding, batch, stream(key, "loss"))
        if self.relaxation.score is not None:
            losses, info = jax.lax.map(path_loss, encodings)
            value, info = _reinforce(self.relaxation.score, self.space, logits, moment, encodings, losses, info)
        else:
            value, info = mean_over_paths(path_loss, None, encodings)
        for term in self.regularizers:
            value = value + term(self.space, logits, jnp.mean(encodings, axis=0), moment)
        return value, info


@dataclasses.dataclass(frozen=True, eq=False)
class _Updates:
    """The two functions of the learner, and the strengths."""

    core: Any  # a bilevel Learner
    levels: _Levels
    context: EventContext
    events: tuple[Event, ...]
    mask: jax.Array
    inner_steps: int
    steps_per_epoch: int

    def init(self, key: Key, hyper: Any = None) -> SearchState:
        """Returns the first state."""
        if hyper is None:
            space, relaxation = self.context.space, self.context.relaxation
            hyper = {"arch": initial_logits(space, stream(key, "logits"), relaxation)}
        memory = tuple(event.init(self.context) for event in self.events)
        return SearchState(self.core.init(key, hyper), jnp.array(self.mask), memory)

    def update(self, state: SearchState, batch: Any) -> tuple[SearchState, dict[str, Any]]:
        """Trains the weights, then the logits, then lets the events happen."""
        inner_batches, outer_batch, *extra = batch
        steps = self.context.steps
        moment = Moment(state.step / steps, state.mask, state.step / self.steps_per_epoch)
        context = self.context._replace(loss=self.levels.loss_at(moment), validation=extra[0] if extra else None)
        repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.inner_steps, *x.shape)), moment)
        core, info = self.core.update(state.bilevel, ((inner_batches, repeated), (outer_batch, moment)))
        state, memories = SearchState(core, state.mask, state.memory), []
        for event, memory in zip(self.events, state.memory):
            state, memory, event_info = event.apply(state, memory, context, outer_batch)
            memories.append(memory)
            info = {**info, **event_info}
        search_info: OwnSearchInfo = {"entropy": relative_entropy(self.context.space, self.strengths(state))}
        return state._replace(memory=tuple(memories)), {**info, **search_info}

    def strengths(self, state: SearchState) -> jax.Array:
        """Returns f32[width], what every value is worth."""
        return self.context.relaxation.strengths(self.context.space, state.logits, state.mask)


def _reinforce(
    score: ScoreFunction,
    space: Space,
    logits: Any,
    moment: Moment,
    encodings: jax.Array,
    losses: jax.Array,
    info: Info,
) -> tuple[Scalar, Info]:
    """Returns the mean cost, with the gradient of REINFORCE and the mean of the other paths as baseline."""
    costs = jax.vmap(score.cost)(losses, info)
    number = costs.shape[0]
    baseline = (jnp.sum(costs) - costs) / max(number - 1, 1)
    advantage = jax.lax.stop_gradient(costs - baseline)
    distribution = score.distribution(logits)
    likelihood = log_probability(space, distribution, moment.mask, jax.lax.stop_gradient(encodings))
    surrogate = jnp.mean(advantage * likelihood)
    value = jnp.mean(costs) + surrogate - jax.lax.stop_gradient(surrogate)
    return value, jax.tree.map(lambda x: jnp.mean(x, axis=0), info)
