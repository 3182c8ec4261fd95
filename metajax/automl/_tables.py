"""Tables as a task: the model types that are trained on columns, and how they are trained."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from metajax.automl import _metrics as metrics
from metajax.automl import _mixed as mixed
from metajax.automl import prior
from metajax.automl._class_weights import CHOICE
from metajax.automl._model import FittedModel, read_member, write_member
from metajax.automl._prepare import Prepared, prepare
from metajax.automl._settings import Config
from metajax.automl._space import default_config, default_of_type, tabular_space
from metajax.automl._task import EnsembleMember, Task
from metajax.automl._training import GROUP_SIZE
from metajax.automl.models import ModelType, installed
from metajax.data import tabular


def table_task(
    prepared: Prepared,
    group_size: int = GROUP_SIZE,
    model_types: Sequence[ModelType] | None = None,
    minutes: float | None = None,
    metric: str | None = None,
) -> Task:
    """Returns the task of a table: its space, its rows, and how its models are trained.

    The default, with which the selected model is compared, is histogram gradient boosting with the settings of scikit-learn,
    if that is among the model types, and otherwise the network of ``default_config``. A search trains the default of every
    model type first.

    Args:
        prepared: The table, as ``prepare`` returns it.
        group_size: Number of networks that train side by side in one compiled program, at least 1. A score does not depend on
            it except for rounding.
        model_types: What is searched beside networks; by default ``models.installed()``.
        minutes: The budget that many trainings are to fit into, which limits the epochs of large networks; ``None`` is 20
            minutes or more.
        metric: What is maximized, as in ``Config``.

    Returns:
        The task.

    Raises:
        InputError: if two model types have the same name, or the metric does not fit the target.

    Example:
        >>> import jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> task = table_task(automl.prepare(tabular.load("iris"), seed=0))
        >>> encodings = task.space.encode(task.space.configs([task.default]))
        >>> bool(task.train(encodings, task.search, jax.random.key(0)).score[0] > 0.8)
        True
    """
    types = installed() if model_types is None else tuple(model_types)
    maximized = metrics.metric(metric, prepared.outputs, prepared.classification)
    space = tabular_space(prepared.features, prepared.classification, types, maximized.weights_classes)
    initial = initial_configs(prepared.classification, types, maximized.weights_classes)
    trainer = mixed.Trainer(space, prepared, group_size, types, minutes, maximized)

    def build_model(members: list[EnsembleMember], threshold: float = 0.5) -> FittedModel:
        configs, params, temperatures, weights = map(list, zip(*members))
        return FittedModel(configs, prepared.encoder, params, np.array(temperatures), np.array(weights), threshold)

    return Task(
        space=space,
        default=initial[0],
        search=prepared.search,
        folds=prepared.folds,
        final=prepared.final,
        classification=prepared.classification,
        metric=maximized,
        train=trainer.train,
        build_model=build_model,
        write_member=write_member,
        read_member=functools.partial(read_member, model_types=types),
        warm_start=functools.partial(prior.warm_start, space, prepared) if prior.is_available() else None,
        protocol_note=_default_note(initial[0]),
        target_shift=prepared.encoder.shift,
        target_scale=prepared.encoder.scale,
        initial=initial,
        trains_side_by_side=True,
        everything=prepared.everything,
        test_row_numbers=prepared.test_row_numbers,
        is_ordered=prepared.is_ordered,
        more_folds=prepared.more_folds,
    )


def load_task(
    dataset: tabular.Dataset,
    test: tabular.Dataset | None,
    config: Config,
    model_types: Sequence[ModelType] | None = None,
) -> tuple[Task, Prepared]:
    """Returns the task of a dataset as a config says, and the prepared table.

    Args:
        dataset: The dataset.
        test: Its test rows; with ``None`` a part of the dataset is held back.
        config: The settings.
        model_types: What is searched beside networks; by default ``models.installed()``.
    """
    prepared = prepare(dataset, config.seed, True if test is None else test, config.minutes, config.folds)
    return table_task(prepared, model_types=model_types, minutes=config.minutes, metric=config.metric), prepared


def _default_note(default: dict[str, Any]) -> str:
    """What the default of a table is, in a sentence."""
    if default["model"] == "boosted_trees":
        return "The default is histogram gradient boosting with the settings of scikit-learn, 100 trees of at most 31 leaves."
    return "The default is a network of two layers of 128 units."


def initial_configs(
    classification: bool, types: Sequence[ModelType], weights_classes: bool = False
) -> tuple[dict[str, Any], ...]:
    """Returns the default of every model type, networks included; the first one is what a search is compared with.

    Where the weights of classes are searched, the default has none, and in the others all classes count alike.
    """
    of_types = {kind.name: default_of_type(kind, classification) for kind in types}
    configs = [of_types.pop(name) for name in ("boosted_trees",) if name in of_types]
    configs += [default_config(classification), *of_types.values()]
    if not weights_classes:
        return tuple(configs)
    return tuple({**config, CHOICE: float(number > 0)} for number, config in enumerate(configs))
