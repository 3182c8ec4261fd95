"""The methods of the literature by name: each is a choice of parts for ``search``."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel
from metajax.space import Space
from metajax.supernet import relaxation as relax
from metajax.supernet.events import eigenvalue, project, prune
from metajax.supernet.regularise import (
    adversarial_disturbance,
    beta_decay,
    costs,
    dirichlet_distance,
    random_disturbance,
    zero_one,
)
from metajax.supernet.relaxation import Relaxation
from metajax.supernet.search import Disturb, Event, OverPaths, Regulariser, distilled, mean_over_paths


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The parts of a method, as arguments of ``search``, and its rates.

    Attributes:
        relaxation, regularisers, disturb, events: see ``search``.
        estimator: makes the estimator of ``search``.
        decide: ``strengths`` takes the strongest value of every choice; ``evolve`` asks the SuperNet for accuracies.
        rate: of Adam on the logits, where these take as many steps as the method's paper gives them.
        epochs: that the paper searches for, of ``EPOCH`` steps.
        plain: gradient descent instead of Adam.
        decay: of the logits.
        weight_decay: of the weights.
        partial: share of channels that take part, as 1/partial.
        warm_up: share of the search in which weights learn alone.
        over_paths: the loss of several paths.
        single_path: encodings are one-hot, so that a network may compute the chosen operations alone.
    """

    relaxation: Relaxation = dataclasses.field(default_factory=relax.softmax)
    estimator: Callable[[], bilevel.Estimator] = bilevel.first_order
    regularisers: Sequence[Regulariser] = ()
    disturb: Disturb | None = None
    events: Sequence[Event] = ()
    decide: str = "strengths"
    rate: float = 3e-4
    epochs: int = 50
    plain: bool = False
    decay: float = 1e-3
    weight_decay: float = 5e-4
    partial: int = 1
    warm_up: float = 0.0
    over_paths: OverPaths = mean_over_paths
    single_path: bool = False

    def outer_optimizer(self, steps: int) -> optax.GradientTransformation:
        """Of the logits, which take so many steps. Where these are fewer than the published ones, the rate is larger in the
        same proportion: Adam's logits then travel as far."""
        rate = self.rate * max(1.0, self.epochs * EPOCH / max(steps, 1))
        if self.plain:
            return optax.sgd(rate)
        return optax.chain(optax.add_decayed_weights(self.decay), optax.adam(rate, b1=0.5))

    @property
    def learns_logits(self) -> bool:
        """Whether logits learn while weights do, so that regularisers count."""
        return self.estimator is not bilevel.weights_only

    @property
    def differentiates_learning(self) -> bool:
        """Whether weight steps are differentiated: clipping gradients by norm would then give NaN at a zero gradient."""
        return self.estimator not in (bilevel.first_order, bilevel.weights_only)


EPOCH = 25_000 // 64
"""Steps of an epoch: half of CIFAR-10's training images in batches of 64 (Liu et al. 2019)."""


def auxiliary_skip(space: Space, value: Any = "skip", inner: Relaxation | None = None) -> Relaxation:
    """An extra skip beside every choice, whose weight falls from 1 to 0 (DARTS-, Chu et al. 2021, arXiv:2009.01027).

    Edges are sums of weighted operations, so the extra skip is an extra weight on the one that is there.
    """
    made = inner or relax.softmax()
    extra = _where(space, value)

    def with_skip(encode):
        return lambda space, logits, moment, key: (
            encode(space, logits, moment, key) + (1.0 - moment.progress) * extra * moment.mask
        )

    return made._replace(train=with_skip(made.train), judge=with_skip(made.judge))


def normalised_edges(inner: Relaxation, into: Callable[[str], str]) -> Relaxation:
    """Choices that lead to one node also weigh against each other, by a softmax over their largest logits' sums (the
    edge normalisation of PC-DARTS, whose extra logits are here the log-sum of the edge's own)."""

    def scaled(encode):
        def run(space, logits, moment, key):
            encodings = encode(space, logits, moment, key)
            nodes: dict[str, list[str]] = {}
            for name, _ in relax.blocks(space):
                nodes.setdefault(into(name), []).append(name)
            for names in nodes.values():
                strength = jnp.stack([jax.nn.logsumexp(logits[name]) for name in names])
                for name, weight in zip(names, jax.nn.softmax(strength)):
                    encodings = encodings.at[:, space.slices[name]].multiply(weight)
            return encodings

        return run

    return inner._replace(train=scaled(inner.train), judge=scaled(inner.judge))


