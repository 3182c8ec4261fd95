"""Turns the rows of a table into standardized inputs and targets, and splits them."""

import dataclasses
from typing import Any

import numpy as np

from metajax.data._table import MAX_LEVELS, Dataset, listed, pandas
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Turns raw columns into standardized inputs. It is fitted on training rows only and consists of plain data.

    Attributes:
        columns: For each feature its name, kind and statistics.
        classes: The class labels, or ``None`` for regression.
        shift: The mean of a regression target.
        scale: The standard deviation of a regression target.

    Example:
        >>> from metajax.data import tabular
        >>> iris = tabular.load("iris")
        >>> encoder = Encoder.fit(iris.frame, iris.target, iris.classes)
        >>> encoder.inputs(iris.frame).shape, encoder.targets(iris.target)[:3].tolist()
        ((150, 4), [0, 0, 0])
    """

    columns: list[dict[str, Any]]
    classes: list[str] | None
    shift: float = 0.0
    scale: float = 1.0

    @staticmethod
    def fit(frame: Any, target: np.ndarray, classes: list[str] | None) -> "Encoder":
        """Fits means, deviations and levels to rows.

        Args:
            frame: A data frame of the features.
            target: Array[rows] of the target.
            classes: The class labels, or ``None`` for regression.
        """
        pd = pandas()
        columns: list[dict[str, Any]] = []
        for name in frame.columns:
            column = frame[name]
            if pd.api.types.is_numeric_dtype(column):
                values = column.to_numpy(dtype=np.float64, na_value=np.nan)
                known = values[~np.isnan(values)]
                mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
                missing = bool(np.isnan(values).any())
                columns.append(
                    {
                        "name": str(name),
                        "kind": "number",
                        "mean": mean,
                        "std": std if std > 0 else 1.0,
                        "missing": missing,
                    }
                )
            else:
                counts = column.dropna().astype(str).value_counts()
                levels = sorted(counts.index[:MAX_LEVELS])
                columns.append({"name": str(name), "kind": "category", "levels": levels})
        if classes is not None:
            return Encoder(columns, classes)
        values = target.astype(np.float64)
        return Encoder(columns, None, float(values.mean()), float(values.std()) or 1.0)

    @property
    def features(self) -> int:
        """The number of features."""
        return len(self.columns)

    @property
    def groups(self) -> np.ndarray:
        """The index of the feature that each input belongs to."""
        sizes = [1 + c["missing"] if c["kind"] == "number" else len(c["levels"]) + 1 for c in self.columns]
        return np.repeat(np.arange(len(sizes)), sizes)

    def inputs(self, frame: Any) -> np.ndarray:
        """Returns the inputs f32[n, inputs] of rows.

        Numbers are standardized. A missing one is at the mean, with an indicator where the training rows had missing ones too.
        Categories are one-hot; a missing or unseen level has a column of its own.

        Args:
            frame: A data frame with the columns of the training rows.

        Raises:
            InputError: If a column is missing, or holds text where the training rows had numbers.
        """
        pd = pandas()
        lacking = [c["name"] for c in self.columns if c["name"] not in frame.columns]
        if lacking:
            raise InputError(f"the data lacks the columns {listed(lacking)} that the model was trained with")
        blocks = []
        for c in self.columns:
            column = frame[c["name"]]
            if c["kind"] == "number":
                values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
                if np.isnan(values).sum() > column.isna().sum():
                    raise InputError(f"column {c['name']}: holds text, but the model was trained with numbers there")
                if np.isinf(values).any():
                    raise InputError(f"column {c['name']}: has infinite values; replace them or leave them empty")
                gone = np.isnan(values)
                scaled = np.clip(np.where(gone, 0.0, (values - c["mean"]) / c["std"]), -10.0, 10.0)
                blocks += [scaled[:, None]] + ([gone[:, None]] if c["missing"] else [])
            else:
                position = {level: i for i, level in enumerate(c["levels"])}
                text = column.astype(object).where(column.notna(), None)
                code = np.array([position.get(str(v), len(position)) if v is not None else len(position) for v in text])
                blocks.append(np.eye(len(position) + 1)[code])
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def targets(self, target: np.ndarray) -> np.ndarray:
        """Returns the targets of rows: i32[n] class indices, or f32[n] standardized numbers.

        Args:
            target: Array[n] of the raw target.
        """
        if self.classes is None:
            return ((target.astype(np.float64) - self.shift) / self.scale).astype(np.float32)
        position = {label: i for i, label in enumerate(self.classes)}
        return np.array([position[str(label)] for label in target], np.int32)


def split(dataset: Dataset, seed: int, shares: tuple[float, float] = (0.6, 0.2)) -> tuple[np.ndarray, ...]:
    """Splits the rows at random. Classes are spread evenly, and each is in every part if it has three rows.

    Args:
        dataset: The dataset.
        seed: The seed of the split.
        shares: The shares of training and validation; the rest is the test. There is no test if they sum to 1.

    Returns:
        The row indices of training, validation and test.

    Example:
        >>> from metajax.data import tabular
        >>> [len(part) for part in split(tabular.load("iris"), seed=0)]
        [90, 30, 30]
    """
    rng = np.random.default_rng(seed)
    labels = dataset.target if dataset.classes is not None else np.zeros(len(dataset.target))
    parts: list[list[np.ndarray]] = [[], [], []]
    for label in dataset.classes if dataset.classes is not None else [0]:
        rows = rng.permutation(np.flatnonzero(labels == label))
        n = len(rows)
        test = max(1, round(n * (1 - sum(shares)))) if sum(shares) < 1 else 0
        validation = max(1, round(n * shares[1]))
        for part, chosen in zip(parts, np.split(rows, [n - test - validation, n - test])):
            part.append(chosen)
    return tuple(rng.permutation(np.concatenate(part)) for part in parts)
