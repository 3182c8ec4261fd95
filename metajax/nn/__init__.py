"""Networks in Flax, each usable as a pure function."""

from metajax.nn.conv4 import Conv4
from metajax.nn.convolution import convolution, normalised_convolution, patches
from metajax.nn.functional import Functional, by_support, chain, functional, with_context
from metajax.nn.labels import check_labels, label_cross_entropy, one_hot
from metajax.nn.layers import Convolution, TransductiveBatchNorm, dense, materialise, max_pool, separable, standardise
from metajax.nn.mlp import MLP
from metajax.nn.statistics import Running, follow, running

__all__ = [
    "MLP",
    "Conv4",
    "Convolution",
    "Functional",
    "Running",
    "TransductiveBatchNorm",
    "by_support",
    "chain",
    "check_labels",
    "convolution",
    "dense",
    "follow",
    "functional",
    "label_cross_entropy",
    "materialise",
    "max_pool",
    "normalised_convolution",
    "one_hot",
    "patches",
    "running",
    "separable",
    "standardise",
    "with_context",
]
