"""Differentiable architecture search: a relaxation, an estimator, regularisers and events make a Learner."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.bilevel import BilevelState
from metajax.nn import Functional
from metajax.space import Space
from metajax.supernet import relaxation as relaxations
from metajax.supernet.relaxation import Logits, Moment, Relaxation
from metajax.types import Info, Key, Learner, LossFn, Scalar, stream

Regulariser = Callable[[Space, Logits, jax.Array, jax.Array], Scalar]
"""``(space, logits, encoding f32[width], progress) -> scalar``, added to the outer loss."""
Disturb = Callable[[Callable[[jax.Array], Scalar], jax.Array, jax.Array, Key], jax.Array]
"""``(loss of an encoding, encoding, progress, key) -> encoding`` under which the weights learn instead."""


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
        update: ``(state, (inner_batches, outer_batch)) -> (state, info)``.
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
        init: ``(space, steps) -> memory``, a pytree.
        apply: ``(state, memory, parts, batch) -> (state, memory, info)``, at every step; use ``jax.lax.cond`` for what is
            expensive. ``batch`` is the outer batch.
    """

    init: Callable[[Space, int], Any]
    apply: Callable[[SearchState, Any, "Parts", Any], tuple[SearchState, Any, dict[str, Any]]]


class Parts(NamedTuple):
    """What an event may use: ``loss(params, encoding, batch, key) -> (loss, info)``, the relaxation, and the steps."""

    space: Space
    loss: Callable[[Any, jax.Array, Any, Key], tuple[Scalar, Info]]
    relaxation: Relaxation
    steps: int


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
    regularisers: Sequence[Regulariser] = (),
    disturb: Disturb | None = None,
    events: Sequence[Event] = (),
    over_paths: OverPaths = mean_over_paths,
    inner_steps: int = 1,
    warm_up: int = 0,
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
        regularisers: added to the outer loss.
        disturb: of the encoding under which weights learn (SmoothDARTS).
        events: pruning, projection, stopping.
        over_paths: the inner loss of several paths; ``distilled`` lets the first teach the others.
        inner_steps: weight updates for each update of the logits.
        warm_up: first steps in which weights learn alone.

    Raises:
        ValueError: if steps is not positive.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space = supernet.cell_space(3)
        >>> network = nn.functional(lambda rngs: supernet.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> made = search(space, network, fewshot.cross_entropy, optax.sgd(0.1), optax.adam(0.01), steps=10)
        >>> batch = jnp.ones((8, 6, 6, 1)), jnp.zeros(8, jnp.int32)
        >>> state, info = jax.jit(made.update)(made.init(jax.random.key(0)), (jax.tree.map(lambda a: a[None], batch), batch))
        >>> supernet.decide(space, made.strengths(state)).keys() == space.domains.keys()
        True
    """
    if steps < 1:
        raise ValueError(f"search: steps={steps}; accepted is a positive whole number")
    relaxation = relaxation or relaxations.softmax()

    def of(params: Any, encoding: jax.Array, batch: Any, key: Key):
        return loss(lambda p, x: network.apply(p, x, encoding))(params, batch, key)

    def inner(hyper, params, batch, key):
        batch, moment = batch
        encodings = relaxation.train(space, hyper["arch"], moment, stream(key, "encoding"))
        each = lambda encoding: of(params, encoding, batch, stream(key, "loss"))
        if disturb is not None:
            value, disturb_key = lambda e: each(e)[0], stream(key, "disturbance")
            moved = [
                disturb(value, encoding, moment.progress, jax.random.fold_in(disturb_key, i))
                for i, encoding in enumerate(encodings)
            ]
            encodings = jnp.stack(moved)
        return over_paths(each, lambda encoding: network.apply(params, batch[0], encoding), encodings)

    def outer(hyper, params, batch, key):
        batch, moment = batch
        logits = hyper["arch"]
        encodings = relaxation.judge(space, logits, moment, stream(key, "encoding"))
        each = lambda encoding: of(params, encoding, batch, stream(key, "loss"))
        if relaxation.score_function:
            value, info = _score_function(space, logits, moment, encodings, *jax.lax.map(each, encodings))
        else:
            value, info = mean_over_paths(each, None, encodings)
        for term in regularisers:
            value = value + term(space, logits, jnp.mean(encodings, axis=0), moment.progress)
        return value, info

    optimizer = inner_optimizer if callable(inner_optimizer) else lambda hyper: inner_optimizer
    problem = bilevel.Problem(inner, outer, lambda hyper, key: network.init(key), optimizer)
    estimator = estimator or bilevel.unroll()
    core = bilevel.learner(problem, estimator, outer_optimizer, inner_steps, warm_start=True, warm_up=warm_up)
    parts = Parts(space, of, relaxation, steps)

    def init(key: Key, hyper: Any = None) -> SearchState:
        if hyper is None:
            hyper = {"arch": relaxations.begin(space, stream(key, "logits"), relaxation.scale)}
        memory = tuple(event.init(space, steps) for event in events)
        return SearchState(core.init(key, hyper), jnp.ones(space.width), memory)

    def update(state: SearchState, batch: Any):
        inner_batches, outer_batch = batch
        moment = Moment(state.step / steps, state.mask)
        repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (inner_steps, *x.shape)), moment)
        new, info = core.update(state.bilevel, ((inner_batches, repeated), (outer_batch, moment)))
        state, memory = SearchState(new, state.mask, state.memory), []
        for event, remembered in zip(events, state.memory):
            state, kept, more = event.apply(state, remembered, parts, outer_batch)
            memory.append(kept)
            info = {**info, **more}
        told = {**info, "entropy": entropy(space, strengths(state))}
        return state._replace(memory=tuple(memory)), told

    def strengths(state: SearchState) -> jax.Array:
        return relaxation.strengths(space, state.logits, state.mask)

    return Search(init, update, strengths, space)


def _score_function(space, logits, moment, encodings, losses, info):
    """Mean loss in value; in the gradient, that of REINFORCE with the mean of the other paths as baseline."""
    number = losses.shape[0]
    baseline = (jnp.sum(losses) - losses) / max(number - 1, 1)
    advantage = jax.lax.stop_gradient(losses - baseline)
    likelihood = relaxations.log_probability(space, logits, moment.mask, jax.lax.stop_gradient(encodings))
    surrogate = jnp.mean(advantage * likelihood)
    value = jnp.mean(losses) + surrogate - jax.lax.stop_gradient(surrogate)
    return value, jax.tree.map(lambda x: jnp.mean(x, axis=0), info)


def entropy(space: Space, strengths: jax.Array) -> jax.Array:
    """Mean over choices of the entropy of their strengths made to sum to one, as a share of the greatest possible."""
    shares = []
    for _, part in relaxations.blocks(space):
        block = strengths[part] / jnp.maximum(jnp.sum(strengths[part]), 1e-12)
        amount = -jnp.sum(jnp.where(block > 0, block * jnp.log(jnp.where(block > 0, block, 1.0)), 0.0))
        shares.append(amount / jnp.log(max(part.stop - part.start, 2)))
    return jnp.mean(jnp.stack(shares))


def decide(space: Space, strengths: Any) -> dict[str, Any]:
    """The architecture that takes the strongest value of every choice, as a plain dictionary."""
    return space.decode(jnp.asarray(strengths)[None])[0]
