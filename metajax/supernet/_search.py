"""Differentiable architecture search: a relaxation, an estimator, regularizers and events make a Learner."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel
from metajax.bilevel import BilevelState
from metajax.nn import Functional
from metajax.space import Space
from metajax.supernet import _relaxations as relaxations
from metajax.supernet._relaxations import Logits, Moment, Relaxation
from metajax.types import Info, InputError, Key, Learner, LossFn, Scalar, stream

Regularizer = Callable[[Space, Logits, jax.Array, Moment], Scalar]
"""``(space, logits, encoding f32[width], moment) -> scalar``, added to the outer loss."""
Disturb = Callable[[Space, Callable[[jax.Array], Scalar], jax.Array, Moment, Key], jax.Array]
"""``(space, loss of an encoding, encoding, moment, key) -> encoding`` under which the weights learn instead; the outer loss
is that of the encoding itself."""
EPOCH = 25_000 // 64
"""Steps of an epoch: half of CIFAR-10's training images in batches of 64 (Liu et al. 2019)."""


class SearchState(NamedTuple):
    """The state of a search: weights, logits, both optimizers, what is pruned, and what events remember."""

    bilevel: BilevelState
    mask: jax.Array
    memory: tuple[Any, ...]

    @property
    def step(self) -> jax.Array:
        return self.bilevel.step

    @property
    def key(self) -> jax.Array:
        return self.bilevel.key

    @property
    def hyper(self) -> Any:
        return self.bilevel.hyper

    @property
    def logits(self) -> Logits:
        return self.bilevel.hyper["arch"]

    @property
    def params(self) -> Any:
        """The shared weights."""
        return self.bilevel.inner.params


class Search(NamedTuple):
    """A search method on a space.

    Attributes:
        init: ``(key) -> SearchState``, or ``(key, hyper)`` with more than ``{"arch": logits}``.
        update: ``(state, (inner_batches, outer_batch)) -> (state, info)``; a third entry of the batch, if there is one, is
            the whole validation part for events that decide by it.
        strengths: ``(state) -> f32[width]``: what each choice is worth.
        space: that is searched.
    """

    init: Callable[..., SearchState]
    update: Callable[[SearchState, Any], tuple[SearchState, dict[str, Any]]]
    strengths: Callable[[SearchState], jax.Array]
    space: Space

    @property
    def learner(self) -> Learner:
        """The part that trains, for ``run.train``."""
        return Learner(self.init, self.update)


class Event(NamedTuple):
    """Something that happens to a search now and then, inside the compiled loop.

    Attributes:
        init: ``(parts) -> memory``, a pytree.
        apply: ``(state, memory, parts, batch) -> (state, memory, info)``, at every step; use ``jax.lax.cond`` for what is
            expensive. ``batch`` is the outer batch.
    """

    init: Callable[["Parts"], Any]
    apply: Callable[[SearchState, Any, "Parts", Any], tuple[SearchState, Any, dict[str, Any]]]


class Parts(NamedTuple):
    """What an event may use.

    Attributes:
        space: that is searched.
        loss: ``(params, encoding, batch, key) -> (loss, info)``.
        relaxation: of the search.
        steps: of the whole search.
        validation: ``(x, labels)``, the whole validation part, where the batch has a third entry.
    """

    space: Space
    loss: Callable[[Any, jax.Array, Any, Key], tuple[Scalar, Info]]
    relaxation: Relaxation
    steps: int
    validation: Any = None


OverPaths = Callable[[Callable[..., tuple[Scalar, Info]], Callable[..., jax.Array], jax.Array], tuple[Scalar, Info]]
"""``(each, outputs, encodings f32[paths, width]) -> (loss, info)``: the inner loss of several paths, from the loss and info of
one, ``each(encoding)``, and from the network's outputs for the batch, ``outputs(encoding)``."""


def mean_over_paths(each: Callable[[jax.Array], tuple[Scalar, Info]], outputs: Any, encodings: jax.Array):
    """The mean of the paths' losses."""
    if encodings.shape[0] == 1:
        return each(encodings[0])
    losses, info = jax.lax.map(each, encodings)
    return jnp.mean(losses), jax.tree.map(lambda x: jnp.mean(x, axis=0), info)


def distilled(each: Callable[[jax.Array], tuple[Scalar, Info]], outputs: Any, encodings: jax.Array):
    """In-place distillation (Yu and Huang 2019, arXiv:1903.05134): the first path, which is to be the largest, learns from
    the labels, the others from what it says: the mean of its loss and of their cross-entropies to its probabilities."""
    loss, info = each(encodings[0])
    taught = jax.lax.stop_gradient(jax.nn.softmax(outputs(encodings[0])))
    distance = lambda encoding: -jnp.mean(jnp.sum(taught * jax.nn.log_softmax(outputs(encoding)), axis=-1))
    others = jax.lax.map(distance, encodings[1:])
    return (loss + jnp.sum(others)) / len(encodings), info


