"""The meta-learner: models of how good a model will be, fitted to learning meta-data."""

from metajax.predictor import architectures, benchmarks, priors, targets
from metajax.predictor._choose import Choice, choose
from metajax.predictor._deep_kernel import deep_kernel
from metajax.predictor._features import Features, with_features
from metajax.predictor._fit import fit
from metajax.predictor._importance import importance
from metajax.predictor._kernel import kernel
from metajax.predictor._maml_network import maml_network
from metajax.predictor._metafeatures import metafeatures, pymfe_metafeatures
from metajax.predictor._model import Model
from metajax.predictor._networks import ensemble, mlp
from metajax.predictor._pairs import PairModel, fit_pairs
from metajax.predictor._ridge import ridge
from metajax.predictor._spec import ApplyFn, FitFn, Spec
from metajax.predictor._trials import Trials

__all__ = [
    "ApplyFn",
    "Choice",
    "Features",
    "FitFn",
    "Model",
    "PairModel",
    "Spec",
    "Trials",
    "architectures",
    "benchmarks",
    "choose",
    "deep_kernel",
    "ensemble",
    "fit",
    "fit_pairs",
    "importance",
    "kernel",
    "maml_network",
    "metafeatures",
    "mlp",
    "priors",
    "pymfe_metafeatures",
    "ridge",
    "targets",
    "with_features",
]
