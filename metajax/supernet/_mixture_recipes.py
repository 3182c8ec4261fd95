r"""Recipes of searches that compute every operation of a choice and mix the results.

The mathematics uses one notation: $a$ are the logits of a choice and $e$ is the encoding made of them, $w$ are the weights of
the SuperNet, and $L_{\mathrm{train}}(w, e)$ and $L_{\mathrm{val}}(w, e)$ are its losses on the two halves of the data.
"""

from typing import Any

import optax

from metajax import bilevel
from metajax.space import Space
from metajax.supernet._logits import choice_slices, choice_values
from metajax.supernet._recipe import Recipe, adam
from metajax.supernet.events import eigenvalue, project
from metajax.supernet.regularizers import adversarial_disturbance, beta_decay, random_disturbance, zero_one
from metajax.supernet.relaxations import (
    auxiliary_skip,
    exponentiated_mixture,
    normalized_edges,
    sigmoid_mixture,
    softmax_mixture,
)


def darts_1(space: Space) -> Recipe:
    r"""First-order DARTS: weights and logits descend in turn, each with the other held fixed.

    $$e(a) = \mathrm{softmax}(a), \qquad
    w \leftarrow w - \eta \nabla_w L_{\mathrm{train}}\bigl(w, e(a)\bigr), \quad
    a \leftarrow a - \xi \nabla_a L_{\mathrm{val}}\bigl(w, e(a)\bigr)$$

    In the end every choice takes its value with the largest weight.
    """
    return Recipe(events=(eigenvalue(),))


def darts_2(space: Space) -> Recipe:
    r"""Second-order DARTS: the gradient of the logits goes through the last step of the weights.

    $$a \leftarrow a - \xi \nabla_a
    L_{\mathrm{val}}\Bigl(w - \eta \nabla_w L_{\mathrm{train}}\bigl(w, e(a)\bigr), \; e(a)\Bigr), \qquad
    e(a) = \mathrm{softmax}(a)$$
    """
    return Recipe(events=(eigenvalue(),), estimator=bilevel.unroll)


def darts_2_finite(space: Space) -> Recipe:
    r"""Second-order DARTS with the authors' finite difference in place of the mixed second derivative.

    With $v = \nabla_{w'} L_{\mathrm{val}}(w', e)$ after the step and $\epsilon = 0.01 / \lVert v \rVert$, the part of the
    gradient that goes through the step is

    $$-\eta \, \frac{\nabla_a L_{\mathrm{train}}(w + \epsilon v, e)
    - \nabla_a L_{\mathrm{train}}(w - \epsilon v, e)}{2 \epsilon}$$
    """
    return Recipe(estimator=bilevel.finite_difference)


def idarts(space: Space) -> Recipe:
    r"""iDARTS: implicit differentiation, with a short Neumann series for the inverse Hessian of the weights.

    $$\nabla_a L_{\mathrm{val}} - \gamma \, \frac{\partial^2 L_{\mathrm{train}}}{\partial a \, \partial w}
    \sum_{j=0}^{2} (I - \gamma H)^j \, \nabla_w L_{\mathrm{val}}, \qquad
    H = \frac{\partial^2 L_{\mathrm{train}}}{\partial w^2}$$

    There are four steps of the weights for each step of the logits.
    """
    series = lambda: bilevel.implicit("neumann", iterations=2, step_size=0.01)
    return Recipe(estimator=series, inner_steps=4, epochs=30)


def r_darts_l2(space: Space) -> Recipe:
    r"""R-DARTS with a larger decay of the weights, which keeps the curvature of the validation loss in the logits small.

    $$w \leftarrow w - \eta \Bigl(\nabla_w L_{\mathrm{train}}\bigl(w, e(a)\bigr) + \lambda w\Bigr), \qquad
    e(a) = \mathrm{softmax}(a)$$

    The logits learn as in ``darts-1``.
    """
    return Recipe(events=(eigenvalue(),), weight_decay=2.7e-3)


def r_darts_stop(space: Space) -> Recipe:
    r"""R-DARTS with early stopping: ``darts-1`` until the curvature of the validation loss in the logits grows.

    With the mean $\bar\lambda$ over a window of dominant eigenvalues of $\partial^2 L_{\mathrm{val}} / \partial a^2$, the
    logits return to where they were, and stay, once

    $$\bar\lambda(t) > 1.3 \; \bar\lambda(t - \Delta)$$
    """
    return Recipe(events=(eigenvalue(stop=True),))


def s_darts_random(space: Space) -> Recipe:
    r"""SmoothDARTS with random smoothing: the weights learn under a randomly moved encoding.

    $$\min_w \; L_{\mathrm{train}}\bigl(w, e(a) + \delta\bigr), \qquad \delta \sim U(-\epsilon, \epsilon)$$

    The radius ε grows linearly over the search, and the moved encoding is put back on the simplex.
    """
    return Recipe(events=(eigenvalue(),), disturb=random_disturbance(), epochs=100, weight_decay=3e-4)


