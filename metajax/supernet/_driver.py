"""One call that searches with a method: it builds, trains, and decides."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

from metajax.nn import Functional
from metajax.parallel import Devices
from metajax.run import RunDirectory, train
from metajax.space import Space
from metajax.supernet._method import SupernetMethod
from metajax.supernet._methods import METHODS
from metajax.supernet._protocols import Decide, MakeLoss, Regularizer
from metajax.supernet._recipe import MakeNetwork, Recipe
from metajax.supernet._state import SearchState
from metajax.supernet._strengths import decide
from metajax.supernet.baselines._shared_weights import by_shared_weights
from metajax.supernet.events._prune import check_mask
from metajax.types import InputError, Key, Params, Scalar

JUDGED_IMAGES = 2000
"""Validation examples by which the SuperNet judges an architecture."""
JUDGED_BATCH = 250
"""Examples at a time; batch norm goes by the batch."""

Part = tuple[Any, Any]
"""``(x, labels)``, array-likes that share their leading axis."""
Accuracy = Callable[[Params, jax.Array], Scalar]
"""``(params, encoding) -> accuracy`` on validation examples."""


class Augment(Protocol):
    """Changes training examples at random."""

    def __call__(self, x: jax.Array, key: Key, /) -> jax.Array:
        """Returns examples of the same shape.

        Args:
            x: A batch of examples.
            key: The randomness of this batch.
        """
        ...


class Outcome(NamedTuple):
    """What a search ended with.

    Attributes:
        state: The last state of the search.
        config: The architecture that the search decided on, ``{choice: value}``.
        strengths: The strengths that decided, f32[width]; the one-hot encoding of ``config`` where accuracies decided.
        mixture: A function ``(params, encoding) -> accuracy`` on validation examples, for any encoding.
        single_path: The same for a one-hot encoding. It computes the chosen operations alone if the network can.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space, x, y = supernet.spaces.cell_space(2), jnp.ones((33, 4, 4, 1)), jnp.arange(33) % 3
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> outcome = supernet.run("gaea", space, network, fewshot.cross_entropy, [(x, y), (x, y)], steps=2)
        >>> accuracy = outcome.mixture(outcome.state.params, jnp.asarray(outcome.strengths))
        >>> round(float(accuracy), 2)  # of three classes, from images that say nothing
        0.33
    """

    state: SearchState
    config: dict[str, Any]
    strengths: np.ndarray
    mixture: Accuracy
    single_path: Accuracy


def run(
    method: str | SupernetMethod | Recipe,
    space: Space,
    network: Functional | MakeNetwork,
    loss: MakeLoss,
    parts: Sequence[Part],
    *,
    steps: int,
    learning_rate: float = 0.025,
    batch_size: int = 64,
    seed: int = 0,
    directory: RunDirectory | None = None,
    weights_optimizer: optax.GradientTransformation | None = None,
    warm_up: float = 0.0,
    regularizers: Sequence[Regularizer] = (),
    augment: Augment | None = None,
    decide_by: Decide = decide,
    evaluate: Callable[[SearchState, dict[str, Any]], Mapping[str, float]] | None = None,
    evaluations: int = 10,
    show: bool = False,
    devices: Devices | None = None,
) -> Outcome:
    """Searches a space with a method and decides on one architecture.

    Args:
        method: One of ``METHODS``, or a method of one's own: a ``SupernetMethod``, or the ``Recipe`` that it makes for this
            space.
        space: The space of architectures.
        network: A function ``(partial, single_path) -> Functional``, or a Functional where the method needs no partial
            channels.
        loss: The function that makes a loss from an apply function, such as ``fewshot.cross_entropy``.
        parts: The training part, by which the weights learn, and the validation part, by which the encoding learns and
            architectures are judged, each as ``(x, labels)``. Further parts are ignored.
        steps: The number of updates of the whole search, at least 1.
        learning_rate: The learning rate of the weights at the first step.
        batch_size: The number of examples of a batch, at least 1.
        seed: The seed of all randomness.
        directory: The directory of metrics and checkpoints, from which a killed search resumes to the same bits; ``None`` keeps
            nothing.
        weights_optimizer: The optimizer of the weights; by default momentum SGD with the decay, clipping and schedule of the
            method.
        warm_up: The smallest share of the search in which weights learn alone; the method may ask for more.
        regularizers: The terms beside those of the method, such as an expected cost.
        augment: The function that changes training batches at random.
        decide_by: The function that makes a configuration from strengths, such as ``spaces.derive`` on the space of DARTS.
        evaluate: A function ``(state, config that would be decided now) -> metrics``, whose metrics are logged. They choose
            nothing.
        evaluations: The approximate number of calls of ``evaluate`` over the search.
        show: Whether to show progress.
        devices: The devices that share each batch, as in ``run.train``; they must divide ``batch_size``.

    Returns:
        The outcome.

    Raises:
        InputError: If the method is unknown or is none, if there are fewer than two parts, or in the cases of ``Recipe.build``.
        metajax.run.Diverged: If the loss or the state is no longer finite.

    Example:
        >>> from metajax import fewshot, nn, supernet
        >>> space, x, y = supernet.spaces.cell_space(3), jnp.ones((32, 4, 4, 1)), jnp.arange(32) % 3
        >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
        >>> outcome = supernet.run("gdas", space, network, fewshot.cross_entropy, [(x, y), (x, y)], steps=2)
        >>> sorted(outcome.config)
        ['edge_0_1', 'edge_0_2', 'edge_1_2']
    """
    if len(parts) < 2 or batch_size < 1:
        raise InputError(
            "run: parts must be at least a training and a validation part and batch_size an integer >= 1, got "
            f"{len(parts)} parts, batch_size={batch_size}"
        )
    recipe = _recipe_of(method, space)
    search = recipe.build(
        space,
        network,
        loss,
        weights_optimizer,
        steps=steps,
        learning_rate=learning_rate,
        steps_per_epoch=steps_in_epoch(parts[0], batch_size, recipe.inner_steps),
        warm_up=warm_up,
        regularizers=regularizers,
    )
    chunk = min(25, steps)
    watch = lambda state: dict(evaluate(state, decide_by(space, search.strengths(state), recipe.threshold)))  # type: ignore[misc]
    state = train(
        search.learner,
        search.init(jax.random.key(seed)),
        sampler(parts, batch_size, recipe.inner_steps, augment),
        steps,
        directory,
        chunk=chunk,
        evaluate=None if evaluate is None else watch,
        evaluate_every=None if evaluate is None else max(chunk, steps // evaluations // chunk * chunk),
        label=method if isinstance(method, str) else "search",
        show=show,
        devices=devices,
        batch_axes=BATCH_AXES,
    )
    state = jax.device_put(state, jax.local_devices()[0]) if devices is not None else state
    check_mask(space, state.mask)
    single_path = accuracy_on(recipe.network(network, single_path=True), parts[1])
    config = recipe.choose(search, state, by_shared_weights(single_path, state.params), decide_by)
    if recipe.decision == "strengths":
        strengths = np.asarray(search.strengths(state))
    else:
        strengths = np.asarray(space.encode(space.configs([config]))[0])
    return Outcome(state, config, strengths, accuracy_on(recipe.network(network), parts[1]), single_path)


def steps_in_epoch(training: Part, batch_size: int, inner_steps: int = 1) -> int:
    """Returns the number of search steps in which the training part is seen once, at least 1."""
    return max(1, len(training[1]) // (batch_size * inner_steps))


BATCH_AXES = (1, 0, None)
"""The axes of what ``sampler`` returns along which devices share it: examples, but for the whole validation part."""


def sampler(
    parts: Sequence[Part], batch_size: int, inner_steps: int = 1, augment: Augment | None = None
) -> Callable[[Key], Any]:
    """Returns a sampler of a search's batches, which draws on the device.

    Args:
        parts: The training part and the validation part, each as ``(x, labels)``; further parts are ignored.
        batch_size: The number of examples of a batch, drawn with replacement.
        inner_steps: The number of training batches of one step.
        augment: The function that changes training batches at random.

    Returns:
        A function ``key -> (training batches [inner_steps, batch_size, ...], validation batch, validation part)``.

    Example:
        >>> x, y = np.zeros((9, 4, 4, 1)), np.arange(9)
        >>> inner, outer, whole = sampler([(x, y), (x, y)], batch_size=4, inner_steps=2)(jax.random.key(0))
        >>> inner[0].shape, outer[0].shape, whole[0].shape
        ((2, 4, 4, 4, 1), (4, 4, 4, 1), (9, 4, 4, 1))
    """

    def draw(key: Key, part: Part) -> Part:
        rows = jax.random.randint(key, (batch_size,), 0, len(part[1]))
        return part[0][rows], part[1][rows]

    def sample(training: Part, validation: Part, key: Key) -> Any:
        first, second, third = jax.random.split(key, 3)

        def inner(draw_key: Key, augment_key: Key) -> Part:
            x, y = draw(draw_key, training)
            return (x if augment is None else augment(x, augment_key)), y

        if inner_steps == 1:
            batches = jax.tree.map(lambda a: a[None], inner(first, third))
        else:
            keys = zip(jax.random.split(first, inner_steps), jax.random.split(third, inner_steps))
            batches = jax.tree.map(lambda *a: jnp.stack(a), *(inner(*pair) for pair in keys))
        return batches, draw(second, validation), validation

    # a Partial, so that the arrays are arguments of the compiled program and not constants in it
    training, validation = (jax.tree.map(jnp.asarray, tuple(part)) for part in parts[:2])
    return Partial(sample, training, validation)


def accuracy_on(network: Functional, part: Part) -> Accuracy:
    """Returns a function that measures the accuracy of encodings on examples.

    Args:
        network: The network, with ``apply(params, x, encoding) -> logits``.
        part: The examples, ``(x, labels)``. The first 2,000 count, in batches of 250, whose statistics batch norm uses.
            Examples that do not fill a batch are left out.

    Returns:
        A function ``(params, encoding) -> accuracy``, which is a ``jax.tree_util.Partial`` of the examples.

    Example:
        >>> network = Functional(lambda key: {}, lambda params, x, encoding: x * encoding)
        >>> accuracy = accuracy_on(network, (np.eye(3), np.arange(3)))
        >>> float(accuracy({}, jnp.ones(3))), round(float(accuracy({}, jnp.zeros(3))), 2)
        (1.0, 0.33)
    """
    size = min(JUDGED_BATCH, len(part[1]))
    count = min(JUDGED_IMAGES, len(part[1])) // size
    batches = jax.tree.map(lambda a: jnp.asarray(a[: count * size]).reshape(count, size, *a.shape[1:]), tuple(part))

    def accuracy(batches: Any, params: Params, encoding: jax.Array) -> Scalar:
        correct = lambda xy: jnp.argmax(network.apply(params, xy[0], encoding), axis=-1) == xy[1]
        return jnp.mean(jax.lax.map(correct, batches), dtype=jnp.float32)

    return Partial(accuracy, batches)


def _recipe_of(method: str | SupernetMethod | Recipe, space: Space) -> Recipe:
    """Returns the recipe of a method on a space."""
    if isinstance(method, str):
        return METHODS[method].recipe(space)
    if isinstance(method, SupernetMethod):
        return method.recipe(space)
    if not isinstance(method, Recipe):
        raise InputError(f"run: method must be a name of METHODS, a SupernetMethod or a Recipe, got {method!r}")
    return method
