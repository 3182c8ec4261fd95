"""From a dataset to arrays on the device: the split, the encoder, and the rows that each stage learns from."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from metajax.automl._space import MAX_FEATURES
from metajax.automl._task import Data
from metajax.data import tabular

MAX_SEARCH_ROWS, MAX_FINAL_ROWS = 20_000, 100_000
"""Maximum numbers of training rows of the search and of the final model; a budget of minutes has fewer."""
_MAX_ROWS = 250_000  # Larger datasets are subsampled to this size before anything else.
# Rows a minute that the search and the final model have time for, and the least that each of them gets.
_SEARCH_ROWS_PER_MINUTE, _MIN_SEARCH_ROWS = 4_000, 2_000
_FINAL_ROWS_PER_MINUTE, _MIN_FINAL_ROWS = 6_000, 3_000
_ROWS_PER_EPOCH = 640  # Smaller tables are passed over several times in what counts as one epoch.
_MIN_ROWS_PER_CLASS = 3


class Prepared(NamedTuple):
    """A table as the main job works on it.

    Attributes:
        search: Training rows, and the validation rows to evaluate on.
        final: Training and validation rows together, and the test rows.
        encoder: The encoder of columns and target, fitted to the training rows.
        groups: i64[inputs], for each input the item of the space's ``features`` that it belongs to.
        outputs: Number of classes, or 1 for regression.
        rows: Numbers of training, validation and test rows.
        notes: What was done to the data, for the report.
        network_rows: Maximum number of rows that a network of the final model learns from: the first ones of ``final``.
    """

    search: Data
    final: Data
    encoder: tabular.Encoder
    groups: np.ndarray
    outputs: int
    rows: tuple[int, int, int]
    notes: list[str]
    network_rows: int = MAX_FINAL_ROWS

    @property
    def classification(self) -> bool:
        """Whether the target is a class."""
        return self.encoder.classes is not None

    @property
    def features(self) -> int:
        """The number of features that the space chooses among."""
        return int(self.groups.max()) + 1


def row_limits(minutes: float | None) -> tuple[int, int]:
    """Returns the maximum numbers of training rows of the search and of the final networks that a budget has time for."""
    if minutes is None:
        return MAX_SEARCH_ROWS, MAX_FINAL_ROWS
    clip = lambda rows, low, high: int(min(max(rows, low), high))
    return (
        clip(_SEARCH_ROWS_PER_MINUTE * minutes, _MIN_SEARCH_ROWS, MAX_SEARCH_ROWS),
        clip(_FINAL_ROWS_PER_MINUTE * minutes, _MIN_FINAL_ROWS, MAX_FINAL_ROWS),
    )


def prepare(dataset: tabular.Dataset, seed: int, test: bool = True, minutes: float | None = None) -> Prepared:
    """Splits a table 60/20/20 (classes spread evenly), fits the encoder to the training rows, and encodes everything.

    A large table is subsampled, with a note: to what the budget has time for, and never to more than fits in memory.

    Args:
        dataset: The table.
        seed: Seed of the split.
        test: Hold test rows out. Without them the split is 80/20, and ``final`` is evaluated on the validation rows.
        minutes: The budget, or ``None``.

    Returns:
        The encoded rows of each stage.

    Example:
        >>> from metajax.data import tabular
        >>> prepared = prepare(tabular.load("iris"), seed=0)
        >>> prepared.rows, prepared.search.x.shape, prepared.final.x.shape
        ((90, 30, 30), (90, 4), (120, 4))
    """
    max_search, max_final = row_limits(minutes)
    dataset = _subsample(dataset, seed)
    train, validation, held_out = tabular.split(dataset, seed, (0.6, 0.2) if test else (0.8, 0.2))
    schema, columns = dataset.schema, dataset.columns
    assert schema is not None and columns is not None
    encoder = tabular.Encoder.fit(schema, columns.take(train), dataset.target[train])

    def encode(rows: np.ndarray, own: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return encoder.inputs(columns.take(rows), own), encoder.targets(dataset.target[rows])

    train_arrays, validation_arrays = encode(train, dataset.target[train]), encode(validation)
    test_arrays = encode(held_out if test else validation)
    notes = list(dataset.notes)
    both = [np.concatenate(pair) for pair in zip(train_arrays, validation_arrays)]
    if len(train) > max_search:
        notes.append(f"The search trains on {max_search:,} of the {len(train):,} training rows.")
    if len(both[0]) > max_final:
        rest = "" if len(both[0]) <= MAX_FINAL_ROWS else f", other models on {MAX_FINAL_ROWS:,}"
        notes.append(
            f"Networks of the final model train on {max_final:,} of the {len(both[0]):,} training and validation rows{rest}."
        )
        drawn = np.random.default_rng(seed).permutation(len(both[0]))[:MAX_FINAL_ROWS]
        both = [array[drawn] for array in both]
    first = lambda arrays, n: [array[:n] for array in arrays]
    search = Data(*map(jnp.asarray, (*first(train_arrays, max_search), *first(validation_arrays, max_search // 2))))
    final = Data(*map(jnp.asarray, (*both, *test_arrays)))
    groups = encoder.groups
    if encoder.features > MAX_FEATURES:
        groups = groups * MAX_FEATURES // encoder.features
        notes.append(f"The {encoder.features} features are chosen in {MAX_FEATURES} groups of neighboring columns.")
    outputs = len(dataset.classes) if dataset.classes is not None else 1
    rows = len(train), len(validation), len(held_out)
    return Prepared(search, final, encoder, groups, outputs, rows, notes, max_final)


def _subsample(dataset: tabular.Dataset, seed: int) -> tabular.Dataset:
    """At most about ``_MAX_ROWS`` rows of a dataset, with at least three of each class."""
    n = len(dataset.target)
    if n <= _MAX_ROWS:
        return dataset
    order = np.random.default_rng(seed).permutation(n)
    if dataset.classes is None:
        index = order[:_MAX_ROWS]
    else:
        labels = dataset.target[order]
        rare = np.concatenate([np.flatnonzero(labels == name)[:_MIN_ROWS_PER_CLASS] for name in dataset.classes])
        index = order[np.union1d(np.arange(_MAX_ROWS), rare)]
    notes = [*dataset.notes, f"The search uses {len(index):,} of the {n:,} rows, drawn at random."]
    return dataset.take(np.sort(index))._replace(notes=notes)


def resplit(search: Data) -> list[Data]:
    """Returns other splits of the search's rows into training and evaluation rows, of the same sizes.

    The same sizes share the compiled programs. The evaluation rows of the splits do not overlap, and together they hold
    (almost) every row.
    """
    # This runs on the host, where nothing is compiled for the numbers of rows.
    x, y = (np.concatenate(pair) for pair in ((search.x, search.x_eval), (search.y, search.y_eval)))
    order = np.random.default_rng(0).permutation(len(x))
    size = len(search.x_eval)
    splits = []
    for start in range(0, len(x) - size + 1, size):
        held_out = order[start : start + size]
        rest = np.concatenate([order[:start], order[start + size :]])
        splits.append(Data(*map(jnp.asarray, (x[rest], y[rest], x[held_out], y[held_out]))))
    return splits


def passes_per_epoch(rows: int) -> int:
    """Returns how many passes over the rows count as one epoch.

    Small tables are passed over several times, so that every model gets some hundred updates.
    """
    return max(1, round(_ROWS_PER_EPOCH / max(rows, 1)))


def describe_data(dataset: tabular.Dataset, prepared: Prepared) -> dict[str, Any]:
    """Returns the dataset in a few plain values, for ``result.json`` and the report."""
    return {
        "target": dataset.name,
        "task": "classification" if prepared.classification else "regression",
        "classes": prepared.outputs if prepared.classification else None,
        "features": prepared.encoder.features,
        "inputs": len(prepared.groups),
        "rows": dict(zip(("train", "validation", "test"), prepared.rows)),
        "columns": prepared.encoder.schema.described(),
        "notes": prepared.notes,
    }
