"""Few-shot learning: episodes, the MAML family, metric and closed-form heads, baselines, and one evaluation protocol."""

from metajax.fewshot import heads
from metajax.fewshot._anil import anil
from metajax.fewshot._boil import boil, partial_maml
from metajax.fewshot._cavia import cavia
from metajax.fewshot._episodes import Episode, Sampler, check, classes, examples, sinusoid, tasks, with_support
from metajax.fewshot._evaluate import Report, evaluate, evaluator, over_seeds, task_key
from metajax.fewshot._imaml import imaml
from metajax.fewshot._losses import cross_entropy, scored, squared_error
from metajax.fewshot._maml import maml, problem
from metajax.fewshot._maml_plus_plus import maml_plus_plus
from metajax.fewshot._meta_sgd import meta_sgd
from metajax.fewshot._method import Method, by_gradient, by_solution
from metajax.fewshot._partition import combine, partition, under
from metajax.fewshot._pretrain import linear_probe, nearest_centroid
from metajax.fewshot._protonet import protonet
from metajax.fewshot._reptile import reptile
from metajax.fewshot._ridge import metaoptnet_ridge, r2d2
from metajax.fewshot._svm import crammer_singer, metaoptnet

__all__ = [
    "Episode",
    "Method",
    "Report",
    "Sampler",
    "anil",
    "boil",
    "by_gradient",
    "by_solution",
    "cavia",
    "check",
    "classes",
    "combine",
    "crammer_singer",
    "cross_entropy",
    "evaluate",
    "evaluator",
    "examples",
    "heads",
    "imaml",
    "linear_probe",
    "maml",
    "maml_plus_plus",
    "meta_sgd",
    "metaoptnet",
    "metaoptnet_ridge",
    "nearest_centroid",
    "over_seeds",
    "partial_maml",
    "partition",
    "problem",
    "protonet",
    "r2d2",
    "reptile",
    "scored",
    "sinusoid",
    "squared_error",
    "task_key",
    "tasks",
    "under",
    "with_support",
]
