"""Tables as a task: what is trained on columns, and how."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl import _population as population
from metajax.automl import prior
from metajax.automl._model import FittedModel
from metajax.automl._prepare import Prepared, passes_per_epoch, resplit
from metajax.automl._space import default_config, tabular_space
from metajax.automl._task import GROUP_SIZE, Data, Task, TrainingResults
from metajax.space import Space

# The operations that one training may take: about 20 seconds of one core, or less where a budget is to hold many trainings.
_OPERATIONS_PER_SECOND, _MAX_SECONDS, _MIN_SECONDS = 15e9, 20.0, 0.5
_SHARE_OF_BUDGET = 1 / 60


def train(
    space: Space,
    prepared: Prepared,
    sampling: population.Sampling,
    max_seconds: float,
    group_size: int,
    encodings: np.ndarray,
    data: Data,
    key: jax.Array,
    keep_params: bool = False,
    output_rows: int = 0,
    progress: Callable[[int], None] | None = None,
    stop: np.ndarray | None = None,
) -> TrainingResults:
    """Trains configurations side by side; an epoch of a small table is several passes over its rows.

    Networks that are large for the time have fewer epochs than their configurations say, so that every training takes at most
    about ``max_seconds`` on one core.
    """
    configs = {name: np.asarray(values) for name, values in space.decode_configs(encodings).items()}
    rows, layout = len(data.x) * sampling.passes, sampling.layout
    shapes = network.own_shapes(configs, layout)
    per_epoch = np.array([6.0 * rows * shape.multiplications(layout, prepared.outputs) for shape in shapes])
    affordable = np.maximum(max_seconds * _OPERATIONS_PER_SECOND // per_epoch, 1).astype(int)
    configs["epochs"] = np.minimum(configs["epochs"], affordable)
    return population.train(
        configs,
        prepared.groups,
        data,
        prepared.outputs,
        key,
        keep_params,
        output_rows,
        group_size,
        progress,
        sampling,
        stop,
    )


def table_task(prepared: Prepared, group_size: int = GROUP_SIZE, minutes: float | None = None) -> Task:
    """Returns the task of a table: its space, its rows, and how its models are trained.

    Args:
        prepared: The table, as ``prepare`` returns it.
        group_size: Number of models that train side by side in one compiled program, at least 1. A score does not depend on it
            but for rounding.
        minutes: The budget that many trainings are to fit into, which limits the epochs of large networks; ``None`` is 20
            minutes or more.

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

    seconds = _MAX_SECONDS if minutes is None else 60 * minutes * _SHARE_OF_BUDGET
    max_seconds = float(np.clip(seconds, _MIN_SECONDS, _MAX_SECONDS))
    # The final model is trained by the programs that were compiled for the search.
    pad_to = population.PaddedSize(
        max(len(prepared.search.x), len(prepared.final.x)), max(1, len(prepared.search.x_eval))
    )
    layout = encoding.make_layout(np.asarray(prepared.search.x))
    sampling = population.Sampling(layout, passes_per_epoch(len(prepared.search.x)), pad_to)

    def build_model(configs: list[dict[str, Any]], params: list[Any], temperatures: np.ndarray) -> FittedModel:
        return FittedModel(configs, prepared.encoder, params, temperatures)

    return Task(
        space=space,
        default=default_config(prepared.classification),
        search=prepared.search,
        folds=resplit(prepared.search),
        final=prepared.final,
        classification=prepared.classification,
        train=functools.partial(train, space, prepared, sampling, max_seconds, group_size),
        build_model=build_model,
        warm_start=functools.partial(prior.warm_start, space, prepared),
        target_shift=prepared.encoder.shift,
        target_scale=prepared.encoder.scale,
    )
