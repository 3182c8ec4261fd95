"""What the main job is asked for."""

import dataclasses
import math

from metajax.types import InputError

METHODS = ("metalearner", "random", "optuna", "supernet")
_LEAST = 16


@dataclasses.dataclass(frozen=True)
class Config:
    """What to search.

    Attributes:
        data: a bundled dataset, a CSV, an ``.npz`` or a folder of images.
        target: the column to predict (CSV).
        size: side in pixels to which images are resized.
        task: ``classification``, ``regression`` or ``None`` to judge by the target.
        method: who proposes: the ``metalearner``, ``random`` draws, ``optuna``'s multivariate TPE, or, for
            images, a ``supernet`` that decides the architecture (DrNAS) and the meta-learner the rest.
        minutes: budget of wall time; ``None`` for none.
        trials: models trained by the search; ``None`` is 192 (48 of images), or no limit if ``minutes`` is given.
        baseline: also train as many models at random, to compare with.
        seed: of the split and of all randomness.
    """

    data: str
    target: str | None = None
    task: str | None = None
    method: str = "metalearner"
    minutes: float | None = None
    trials: int | None = None
    baseline: bool = True
    size: int | None = None
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"method={self.method!r}: accepted are {', '.join(METHODS)}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InputError(f"minutes={self.minutes:g}: accepted are numbers above 0")
        if self.trials is not None and self.trials < _LEAST:
            raise InputError(f"trials={self.trials}: accepted are whole numbers from {_LEAST}")
        if self.size is not None and not 4 <= self.size <= 64:
            raise InputError(f"size={self.size}: accepted are whole numbers from 4 to 64")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed={self.seed}: accepted are whole numbers from 0 to 2147483647")

    @property
    def proposes(self) -> bool:
        """By the meta-learner, or without it."""
        return self.method in ("metalearner", "supernet")