def _where(space: Space, value: Any) -> jax.Array:
    found = jnp.zeros(space.width)
    for name, part in relax.blocks(space):
        choices = space.domains[name].choices  # type: ignore[union-attr]
        if value not in choices:
            raise ValueError(f"auxiliary_skip: {name!r} has no value {value!r}; it has {choices}")
        found = found.at[part.start + choices.index(value)].set(1.0)
    return found


def recipe(name: str, space: Space, images: tuple[Any, Any]) -> Recipe:
    """A method of the literature.

    Args:
        name: one of ``METHODS``.
        space: that is searched.
        images: ``(x, labels)`` of validation, for methods that decide by accuracy while they search.

    Raises:
        ValueError: on another name.
    """
    if name not in METHODS:
        raise ValueError(f"recipe: unknown method {name!r}; accepted are {', '.join(METHODS)}")
    return METHODS[name](space, images)


METHODS: dict[str, Callable[[Space, Any], Recipe]] = {
    "darts-1": lambda space, images: Recipe(events=(eigenvalue(),)),
    "darts-2": lambda space, images: Recipe(estimator=bilevel.unroll, events=(eigenvalue(),)),
    "darts-2-finite": lambda space, images: Recipe(estimator=bilevel.finite_difference),
    "idarts": lambda space, images: Recipe(estimator=_neumann),
    "gdas": lambda space, images: Recipe(relax.straight_through(), epochs=250, single_path=True),
    "snas": lambda space, images: Recipe(relax.concrete()),
    "drnas": lambda space, images: Recipe(
        relax.dirichlet(), regularisers=(dirichlet_distance(),), decay=0.0, epochs=100
    ),
    "drnas-pruned": lambda space, images: Recipe(
        relax.dirichlet(), regularisers=(dirichlet_distance(),), decay=0.0, epochs=100, events=(prune((0.5,), (3,)),)
    ),
    "fair-darts": lambda space, images: Recipe(relax.sigmoid(), regularisers=(zero_one(),)),
    "gaea": lambda space, images: Recipe(relax.exponentiated(), rate=0.1, plain=True),
    "pc-darts": lambda space, images: Recipe(normalised_edges(relax.softmax(), _target), partial=4, warm_up=0.3),
    "beta-darts": lambda space, images: Recipe(
        regularisers=(beta_decay(),), decay=0.0, epochs=100, events=(eigenvalue(),)
    ),
    "r-darts-l2": lambda space, images: Recipe(weight_decay=2.7e-3, events=(eigenvalue(),)),
    "r-darts-stop": lambda space, images: Recipe(events=(eigenvalue(stop=True),)),
    "s-darts-random": lambda space, images: Recipe(disturb=random_disturbance(), events=(eigenvalue(),)),
    "s-darts-adversarial": lambda space, images: Recipe(disturb=adversarial_disturbance(), events=(eigenvalue(),)),
    "darts-minus": lambda space, images: Recipe(auxiliary_skip(space), events=(eigenvalue(),)),
    "darts-pt": lambda space, images: Recipe(events=(project(*images),)),
    "darts-pt-fixed": lambda space, images: Recipe(estimator=bilevel.weights_only, events=(project(*images),)),
    "spos": lambda space, images: _one_shot(relax.uniform_paths()),
    "fairnas": lambda space, images: _one_shot(relax.fair_paths()),
    "sandwich": lambda space, images: _one_shot(relax.sandwich_paths(2, _sizes(space)), distilled),
    "enas": lambda space, images: Recipe(relax.policy(4), decay=0.0, epochs=250, single_path=True),
}


def _neumann() -> bilevel.Estimator:
    return bilevel.implicit("neumann", iterations=2, step_size=0.01)


def _one_shot(paths: relax.Encode, over_paths: OverPaths = mean_over_paths) -> Recipe:
    sampled, learning = relax.sampled(paths), bilevel.weights_only
    return Recipe(sampled, learning, decide="evolve", epochs=250, over_paths=over_paths, single_path=True)


def _sizes(space: Space) -> np.ndarray:
    """Of every value of every choice: a number is its own size, an operation's is the product of the numbers in its name
    (``conv3x3`` is 9), without one 0, and ``none`` is smaller still."""

    def size(value: Any) -> float:
        if isinstance(value, str):
            return -1.0 if value == "none" else float(np.prod([int(n) for n in re.findall(r"\d+", value)] or [0]))
        return float(value)

    table = {n: {v: size(v) for v in space.domains[n].choices} for n, _ in relax.blocks(space)}  # type: ignore[union-attr]
    return costs(space, table)


def _target(name: str) -> str:
    """The cell and node that ``edge_i_j`` leads to."""
    cell, _, node = name.split("_")
    return f"{cell}_{node}"
