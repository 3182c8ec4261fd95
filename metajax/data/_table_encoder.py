"""Turns the rows of a table into inputs of models and into targets, and splits them."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from metajax.data import _target_statistics as target_statistics
from metajax.data._table import Dataset
from metajax.data.schema._categories import MAX_LEVELS
from metajax.data.schema._column import Column
from metajax.data.schema._schema import Columns, Schema

_NORMAL_QUARTILES = 1.349  # The distance of the quartiles of a normal distribution of deviation 1.
_CLIP = 3.0  # Inputs are smoothly clipped to this size.


class _InputBlock(NamedTuple):
    """The inputs of one column: a number, whether one is missing, the levels of a category, or its target statistic."""

    kind: str
    column: int  # among the used columns
    source_index: int  # among the numbers or codes
    width: int


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """Turns the rows that a schema reads into inputs. It is fitted on training rows only and consists of plain data.

    Attributes:
        schema: The schema that reads the columns.
        centers: f64[k], the medians of the numbers.
        spreads: f64[k], the distances of their quartiles, such that it is 1 for a standard normal number.
        missing: bool[k], whether a number was missing in the training rows.
        statistics: For each category with more than 50 levels, by its index among the codes: the target statistics of its
            levels, f64[levels + 1, outputs].
        classes: The class labels, or ``None`` for regression.
        shift: The mean of a regression target.
        scale: The standard deviation of a regression target.

    Example:
        >>> from metajax.data import tabular
        >>> iris = tabular.load("iris")
        >>> encoder = Encoder.fit(iris.schema, iris.columns, iris.target)
        >>> encoder.inputs(iris.frame).shape, encoder.targets(iris.target)[:3].tolist()
        ((150, 4), [0, 0, 0])
    """

    schema: Schema
    centers: np.ndarray
    spreads: np.ndarray
    missing: np.ndarray
    statistics: dict[int, np.ndarray]
    classes: list[str] | None
    shift: float = 0.0
    scale: float = 1.0

    @staticmethod
    def fit(schema: Schema, columns: Columns, target: np.ndarray, has_statistics: bool = True) -> "Encoder":
        """Fits centers, spreads and target statistics to rows.

        Args:
            schema: The schema of the table, with its target.
            columns: Training rows, as the schema reads them.
            target: Array[n] of their target.
            has_statistics: Whether categories of many levels get target statistics. Rows that are predicted from earlier ones
                must not, because statistics know the targets of later ones.

        Returns:
            The encoder.
        """
        assert schema.target is not None
        classes = None if schema.target.classes is None else list(schema.target.classes)
        shift, scale = (0.0, 1.0) if classes is not None else _moments(target.astype(np.float64))
        centers, spreads = _robust_moments(columns.numbers)
        missing = np.asarray(np.isnan(columns.numbers).any(axis=0))
        encoder = Encoder(schema, centers, spreads, missing, {}, classes, shift, scale)
        outcome = encoder._outcome(target)
        for code, levels in encoder._wide() if has_statistics else ():
            encoder.statistics[code] = target_statistics.statistics(columns.codes[:, code], outcome, levels)
        return encoder

    @property
    def features(self) -> int:
        """The number of columns that are used."""
        return len(self.schema.used)

    @property
    def groups(self) -> np.ndarray:
        """i64[inputs], the index of the column that each input comes from."""
        return np.concatenate([np.full(part.width, part.column) for part in self._input_blocks()])

    @property
    def levels(self) -> np.ndarray:
        """i64[inputs], the number of the category that an input is a level of; -1 where it is not one."""
        number = {part: i for i, part in enumerate(part for part in self._input_blocks() if part.kind == "level")}
        return np.concatenate([np.full(part.width, number.get(part, -1)) for part in self._input_blocks()])

    def columns(self, rows: Any) -> Columns:
        """Returns rows as the schema reads them.

        Args:
            rows: A data frame with the columns of the training rows, or rows that were read already.

        Raises:
            InputError: If a column is missing, or holds text where the training rows had numbers.
        """
        return rows if isinstance(rows, Columns) else self.schema.check(rows)

    def inputs(self, rows: Any, target: np.ndarray | None = None, groups: np.ndarray | None = None) -> np.ndarray:
        """Returns the inputs f32[n, inputs] of rows.

        Numbers are centered and scaled robustly and clipped smoothly, so that no outlier is beyond 3. A missing one is at the
        median, with an indicator where the training rows had missing ones too. Categories are one-hot; a missing, rare or
        unseen level has an input of its own. A category of many levels has a target statistic as well.

        Args:
            rows: A data frame with the columns of the training rows, or rows that were read already.
            target: Array[n], for the training rows: then the statistics of a row do not contain its own target.
            groups: i64[n], numbers of groups: then they do not contain the targets of its group either.

        Raises:
            InputError: If a column is missing, or holds text where the training rows had numbers.
        """
        columns = self.columns(rows)
        inputs = np.zeros((len(columns.numbers), len(self.groups)), np.float32)
        start, row_indices = 0, np.arange(len(columns.numbers))
        for part in self._input_blocks():
            block = inputs[:, start : start + part.width]
            if part.kind == "number":
                block[:, 0] = self._scaled(columns.numbers[:, part.source_index], part.source_index)
            elif part.kind == "missing":
                block[:, 0] = np.isnan(columns.numbers[:, part.source_index])
            elif part.kind == "level":
                codes = columns.codes[:, part.source_index]
                block[row_indices, np.where((codes < 0) | (codes >= part.width), part.width - 1, codes)] = 1.0
            else:
                block[:] = self._statistic(part.source_index, columns.codes[:, part.source_index], target, groups)
            start += part.width
        return inputs

    def targets(self, target: np.ndarray) -> np.ndarray:
        """Returns the targets of rows: i32[n] class indices, or f32[n] standardized numbers.

        Args:
            target: Array[n] of the raw target.
        """
        if self.classes is None:
            values = target.astype(np.float64)
            return ((values / 2 - self.shift / 2) / (self.scale / 2)).astype(np.float32)
        position = {label: i for i, label in enumerate(self.classes)}
        return np.array([position[str(label)] for label in target], np.int32)

    def to_dict(self) -> dict[str, Any]:
        """Returns the encoder as plain values."""
        return {
            "schema": self.schema.to_dict(),
            "centers": self.centers.tolist(),
            "spreads": self.spreads.tolist(),
            "missing": self.missing.tolist(),
            "statistics": {str(code): block.tolist() for code, block in self.statistics.items()},
            "classes": self.classes,
            "shift": self.shift,
            "scale": self.scale,
        }

    @staticmethod
    def from_dict(content: dict[str, Any]) -> "Encoder":
        """Returns the encoder that ``to_dict`` wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        array = lambda name, dtype: np.array(content[name], dtype)
        statistics = {int(code): np.array(block, np.float64) for code, block in content["statistics"].items()}
        numbers = array("centers", np.float64), array("spreads", np.float64), array("missing", bool)
        schema, classes = Schema.from_dict(content["schema"]), content["classes"]
        return Encoder(schema, *numbers, statistics, classes, float(content["shift"]), float(content["scale"]))

    def _input_blocks(self) -> Iterator[_InputBlock]:
        """The inputs, column by column."""
        number = code = 0
        widths = np.bincount([source.column for source in self.schema.numbers], minlength=self.features)
        for index, column in enumerate(self.schema.used):
            if column.kind == "category":
                assert column.levels is not None
                yield _InputBlock("level", index, code, min(len(column.levels), MAX_LEVELS) + 1)
                if code in self.statistics:
                    yield _InputBlock("statistic", index, code, self.statistics[code].shape[1])
                code += 1
                continue
            n_numbers = int(widths[index])
            yield from (_InputBlock("number", index, number + i, 1) for i in range(n_numbers))
            if self.missing[number]:
                yield _InputBlock("missing", index, number, 1)
            number += n_numbers

    def _wide(self) -> Iterator[tuple[int, int]]:
        """The categories that have target statistics: their index among the codes, and their number of levels."""
        categories: list[Column] = [column for column in self.schema.used if column.kind == "category"]
        for code, column in enumerate(categories):
            if column.levels is not None and len(column.levels) > MAX_LEVELS:
                yield code, len(column.levels)

    def _outcome(self, target: np.ndarray) -> np.ndarray:
        return target_statistics.outcomes(self.targets(target), None if self.classes is None else len(self.classes))

    def _statistic(
        self, code: int, codes: np.ndarray, target: np.ndarray | None, groups: np.ndarray | None = None
    ) -> np.ndarray:
        """The target statistic of rows, f64[n, outputs]."""
        if target is None:
            return self.statistics[code][codes]
        return target_statistics.out_of_fold(codes, self._outcome(target), len(self.statistics[code]) - 1, groups)

    def _scaled(self, values: np.ndarray, index: int) -> np.ndarray:
        """Numbers, centered and scaled, clipped smoothly as in RealMLP (Holzmüller et al. 2024, arXiv:2407.04491)."""
        center, spread = self.centers[index], self.spreads[index]
        with np.errstate(over="ignore"):
            scaled = np.clip((values / 2 - center / 2) / (spread / 2), -1e6, 1e6)
        return np.where(np.isnan(scaled), 0.0, scaled / np.sqrt(1.0 + (scaled / _CLIP) ** 2))


