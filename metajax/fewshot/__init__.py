"""Few-shot learning: episodes, the MAML family, metric and closed-form heads, baselines, and one evaluation protocol."""

from metajax.fewshot import heads
from metajax.fewshot.anil import anil
from metajax.fewshot.boil import boil, partial_maml
from metajax.fewshot.cavia import cavia
from metajax.fewshot.episodes import Episode, Sampler, check, classes, examples, sinusoid, tasks, with_support
from metajax.fewshot.evaluate import Report, evaluate, evaluator, over_seeds, task_key
from metajax.fewshot.imaml import imaml
from metajax.fewshot.losses import cross_entropy, scored, squared_error
from metajax.fewshot.maml import maml, problem
from metajax.fewshot.maml_plus_plus import maml_plus_plus
from metajax.fewshot.meta_sgd import meta_sgd
from metajax.fewshot.method import Method, by_gradient, by_solution
from metajax.fewshot.partition import combine, partition, under
from metajax.fewshot.pretrain import linear_probe, nearest_centroid
from metajax.fewshot.protonet import protonet
from metajax.fewshot.reptile import reptile
from metajax.fewshot.ridge import metaoptnet_ridge, r2d2
from metajax.fewshot.svm import crammer_singer, metaoptnet

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
