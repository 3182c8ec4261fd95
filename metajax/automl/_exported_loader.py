"""Predicts with the exported model in this folder. It needs Python 3.11, NumPy, JAX and flatbuffers, and nothing else.

    python load.py NEW.csv > predictions.csv

    import load
    labels, probabilities = load.Model().predict({"age": [31, None], "city": ["Bern", "Rome"]})

``encoder.json`` says how a column is read and what a model gets of it; ``model.stablehlo`` is the model itself.
"""

import csv
import datetime
import functools
import json
import math
import numbers
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

BLOCKS = (256, 4096)
"""Rows are predicted in blocks of these sizes, so that two programs are compiled at most."""
CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
SIGNS = str.maketrans("\u2212\u2013\ufe63\uff0d\u00a0\u202f\u2009\u2019", "----   '")
ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?)?")
CLIP = 3.0


class Model:
    """An exported model.

    Args:
        folder: The folder of the export; by default that of this file.
    """

    def __init__(self, folder: str | Path = Path(__file__).parent):
        content = json.loads((Path(folder) / "encoder.json").read_text(encoding="utf-8"))
        self.encoder, self.threshold = content["encoder"], content["threshold"]
        self.max_levels, self.missing_words = content["max_levels"], frozenset(content["missing_words"])
        self.classes: list[str] | None = self.encoder["classes"]
        self.columns = [c for c in self.encoder["schema"]["columns"] if c["kind"] not in content["dropped_kinds"]]
        exported = jax.export.deserialize(bytearray((Path(folder) / "model.stablehlo").read_bytes()))
        self.width, self._call = exported.in_avals[0].shape[1], jax.jit(exported.call)

    def predict(self, rows: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns labels [n] and probabilities f32[n, classes], or values f64[n] and None.

        Args:
            rows: The columns of the training data by name: a dictionary of sequences, or a data frame. None, NaN and the empty
                text are missing values.

        Raises:
            ValueError: If a column is missing, holds infinite numbers, or none of its cells can be read.
        """
        output = self.predict_inputs(self.inputs(rows))
        if self.classes is None:
            return output, None
        is_binary = len(self.classes) == 2 and self.threshold != 0.5
        chosen = (output[:, 1] >= self.threshold).astype(int) if is_binary else output.argmax(axis=1)
        return np.asarray(self.classes, dtype=object)[chosen], output

    def predict_inputs(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities f32[n, classes], or values f64[n], of inputs f32[n, width]."""
        x, size = np.asarray(x, np.float32), BLOCKS[len(x) > BLOCKS[0]]
        padded = np.pad(x, [(0, -len(x) % size or size * (not len(x))), (0, 0)])
        blocks = [np.asarray(self._call(padded[i : i + size])) for i in range(0, len(padded), size)]
        output = np.concatenate(blocks)[: len(x)]
        if self.classes is not None:
            return output
        return output.astype(np.float64) * self.encoder["scale"] + self.encoder["shift"]

    def inputs(self, rows: Any) -> np.ndarray:
        """Returns the inputs f32[n, width] of rows, as for ``predict``."""
        by_name = {str(name): rows[name] for name in rows}
        missing = [column["name"] for column in self.columns if column["name"] not in by_name]
        if missing:
            raise ValueError(f"the data must have the columns of the training data, but lacks {', '.join(missing)}")
        number = code = 0
        blocks: list[np.ndarray] = []
        for column in self.columns:
            cells = _cells(by_name[column["name"]], column["name"])
            if column["kind"] == "category":
                codes = np.array(_each(cells, _code_of(column)), np.int64)
                width = min(len(column["levels"]), self.max_levels) + 1
                blocks.append(
                    np.eye(width, dtype=np.float32)[np.where((codes < 0) | (codes >= width), width - 1, codes)]
                )
                if str(code) in self.encoder["statistics"]:
                    blocks.append(np.asarray(self.encoder["statistics"][str(code)], np.float32)[codes])
                code += 1
                continue
            values = self._numbers(column, cells)
            blocks += [self._scaled(values[:, i], number + i)[:, None] for i in range(values.shape[1])]
            if self.encoder["missing"][number]:
                blocks.append(np.isnan(values[:, :1]))
            number += values.shape[1]
        return np.concatenate(blocks, axis=1).astype(np.float32)

    def _numbers(self, column: dict[str, Any], cells: list[Any]) -> np.ndarray:
        """The numbers f64[n, k] that are made of a column."""
        reads = {"number": _number_of, "boolean": _truth_of, "date": _date_of, "text": _features_of}
        read = reads[column["kind"]](column)
        if column["kind"] == "number" and not any(isinstance(cell, str) for cell in cells):
            values = np.array([math.nan if cell is None else float(cell) for cell in cells])
            skipped = [_number(text, {**column, "missing": ()}) for text in column["missing"]]
            return np.where(np.isin(values, skipped), math.nan, values)[:, None]
        rows = np.array(_each(cells, read), np.float64).reshape(len(cells), len(read(None)))
        unread = {text for text, row in zip(map(_text, cells), rows) if text is not None and math.isnan(row[0])}
        strange = {text for text in unread if text not in column["missing"] and text.lower() not in self.missing_words}
        if strange and all(cell is None or _text(cell) in strange for cell in cells):
            raise ValueError(f"column {column['name']} must hold {column['kind']}s, got {min(strange)!r}")
        return rows

    def _scaled(self, values: np.ndarray, index: int) -> np.ndarray:
        """Numbers, centered, scaled and smoothly clipped; a missing one is at the center."""
        center, spread = self.encoder["centers"][index], self.encoder["spreads"][index]
        with np.errstate(over="ignore"):
            scaled = np.clip((values / 2 - center / 2) / (spread / 2), -1e6, 1e6)
        return np.where(np.isnan(scaled), 0.0, scaled / np.sqrt(1.0 + (scaled / CLIP) ** 2))


def _cells(values: Iterable[Any], name: str) -> list[Any]:
    """The cells of a column: None where one is missing, numbers or times if all are of that kind, and texts otherwise."""
    cells = list(values.tolist() if hasattr(values, "tolist") else values)  # type: ignore[attr-defined]
    cells = [cell.total_seconds() if isinstance(cell, datetime.timedelta) else cell for cell in cells]
    if any(_is_number(cell) and math.isinf(cell) for cell in cells):
        raise ValueError(f"column {name} must have finite values, got infinite ones")
    texts = _each(cells, _text)
    present = [cell for cell, text in zip(cells, texts) if text is not None]
    if all(map(_is_number, present)) or all(isinstance(cell, datetime.datetime) for cell in present):
        return [None if text is None else cell for cell, text in zip(cells, texts)]
    return texts


def _is_number(cell: Any) -> bool:
    return isinstance(cell, numbers.Real) and not isinstance(cell, bool)


def _each(cells: Sequence[Any], function: Callable[[Any], Any]) -> list[Any]:
    """The function of each cell; it is called once for equal ones."""
    known: dict[Any, Any] = {}
    results = []
    for cell in cells:
        key = (type(cell), cell)
        if key not in known:
            known[key] = function(cell)
        results.append(known[key])
    return results


def _text(cell: Any) -> str | None:
    """The text of a cell as a file would have it, without surrounding blanks; None if it is missing."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    if _is_number(cell):
        value = float(cell)
        if math.isnan(value):
            return None
        return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(value)
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _spelled(text: str) -> str:
    """``1.0`` is the level ``1``."""
    match = re.fullmatch(r"(-?\d{1,15})\.0+", text)
    return match[1] if match else text


def _code_of(column: dict[str, Any]) -> Callable[[Any], int]:
    """The number of a level, -1 where a cell is missing or was not seen in training."""
    position = {_spelled(level): i for i, level in reversed(list(enumerate(column["levels"])))}
    position |= {level: i for i, level in enumerate(column["levels"])} | dict.fromkeys(column["missing"], -1)

    def read(cell: Any) -> int:
        text = _text(cell)
        return -1 if text is None else position.get(text, position.get(_spelled(text), -1))

    return read


def _truth_of(column: dict[str, Any]) -> Callable[[Any], tuple[float, ...]]:
    """A truth value as 0 or 1."""
    words = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
    words |= {level.lower(): float(i) for i, level in enumerate(column["levels"])}
    words |= {text.lower(): math.nan for text in column["missing"]}
    return lambda cell: (words.get(_spelled(_text(cell) or "").lower(), math.nan),)


def _number_of(column: dict[str, Any]) -> Callable[[Any], tuple[float, ...]]:
    """A number that is written with the column's decimal mark, thousands separator and unit."""
    return lambda cell: (_number(_text(cell) or "", column),)


def _number(text: str, column: dict[str, Any]) -> float:
    """One text as a number, or NaN."""
    if text in column["missing"]:
        return math.nan
    text, sign, unit = text.translate(SIGNS), 1.0, column["unit"]
    if text.startswith("(") and text.endswith(")"):
        text, sign = text[1:-1].strip(), -1.0
    lead = text[:1] if text[:1] in ("-", "+") else ""
    if unit and text.endswith(unit):
        text = text[: -len(unit)].rstrip()
    elif unit and text[len(lead) :].lstrip().startswith(unit):
        text = lead + text[len(lead) :].lstrip()[len(unit) :].lstrip()
    if not _pattern(column["decimal"], column["thousands"]).fullmatch(text):
        return math.nan
    digits = text.replace(column["thousands"], "") if column["thousands"] else text
    value = sign * float(digits.replace(",", "."))
    return value if math.isfinite(value) else math.nan


@functools.cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    d, t = re.escape(decimal), re.escape(thousands)
    whole = rf"(?:[1-9]\d{{0,2}}(?:{t}\d{{3}})+|\d+)" if thousands else r"\d+"
    return re.compile(rf"[-+]?(?:{whole}(?:{d}\d*)?|{d}\d+)(?:[eE][-+]?\d+)?", re.ASCII)


def _date_of(column: dict[str, Any]) -> Callable[[Any], tuple[float, ...]]:
    """The parts of a date: days since the origin, year, month, weekday, hour, and their sines and cosines."""
    origin, day = datetime.datetime.fromisoformat(column["origin"]), datetime.timedelta(days=1)

    def part(moment: datetime.datetime, name: str) -> float:
        name, _, wave = name.partition("_")
        if name == "days":
            return (moment - origin) / day
        midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        clock = (moment - midnight) / datetime.timedelta(hours=1)
        parts = {"year": moment.year, "month": moment.month - 1, "weekday": moment.weekday(), "hour": clock}
        if not wave:
            return float(parts[name])
        return (math.sin if wave == "sin" else math.cos)(2 * math.pi * parts[name] / CYCLES[name])

    def read(cell: Any) -> tuple[float, ...]:
        try:
            moment = cell if isinstance(cell, datetime.datetime) else _moment(_text(cell) or "", column)
        except ValueError:
            return (math.nan,) * len(column["parts"])
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
        return tuple(part(moment, name) for name in column["parts"])

    return read


def _moment(text: str, column: dict[str, Any]) -> datetime.datetime:
    """A text as a date; a ValueError says that it is none."""
    if text in column["missing"]:
        raise ValueError(text)
    return _iso(text) if column["format"] == "ISO8601" else datetime.datetime.strptime(text, column["format"])


def _iso(text: str) -> datetime.datetime:
    if not ISO.fullmatch(text):
        raise ValueError(text)
    text = re.sub(r"\s+(?=Z$|[+-]\d\d:?\d\d$)", "", text)
    return datetime.datetime.fromisoformat(f"{text}-01" if len(text) == 7 else text)


def _features_of(column: dict[str, Any]) -> Callable[[Any], np.ndarray]:
    """Hashed counts of the words and of three characters in a row of a text, and its lengths, on a logarithmic scale."""
    width = column["width"]

    def read(cell: Any) -> np.ndarray:
        text = _text(cell) or ""
        text = "" if text in column["missing"] else text
        counts, lowered = np.zeros(2 * width + 2), text[:2000].lower()
        words = re.findall(r"\w+", lowered)
        for word in words:
            counts[zlib.crc32(word.encode("utf-8", "surrogatepass")) % width] += 1
        data = np.frombuffer(f" {lowered} ".encode("utf-8", "surrogatepass"), np.uint8).astype(np.uint32)
        mixed = (data[:-2] * 65_599 + data[1:-1]) * 65_599 + data[2:]
        hashes = (mixed * np.uint32(2_654_435_761) >> np.uint32(8)).astype(np.int64)
        counts[width : 2 * width] = np.bincount(hashes % width, minlength=width)
        counts[2 * width :] = len(text), len(words)
        return np.log1p(counts)

    return read


def read_csv(path: str | Path) -> Mapping[str, list[str]]:
    """Returns the columns of a UTF-8 file, as text; they are delimited by a comma, semicolon, tab or vertical bar."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = file.readlines()
    parse = lambda mark: filter(None, csv.reader(lines, delimiter=mark, skipinitialspace=True))

    def quality(mark: str) -> tuple[float, int]:
        sample = list(islice(parse(mark), 100))
        width = len(sample[0]) if sample else 0
        return (sum(len(row) == width for row in sample) / len(sample) if width > 1 else 0.0), width

    names, *rows = parse(max((",", ";", "\t", "|"), key=quality))
    if any(len(row) != len(names) for row in rows):
        raise ValueError(f"{path} must have {len(names)} fields in every row, as in the header")
    return {name.strip(): list(column) for name, column in zip(names, zip(*rows))}


def main(path: str) -> None:
    """Writes the predictions for the rows of a CSV file to the standard output, as CSV."""
    model = Model()
    labels, probabilities = model.predict(read_csv(path))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["prediction", *(f"p({label})" for label in model.classes or ())])
    for i, label in enumerate(labels):
        writer.writerow([label, *([] if probabilities is None else probabilities[i].round(6))])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
