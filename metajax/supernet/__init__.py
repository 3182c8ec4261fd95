"""SuperNets: differentiable architecture search on a weight-sharing network, measured against the truth."""

from metajax.supernet import proxies
from metajax.supernet.bench201 import Oracle, from_string, oracle, to_string
from metajax.supernet.cell import OPERATIONS, Cell, average_pool, cell_space
from metajax.supernet.cellnet import CellNet, cells
from metajax.supernet.chain import MACRO, Operation, chain, identity, inverted_bottleneck
from metajax.supernet.diagnose import (
    conflict,
    count,
    dominant_eigenvalue,
    index_of,
    kendall_tau,
)
from metajax.supernet.elastic import elastic_convolution, elastic_mlp
from metajax.supernet.events import alive, eigenvalue, project, prune
from metajax.supernet.exhaust import Table, Training, exhaust, trainer
from metajax.supernet.methods import METHODS, Recipe, auxiliary_skip, normalised_edges, recipe
from metajax.supernet.model import SuperNet
from metajax.supernet.regularise import (
    adversarial_disturbance,
    beta_decay,
    costs,
    dirichlet_distance,
    expected_cost,
    random_disturbance,
    zero_one,
)
from metajax.supernet.relaxation import (
    Moment,
    Relaxation,
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
from metajax.supernet.search import Event, Parts, Search, SearchState, decide, entropy, search
from metajax.supernet.select import Trail, by_shared_weights, evolve, local_search, random_search, reinforce
from metajax.supernet.transformer import elastic_transformer

__all__ = [
    "MACRO",
    "METHODS",
    "OPERATIONS",
    "Cell",
    "CellNet",
    "Event",
    "Moment",
    "Operation",
    "Oracle",
    "Parts",
    "Recipe",
    "Relaxation",
    "Search",
    "SearchState",
    "SuperNet",
    "Table",
    "Trail",
    "Training",
    "adversarial_disturbance",
    "alive",
    "auxiliary_skip",
    "average_pool",
    "beta_decay",
    "by_shared_weights",
    "cell_space",
    "cells",
    "chain",
    "concrete",
    "conflict",
    "costs",
    "count",
    "decide",
    "dirichlet",
    "dirichlet_distance",
    "dominant_eigenvalue",
    "eigenvalue",
    "elastic_convolution",
    "elastic_mlp",
    "elastic_transformer",
    "entropy",
    "evolve",
    "exhaust",
    "expected_cost",
    "exponentiated",
    "fair_paths",
    "from_string",
    "identity",
    "index_of",
    "inverted_bottleneck",
    "kendall_tau",
    "local_search",
    "normalised_edges",
    "oracle",
    "policy",
    "project",
    "proxies",
    "prune",
    "random_disturbance",
    "random_search",
    "recipe",
    "reinforce",
    "sampled",
    "sandwich_paths",
    "search",
    "sigmoid",
    "softmax",
    "straight_through",
    "to_string",
    "trainer",
    "uniform_paths",
    "zero_one",
]
