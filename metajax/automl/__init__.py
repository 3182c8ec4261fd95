"""The main job: a model for a user's dataset, found by everything the library has."""

from metajax.automl._model import FittedModel
from metajax.automl._search import Outcome, load_model, search
from metajax.automl._settings import Config
from metajax.automl._space import default_config, tabular_space
from metajax.automl._trials import trials

__all__ = ["Config", "FittedModel", "Outcome", "default_config", "load_model", "search", "tabular_space", "trials"]
