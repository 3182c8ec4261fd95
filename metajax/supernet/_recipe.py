"""What a method of the literature is: its parts, as arguments of ``search``, and its rates."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.nn import Functional
from metajax.space import Space
from metajax.supernet import _relaxations as relax
from metajax.supernet._relaxations import Relaxation
from metajax.supernet._search import EPOCH, Disturb, Event, OverPaths, Regularizer, Search, mean_over_paths, search
from metajax.types import LossFn


def adam(decay: float = 1e-3, b1: float = 0.5, eps: float = 1e-8) -> Callable[[Any], optax.GradientTransformation]:
    """``rate -> Adam``, with the decay added to the gradient, as in PyTorch, so that Adam divides it too."""
    return lambda rate: optax.chain(optax.add_decayed_weights(decay), optax.adam(rate, b1=b1, eps=eps))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The parts of a method, as arguments of ``search``, and its rates.

    Attributes:
        relaxation, regularizers, disturb, events, inner_steps, without, over_paths: see ``search``.
        estimator: makes the estimator of ``search``.
        decide: ``strengths`` takes the strongest value of every choice; ``evolve`` asks the SuperNet for accuracies;
            ``sample`` takes the best of ``SAMPLED`` architectures that the logits draw, by the SuperNet's accuracies.
        threshold: strength below which a choice becomes ``none`` in the end.
        rate: of the logits, where these take as many steps as the method's paper gives them.
        outer: ``rate -> optimizer`` of the logits.
        epochs: that the paper searches for, of ``EPOCH`` steps.
        weight_decay: of the weights.
        partial: share of channels that take part, as 1/partial; of two, the second holds from the share ``widen`` on.
        widen: share of the search from which the network computes with more channels.
        warm_up: share of the search in which weights learn alone.
        rest: shares of the search between which the logits rest again.
        tune: share of the search from which weights are tuned at a tenth of their first rate.
        single_path: encodings are one-hot, so that a network may compute the chosen operations alone.
    """

    relaxation: Relaxation = dataclasses.field(default_factory=relax.softmax)
    estimator: Callable[[], bilevel.Estimator] = bilevel.first_order
    regularizers: Sequence[Regularizer] = ()
    disturb: Disturb | None = None
    events: Sequence[Event] = ()
    inner_steps: int = 1
    without: Sequence[Any] = ()
    over_paths: OverPaths = mean_over_paths
    decide: str = "strengths"
    threshold: float = 0.0
    rate: float = 3e-4
    outer: Callable[[Any], optax.GradientTransformation] = dataclasses.field(default_factory=adam)
    epochs: float = 50
    weight_decay: float = 5e-4
    partial: int | tuple[int, int] = 1
    widen: float | None = None
    warm_up: float = 0.0
    rest: tuple[float, float] | None = None
    tune: float = 1.0
    single_path: bool = False

    def outer_optimizer(self, steps: int, warm_up: int = 0) -> optax.GradientTransformation:
        """The optimizer of the logits.

        Where the logits take fewer steps than the published ones, the rate is larger in the same proportion: Adam's logits
        then travel as far. Logits that the estimator does not learn stay where they are.

        Args:
            steps: of the whole search.
            warm_up: of these, those in which weights learn alone.
        """
        if not self.learns_logits:  # a decay alone would move logits that are to stay
            return optax.set_to_zero()
        rate = self.rate * max(1.0, self.epochs * EPOCH / max(steps - warm_up, 1))
        if self.rest is None:
            return self.outer(rate)
        first, last = (round(share * steps) - warm_up for share in self.rest)
        awake = lambda step, **extra: (jnp.asarray(step) < first) | (jnp.asarray(step) >= last)
        return optax.conditionally_mask(self.outer(rate), awake)

    def weight_rate(self, rate: float, steps: int) -> optax.Schedule:
        """The rate of the weights: along a cosine to a 25th, and from ``tune`` on a tenth of the first."""
        tuned = round(self.tune * steps)
        falling = optax.cosine_decay_schedule(rate, max(tuned, 1), 0.04)
        return (
            falling if tuned >= steps else optax.join_schedules([falling, optax.constant_schedule(rate / 10)], [tuned])
        )

    def build(
        self,
        space: Space,
        network: Functional,
        loss: Callable[[Callable[..., Any]], LossFn],
        inner_optimizer: optax.GradientTransformation,
        steps: int,
        steps_per_epoch: int = EPOCH,
        warm_up: float = 0.0,
        more: Sequence[Regularizer] = (),
    ) -> Search:
        """The whole search.

        Args:
            space, network, loss, inner_optimizer, steps, steps_per_epoch: see ``search``; ``network`` has the recipe's
                ``partial`` and may have its ``single_path``.
            warm_up: share of the search in which weights learn alone, at least.
            more: regularizers beside those of the method.

        Example:
            >>> import jax
            >>> from metajax import fewshot, nn, supernet
            >>> space = supernet.spaces.cell_space(3)
            >>> recipe = supernet.recipe("gdas", space)
            >>> network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, single_path=True, rngs=rngs))
            >>> made = recipe.build(space, network, fewshot.cross_entropy, optax.sgd(0.1), steps=10)
            >>> sorted(made.init(jax.random.key(0)).logits) == sorted(space.domains)
            True
        """
        alone = round(max(self.warm_up, warm_up) * steps)
        return search(
            space,
            network,
            loss,
            inner_optimizer,
            self.outer_optimizer(steps, alone),
            steps,
            self.relaxation,
            self.estimator(),
            (*self.regularizers, *more),
            self.disturb,
            self.events,
            self.over_paths,
            self.inner_steps,
            alone,
            steps_per_epoch,
            self.without,
            self.widen,
        )

    @property
    def learns_logits(self) -> bool:
        """Whether logits learn while weights do, so that regularizers count."""
        return self.estimator is not bilevel.weights_only

    @property
    def differentiates_learning(self) -> bool:
        """Whether weight steps are differentiated: clipping gradients by norm would then give NaN at a zero gradient."""
        return self.estimator not in (bilevel.first_order, bilevel.weights_only)


SAMPLED = 100
"""Architectures among which a method that samples them decides (ENAS in the code of NAS-Bench-201)."""
