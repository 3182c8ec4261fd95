"""The state of a search, the search itself, and the events that happen to it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NotRequired, TypedDict

import jax

from metajax.bilevel import BilevelInfo, BilevelState
from metajax.space import Space
from metajax.supernet._protocols import Logits, Relaxation
from metajax.types import Info, Key, Learner, Scalar


class SearchState(NamedTuple):
    """The state of a search.

    Attributes:
        bilevel: The weights, the logits and both optimizers.
        mask: The mask, f32[width], 1 where a value is still open and 0 where it was pruned.
        memory: The memory of each event.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space = supernet.spaces.cell_space(3)
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> search = supernet.METHODS["darts-1"].build(space, network, fewshot.cross_entropy, steps=10)
        >>> state = search.init(jax.random.key(0))
        >>> int(state.step), sorted(state.logits), state.mask.shape
        (0, ['edge_0_1', 'edge_0_2', 'edge_1_2'], (15,))
    """

    bilevel: BilevelState
    mask: jax.Array
    memory: tuple[Any, ...]

    @property
    def step(self) -> jax.Array:
        """Updates so far, i32[]."""
        return self.bilevel.step

    @property
    def key(self) -> jax.Array:
        """The key of the whole search."""
        return self.bilevel.key

    @property
    def hyper(self) -> Any:
        """Everything that the outer level learns; the logits are its entry ``"arch"``."""
        return self.bilevel.hyper

    @property
    def logits(self) -> Logits:
        """One array of logits for every choice."""
        return self.bilevel.hyper["arch"]

    @property
    def params(self) -> Any:
        """The shared weights."""
        return self.bilevel.inner.params


class OwnSearchInfo(TypedDict):
    """What a search adds to the info of ``bilevel.learner``; see ``SearchInfo``."""

    entropy: Scalar


class SearchInfo(BilevelInfo, OwnSearchInfo):
    """What an update of a search reports, beside what the loss reports (such as ``accuracy``).

    Attributes:
        outer_loss: The validation loss with the regularizers, f[]; while only the weights learn, the training loss.
        hypergradient_norm: The Euclidean norm of the gradient in the logits, f[]; 0 while only the weights learn.
        inner_loss: The training loss before the last step of the weights, f[].
        entropy: The mean entropy of the strengths of a choice, relative to the largest possible, f[].
        eigenvalue: The last dominant eigenvalue of the Hessian in the logits, f[], with ``events.eigenvalue``.
        stopped: 1 after that event has stopped the search, else 0, f[].

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import fewshot, nn, supernet
        >>> space, batch = supernet.spaces.cell_space(2), (jnp.ones((6, 4, 4, 1)), jnp.arange(6) % 3)
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> search = supernet.METHODS["darts-1"].build(space, network, fewshot.cross_entropy, steps=10)
        >>> stacked = jax.tree.map(lambda x: x[None], batch)
        >>> _, info = search.update(search.init(jax.random.key(0)), (stacked, batch))
        >>> sorted(info)
        ['accuracy', 'eigenvalue', 'entropy', 'hypergradient_norm', 'inner_loss', 'outer_loss', 'stopped']
    """

    eigenvalue: NotRequired[Scalar]
    stopped: NotRequired[Scalar]


class Search(NamedTuple):
    """A search method on a space and a network.

    Attributes:
        init: A function ``(key) -> SearchState``, or ``(key, hyper)`` with more than ``{"arch": logits}``.
        update: A function ``(state, (inner_batches, outer_batch)) -> (state, info)``, where ``info`` has the fields of
            ``SearchInfo`` and those that the loss reports. A third entry of the batch, if there is
            one, is the whole validation part for events that decide by it.
        strengths: A function ``(state) -> f32[width]``, which returns what every value is worth.
        space: The space that is searched.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space = supernet.spaces.cell_space(3)
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> search = supernet.METHODS["fair-darts"].build(space, network, fewshot.cross_entropy, steps=10)
        >>> search.strengths(search.init(jax.random.key(0)))[:5].tolist()  # sigmoids, without the operation none
        [0.0, 0.5, 0.5, 0.5, 0.5]
    """

    init: Callable[..., SearchState]
    update: Callable[[SearchState, Any], tuple[SearchState, dict[str, Any]]]
    strengths: Callable[[SearchState], jax.Array]
    space: Space

    @property
    def learner(self) -> Learner:
        """The part that trains, for ``metajax.run.train``."""
        return Learner(self.init, self.update)


class EventContext(NamedTuple):
    """What an event may use.

    Attributes:
        space: The space that is searched.
        loss: A function ``(params, encoding, batch, key) -> (loss, info)``.
        relaxation: The relaxation of the search.
        steps: The number of updates of the whole search.
        validation: The whole validation part, ``(x, labels)``, where the batch has a third entry.

    Example:
        >>> from metajax.supernet import relaxations, spaces
        >>> EventContext(spaces.cell_space(3), None, relaxations.softmax_mixture(), steps=100).steps
        100
    """

    space: Space
    loss: Callable[[Any, jax.Array, Any, Key], tuple[Scalar, Info]]
    relaxation: Relaxation
    steps: int
    validation: Any = None


class Event(NamedTuple):
    """Something that happens to a search at some of its steps, inside the compiled loop.

    Attributes:
        init: A function ``(context) -> memory``, whose memory is a pytree.
        apply: A function ``(state, memory, context, batch) -> (state, memory, info)``, which is called at every step with the
            outer batch. Use ``jax.lax.cond`` for what is expensive.

    Example:
        >>> halve = lambda state, memory, context, batch: (state._replace(mask=state.mask * 0.5), memory, {})
        >>> Event(lambda context: (), halve).init(None)
        ()
    """

    init: Callable[[EventContext], Any]
    apply: Callable[[SearchState, Any, EventContext, Any], tuple[SearchState, Any, Mapping[str, Any]]]
