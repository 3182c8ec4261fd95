"""Networks and layers, each usable as a pure function of its parameters."""

from metajax.nn import adapters
from metajax.nn._any_model import functional
from metajax.nn._conv4 import Conv4
from metajax.nn._convolution import convolution, normalized_convolution
from metajax.nn._functional import Apply, Functional, by_support, chain, with_context
from metajax.nn._labels import check_labels, label_cross_entropy, one_hot
from metajax.nn._layers import Convolution, TransductiveBatchNorm, dense, materialize, max_pool, separable, standardize
from metajax.nn._mlp import MLP
from metajax.nn._statistics import Running, running

__all__ = [
    "MLP",
    "Apply",
    "Conv4",
    "Convolution",
    "Functional",
    "Running",
    "TransductiveBatchNorm",
    "adapters",
    "by_support",
    "chain",
    "check_labels",
    "convolution",
    "dense",
    "functional",
    "label_cross_entropy",
    "materialize",
    "max_pool",
    "normalized_convolution",
    "one_hot",
    "running",
    "separable",
    "standardize",
    "with_context",
]
