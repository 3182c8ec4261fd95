"""The parts of a search and the contracts between them.

A search is a relaxation, an estimator of the hypergradient, regularizers and events. Each part is a pure function or a
small tuple of pure functions, so that a method of your own is one more function and not a change of the library.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from metajax.space import Space
from metajax.types import Info, Key, LossFn, Params, Scalar

Logits = dict[str, jax.Array]
"""The architecture's parameters: one array of logits for every choice of the space, by name."""


class Moment(NamedTuple):
    """Where a search stands.

    Attributes:
        progress: The progress of the search, f32[], from 0 at the first step to 1 at the last.
        mask: The mask of the space, f32[width], 1 where a value is still open and 0 where it was pruned.
        epoch: The number of passes over the training part so far, f32[], whatever the length of the search.

    Example:
        >>> import jax.numpy as jnp
        >>> halfway = Moment(progress=jnp.asarray(0.5), mask=jnp.ones(15))
        >>> float(halfway.progress), float(halfway.epoch)
        (0.5, 0.0)
    """

    progress: Any
    mask: jax.Array
    epoch: Any = 0.0


@runtime_checkable
class Encode(Protocol):
    """How logits become the encodings of one step."""

    def __call__(self, space: Space, logits: Logits, moment: Moment, key: Key, /) -> Float[Array, "paths width"]:
        """Returns one encoding for every path through the network.

        Args:
            space: The space that is searched.
            logits: The logits, one array for every choice.
            moment: The progress of the search and the values that are still open. The weight of a pruned value is 0.
            key: The randomness of this step.

        Returns:
            The encodings, f32[paths, width]; a deterministic mixture is one path.
        """
        ...


class ScoreFunction(NamedTuple):
    """What a search by the score-function estimator needs beside its paths.

    References:
        Williams 1992, "Simple statistical gradient-following algorithms for connectionist reinforcement learning"
        (REINFORCE).

    Attributes:
        distribution: A function ``(logits) -> logits`` of the distribution from which the paths are drawn.
        cost: A function ``(loss, info) -> scalar``, the cost of one path. The search minimizes its expectation.

    Example:
        >>> negative_accuracy = ScoreFunction(lambda logits: logits, lambda loss, info: -info["accuracy"])
        >>> negative_accuracy.cost(2.3, {"accuracy": 0.25})
        -0.25
    """

    distribution: Callable[[Logits], Logits]
    cost: Callable[[Scalar, Info], Scalar]


class Relaxation(NamedTuple):
    """Logits and what they mean: the first part of a search method.

    Attributes:
        train: The function that returns the encodings under which the weights learn.
        judge: The function that returns the encodings of the outer loss.
        strengths: A function ``(space, logits, mask) -> f32[width]``, which returns what every value is worth. A search decides
            by it.
        scale: The standard deviation of the random initial logits.
        score: The score function. If it is given, the outer gradient is that of REINFORCE over the paths of ``judge`` instead
            of the derivative through the encoding. The baseline of a path is the mean cost of the others.
        extra: A function ``(space) -> logits``, which returns further logits that are learned beside those of the space.

    Example:
        >>> import jax
        >>> from metajax.supernet import relaxations, spaces
        >>> space = spaces.cell_space(2)
        >>> space.decode(relaxations.softmax_mixture().strengths(space, space.zeros(), jax.numpy.ones(5))[None])
        [{'edge_0_1': 'none'}]
    """

    train: Encode
    judge: Encode
    strengths: Callable[[Space, Logits, Float[Array, " width"]], Float[Array, " width"]]
    scale: float = 1e-3
    score: ScoreFunction | None = None
    extra: Callable[[Space], Logits] | None = None


@runtime_checkable
class Regularizer(Protocol):
    """A term that a search adds to its outer loss."""

    def __call__(self, space: Space, logits: Logits, encoding: Float[Array, " width"], moment: Moment, /) -> Scalar:
        """Returns the term.

        Args:
            space: The space that is searched.
            logits: The logits, one array for every choice.
            encoding: The encoding, f32[width], the mean over the paths of the step.
            moment: The progress of the search and the values that are still open.

        Returns:
            The term, f32[], already multiplied by its weight.
        """
        ...


class Disturb(Protocol):
    """Moves the encoding under which the weights learn. The outer loss is that of the encoding itself."""

    def __call__(
        self,
        space: Space,
        loss: Callable[[jax.Array], Scalar],
        encoding: Float[Array, " width"],
        moment: Moment,
        key: Key,
        /,
    ) -> Float[Array, " width"]:
        """Returns the disturbed encoding.

        Args:
            space: The space that is searched.
            loss: A function ``(encoding) -> scalar``, the training loss of this step's batch.
            encoding: The encoding of one path, f32[width].
            moment: The progress of the search and the values that are still open.
            key: The randomness of this step.

        Returns:
            The disturbed encoding, f32[width].
        """
        ...


class OverPaths(Protocol):
    """The inner loss of several paths that share weights."""

    def __call__(
        self,
        path_loss: Callable[[jax.Array], tuple[Scalar, Info]],
        outputs: Callable[[jax.Array], Any],
        encodings: Float[Array, "paths width"],
        /,
    ) -> tuple[Scalar, Info]:
        """Returns the loss of all paths and what is logged.

        Args:
            path_loss: A function ``(encoding) -> (loss, info)`` of one path.
            outputs: A function ``(encoding) -> outputs`` of the network for the batch.
            encodings: The paths, f32[paths, width].

        Returns:
            The loss that the weights minimize, and the info of the step.
        """
        ...


class MakeLoss(Protocol):
    """Makes a loss from the apply function of a network; ``fewshot.cross_entropy`` is one."""

    def __call__(self, apply: Callable[[Params, Any], Any], /) -> LossFn:
        """Returns the loss.

        Args:
            apply: The apply function of the network, ``(params, x) -> outputs``.

        Returns:
            A function ``(params, batch, key) -> (loss, info)``. Methods that decide by accuracy read ``info["accuracy"]``.
        """
        ...


class Decide(Protocol):
    """Turns the strengths of all values into one configuration; ``supernet.decide`` is one."""

    def __call__(self, space: Space, strengths: ArrayLike, threshold: float, /) -> dict[str, Any]:
        """Returns a configuration of the space.

        Args:
            space: The space that was searched.
            strengths: The strengths, f32[width], as ``Search.strengths`` returns them.
            threshold: The strength below which an edge stays empty, 0 in most methods.

        Returns:
            The configuration, ``{choice: value}``.
        """
        ...


class Evaluate(Protocol):
    """What a search without gradient asks about architectures."""

    def __call__(self, encodings: ArrayLike, /) -> tuple[np.ndarray, np.ndarray]:
        """Returns values and costs.

        Args:
            encodings: The encodings, f32[n, width].

        Returns:
            The values f[n], where larger is better, and the seconds f[n] that each evaluation cost.
        """
        ...