def _moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of numbers of any size, without overflow."""
    size = float(np.abs(values).max()) or 1.0
    mean, deviation = float(np.mean(values / size)), float(np.std(values / size))
    return mean * size, deviation * size or 1.0


def _robust_moments(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians and spreads of columns with gaps.

    A spread is the distance of the quartiles. Where they are equal, it is the median distance of all values that differ from
    the center; of a constant column it is 1.
    """
    centers, spreads = np.zeros(numbers.shape[1]), np.ones(numbers.shape[1])
    for i, column in enumerate(numbers.T):
        present = column[~np.isnan(column)]
        if not len(present):
            continue
        low, center, high = np.quantile(present / 2, (0.25, 0.5, 0.75), method="closest_observation")
        half = (high - low) / _NORMAL_QUARTILES
        if half <= 0:
            distances = np.abs(present / 2 - center)
            half = float(np.median(distances[distances > 0])) if (distances > 0).any() else 0.5
        centers[i], spreads[i] = 2 * center, min(2 * half, np.finfo(np.float64).max)
    return centers, np.maximum(spreads, np.finfo(np.float64).tiny)


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
        for part, selected in zip(parts, np.split(rows, [n - test - validation, n - test])):
            part.append(selected)
    return tuple(rng.permutation(np.concatenate(part)) for part in parts)
