"""The dataset of a search, its test rows, and the fingerprint by which a run recognizes both."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metajax.automl._settings import Config
from metajax.automl.models import ModelType, installed
from metajax.data import tabular
from metajax.data._pictures import Pictures, holds_images, pictures
from metajax.run import Fingerprint, fingerprint
from metajax.types import InputError

Dataset = tabular.Dataset | Pictures
_OF_TABLES = ("schema", "test", "group", "time", "weight", "folds")
"""The settings that only tables have."""


class Loaded(NamedTuple):
    """A dataset and its test.

    Attributes:
        dataset: The dataset.
        test: The rows of a table that are the test, or ``None`` where a part of the dataset is.
    """

    dataset: Dataset
    test: tabular.Dataset | None = None


def load_data(config: Config, dataset: Dataset | None = None) -> Loaded:
    """Reads the dataset of a search, and the test rows where they are a table of their own.

    Args:
        config: The settings.
        dataset: The dataset, where it is in memory.

    Raises:
        InputError: If one does not exist, nothing can be learned, or the settings do not fit the data.
    """
    if dataset is None:
        dataset = _read(config)
    elif isinstance(dataset, Pictures):
        _refuse_settings_of_tables(config)
    elif dataset.roles.columns != (columns := tabular.RowColumns(config.group, config.time, config.weight)):
        raise InputError(f"dataset: was read with {dataset.roles.columns}, but the config has {columns}")
    test = None if config.test is None or isinstance(dataset, Pictures) else tabular.load_test(config.test, dataset)
    return Loaded(dataset, test)


def _read(config: Config) -> Dataset:
    """Reads the dataset that a config names."""
    path = Path(config.data)
    if config.data not in tabular.BUNDLED and holds_images(path):
        if config.task == "regression":
            raise InputError(
                "task='regression': must be 'classification' for images; use a table of features for regression"
            )
        _refuse_settings_of_tables(config)
        return pictures(path, config.size)
    if config.method == "supernet":
        raise InputError(
            "method='supernet': needs images (a folder with one folder for each class, or an .npz with x of shape "
            "[n, height, width]); for tables use metalearner, random, optuna or defaults"
        )
    schema = None if config.schema is None else tabular.Schema.read(config.schema)
    columns = tabular.RowColumns(config.group, config.time, config.weight)
    return tabular.load(config.data, config.target, config.task, schema, columns)


def _refuse_settings_of_tables(config: Config) -> None:
    for name in _OF_TABLES:
        if (value := getattr(config, name)) is not None:
            raise InputError(f"{name}={value!r}: must be left out for images, whose test set is a random fifth")


def identify(loaded: Loaded, model_types: Sequence[ModelType] | None = None) -> Fingerprint:
    """Returns the fingerprint of a run beside its settings: its data, and the model types that can learn from it.

    Args:
        loaded: The data.
        model_types: What is searched for a table beside networks; by default ``models.installed()``.
    """
    dataset, data = loaded.dataset, of_data(loaded)
    if isinstance(dataset, Pictures):
        return data
    types = installed() if model_types is None else model_types
    return {**data, **fingerprint(model_types=_of_types(dataset, types))}


def of_data(loaded: Loaded) -> Fingerprint:
    """Returns the fingerprint of everything that is learned from, and of the test rows."""
    dataset, test = loaded
    if isinstance(dataset, Pictures):
        return fingerprint(images=dataset.x, labels=dataset.y, classes=dataset.classes)
    assert dataset.schema is not None
    parts = {
        "features": _features(dataset),
        "target": dataset.target,
        "classes": dataset.classes,
        "schema": [str(column.to_dict()) for column in dataset.schema.columns],
        **_roles(dataset, ""),
    }
    if test is not None:
        parts |= {"test_features": _features(test), "test_target": test.target, **_roles(test, "test_")}
    return fingerprint(**parts)


def _of_types(dataset: tabular.Dataset, types: Sequence[ModelType]) -> list[str]:
    """The name of each type of models and its hyperparameters, as texts."""
    assert dataset.schema is not None
    shape = len(dataset.schema.used), dataset.classes is not None
    return [f"{kind.name}: {sorted(kind.domains(*shape).items())}" for kind in types]


def _features(dataset: tabular.Dataset):
    """What the schema reads, as a data frame."""
    columns, schema = dataset.columns, dataset.schema
    assert columns is not None and schema is not None
    features = {source.name: columns.numbers[:, i] for i, source in enumerate(schema.numbers)}
    features |= {source.name: columns.codes[:, i] for i, source in enumerate(schema.codes)}
    return tabular.pandas().DataFrame(features)


def _roles(dataset: tabular.Dataset, prefix: str) -> dict:
    """The roles of rows (groups, times, weights), where there are any."""
    roles = {name: getattr(dataset.roles, name) for name in ("groups", "times", "weights")}
    return {f"{prefix}{name}": values for name, values in roles.items() if values is not None}
