"""What a method of the literature is on a space: its parts, its rates and how it decides."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.nn import Functional
from metajax.space import Space
from metajax.supernet._paths import mean_over_paths
from metajax.supernet._protocols import Decide, Disturb, Evaluate, MakeLoss, Moment, OverPaths, Regularizer, Relaxation
from metajax.supernet._search import EPOCH_STEPS, compose_search
from metajax.supernet._state import Event, Search, SearchState
from metajax.supernet._strengths import decide
from metajax.supernet.baselines._shared_weights import best_of
from metajax.supernet.baselines._walks import evolve
from metajax.supernet.relaxations._mixtures import softmax_mixture
from metajax.types import InputError, stream

EVOLVED = 500
"""SuperNet evaluations of methods that decide by evolution (single-path methods)."""
SAMPLED = 100
"""Architectures among which a method that samples them decides (ENAS in the code of NAS-Bench-201)."""
CLIP_NORM = 5.0
"""Largest norm of a gradient of the weights, as in the authors' code of nearly every method."""


class MakeNetwork(Protocol):
    """Makes the SuperNet that a method needs."""

    def __call__(self, partial: Any, single_path: bool, /) -> Functional:
        """Returns the network.

        Args:
            partial: The share of channels that take part in the operations, as 1/partial; an integer, 1 for most methods. A
                pair of integers is a network that grows from the first share to the second (``drnas-pruned``).
            single_path: Whether encodings are one-hot, so that the network may compute the chosen operations alone. A network
                that ignores it is as correct, and slower.

        Returns:
            The network, with ``init(key) -> params`` and ``apply(params, x, encoding) -> outputs``. The parameters do not
            depend on ``single_path``.
        """
        ...


