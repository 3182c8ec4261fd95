"""The settings of the main job."""

import dataclasses
import math

from metajax.types import InputError

METHODS = ("metalearner", "random", "optuna", "defaults", "supernet")
_MIN_TRIALS = 16
_IMAGE_SIZES = (4, 64)
_MAX_SEED = 2**31 - 1
_MAX_FOLDS = 20
_QUICK_MINUTES = 6.0


def is_quick(minutes: float | None) -> bool:
    """Returns whether a budget has no time to compile fast programs, a search by gradient or several meta-learners."""
    return minutes is not None and minutes <= _QUICK_MINUTES


@dataclasses.dataclass(frozen=True)
class Config:
    """What to search, and for how long.

    Args:
        data: The name of a bundled dataset (``digits``, ``iris``, ``wine``, ``breast_cancer``, ``diabetes``), or the path of a
            CSV, Parquet, Feather or ``.npz`` file or of a folder of images with one folder for each class.
        target: The column to predict. It is needed with a file that has columns.
        task: ``classification`` or ``regression``; with ``None`` the target decides.
        metric: What is maximized and reported, by the name of scikit-learn's scorer, such as ``roc_auc``, ``neg_log_loss``,
            ``balanced_accuracy``, ``f1_macro`` or ``neg_mean_absolute_error``; ``None`` is the area under the ROC curve for
            two classes, the accuracy for more, and R² for numbers.
        method: Who proposes what to train: ``metalearner``, ``random``, ``optuna`` (its multivariate TPE) or, for images,
            ``supernet``, where DrNAS decides the architecture and the meta-learner the rest; ``defaults`` searches nothing: it
            trains the defaults of all model types.
        minutes: Budget of wall time, above 0; ``None`` is no limit.
        trials: Number of configurations that the search tries, at least 16; the best of them are trained on every fold as
            well. With ``None`` it is 192 (48 for images), or not limited if ``minutes`` is given.
        baseline: Also try as many random configurations, to compare with.
        size: Side in pixels to which images are resized, from 4 to 64; ``None`` keeps their size.
        seed: Seed of the split and of all randomness, from 0 to 2147483647.
        test: The path of a table whose rows are the test; with ``None`` a fifth of the rows is held back.
        schema: The path of an edited schema, by which a table is read; with ``None`` the schema is inferred.
        group: A column whose values say which rows belong together: they are on the same side of every split of ``data``. It
            is not a feature.
        time: A column of dates or numbers. The rows of ``data`` that come last are the test, unless there is one of its own,
            and configurations are compared on the last ones of the others.
        weight: A column of numbers from 0 that say how much each row counts, in training and in the metric. It is not a
            feature.
        folds: The number of folds on which good configurations are trained, from 1 (one split) to 20; with ``None`` it is 5,
            or 1 where the table is large for the budget.

    Raises:
        InputError: If a value is outside the range given above.

    Example:
        >>> Config("iris", minutes=2).uses_meta_learner
        True
        >>> Config("iris", trials=3)
        Traceback (most recent call last):
        metajax.types.InputError: trials=3: must be an integer >= 16
    """

    data: str
    target: str | None = None
    task: str | None = None
    metric: str | None = None
    method: str = "metalearner"
    minutes: float | None = None
    trials: int | None = None
    baseline: bool = True
    size: int | None = None
    seed: int = 0
    schema: str | None = None
    test: str | None = None
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    folds: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method={self.method!r}: must be one of {', '.join(METHODS)}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InputError(f"minutes={self.minutes:g}: must be a finite number > 0")
        if self.trials is not None and self.trials < _MIN_TRIALS:
            raise InputError(f"trials={self.trials}: must be an integer >= {_MIN_TRIALS}")
        if self.size is not None and not _IMAGE_SIZES[0] <= self.size <= _IMAGE_SIZES[1]:
            raise InputError(f"size={self.size}: must be an integer from {_IMAGE_SIZES[0]} to {_IMAGE_SIZES[1]}")
        is_whole = isinstance(self.folds, int) and not isinstance(self.folds, bool)
        if self.folds is not None and not (is_whole and 1 <= self.folds <= _MAX_FOLDS):
            raise InputError(f"folds={self.folds!r}: must be an integer from 1 to {_MAX_FOLDS}")
        if self.time is not None and (self.group is not None or self.folds not in (None, 1)):
            raise InputError(
                f"time={self.time!r}: cannot be combined with group or folds; rows in the order of time are split once"
            )
        if not 0 <= self.seed <= _MAX_SEED:
            raise InputError(f"seed={self.seed}: must be an integer from 0 to {_MAX_SEED}")

    @property
    def uses_meta_learner(self) -> bool:
        """Whether the meta-learner proposes what to train."""
        return self.method in ("metalearner", "supernet")
