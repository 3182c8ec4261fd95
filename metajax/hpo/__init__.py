"""Hyperparameters by gradient: rates, decays, weights of data, labels, augmentation, losses, and architectures with them.

``training_problem`` makes a bilevel problem of supervised training with learned components; ``make_estimator`` and
``bilevel.learner`` search it.
"""

from metajax.hpo._augmentation import AUGMENTATION_RANGES, augmentation, augmentation_strengths
from metajax.hpo._distillation import distillation_problem
from metajax.hpo._estimators import ESTIMATORS, make_estimator
from metajax.hpo._joint import JointProblem, RelaxedConfig, joint_problem
from metajax.hpo._labels import label_correction, label_smoothing
from metajax.hpo._losses import l2, learned_loss, polynomial_loss
from metajax.hpo._nested import nested_inner
from metajax.hpo._online import OnlineState, hypergradient_descent
from metajax.hpo._optimizers import adam, interpolated_schedule, sgd
from metajax.hpo._training import SLOTS, Component, HyperProblem, IndexedBatch, training_problem
from metajax.hpo._weighting import class_weights, example_weights, meta_weight_net

__all__ = [
    "AUGMENTATION_RANGES",
    "ESTIMATORS",
    "SLOTS",
    "Component",
    "HyperProblem",
    "IndexedBatch",
    "JointProblem",
    "OnlineState",
    "RelaxedConfig",
    "adam",
    "augmentation",
    "augmentation_strengths",
    "class_weights",
    "distillation_problem",
    "example_weights",
    "hypergradient_descent",
    "interpolated_schedule",
    "joint_problem",
    "l2",
    "label_correction",
    "label_smoothing",
    "learned_loss",
    "make_estimator",
    "meta_weight_net",
    "nested_inner",
    "polynomial_loss",
    "sgd",
    "training_problem",
]
