"""The methods of the literature by name: each is a choice of parts for ``search``.

Every recipe was read beside the paper and the authors' public code, with the settings that these have for NAS-Bench-201 where
there are any. What differs stands at its entry below. For all of them: batch norm by the statistics of the batch, weights
learn before the logits in a step, and a search of fewer steps than the published one takes a larger rate of the logits (see
``Recipe.outer_optimizer``).
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel
from metajax.space import Space
from metajax.supernet import _relaxations as relax
from metajax.supernet._events import eigenvalue, project, prune, widen
from metajax.supernet._recipe import Recipe, adam
from metajax.supernet._regularizers import (
    adversarial_disturbance,
    beta_decay,
    costs,
    entropy_bonus,
    random_disturbance,
    zero_one,
)
from metajax.supernet._relaxations import Relaxation
from metajax.supernet._search import EPOCH, OverPaths, distilled, mean_over_paths
from metajax.types import InputError


def auxiliary_skip(space: Space, value: Any = "skip", inner: Relaxation | None = None) -> Relaxation:
    """An extra skip beside every choice, whose weight falls from 1 to 0 (DARTS-, Chu et al. 2021, arXiv:2009.01027).

    Edges are sums of weighted operations, so the extra skip is an extra weight on the one that is there. (On an edge that
    halves the resolution the authors give the extra skip weights of its own.)

    Raises:
        InputError: if a choice does not have the value.
    """
    made = inner or relax.softmax()
    extra = _where(space, value)

    def with_skip(encode):
        return lambda space, logits, moment, key: (
            encode(space, logits, moment, key) + (1.0 - moment.progress) * extra * moment.mask
        )

    return made._replace(train=with_skip(made.train), judge=with_skip(made.judge))


def normalized_edges(inner: Relaxation, into: Callable[[str], str]) -> Relaxation:
    """Choices that lead to one node weigh against each other by a softmax over logits of their own, one for each choice, which
    are learned beside the others (the edge normalization of PC-DARTS, Xu et al. 2020, arXiv:1907.05737).

    The strengths are products of both, as in the authors' code, so that a decision among the edges into a node counts both.

    Args:
        inner: how the values of one choice weigh against each other.
        into: ``(name of a choice) -> name of its node``.
    """
    own = lambda name: f"edge weight of {name}"

    def weights(space, logits):
        nodes: dict[str, list[str]] = {}
        for name, _ in relax.blocks(space):
            nodes.setdefault(into(name), []).append(name)
        found = jnp.ones(space.width)
        for names in nodes.values():
            shares = jax.nn.softmax(jnp.stack([logits[own(name)] for name in names]))
            for name, share in zip(names, shares):
                found = found.at[space.slices[name]].set(share)
        return found

    def scaled(encode):
        return lambda space, logits, moment, key: encode(space, logits, moment, key) * weights(space, logits)

    return inner._replace(
        train=scaled(inner.train),
        judge=scaled(inner.judge),
        strengths=lambda space, logits, mask: inner.strengths(space, logits, mask) * weights(space, logits),
        extra=lambda space: {own(name): jnp.zeros(()) for name, _ in relax.blocks(space)},
    )


def _where(space: Space, value: Any) -> jax.Array:
    found = jnp.zeros(space.width)
    for name, part in relax.blocks(space):
        choices = space.domains[name].choices  # type: ignore[union-attr]
        if value not in choices:
            raise InputError(f"auxiliary_skip: {name!r} has no value {value!r}; it has {choices}")
        found = found.at[part.start + choices.index(value)].set(1.0)
    return found


def recipe(name: str, space: Space) -> Recipe:
    """A method of the literature.

    Args:
        name: one of ``METHODS``.
        space: that is searched.

    Raises:
        InputError: on another name.

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> recipe("fair-darts", cell_space()).threshold
        0.85
    """
    if name not in METHODS:
        raise InputError(f"recipe: unknown method {name!r}; accepted are {', '.join(METHODS)}")
    return METHODS[name](space)


def _darts(**parts: Any) -> Callable[[Space], Recipe]:
    """DARTS by its first order (Liu et al. 2019, arXiv:1806.09055), or one of its kin, with the eigenvalue logged."""
    return lambda space: Recipe(**{"events": (eigenvalue(),), **parts})


def _idarts(space: Space) -> Recipe:
    """iDARTS (Zhang et al. 2021, arXiv:2106.10784): four weight steps for each step of the logits and two further terms of the
    Neumann series, with a step of .01, as in the authors' code for NAS-Bench-201.

    That code searches for 30 epochs with a rate of the weights from .01, which is here the caller's, and lets the step of the
    series follow that rate; it takes another training batch for the series and differences for the mixed derivative.
    """
    series = lambda: bilevel.implicit("neumann", iterations=2, step_size=0.01)
    return Recipe(estimator=series, inner_steps=4, epochs=30)


def _fair_darts(space: Space) -> Recipe:
    """FairDARTS (Chu et al. 2020, arXiv:1911.12126): sigmoids from ½ without ``none``, a zero-one loss of weight 10, Adam at
    3e-3 with b1 = .9, 50 epochs of batches of 128; an edge keeps its strongest operation if that is above .85.

    On the space of DARTS the authors keep, of the two strongest edges into a node, those above the threshold (``derive`` with
    the threshold). They have no results on NAS-Bench-201, where every edge takes one operation: an edge on which nothing is
    above the threshold becomes ``none``, and the authors' variant with up to two operations an edge has no place.
    """
    without = tuple(value for value in ("none",) if any(value in d.choices for d in _choices(space)))
    return Recipe(
        relax.sigmoid(),
        regularizers=(zero_one(),),
        without=without,
        threshold=0.85,
        rate=3e-3,
        outer=adam(b1=0.9),
        epochs=25,
        weight_decay=3e-4,
    )


def _drnas(space: Space, **more: Any) -> Recipe:
    """DrNAS (Chen et al. 2021, arXiv:2006.10355), regularized as in the authors' code by an L2 of 1e-3 on the raw logits in
    Adam's gradient, not by the distance of the concentrations from 1."""
    return Recipe(relax.dirichlet(), epochs=100, weight_decay=3e-4, **more)