def search(
    space: Space,
    network: Functional,
    loss: Callable[[Callable[..., Any]], LossFn],
    inner_optimizer: optax.GradientTransformation | Callable[[Any], optax.GradientTransformation],
    outer_optimizer: optax.GradientTransformation,
    steps: int,
    relaxation: Relaxation | None = None,
    estimator: bilevel.Estimator | None = None,
    regularizers: Sequence[Regularizer] = (),
    disturb: Disturb | None = None,
    events: Sequence[Event] = (),
    over_paths: OverPaths = mean_over_paths,
    inner_steps: int = 1,
    warm_up: int = 0,
    steps_per_epoch: int = EPOCH,
    without: Sequence[Any] = (),
    widen: float | None = None,
) -> Search:
    """Weights learn on training data and the encoding on validation data, in turn (Liu et al. 2019, arXiv:1806.09055).

    Args:
        space: of architectures.
        network: ``apply(params, x, encoding) -> logits``.
        loss: makes a loss from an apply function, such as ``fewshot.cross_entropy``.
        inner_optimizer: for the weights; a function of ``hyper`` where rates are searched too.
        outer_optimizer: for the logits and whatever else is in ``hyper``.
        steps: of the whole search, for what depends on its progress.
        relaxation: ``softmax()`` (default), ``straight_through()``, ``dirichlet()``, ``policy()``, ...
        estimator: ``bilevel.unroll()`` (default) is the exact second order, ``bilevel.first_order()`` cheaper,
            ``bilevel.finite_difference()`` DARTS' approximation, ``bilevel.implicit("neumann")`` iDARTS,
            ``bilevel.weights_only()`` for methods that decide afterwards.
        regularizers: added to the outer loss.
        disturb: of the encoding under which weights learn (SmoothDARTS).
        events: pruning, projection, stopping.
        over_paths: the inner loss of several paths; ``distilled`` lets the first teach the others.
        inner_steps: weight updates for each update of the logits.
        warm_up: first steps in which weights learn alone.
        steps_per_epoch: steps in which the training part is seen once, for what counts epochs.
        without: values that are not searched, in whichever choices have them, such as ``("none",)``.
        widen: for a network whose ``apply`` takes a fourth argument, whether it computes all channels that it has: the share
            of the search from which it does.

    Raises:
        InputError: if ``steps`` or ``steps_per_epoch`` is not positive, or ``without`` leaves a choice without a value.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space = supernet.spaces.cell_space(3)
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> made = search(space, network, fewshot.cross_entropy, optax.sgd(0.1), optax.adam(0.01), steps=10)
        >>> batch = jnp.ones((8, 6, 6, 1)), jnp.zeros(8, jnp.int32)
        >>> state, info = jax.jit(made.update)(made.init(jax.random.key(0)), (jax.tree.map(lambda a: a[None], batch), batch))
        >>> supernet.decide(space, made.strengths(state)).keys() == space.domains.keys()
        True
    """
    if steps < 1 or steps_per_epoch < 1:
        given = f"steps={steps}, steps_per_epoch={steps_per_epoch}"
        raise InputError(f"search: {given}; accepted are positive whole numbers")
    relaxation = relaxation or relaxations.softmax()
    open_values = searched(space, without)

    def outputs(params: Any, x: Any, encoding: jax.Array, moment: Moment) -> Any:
        return network.apply(params, x, encoding, *(() if widen is None else (moment.progress >= widen,)))

    def at(moment: Moment):
        def of(params: Any, encoding: jax.Array, batch: Any, key: Key):
            return loss(lambda p, x: outputs(p, x, encoding, moment))(params, batch, key)

        return of

    def inner(hyper, params, batch, key):
        batch, moment = batch
        encodings = relaxation.train(space, hyper["arch"], moment, stream(key, "encoding"))
        each = lambda encoding: at(moment)(params, encoding, batch, stream(key, "loss"))
        if disturb is not None:
            value, disturb_key = lambda e: each(e)[0], stream(key, "disturbance")
            moved = [
                disturb(space, value, encoding, moment, jax.random.fold_in(disturb_key, i))
                for i, encoding in enumerate(encodings)
            ]
            encodings = jnp.stack(moved)
        return over_paths(each, lambda encoding: outputs(params, batch[0], encoding, moment), encodings)

    def outer(hyper, params, batch, key):
        batch, moment = batch
        logits = hyper["arch"]
        encodings = relaxation.judge(space, logits, moment, stream(key, "encoding"))
        each = lambda encoding: at(moment)(params, encoding, batch, stream(key, "loss"))
        if relaxation.score is not None:
            value, info = _reinforce(relaxation.score, space, logits, moment, encodings, *jax.lax.map(each, encodings))
        else:
            value, info = mean_over_paths(each, None, encodings)
        for term in regularizers:
            value = value + term(space, logits, jnp.mean(encodings, axis=0), moment)
        return value, info

    optimizer = inner_optimizer if callable(inner_optimizer) else lambda hyper: inner_optimizer
    problem = bilevel.Problem(inner, outer, lambda hyper, key: network.init(key), optimizer)
    estimator = estimator or bilevel.unroll()
    core = bilevel.learner(problem, estimator, outer_optimizer, inner_steps, warm_start=True, warm_up=warm_up)
    last = Moment(jnp.ones(()), open_values)
    parts = Parts(space, at(last), relaxation, steps)

    def init(key: Key, hyper: Any = None) -> SearchState:
        if hyper is None:
            hyper = {"arch": relaxations.begin(space, stream(key, "logits"), relaxation)}
        memory = tuple(event.init(parts) for event in events)
        return SearchState(core.init(key, hyper), jnp.array(open_values), memory)

    def update(state: SearchState, batch: Any):
        inner_batches, outer_batch, *rest = batch
        moment = Moment(state.step / steps, state.mask, state.step / steps_per_epoch)
        now = parts._replace(loss=at(moment), validation=rest[0] if rest else None)
        repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (inner_steps, *x.shape)), moment)
        new, info = core.update(state.bilevel, ((inner_batches, repeated), (outer_batch, moment)))
        state, memory = SearchState(new, state.mask, state.memory), []
        for event, remembered in zip(events, state.memory):
            state, kept, more = event.apply(state, remembered, now, outer_batch)
            memory.append(kept)
            info = {**info, **more}
        told = {**info, "entropy": entropy(space, strengths(state))}
        return state._replace(memory=tuple(memory)), told

    def strengths(state: SearchState) -> jax.Array:
        return relaxation.strengths(space, state.logits, state.mask)

    return Search(init, update, strengths, space)