def s_darts_adversarial(space: Space) -> Recipe:
    r"""SmoothDARTS with an attack: the weights learn under the worst encoding of a box around theirs.

    $$\min_w \; \max_{\lVert \delta \rVert_\infty \le \epsilon} L_{\mathrm{train}}\bigl(w, e(a) + \delta\bigr)$$

    Signed gradient ascent finds δ. The radius ε grows linearly over the search.
    """
    return Recipe(events=(eigenvalue(),), disturb=adversarial_disturbance(), epochs=100, weight_decay=3e-4)


def beta_darts(space: Space) -> Recipe:
    r"""β-DARTS: a term that keeps the weights of a choice from growing apart, with a factor that grows by epochs.

    $$\min_a \; L_{\mathrm{val}}\bigl(w, e(a)\bigr) + \tfrac12 \, \mathrm{epoch} \cdot
    \operatorname*{mean}_{\text{choices}} \, \log \sum_o \exp(a_o)$$
    """
    return Recipe(events=(eigenvalue(),), regularizers=(beta_decay(),), epochs=100, weight_decay=3e-4)


def darts_minus(space: Space) -> Recipe:
    r"""DARTS-: an auxiliary skip takes over what a skip connection does for training, so that skips do not win for it.

    $$e(a) = \mathrm{softmax}(a) + \beta \, \mathbf{1}_{\mathrm{skip}}, \qquad \beta: 1 \to 0 \text{ over the search}$$

    It decides by the softmax alone.
    """
    return Recipe(auxiliary_skip(space), events=(eigenvalue(),))


def fair_darts(space: Space) -> Recipe:
    r"""FairDARTS: values do not compete, because each has a sigmoid of its own, which a term drives to 0 or 1.

    $$e(a) = \sigma(a), \qquad \min_a \; L_{\mathrm{val}}\bigl(w, e(a)\bigr) - 10 \operatorname*{mean}_o
    \bigl(\sigma(a_o) - \tfrac12\bigr)^2$$

    The value ``none`` is not searched. A choice whose largest strength is below 0.85 becomes ``none`` in the end.
    """
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


def gaea(space: Space) -> Recipe:
    r"""GAEA: exponentiated gradient descent on the simplex, which favors sparse encodings.

    $$e_o \leftarrow \frac{e_o \exp\bigl(-\xi \, \partial L_{\mathrm{val}} / \partial e_o\bigr)}
    {\sum_p e_p \exp\bigl(-\xi \, \partial L_{\mathrm{val}} / \partial e_p\bigr)}$$
    """
    return Recipe(exponentiated_mixture(), logits_learning_rate=0.1, logits_optimizer=optax.sgd)


def pc_darts(space: Space) -> Recipe:
    r"""PC-DARTS: a quarter of the channels takes part in the operations, and the edges into a node are weighed, too.

    With the chosen quarter $x_i'$ of the channels of node i, and edge weights learned by further logits b, node j computes

    $$x_j = \sum_{i < j} \mathrm{softmax}_i(b_{\cdot j}) \Bigl[\sum_o \mathrm{softmax}_o(a_{ij}) \, o(x_i') \, , \;
    \text{the other channels of } x_i\Bigr]$$

    The weights learn alone in the first 15 of 50 epochs.
    """
    relaxation = normalized_edges(softmax_mixture(), _target_node)
    return Recipe(relaxation, partial=4, warm_up=0.3, weight_decay=3e-4)


def darts_pt(space: Space) -> Recipe:
    r"""DARTS-PT: after a search by ``darts-1``, choices are decided one by one, by what the SuperNet loses without a value.

    In random order, and with tuning of the weights in between, a choice is set to the value

    $$\arg\min_o \; \mathrm{accuracy}_{\mathrm{val}}\bigl(w, e \text{ without } o\bigr)$$

    There are 100 epochs of the search, then five epochs of tuning between two decisions, at a tenth of the first rate.
    """
    return _projected(space)


def darts_pt_fixed(space: Space) -> Recipe:
    r"""DARTS-PT without learned logits: the weights of a uniform mixture, decided as in ``darts-pt``.

    $$\min_w \; L_{\mathrm{train}}(w, e), \qquad e_o = \frac{1}{\text{number of values}}$$
    """
    return _projected(space, estimator=bilevel.weights_only)


def _projected(space: Space, **parts: Any) -> Recipe:
    """Returns a recipe that decides by the projection of one choice after the other."""
    epochs = 100 + 5 * (len(choice_slices(space)) - 1)
    start = 100 / epochs
    return Recipe(events=(project(start),), epochs=epochs, tune_from=start, weight_decay=3e-4, **parts)


def _target_node(name: str) -> str:
    """Returns the cell and node that ``edge_i_j`` leads to."""
    cell, _, node = name.split("_")
    return f"{cell}_{node}"
