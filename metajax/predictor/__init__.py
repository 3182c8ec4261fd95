"""The meta-learner: a model of how good a model will be, fitted to learning meta-data."""

from metajax.predictor import targets
from metajax.predictor.features import Cell, Features, cell, on, paths
from metajax.predictor.fit import Choice, Model, choose, fit
from metajax.predictor.graph import graph
from metajax.predictor.importance import importance
from metajax.predictor.metafeatures import from_pymfe, metafeatures
from metajax.predictor.pairs import PairModel, fit_pairs
from metajax.predictor.pretrained import deep_kernel, maml
from metajax.predictor.records import Oboe, Table, fcnet, hpobench, oboe
from metajax.predictor.specs import Spec, ensemble, kernel, mlp, ridge
from metajax.predictor.transfer import Prior, average_prior, meta_prior, normal_scores, transfer
from metajax.predictor.trials import Trials

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