def _reinforce(score: relaxations.Score, space, logits, moment, encodings, losses, info):
    """Mean cost in value; in the gradient, that of REINFORCE with the mean of the other paths as baseline."""
    costs = jax.vmap(score.cost)(losses, info)
    number = costs.shape[0]
    baseline = (jnp.sum(costs) - costs) / max(number - 1, 1)
    advantage = jax.lax.stop_gradient(costs - baseline)
    drawn_from = score.distribution(logits)
    likelihood = relaxations.log_probability(space, drawn_from, moment.mask, jax.lax.stop_gradient(encodings))
    surrogate = jnp.mean(advantage * likelihood)
    value = jnp.mean(costs) + surrogate - jax.lax.stop_gradient(surrogate)
    return value, jax.tree.map(lambda x: jnp.mean(x, axis=0), info)


def searched(space: Space, without: Sequence[Any] = ()) -> jax.Array:
    """f32[width]: 1 where a value is searched, 0 for those in ``without``.

    Raises:
        InputError: naming a value that no choice has, or a choice that would be left without a value.
    """
    mask, found = np.ones(space.width, np.float32), set()
    for name, part in relaxations.blocks(space):
        choices = space.domains[name].choices  # type: ignore[union-attr]
        here = [value for value in without if value in choices]
        mask[[part.start + choices.index(value) for value in here]] = 0.0
        found.update(here)
        if not mask[part].any():
            raise InputError(f"search: without={tuple(without)} leaves {name!r} no value; it has {choices}")
    unknown = [value for value in without if value not in found]
    if unknown:
        raise InputError(f"search: without={tuple(without)}, but no choice of the space has {unknown[0]!r}")
    return jnp.asarray(mask, jnp.ones(()).dtype)


def entropy(space: Space, strengths: jax.Array) -> jax.Array:
    """Mean over choices of the entropy of their strengths made to sum to one, as a share of the greatest possible."""
    shares = []
    for _, part in relaxations.blocks(space):
        block = strengths[part] / jnp.maximum(jnp.sum(strengths[part]), 1e-12)
        amount = -jnp.sum(jnp.where(block > 0, block * jnp.log(jnp.where(block > 0, block, 1.0)), 0.0))
        shares.append(amount / jnp.log(max(part.stop - part.start, 2)))
    return jnp.mean(jnp.stack(shares))


def decide(space: Space, strengths: Any, threshold: float = 0.0) -> dict[str, Any]:
    """The architecture that takes the strongest value of every choice, as a plain dictionary.

    Args:
        space: that was searched.
        strengths: f32[width], as ``Search.strengths`` gives.
        threshold: a choice that has the value ``"none"`` takes it where no strength reaches the threshold (FairDARTS keeps
            operations above .85).

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> space = cell_space(2)  # none, skip, conv1x1, conv3x3, avg_pool
        >>> strengths = [0.0, 0.2, 0.7, 0.1, 0.3]
        >>> decide(space, strengths), decide(space, strengths, threshold=0.85)
        ({'edge_0_1': 'conv1x1'}, {'edge_0_1': 'none'})
    """
    values = np.asarray(strengths)
    found = space.decode(jnp.asarray(values)[None])[0]
    for name, part in relaxations.blocks(space):
        empty = "none" in space.domains[name].choices  # type: ignore[union-attr]
        if empty and values[part].max() < threshold:
            found[name] = "none"
    return found
