"""Fitted models as formulas in float64, for searches that prove something about them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Network(NamedTuple):
    """A ReLU network with one output and one or two hidden layers.

    Attributes:
        layers: Affine layers ``(weights [in, out], bias [out])``, with ReLU between them.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    def value(self, x: np.ndarray) -> np.ndarray:
        """f64[n]: the values for inputs f64[n, in]."""
        for weights, bias in self.layers[:-1]:
            x = np.maximum(x @ weights + bias, 0.0)
        weights, bias = self.layers[-1]
        return (x @ weights + bias)[:, 0]

    def with_context(self, context: np.ndarray) -> "Network":
        """The formula of the other inputs, with the last ones fixed to the context."""
        (weights, bias), *rest = self.layers
        width = len(weights) - len(context)
        return Network(((weights[:width], bias + context @ weights[width:]), *rest))


class Pairs(NamedTuple):
    """``constant + linear · x + ½ xᵀ pairs x`` with a symmetric matrix.

    Attributes:
        constant: The constant.
        linear: f64[in].
        pairs: f64[in, in], symmetric.
    """

    constant: float
    linear: np.ndarray
    pairs: np.ndarray

    def value(self, x: np.ndarray) -> np.ndarray:
        """f64[n]: the values for inputs f64[n, in]."""
        return self.constant + x @ self.linear + 0.5 * np.einsum("nw,nw->n", x @ self.pairs, x)

    def with_context(self, context: np.ndarray) -> "Pairs":
        """The formula of the other inputs, with the last ones fixed to the context."""
        width = len(self.linear) - len(context)
        constant = self.constant + self.linear[width:] @ context + 0.5 * context @ self.pairs[width:, width:] @ context
        linear = self.linear[:width] + self.pairs[:width, width:] @ context
        return Pairs(float(constant), linear, self.pairs[:width, :width])


Form = Network | Pairs


def ridge_form(params: Any, order: int) -> Pairs:
    """The primal weights of a ridge regression that is kept in its dual."""
    x, alpha = (np.asarray(params[name], np.float64) for name in ("x", "alpha"))
    pairs = np.zeros((x.shape[1],) * 2)
    if order == 2:
        pairs = x.T @ (alpha[:, None] * x)
        pairs += np.diag(np.diag(pairs))  # a square appears once, a product in both triangles
    return Pairs(float(alpha.sum()), alpha @ x, pairs)


def ensemble_form(nets: Sequence[Any]) -> Network:
    """The mean of members ``[(weights [members, in, out], bias [members, out]), ...]`` as one wide network."""
    stacked = [(np.asarray(w, np.float64), np.asarray(b, np.float64)) for w, b in nets]
    members = len(stacked[0][0])
    first, bias = stacked[0]
    layers = [(np.concatenate(list(first), axis=1), bias.reshape(-1))]
    for weights, bias in stacked[1:-1]:
        fan_in, fan_out = weights.shape[1:]
        block_diagonal = np.zeros((members, fan_in, members, fan_out))
        block_diagonal[np.arange(members), :, np.arange(members)] = weights
        layers.append((block_diagonal.reshape(members * fan_in, members * fan_out), bias.reshape(-1)))
    weights, bias = stacked[-1]
    layers.append((weights.reshape(-1, 1) / members, bias.mean(axis=0)))
    return Network(tuple(layers))
