"""What the main job is asked for."""

import dataclasses
import math

from metajax.types import InputError

WAVE, GROUP = 32, 8
METHODS = ("metalearner", "random", "optuna")


@dataclasses.dataclass(frozen=True)
class Config:
    """What to search.

    Attributes:
        data: a bundled dataset, a CSV or an ``.npz``.
        target: the column to predict (CSV).
        task: ``classification``, ``regression`` or ``None`` to judge by the target.
        method: who proposes: the ``metalearner``, ``random`` draws, or ``optuna``'s multivariate TPE.
        minutes: budget of wall time; ``None`` for none.
        trials: models trained by the search; ``None`` is 192, or no limit if ``minutes`` is given.
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
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"--method {self.method}: accepted are {', '.join(METHODS)}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InputError(f"--minutes {self.minutes:g}: accepted are numbers above 0")
        if self.trials is not None and self.trials < 2 * GROUP:
            raise InputError(f"--trials {self.trials}: accepted are whole numbers from {2 * GROUP}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed {self.seed}: accepted are whole numbers from 0 to 2147483647")

    @property
    def wanted(self) -> int | None:
        """Models that the search trains; ``None`` if only the budget limits it."""
        return self.trials or (192 if self.minutes is None else None)

    @property
    def small(self) -> bool:
        """Too few models for whole waves."""
        return self.wanted is not None and self.wanted < 2 * WAVE

    @property
    def wave(self) -> int:
        """Models trained side by side between two fits of the meta-learner."""
        return GROUP if self.small else WAVE

    @property
    def first(self) -> int:
        """Models drawn at random: one wave, after which the meta-learner's prior proposes; without it two, a third of all at
        most."""
        third = 2 * WAVE if self.wanted is None else min(self.wanted // 3, 2 * WAVE)
        return self.wave if self.proposes else max(self.wave, third // self.wave * self.wave)

    @property
    def finalists(self) -> int:
        """Configurations that are cross-validated in the end."""
        return 2 if self.small else 8

    @property
    def folds(self) -> int:
        """On how many splits of the rows."""
        return 2 if self.small else 4

    @property
    def proposes(self) -> bool:
        """By the meta-learner, or without it."""
        return self.method == "metalearner"
