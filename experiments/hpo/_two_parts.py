"""Labeled images in two parts: weights learn from the training part, hyperparameters from the validation part."""

from typing import Any, Protocol

import jax

from metajax import hpo
from metajax.types import InputError


class Parts(Protocol):
    """What has the images: pairs ``(x, y)``."""

    train: Any
    held_out: Any
    test: Any


def check_batch(batch: int, train: int, validation: int) -> None:
    """Raises an ``InputError`` if a batch is larger than one of the parts that it is drawn from."""
    if batch > min(train, validation):
        raise InputError(f"--batch must be at most --train {train} and --validation {validation}, got {batch}")


def draw(key: jax.Array, source: Any, batch: int) -> hpo.IndexedBatch:
    """Draws a batch of a part, with replacement."""
    x, y = source
    rows = jax.random.randint(key, (batch,), 0, len(y))
    return hpo.IndexedBatch(x[rows], y[rows], rows)


def arrays(parts: Parts) -> dict[str, Any]:
    """Returns the parts by name, as the data of a run."""
    return {"train": parts.train, "validation": parts.held_out, "test": parts.test}
