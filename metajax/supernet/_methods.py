"""The methods of the literature by name.

Every recipe was read beside the paper and the authors' public code, with the settings that these have for NAS-Bench-201 where
there are any. What differs stands at its entry below. For all of them: batch norm by the statistics of the batch, weights
learn before the logits in a step, and a search of fewer steps than the published one takes a larger rate of the logits (see
``Recipe.make_logits_optimizer``).
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import optax

from metajax import bilevel
from metajax.space import Space
from metajax.supernet._logits import choice_slices, choice_values
from metajax.supernet._method import Methods, SupernetMethod
from metajax.supernet._paths import distill_from_first, mean_over_paths
from metajax.supernet._protocols import Encode, OverPaths
from metajax.supernet._recipe import Recipe, adam
from metajax.supernet._search import EPOCH_STEPS
from metajax.supernet.events import eigenvalue, project, prune, widen
from metajax.supernet.regularizers import (
    adversarial_disturbance,
    beta_decay,
    cost_table,
    entropy_bonus,
    random_disturbance,
    zero_one,
)
from metajax.supernet.relaxations import (
    auxiliary_skip,
    concrete_sample,
    controller,
    dirichlet_sample,
    exponentiated_mixture,
    fair_paths,
    normalized_edges,
    sampled_paths,
    sandwich_paths,
    sigmoid_mixture,
    softmax_mixture,
    straight_through_path,
    uniform_paths,
)


def _darts(**parts: Any) -> Callable[[Space], Recipe]:
    """Returns the recipe of DARTS by its first order, or of one of its kin, with the eigenvalue logged."""
    return lambda space: Recipe(**{"events": (eigenvalue(),), **parts})


def _idarts(space: Space) -> Recipe:
    """Returns the recipe of iDARTS: four weight steps for each step of the logits, and a Neumann series of two more terms."""
    series = lambda: bilevel.implicit("neumann", iterations=2, step_size=0.01)
    return Recipe(estimator=series, inner_steps=4, epochs=30)


def _fair_darts(space: Space) -> Recipe:
    """Returns the recipe of FairDARTS: sigmoids without ``none``, a zero-one loss and a threshold."""
    has_none = any("none" in choice_values(space, name) for name, _ in choice_slices(space))
    return Recipe(
        sigmoid_mixture(),
        regularizers=(zero_one(),),
        excluded_values=("none",) if has_none else (),
        threshold=0.85,
        logits_learning_rate=3e-3,
        logits_optimizer=adam(b1=0.9),
        epochs=25,
        weight_decay=3e-4,
    )


def _drnas(space: Space, **parts: Any) -> Recipe:
    """Returns the recipe of DrNAS, regularized by an L2 of 1e-3 on the raw logits in Adam's gradient."""
    return Recipe(dirichlet_sample(), epochs=100, weight_decay=3e-4, **parts)


