"""Few-shot learning: the MAML family, metric and closed-form heads, baselines, episodes, and one evaluation protocol.

``METHODS`` has every method by name with its settings, and ``METHODS[name].build(...)`` makes it from a network. The functions
of this package make a method from its parts. Beside them are the public namespaces ``episodes`` (samplers of tasks),
``evaluation`` (the protocol), ``heads`` (closed-form classifiers), ``baselines`` (methods without meta-learning),
``parameters`` (selecting parameters by path) and ``navigation`` (reinforcement learning as few-shot learning).
"""

from metajax.fewshot import baselines, episodes, evaluation, heads, navigation, parameters
from metajax.fewshot._anil import anil
from metajax.fewshot._boil import boil
from metajax.fewshot._cavia import cavia
from metajax.fewshot._features import Head, by_features
from metajax.fewshot._imaml import imaml
from metajax.fewshot._losses import classification_loss, cross_entropy, squared_error
from metajax.fewshot._maml import fomaml, maml, maml_problem
from metajax.fewshot._maml_plus_plus import maml_plus_plus
from metajax.fewshot._meta_sgd import meta_sgd
from metajax.fewshot._metaoptnet import metaoptnet
from metajax.fewshot._method import Method, by_gradient, by_solution
from metajax.fewshot._protonet import protonet
from metajax.fewshot._recipe import Recipe
from metajax.fewshot._recipes import METHODS
from metajax.fewshot._reptile import reptile
from metajax.fewshot._ridge import metaoptnet_ridge, r2d2
from metajax.fewshot.episodes import Episode
from metajax.fewshot.evaluation import Report, evaluate

__all__ = [
    "METHODS",
    "Episode",
    "Head",
    "Method",
    "Recipe",
    "Report",
    "anil",
    "baselines",
    "boil",
    "by_features",
    "by_gradient",
    "by_solution",
    "cavia",
    "classification_loss",
    "cross_entropy",
    "episodes",
    "evaluate",
    "evaluation",
    "fomaml",
    "heads",
    "imaml",
    "maml",
    "maml_plus_plus",
    "maml_problem",
    "meta_sgd",
    "metaoptnet",
    "metaoptnet_ridge",
    "navigation",
    "parameters",
    "protonet",
    "r2d2",
    "reptile",
    "squared_error",
]
