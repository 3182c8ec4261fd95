"""Model types of the main job beside its networks: trees, nearest neighbors, linear models, and your own.

A ``ModelType`` has a space of its own hyperparameters and fits a ``Member``. ``installed`` returns those that the main job
searches by default. Nothing is ever pickled: a member is saved as arrays and plain settings. A fit that takes long asks
``time_is_over`` now and then, so that a budget of minutes is not spent on one model.
"""

from metajax.automl.models._installed import installed
from metajax.automl.models._time import time_is_over
from metajax.automl.models._types import Member, ModelType

__all__ = ["Member", "ModelType", "installed", "time_is_over"]
