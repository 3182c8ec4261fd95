"""Tables as a task: what is trained on columns, and how."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from metajax.automl import _population as population
from metajax.automl import prior
from metajax.automl._model import FittedModel
from metajax.automl._prepare import Prepared, passes_per_epoch, resplit
from metajax.automl._space import MAX_EPOCHS, default_config, tabular_space
from metajax.automl._task import GROUP_SIZE, Data, Task, TrainingResults
from metajax.space import Space


def train(
    space: Space,
    prepared: Prepared,
    group_size: int,
    encodings: np.ndarray,
    data: Data,
    key: jax.Array,
    keep_params: bool = False,
    output_rows: int = 0,
    progress: Callable[[int], None] | None = None,
) -> TrainingResults:
    """Trains configurations side by side; an epoch of a small table is several passes over its rows."""
    configs, passes = space.decode_configs(encodings), passes_per_epoch(len(prepared.search.x))
    configs = {**configs, "epochs": configs["epochs"] * passes}
    # The final model is trained by the programs that were compiled for the search.
    pad_to = population.PaddedSize(max(len(prepared.search.x), len(prepared.final.x)), MAX_EPOCHS * passes)
    return population.train(
        configs, prepared.groups, data, prepared.outputs, key, keep_params, output_rows, group_size, progress, pad_to
    )


def table_task(prepared: Prepared, group_size: int = GROUP_SIZE) -> Task:
    """Returns the task of a table: its space, its rows, and how its models are trained.

    Args:
        prepared: The table, as ``prepare`` returns it.
        group_size: Number of models that train side by side in one compiled program, at least 1. A score does not depend on it
            but for rounding.

    Returns:
        The task.

    Example:
        >>> import jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> task = table_task(automl.prepare(tabular.load("iris"), seed=0))
        >>> encodings = task.space.encode(task.space.configs([task.default]))
        >>> bool(task.train(encodings, task.search, jax.random.key(0)).score[0] > 0.8)
        True
    """
    space = tabular_space(prepared.features, prepared.classification)

    def build_model(configs: list[dict[str, Any]], params: list[Any], temperatures: np.ndarray) -> FittedModel:
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
        return FittedModel(configs, prepared.encoder, prepared.groups, stacked, temperatures)

    return Task(
        space=space,
        default=default_config(prepared.classification),
        search=prepared.search,
        folds=resplit(prepared.search),
        final=prepared.final,
        classification=prepared.classification,
        train=functools.partial(train, space, prepared, group_size),
        build_model=build_model,
        warm_start=functools.partial(prior.warm_start, space, prepared),
        target_shift=prepared.encoder.shift,
        target_scale=prepared.encoder.scale,
    )
