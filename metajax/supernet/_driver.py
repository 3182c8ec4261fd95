"""One call that searches with a method: it builds, trains, and decides."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from metajax.nn import Functional
from metajax.parallel import Devices
from metajax.run import RunDirectory, train
from metajax.space import Space
from metajax.supernet._method import SupernetMethod
from metajax.supernet._methods import METHODS
from metajax.supernet._parts import BATCH_AXES, Accuracy, Augment, Part, accuracy_on, sampler, steps_in_epoch
from metajax.supernet._protocols import Decide, MakeLoss, Regularizer
from metajax.supernet._recipe import MakeNetwork, Recipe
from metajax.supernet._state import Search, SearchState
from metajax.supernet._strengths import decide
from metajax.supernet.baselines._shared_weights import by_shared_weights
from metajax.supernet.events._prune import check_mask
from metajax.types import InputError

Evaluate = Callable[[SearchState, dict[str, Any]], Mapping[str, float]]
"""``(state, config that would be decided now) -> metrics``."""


class Outcome(NamedTuple):
    """What a search ended with.

    Attributes:
        state: The last state of the search.
        config: The architecture that the search decided on, ``{choice: value}``.
        strengths: The strengths that decided, f32[width]; the one-hot encoding of ``config`` where accuracies decided.
        mixture: A function ``(params, encoding) -> accuracy`` on validation examples, for any encoding.
        single_path: The same for a one-hot encoding. It computes the chosen operations alone if the network can.

    Example:
        >>> import jax.numpy as jnp
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
    evaluate: Evaluate | None = None,
    evaluations: int = 10,
    show: bool = False,
    devices: Devices | None = None,
) -> Outcome:
    """Searches a space with a method and decides on one architecture.

    Args:
        method: One of ``METHODS``, or a method of your own: a ``SupernetMethod``, or the ``Recipe`` that it makes for this
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
        >>> import jax.numpy as jnp
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
    state = train(
        search.learner,
        search.init(jax.random.key(seed)),
        sampler(parts, batch_size, recipe.inner_steps, augment),
        steps,
        directory,
        chunk=chunk,
        evaluate=None if evaluate is None else _evaluation(search, recipe, decide_by, evaluate),
        evaluate_every=None if evaluate is None else max(chunk, steps // evaluations // chunk * chunk),
        label=method if isinstance(method, str) else "search",
        show=show,
        devices=devices,
        batch_axes=BATCH_AXES,
    )
    state = jax.device_put(state, jax.local_devices()[0]) if devices is not None else state
    return _outcome(search, recipe, network, parts[1], state, decide_by)


def _evaluation(
    search: Search, recipe: Recipe, decide_by: Decide, evaluate: Evaluate
) -> Callable[[Any], dict[str, float]]:
    """Returns ``state -> metrics``, which evaluates the architecture that would be decided at that state."""

    def evaluate_state(state: SearchState) -> dict[str, float]:
        return dict(evaluate(state, decide_by(search.space, search.strengths(state), recipe.threshold)))

    return evaluate_state


def _outcome(
    search: Search,
    recipe: Recipe,
    network: Functional | MakeNetwork,
    validation: Part,
    state: SearchState,
    decide_by: Decide,
) -> Outcome:
    """Decides on an architecture at the end of a search."""
    space = search.space
    check_mask(space, state.mask)
    single_path = accuracy_on(recipe.network(network, single_path=True), validation)
    config = recipe.choose(search, state, by_shared_weights(single_path, state.params), decide_by)
    if recipe.decision == "strengths":
        strengths = np.asarray(search.strengths(state))
    else:
        strengths = np.asarray(space.encode(space.configs([config]))[0])
    return Outcome(state, config, strengths, accuracy_on(recipe.network(network), validation), single_path)


def _recipe_of(method: str | SupernetMethod | Recipe, space: Space) -> Recipe:
    """Returns the recipe of a method on a space."""
    if isinstance(method, str):
        return METHODS[method].recipe(space)
    if isinstance(method, SupernetMethod):
        return method.recipe(space)
    if not isinstance(method, Recipe):
        raise InputError(f"run: method must be a name of METHODS, a SupernetMethod or a Recipe, got {method!r}")
    return method
