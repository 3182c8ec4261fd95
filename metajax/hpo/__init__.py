"""Hyperparameters by gradient: rates, decays, weights of data, labels, augmentation, losses, and architectures with them."""

from metajax.hpo._augment import augmentation, strengths
from metajax.hpo._distil import distillation
from metajax.hpo._estimators import ESTIMATORS, estimator
from metajax.hpo._joint import Choice, Joint, joint
from metajax.hpo._levels import nested_inner
from metajax.hpo._online import OnlineState, hypergradient_descent
from metajax.hpo._parts import (
    class_weights,
    example_weights,
    l2,
    label_correction,
    label_smoothing,
    learned_loss,
    meta_weight_net,
    polynomial_loss,
)
from metajax.hpo._problem import PLACES, Examples, Part, Training, problem
from metajax.hpo._rates import adam, decayed, scaled, schedule, sgd

__all__ = [
    "ESTIMATORS",
    "PLACES",
    "Choice",
    "Examples",
    "Joint",
    "OnlineState",
    "Part",
    "Training",
    "adam",
    "augmentation",
    "class_weights",
    "decayed",
    "distillation",
    "estimator",
    "example_weights",
    "hypergradient_descent",
    "joint",
    "l2",
    "label_correction",
    "label_smoothing",
    "learned_loss",
    "meta_weight_net",
    "nested_inner",
    "polynomial_loss",
    "problem",
    "scaled",
    "schedule",
    "sgd",
    "strengths",
]
