"""The meta-learner: a model of how good a model will be, fitted to learning meta-data."""

from metajax.predictor import targets
from metajax.predictor._features import Cell, Features, cell, on, paths
from metajax.predictor._fit import Choice, Model, choose, fit
from metajax.predictor._graph import graph
from metajax.predictor._importance import importance
from metajax.predictor._metafeatures import from_pymfe, metafeatures
from metajax.predictor._pairs import PairModel, fit_pairs
from metajax.predictor._pretrained import deep_kernel, maml
from metajax.predictor._records import Oboe, Table, fcnet, hpobench, oboe
from metajax.predictor._specs import Spec, ensemble, kernel, mlp, ridge
from metajax.predictor._transfer import Prior, average_prior, meta_prior, normal_scores, transfer
from metajax.predictor._trials import Trials

__all__ = [
    "Cell",
    "Choice",
    "Features",
    "Model",
    "Oboe",
    "PairModel",
    "Prior",
    "Spec",
    "Table",
    "Trials",
    "average_prior",
    "cell",
    "choose",
    "deep_kernel",
    "ensemble",
    "fcnet",
    "fit",
    "fit_pairs",
    "from_pymfe",
    "graph",
    "hpobench",
    "importance",
    "kernel",
    "maml",
    "meta_prior",
    "metafeatures",
    "mlp",
    "normal_scores",
    "oboe",
    "on",
    "paths",
    "ridge",
    "targets",
    "transfer",
]