def _drnas_pruned(space: Space) -> Recipe:
    """Returns the recipe of DrNAS with progressive learning: half of the search on a quarter of the channels.

    Then each edge keeps its better half of the operations (3 of 5) and the network grows to half of the channels. In the
    first fifth of each half the logits rest.
    """
    choices = max(len(choice_values(space, name)) for name, _ in choice_slices(space))
    return _drnas(
        space,
        partial=(4, 2),
        widen_at=0.5,
        warm_up=0.1,
        logits_frozen=(0.5, 0.6),
        events=(prune((0.5,), ((choices + 1) // 2,)), widen(0.5, 4, 2)),
    )


def _pc_darts(space: Space) -> Recipe:
    """Returns the recipe of PC-DARTS: a quarter of the channels, edge normalization, logits from epoch 15 of 50."""
    relaxation = normalized_edges(softmax_mixture(), _target_node)
    return Recipe(relaxation, partial=4, warm_up=0.3, weight_decay=3e-4)


def _darts_pt(space: Space, **parts: Any) -> Recipe:
    """Returns the recipe of DARTS-PT: 100 epochs of DARTS (or of weights alone), then the projection of one edge after the
    other, five epochs of tuning apart, at a tenth of the first rate."""
    epochs = 100 + 5 * (len(choice_slices(space)) - 1)
    start = 100 / epochs
    return Recipe(events=(project(start),), epochs=epochs, tune_from=start, weight_decay=3e-4, **parts)


def _one_shot(
    paths: Callable[[Space], Encode], epochs: int = 250, over_paths: OverPaths = mean_over_paths
) -> Callable[[Space], Recipe]:
    """Returns the recipe of weights that learn on paths drawn without logits; evolution decides by their accuracies."""
    return lambda space: Recipe(
        sampled_paths(paths(space)),
        bilevel.weights_only,
        decision="evolve",
        epochs=epochs,
        over_paths=over_paths,
        single_path=True,
    )


def _enas(space: Space) -> Recipe:
    """Returns the recipe of ENAS as in the code of NAS-Bench-201: see ``relaxations.controller``.

    Adam at 1e-3 with b1 = 0 and eps = 1e-3, gradients clipped to a norm of 5, an entropy bonus of 1e-4, and the best of 100
    drawn architectures.
    """
    relaxation = controller(4)
    return Recipe(
        relaxation,
        regularizers=(entropy_bonus(relaxation),),
        decision="sample",
        logits_learning_rate=1e-3 * 250 * 50 / (125 * EPOCH_STEPS),
        logits_optimizer=lambda rate: optax.chain(optax.clip_by_global_norm(5.0), adam(0.0, 0.0, 1e-3)(rate)),
        epochs=125,
        single_path=True,
    )


def _sizes(space: Space) -> np.ndarray:
    """Returns the size of every value of every choice, f32[width].

    A number is its own size, an operation's is the product of the numbers in its name (``conv3x3`` is 9), without one 0.
    ``none`` has none, so that it is in no extreme path.
    """

    def size(value: Any) -> float:
        if isinstance(value, str):
            return np.nan if value == "none" else float(np.prod([int(n) for n in re.findall(r"\d+", value)] or [0]))
        return float(value)

    table = {name: {v: size(v) for v in choice_values(space, name)} for name, _ in choice_slices(space)}
    return cost_table(space, table)


def _target_node(name: str) -> str:
    """Returns the cell and node that ``edge_i_j`` leads to."""
    cell, _, node = name.split("_")
    return f"{cell}_{node}"


_DARTS = "Liu et al. 2019, arXiv:1806.09055"
_R_DARTS = "Zela et al. 2020, arXiv:1909.09656"
_S_DARTS = "Chen and Hsieh 2020, arXiv:2002.05283"
_DARTS_PT = "Wang et al. 2021, arXiv:2108.04392"

METHODS: dict[str, SupernetMethod] = Methods(
    {
        "darts-1": SupernetMethod(_DARTS, _darts()),
        "darts-2": SupernetMethod(
            _DARTS, _darts(estimator=bilevel.unroll), "The second order is exact; the authors' is a finite difference."
        ),
        "darts-2-finite": SupernetMethod(_DARTS, _darts(estimator=bilevel.finite_difference, events=())),
        "idarts": SupernetMethod(
            "Zhang et al. 2021, arXiv:2106.10784",
            _idarts,
            "The step of the series is .01. The authors' code for NAS-Bench-201 searches for 30 epochs with a rate of the "
            "weights from .01, which is here the caller's, and lets the step of the series follow that rate; it takes another "
            "training batch for the series and differences for the mixed derivative.",
        ),
        "gdas": SupernetMethod(
            "Dong and Yang 2019, arXiv:1910.04465",
            lambda space: Recipe(straight_through_path(), epochs=250, single_path=True),
            "Values that are not drawn get no gradient; the authors add their weight to the edge, as a constant.",
        ),
        "snas": SupernetMethod(
            "Xie et al. 2019, arXiv:1812.09926",
            lambda space: Recipe(concrete_sample(), epochs=150, weight_decay=3e-4),
            "The authors learn weights and logits on the same batches, at once.",
        ),
        "drnas": SupernetMethod(
            "Chen et al. 2021, arXiv:2006.10355",
            _drnas,
            "The logits are regularized by an L2 of 1e-3 on the raw logits in Adam's gradient, as in the authors' code, not by "
            "the distance of the concentrations from 1, as in the paper.",
        ),
        "drnas-pruned": SupernetMethod(
            "Chen et al. 2021, arXiv:2006.10355",
            _drnas_pruned,
            "As drnas. On the space of DARTS the authors take a sixth and a fourth of the channels of a network of 36.",
        ),
        "fair-darts": SupernetMethod(
            "Chu et al. 2020, arXiv:1911.12126",
            _fair_darts,
            "Adam at 3e-3 with b1 = .9 and 50 epochs of batches of 128. On the space of DARTS the authors keep, of the two "
            "strongest edges into a node, those above the threshold (``spaces.derive`` with the threshold). They have no "
            "results on NAS-Bench-201, where every edge takes one operation: an edge on which nothing is above the threshold "
            "becomes none, and the authors' variant with up to two operations an edge has no place.",
        ),
        "gaea": SupernetMethod(
            "Li et al. 2021, arXiv:2004.07802",
            lambda space: Recipe(exponentiated_mixture(), logits_learning_rate=0.1, logits_optimizer=optax.sgd),
        ),
        "pc-darts": SupernetMethod(
            "Xu et al. 2020, arXiv:1907.05737",
            _pc_darts,
            "The authors' rate of the logits, 6e-4, belongs to batches of 256; with the benchmark's batches of 64 it is 3e-4.",
        ),
        "beta-darts": SupernetMethod(
            "Ye et al. 2022, arXiv:2203.01665", _darts(regularizers=(beta_decay(),), epochs=100, weight_decay=3e-4)
        ),
        "r-darts-l2": SupernetMethod(_R_DARTS, _darts(weight_decay=2.7e-3)),
        "r-darts-stop": SupernetMethod(_R_DARTS, _darts(events=(eigenvalue(stop=True),))),
        "s-darts-random": SupernetMethod(
            _S_DARTS,
            _darts(disturb=random_disturbance(), epochs=100, weight_decay=3e-4),
            "The radius grows by steps; in the authors' code it grows by epochs.",
        ),
        "s-darts-adversarial": SupernetMethod(
            _S_DARTS,
            _darts(disturb=adversarial_disturbance(), epochs=100, weight_decay=3e-4),
            "The radius grows by steps; in the authors' code it grows by epochs. The attack uses the batch's statistics for "
            "batch norm; the authors use the running ones.",
        ),
        "darts-minus": SupernetMethod(
            "Chu et al. 2021, arXiv:2009.01027",
            lambda space: Recipe(auxiliary_skip(space), events=(eigenvalue(),)),
            "On an edge that halves the resolution the authors give the extra skip weights of its own.",
        ),
        "darts-pt": SupernetMethod(
            _DARTS_PT,
            _darts_pt,
            "The authors begin the tuning with an empty momentum; here it goes on. They also tune for one epoch behind the "
            "last projection, which decides nothing.",
        ),
        "darts-pt-fixed": SupernetMethod(
            _DARTS_PT, lambda space: _darts_pt(space, estimator=bilevel.weights_only), "As darts-pt."
        ),
        "spos": SupernetMethod("Guo et al. 2020, arXiv:1904.00420", _one_shot(lambda space: uniform_paths())),
        "fairnas": SupernetMethod(
            "Chu et al. 2021, arXiv:1907.01845",
            _one_shot(lambda space: fair_paths()),
            "The authors sum the gradients of the paths; here it is their mean.",
        ),
        "sandwich": SupernetMethod(
            "Yu and Huang 2019, arXiv:1903.05134",
            _one_shot(lambda space: sandwich_paths(2, _sizes(space)), over_paths=distill_from_first),
        ),
        "enas": SupernetMethod(
            "Pham et al. 2018, arXiv:1802.03268",
            _enas,
            "The code of NAS-Bench-201 takes 50 steps of the controller in an epoch of 195, each on the mean of 20 paths; here "
            "every step has one on 4 paths, at a rate by which the logits travel as far. That code judges each of the 100 "
            "drawn architectures by one validation batch; here all of them are judged by the same images. "
            "Choices are independent; the authors' controller is an LSTM.",
        ),
    }
)
"""The methods of the literature by name. An unknown name raises an InputError that lists the known ones."""
