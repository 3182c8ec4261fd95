"""Networks in Flax, each usable as a pure function."""

from metajax.nn.conv4 import Conv4
from metajax.nn.functional import Functional, functional
from metajax.nn.layers import Convolution, TransductiveBatchNorm, convolution, patches, standardise
from metajax.nn.mlp import MLP

__all__ = [
    "MLP",
    "Conv4",
    "Convolution",
    "Functional",
    "TransductiveBatchNorm",
    "convolution",
    "functional",
    "patches",
    "standardise",
]
