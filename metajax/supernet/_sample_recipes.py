r"""Recipes of searches that draw an encoding at every step: with a derivative through the sample, or as single paths.

The notation is that of ``_mixture_recipes``; g are independent samples of the standard Gumbel distribution.
"""

import re
from typing import Any

import numpy as np
import optax

from metajax import bilevel
from metajax.space import Space
from metajax.supernet._logits import choice_slices, choice_values
from metajax.supernet._paths import distill_from_first, mean_over_paths
from metajax.supernet._protocols import Encode, OverPaths
from metajax.supernet._recipe import Recipe, adam
from metajax.supernet._search import EPOCH_STEPS
from metajax.supernet.events import prune, widen
from metajax.supernet.regularizers import cost_table, entropy_bonus
from metajax.supernet.relaxations import (
    concrete_sample,
    controller,
    dirichlet_sample,
    fair_paths,
    sampled_paths,
    sandwich_paths,
    straight_through_path,
    uniform_paths,
)


def gdas(space: Space) -> Recipe:
    r"""GDAS: one path is drawn and computed, and the derivative is that of a softened sample.

    $$e = \mathrm{onehot}\Bigl(\arg\max_o \, (a_o + g_o)\Bigr), \qquad
    \frac{\partial e}{\partial a} := \frac{\partial}{\partial a} \, \mathrm{softmax}\Bigl(\frac{a + g}{T}\Bigr)$$

    The temperature T falls linearly from 10 to 0.1.
    """
    return Recipe(straight_through_path(), epochs=250, single_path=True)


def snas(space: Space) -> Recipe:
    r"""SNAS: encodings are samples of the concrete distribution, which ends close to one-hot.

    $$\min_a \; \mathbb{E}_g \, L_{\mathrm{val}}\Bigl(w, \mathrm{softmax}\bigl((a + g) / T\bigr)\Bigr)$$

    The temperature T falls linearly from 1 to 0.03.
    """
    return Recipe(concrete_sample(), epochs=150, weight_decay=3e-4)


def drnas(space: Space) -> Recipe:
    r"""DrNAS: encodings are samples of a Dirichlet distribution, whose concentrations learn by the derivative of the sample.

    $$\min_a \; \mathbb{E}_{e \sim \mathrm{Dir}(\mathrm{elu}(a) + 1)} \, L_{\mathrm{val}}(w, e)
    + \frac{\lambda}{2} \lVert a \rVert^2$$

    Every choice takes the value with the largest mean.
    """
    return _dirichlet()


def drnas_pruned(space: Space) -> Recipe:
    r"""DrNAS with progressive learning: half of the search on a quarter of the channels, half on half of them.

    $$\min_a \; \mathbb{E}_{e \sim \mathrm{Dir}(\mathrm{elu}(a) + 1)} \, L_{\mathrm{val}}(w, e)
    + \frac{\lambda}{2} \lVert a \rVert^2$$

    In between, each choice keeps its better half of the values and the network grows to twice the channels. In the first fifth
    of each half the logits rest.
    """
    most_values = max(len(choice_values(space, name)) for name, _ in choice_slices(space))
    return _dirichlet(
        partial=(4, 2),
        widen_at=0.5,
        warm_up=0.1,
        logits_frozen=(0.5, 0.6),
        events=(prune((0.5,), ((most_values + 1) // 2,)), widen(0.5, 4, 2)),
    )


def _dirichlet(**parts: Any) -> Recipe:
    """Returns a recipe of Dirichlet samples, regularized by an L2 of 1e-3 on the raw logits in Adam's gradient."""
    return Recipe(dirichlet_sample(), epochs=100, weight_decay=3e-4, **parts)


def spos(space: Space) -> Recipe:
    r"""SPOS: the weights learn on single paths that are drawn uniformly, and evolution searches with these shared weights.

    $$w^* = \arg\min_w \; \mathbb{E}_{e \sim U} \, L_{\mathrm{train}}(w, e), \qquad
    \arg\max_e \; \mathrm{accuracy}_{\mathrm{val}}(w^*, e)$$
    """
    return _one_shot(uniform_paths())


def fairnas(space: Space) -> Recipe:
    r"""FairNAS: every step learns on as many paths as a choice has values, and each value lies in exactly one of them.

    $$w \leftarrow w - \eta \, \frac1m \sum_{k=1}^{m} \nabla_w L_{\mathrm{train}}(w, e_k), \qquad
    \sum_{k=1}^{m} e_k = \mathbf{1}$$

    Evolution searches with the shared weights.
    """
    return _one_shot(fair_paths())


def sandwich(space: Space) -> Recipe:
    r"""The sandwich rule: every step learns on the largest path, the smallest one and two that are drawn.

    The largest path learns from the labels and the others learn from its outputs p:

    $$\tfrac14 \Bigl(L_{\mathrm{train}}(w, e_{\max}) + \mathrm{CE}\bigl(p, N(w, e_{\min})\bigr)
    + \sum_{k=1}^{2} \mathrm{CE}\bigl(p, N(w, e_k)\bigr)\Bigr), \qquad p = \mathrm{softmax}\bigl(N(w, e_{\max})\bigr)$$

    Evolution searches with the shared weights.
    """
    return _one_shot(sandwich_paths(2, _sizes(space)), distill_from_first)


def _one_shot(paths: Encode, over_paths: OverPaths = mean_over_paths) -> Recipe:
    """Returns a recipe of weights that learn on paths drawn without logits; evolution decides by their accuracies."""
    return Recipe(
        sampled_paths(paths),
        bilevel.weights_only,
        decision="evolve",
        epochs=250,
        over_paths=over_paths,
        single_path=True,
    )


def enas(space: Space) -> Recipe:
    r"""ENAS: a controller draws paths and learns by REINFORCE which of them are accurate with the shared weights.

    $$\nabla_a \; \frac1n \sum_{k=1}^{n} \bigl(R_k - b_k\bigr) \log p_a(e_k) + \beta \, H(p_a), \qquad
    R_k = \mathrm{accuracy}_{\mathrm{val}}(w, e_k), \quad b_k = \operatorname*{mean}_{l \ne k} R_l$$

    Paths are drawn from $p_a = \mathrm{softmax}\bigl(2.5 \tanh(a / 5)\bigr)$, and the weights learn on one of them. The search
    returns the best of 100 drawn architectures by the shared weights.
    """
    relaxation = controller(4)
    return Recipe(
        relaxation,
        regularizers=(entropy_bonus(relaxation),),
        decision="sample",
        logits_learning_rate=1e-3 * 250 * 50 / (125 * EPOCH_STEPS),
        logits_optimizer=_clipped_adam,
        epochs=125,
        single_path=True,
    )


def _clipped_adam(rate: Any) -> optax.GradientTransformation:
    """Returns Adam of gradients that are clipped to a norm of 5, with b1 = 0 and eps = 1e-3, as the code of NAS-Bench-201."""
    return optax.chain(optax.clip_by_global_norm(5.0), adam(0.0, 0.0, 1e-3)(rate))


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
