"""How logits become the encodings under which a SuperNet learns and is judged."""

from metajax.supernet._methods import auxiliary_skip, normalized_edges
from metajax.supernet._relaxations import (
    concrete,
    dirichlet,
    exponentiated,
    fair_paths,
    policy,
    sampled,
    sandwich_paths,
    sigmoid,
    softmax,
    straight_through,
    uniform_paths,
)

__all__ = [
    "auxiliary_skip",
    "concrete",
    "dirichlet",
    "exponentiated",
    "fair_paths",
    "normalized_edges",
    "policy",
    "sampled",
    "sandwich_paths",
    "sigmoid",
    "softmax",
    "straight_through",
    "uniform_paths",
]