def _drnas_pruned(space: Space) -> Recipe:
    """DrNAS with progressive learning: half of the search on a quarter of the channels, then each edge keeps its better half of
    the operations (3 of 5) and the network grows to half of the channels. In the first fifth of each half the logits rest.

    On the space of DARTS the authors take a sixth and a fourth of the channels of a network of 36.
    """
    most = max(len(domain.choices) for domain in _choices(space))
    return _drnas(
        space,
        partial=(4, 2),
        widen=0.5,
        warm_up=0.1,
        rest=(0.5, 0.6),
        events=(prune((0.5,), ((most + 1) // 2,)), widen(0.5, 4, 2)),
    )


def _pc_darts(space: Space) -> Recipe:
    """PC-DARTS (Xu et al. 2020, arXiv:1907.05737): a quarter of the channels, edge normalization, logits from epoch 15 of 50.
    The authors' 6e-4 belongs to batches of 256; with the benchmark's batches of 64 the rate is 3e-4."""
    return Recipe(normalized_edges(relax.softmax(), _target), partial=4, warm_up=0.3, weight_decay=3e-4)


def _darts_pt(space: Space, **more: Any) -> Recipe:
    """DARTS-PT (Wang et al. 2021, arXiv:2108.04392): 100 epochs of DARTS (or of weights alone), then one edge after the other,
    in random order, is projected, five epochs of tuning apart, at a tenth of the first rate.

    The authors begin the tuning with an empty momentum; here it goes on. They also tune for one epoch behind the last
    projection, which decides nothing.
    """
    epochs = 100 + 5 * (len(relax.blocks(space)) - 1)
    start = 100 / epochs
    return Recipe(events=(project(start),), epochs=epochs, tune=start, weight_decay=3e-4, **more)


def _one_shot(
    paths: Callable[[Space], relax.Encode], epochs: int = 250, over_paths: OverPaths = mean_over_paths
) -> Callable[[Space], Recipe]:
    """Weights that learn on paths drawn without logits; evolution decides by their accuracies."""
    return lambda space: Recipe(
        relax.sampled(paths(space)),
        bilevel.weights_only,
        decide="evolve",
        epochs=epochs,
        over_paths=over_paths,
        single_path=True,
    )


def _enas(space: Space) -> Recipe:
    """ENAS (Pham et al. 2018, arXiv:1802.03268) as in the code of NAS-Bench-201: see ``policy``; Adam at 1e-3 with b1 = 0 and
    eps = 1e-3, gradients clipped to a norm of 5, an entropy bonus of 1e-4, and the best of 100 drawn architectures.

    That code takes 50 steps of the controller in an epoch of 195, each on the mean of 20 paths; here every step has one on 4
    paths, at a rate by which the logits travel as far. It judges each of the 100 by one validation batch; here all of them are
    judged by the same images.
    """
    relaxation = relax.policy(4)
    return Recipe(
        relaxation,
        regularizers=(entropy_bonus(relaxation),),
        decide="sample",
        rate=1e-3 * 250 * 50 / (125 * EPOCH),
        outer=lambda rate: optax.chain(optax.clip_by_global_norm(5.0), adam(0.0, 0.0, 1e-3)(rate)),
        epochs=125,
        single_path=True,
    )


METHODS: dict[str, Callable[[Space], Recipe]] = {
    "darts-1": _darts(),
    "darts-2": _darts(estimator=bilevel.unroll),
    "darts-2-finite": _darts(estimator=bilevel.finite_difference, events=()),
    "idarts": _idarts,
    # values that are not drawn get no gradient; the authors add their weight to the edge, as a constant
    "gdas": lambda space: Recipe(relax.straight_through(), epochs=250, single_path=True),
    # the authors learn weights and logits on the same batches, at once
    "snas": lambda space: Recipe(relax.concrete(), epochs=150, weight_decay=3e-4),
    "drnas": _drnas,
    "drnas-pruned": _drnas_pruned,
    "fair-darts": _fair_darts,
    "gaea": lambda space: Recipe(relax.exponentiated(), rate=0.1, outer=optax.sgd),
    "pc-darts": _pc_darts,
    "beta-darts": _darts(regularizers=(beta_decay(),), epochs=100, weight_decay=3e-4),
    "r-darts-l2": _darts(weight_decay=2.7e-3),
    "r-darts-stop": _darts(events=(eigenvalue(stop=True),)),
    "s-darts-random": _darts(disturb=random_disturbance(), epochs=100, weight_decay=3e-4),
    "s-darts-adversarial": _darts(disturb=adversarial_disturbance(), epochs=100, weight_decay=3e-4),
    "darts-minus": lambda space: Recipe(auxiliary_skip(space), events=(eigenvalue(),)),
    "darts-pt": _darts_pt,
    "darts-pt-fixed": lambda space: _darts_pt(space, estimator=bilevel.weights_only),
    "spos": _one_shot(lambda space: relax.uniform_paths()),
    # the authors sum the gradients of the paths; here it is their mean
    "fairnas": _one_shot(lambda space: relax.fair_paths()),
    "sandwich": _one_shot(lambda space: relax.sandwich_paths(2, _sizes(space)), over_paths=distilled),
    "enas": _enas,
}


def _choices(space: Space) -> list[Any]:
    return [space.domains[name] for name, _ in relax.blocks(space)]


def _sizes(space: Space) -> np.ndarray:
    """Of every value of every choice: a number is its own size, an operation's is the product of the numbers in its name
    (``conv3x3`` is 9), without one 0; ``none`` has none, so that it is in no extreme path."""

    def size(value: Any) -> float:
        if isinstance(value, str):
            return np.nan if value == "none" else float(np.prod([int(n) for n in re.findall(r"\d+", value)] or [0]))
        return float(value)

    table = {n: {v: size(v) for v in space.domains[n].choices} for n, _ in relax.blocks(space)}  # type: ignore[union-attr]
    return costs(space, table)


def _target(name: str) -> str:
    """The cell and node that ``edge_i_j`` leads to."""
    cell, _, node = name.split("_")
    return f"{cell}_{node}"
