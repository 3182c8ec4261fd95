"""The main job: a model for a user's dataset, found by everything the library has."""

from metajax.automl.model import FittedModel
from metajax.automl.search import Outcome, load_model, search
from metajax.automl.settings import Config
from metajax.automl.space import default_config, tabular_space
from metajax.automl.trials import trials

__all__ = ["Config", "FittedModel", "Outcome", "default_config", "load_model", "search", "tabular_space", "trials"]
