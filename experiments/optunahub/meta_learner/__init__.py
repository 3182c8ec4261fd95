"""The package of OptunaHub: the sampler of metajax."""

from metajax.integrations.optuna import MetaLearnerSampler

__all__ = ["MetaLearnerSampler"]
