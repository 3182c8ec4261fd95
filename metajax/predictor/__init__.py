"""The meta-learner: a model of how good a model will be, fitted to learning meta-data."""

from metajax.predictor import targets
from metajax.predictor.fit import Choice, Model, choose, fit
from metajax.predictor.importance import importance
from metajax.predictor.specs import Spec, ensemble, kernel, mlp, ridge
from metajax.predictor.trials import Trials

__all__ = [
    "Choice",
    "Model",
    "Spec",
    "Trials",
    "choose",
    "ensemble",
    "fit",
    "importance",
    "kernel",
    "mlp",
    "ridge",
    "targets",
]
