"""Networks in Flax, each usable as a pure function."""

from metajax.nn.conv4 import Conv4
from metajax.nn.convolution import convolution, normalised_convolution, patches
from metajax.nn.functional import Functional, by_support, chain, functional, with_context
from metajax.nn.layers import Convolution, TransductiveBatchNorm, dense, materialise, max_pool, separable, standardise
from metajax.nn.mlp import MLP

__all__ = [
    "MLP",
    "Conv4",
    "Convolution",
    "Functional",
    "TransductiveBatchNorm",
    "by_support",
    "chain",
    "convolution",
    "dense",
    "functional",
    "materialise",
    "max_pool",
    "normalised_convolution",
    "patches",
    "separable",
    "standardise",
    "with_context",
]
