"""How logits become the encodings under which a SuperNet learns and is judged."""

from metajax.supernet._protocols import Encode, ScoreFunction
from metajax.supernet.relaxations._controller import controller
from metajax.supernet.relaxations._mixtures import exponentiated_mixture, sigmoid_mixture, softmax_mixture
from metajax.supernet.relaxations._modifiers import auxiliary_skip, normalized_edges
from metajax.supernet.relaxations._paths import (
    fair_paths,
    policy_paths,
    sampled_paths,
    sandwich_paths,
    uniform_paths,
)
from metajax.supernet.relaxations._samples import concrete_sample, dirichlet_sample, straight_through_path

__all__ = [
    "Encode",
    "ScoreFunction",
    "auxiliary_skip",
    "concrete_sample",
    "controller",
    "dirichlet_sample",
    "exponentiated_mixture",
    "fair_paths",
    "normalized_edges",
    "policy_paths",
    "sampled_paths",
    "sandwich_paths",
    "sigmoid_mixture",
    "softmax_mixture",
    "straight_through_path",
    "uniform_paths",
]
