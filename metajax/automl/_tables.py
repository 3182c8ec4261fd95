"""Tables as a task: what is trained on columns, and how."""

import functools
from typing import Any

import jax
import numpy as np

from metajax.automl import _population as population
from metajax.automl import _prior as prior
from metajax.automl._model import FittedModel
from metajax.automl._prepare import Prepared, epoch_scale, folds
from metajax.automl._space import MAX_EPOCHS, default_config, tabular_space
from metajax.automl._task import GROUP, Data, Outcome, Task
from metajax.space import Space


def train(
    space: Space,
    prepared: Prepared,
    encodings: np.ndarray,
    data: Data,
    key: jax.Array,
    keep: bool = False,
    outputs_of: int = 0,
    progress: Any = None,
    group: int = GROUP,
) -> Outcome:
    """Trains configurations side by side; the epochs of a small table count as several passes."""
    configs, scale = space.decode_configs(encodings), epoch_scale(len(prepared.search.x))
    configs = {**configs, "epochs": configs["epochs"] * scale}
    # the final model is trained by the programs of the search
    room = population.Room(max(len(prepared.search.x), len(prepared.final.x)), MAX_EPOCHS * scale)
    outputs, groups = prepared.outputs, prepared.groups
    return population.train(configs, groups, data, outputs, key, keep, outputs_of, group, progress, room)


def table_task(prepared: Prepared) -> Task:
    """The task of a table."""
    space = tabular_space(prepared.features, prepared.classification)

    def model(configs: list[dict[str, Any]], params: list[Any], temperatures: np.ndarray) -> FittedModel:
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
        return FittedModel(configs, prepared.encoder, prepared.groups, stacked, temperatures)

    return Task(
        space,
        default_config(prepared.classification),
        prepared.search,
        folds(prepared.search),
        prepared.final,
        prepared.classification,
        functools.partial(train, space, prepared),
        model,
        lambda n, key, tried: prior.warm_start(space, prepared, n, key, tried),
    )