def adam(decay: float = 1e-3, b1: float = 0.5, eps: float = 1e-8) -> Callable[[Any], optax.GradientTransformation]:
    """Returns ``learning_rate -> Adam``, with the decay added to the gradient, as in PyTorch, so that Adam divides it too."""
    return lambda rate: optax.chain(optax.add_decayed_weights(decay), optax.adam(rate, b1=b1, eps=eps))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The parts of a method on a space, as arguments of ``compose_search``, its rates, and how it decides.

    ``METHODS[name].recipe(space)`` returns the recipe of a published method; ``dataclasses.replace`` changes a part of it.

    Attributes:
        relaxation, regularizers, disturb, events, inner_steps, excluded_values, over_paths, widen_at: See ``compose_search``.
        estimator: The function that makes the estimator of ``compose_search``.
        decision: The way in which the search ends. ``"strengths"`` takes the strongest value of every choice; ``"evolve"`` lets
            evolution ask the SuperNet for accuracies, 500 times; ``"sample"`` takes the best of 100 architectures that the
            logits draw, by the SuperNet's accuracies.
        threshold: The strength below which a choice becomes ``none`` in the end.
        logits_learning_rate: The learning rate of the logits, where these take as many steps as the method's paper gives them.
        logits_optimizer: The function that makes the optimizer of the logits from their learning rate.
        epochs: The number of epochs that the paper searches for, of ``EPOCH_STEPS`` steps.
        weight_decay: The weight decay of the weights.
        partial: The share of channels that take part, as 1/partial; of two, the second holds from the share ``widen_at`` on.
        warm_up: The share of the search in which weights learn alone.
        logits_frozen: The shares of the search between which the logits rest again.
        tune_from: The share of the search from which weights are tuned at a tenth of their first rate.
        single_path: Whether encodings are one-hot, so that a network may compute the chosen operations alone.

    Example:
        >>> import dataclasses
        >>> from metajax import supernet
        >>> recipe = supernet.METHODS["fair-darts"].recipe(supernet.spaces.cell_space())
        >>> recipe.threshold, recipe.excluded_values
        (0.85, ('none',))
        >>> dataclasses.replace(recipe, threshold=0.7).threshold
        0.7
    """

    relaxation: Relaxation = dataclasses.field(default_factory=softmax_mixture)
    estimator: Callable[[], bilevel.Estimator] = bilevel.first_order
    regularizers: Sequence[Regularizer] = ()
    disturb: Disturb | None = None
    events: Sequence[Event] = ()
    inner_steps: int = 1
    excluded_values: Sequence[Any] = ()
    over_paths: OverPaths = mean_over_paths
    decision: Literal["strengths", "evolve", "sample"] = "strengths"
    threshold: float = 0.0
    logits_learning_rate: float = 3e-4
    logits_optimizer: Callable[[Any], optax.GradientTransformation] = dataclasses.field(default_factory=adam)
    epochs: float = 50
    weight_decay: float = 5e-4
    partial: int | tuple[int, int] = 1
    widen_at: float | None = None
    warm_up: float = 0.0
    logits_frozen: tuple[float, float] | None = None
    tune_from: float = 1.0
    single_path: bool = False

    @property
    def learns_logits(self) -> bool:
        """Whether logits learn while weights do, so that regularizers count."""
        return self.estimator is not bilevel.weights_only

    @property
    def differentiates_learning(self) -> bool:
        """Whether weight steps are differentiated: clipping gradients by norm would then give NaN at a zero gradient."""
        return self.estimator not in (bilevel.first_order, bilevel.weights_only)

    def network(self, network: Functional | MakeNetwork, single_path: bool | None = None) -> Functional:
        """Returns the network that the method trains, or with ``single_path=True`` the one that computes single paths.

        Raises:
            InputError: If the method needs partial channels and the network cannot have them.
        """
        if isinstance(network, Functional):
            if self.partial != 1:
                raise InputError(
                    "build: network must be a function (partial, single_path) -> Functional for a method with "
                    f"partial={self.partial} channels, got one Functional"
                )
            return network
        return network(self.partial, self.single_path if single_path is None else single_path)

    def weights_schedule(self, learning_rate: float, steps: int) -> optax.Schedule:
        """Returns the rate of the weights: along a cosine to a 25th, and from ``tune_from`` on a tenth of the first."""
        tuned = round(self.tune_from * steps)
        cosine = optax.cosine_decay_schedule(learning_rate, max(tuned, 1), 0.04)
        if tuned >= steps:
            return cosine
        return optax.join_schedules([cosine, optax.constant_schedule(learning_rate / 10)], [tuned])

    def make_weights_optimizer(self, learning_rate: float, steps: int) -> optax.GradientTransformation:
        """Returns the optimizer of the weights: SGD with Nesterov momentum .9, the method's decay and schedule.

        Gradients are clipped to a norm of 5, except where the method differentiates through weight steps.
        """
        clip = optax.identity() if self.differentiates_learning else optax.clip_by_global_norm(CLIP_NORM)
        descent = optax.sgd(self.weights_schedule(learning_rate, steps), momentum=0.9, nesterov=True)
        return optax.chain(clip, optax.add_decayed_weights(self.weight_decay), descent)

    def make_logits_optimizer(self, steps: int, warm_up: int = 0) -> optax.GradientTransformation:
        """Returns the optimizer of the logits.

        Where the logits take fewer steps than the published ones, the rate is larger in the same proportion: Adam's logits
        then travel as far. Logits that the estimator does not learn stay where they are.

        Args:
            steps: The number of updates of the whole search.
            warm_up: The number of these updates in which weights learn alone.
        """
        if not self.learns_logits:  # a decay alone would move logits that are to stay
            return optax.set_to_zero()
        rate = self.logits_learning_rate * max(1.0, self.epochs * EPOCH_STEPS / max(steps - warm_up, 1))
        if self.logits_frozen is None:
            return self.logits_optimizer(rate)
        first, last = (round(share * steps) - warm_up for share in self.logits_frozen)
        learns = lambda step, **extra: (jnp.asarray(step) < first) | (jnp.asarray(step) >= last)
        return optax.conditionally_mask(self.logits_optimizer(rate), learns)

    def build(
        self,
        space: Space,
        network: Functional | MakeNetwork,
        loss: MakeLoss,
        weights_optimizer: optax.GradientTransformation | None = None,
        *,
        steps: int,
        learning_rate: float = 0.025,
        steps_per_epoch: int = EPOCH_STEPS,
        warm_up: float = 0.0,
        regularizers: Sequence[Regularizer] = (),
    ) -> Search:
        """Builds the whole search. ``supernet.run`` also trains it and decides.

        Args:
            space: The space of architectures, the one that the recipe was made for.
            network: A function ``(partial, single_path) -> Functional``, or a Functional where the method needs no partial
                channels.
            loss: The function that makes a loss from an apply function, such as ``fewshot.cross_entropy``.
            weights_optimizer: The optimizer of the weights; by default momentum SGD with the decay, clipping and schedule of
                the method, see ``make_weights_optimizer``.
            steps: The number of updates of the whole search, at least 1.
            learning_rate: The learning rate of the weights at the first step, for the default optimizer.
            steps_per_epoch: The number of steps in which the training part is seen once.
            warm_up: The smallest share of the search in which weights learn alone; the method may ask for more.
            regularizers: The terms beside those of the method, such as an expected cost.

        Returns:
            The search; ``search.learner`` trains with ``metajax.run.train``.

        Raises:
            InputError: If the network cannot have the channels that the method needs, or in the cases of ``compose_search``.

        Example:
            >>> from metajax import fewshot, nn, supernet
            >>> space = supernet.spaces.cell_space(3)
            >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, single_path=True, rngs=rngs))
            >>> recipe = supernet.METHODS["gdas"].recipe(space)
            >>> search = recipe.build(space, network, fewshot.cross_entropy, steps=10)
            >>> sorted(search.init(jax.random.key(0)).logits) == sorted(space.domains)
            True
        """
        alone = round(max(self.warm_up, warm_up) * steps)
        return compose_search(
            space,
            self.network(network),
            loss,
            self.make_weights_optimizer(learning_rate, steps) if weights_optimizer is None else weights_optimizer,
            self.make_logits_optimizer(steps, alone),
            steps,
            relaxation=self.relaxation,
            estimator=self.estimator(),
            regularizers=(*self.regularizers, *regularizers),
            disturb=self.disturb,
            events=self.events,
            over_paths=self.over_paths,
            inner_steps=self.inner_steps,
            warm_up=alone,
            steps_per_epoch=steps_per_epoch,
            excluded_values=self.excluded_values,
            widen_at=self.widen_at,
        )

    def choose(
        self, search: Search, state: SearchState, evaluate: Evaluate, decide_by: Decide = decide
    ) -> dict[str, Any]:
        """Returns the architecture that the method decides on.

        Args:
            search: The search that was built from this recipe.
            state: The last state of the search.
            evaluate: The function that returns the accuracies of encodings by the shared weights, see
                ``baselines.by_shared_weights``. It is called where the method decides by accuracy.
            decide_by: The function that makes a configuration from strengths, where the method decides by strengths.

        Returns:
            The configuration, ``{choice: value}``.

        Example:
            >>> from metajax import fewshot, nn, supernet
            >>> space = supernet.spaces.cell_space(2)
            >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
            >>> recipe = supernet.METHODS["gaea"].recipe(space)
            >>> search = recipe.build(space, network, fewshot.cross_entropy, steps=10)
            >>> recipe.choose(search, search.init(jax.random.key(0)), evaluate=None)
            {'edge_0_1': 'none'}
        """
        space = search.space
        if self.decision == "strengths":
            return decide_by(space, search.strengths(state), self.threshold)
        key = stream(state.key, "decide")
        if self.decision == "evolve":
            return evolve(space, evaluate, key, evaluations=EVOLVED, population=50, tournament=10).best
        moment = Moment(jnp.ones(()), state.mask)
        draw = jax.jit(jax.vmap(lambda key: self.relaxation.judge(space, state.logits, moment, key)[0]))
        return best_of(space, evaluate, draw(jax.random.split(key, SAMPLED))).best
