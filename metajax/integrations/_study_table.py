"""The trials of an Optuna study as a table that grows: the space that holds them, their encodings, and how good each was."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metajax.integrations._quick_proposals import Table
from metajax.search._ask_tell import identity
from metajax.space import Space, interop
from metajax.space._domains import Domain
from metajax.space._inference import Suggestions, infer
from metajax.space._optuna import suggestions_of
from metajax.types import InputError

_CONSTRAINTS = "constraints"  # the name under which Optuna's samplers keep them
_SHARE_OF_SUM = 0.05  # of the weighted sum in the augmented Chebyshev scalarization


class _Row(NamedTuple):
    """A trial: its parameters, its state, its values and reports as they are, and the sum of what it violates."""

    suggestions: Suggestions
    state: str
    values: tuple[float, ...]
    reported: float
    violation: float


class StudyTable:
    """The trials of one study, of which those that have ended are read once.

    Args:
        study: The ``optuna.Study``.
        space: The space of its trials; by default it is inferred from them.
    """

    def __init__(self, study: Any, space: Space | None = None):
        self.study_id: int = study._study_id
        self._known_space = space
        self.directions: list[Any] = list(study.directions)
        self.distributions: dict[str, Any] = {}
        self._ended: dict[int, _Row] = {}
        self._running: dict[int, _Row] = {}
        self._space: tuple[Any, Space | None] | None = None
        self._encoded: dict[int, tuple[np.ndarray, str] | None] = {}
        self._encoded_in: Space | None = None

    @property
    def n_complete(self) -> int:
        """The number of complete trials."""
        return sum(row.state == "COMPLETE" for row in self._ended.values())

    def update(self, trials: Sequence[Any]) -> None:
        """Reads the trials of the study again, of which those that had ended are known."""
        self._running = {}
        for trial in trials:
            if trial.number in self._ended or not trial.params:
                continue
            self.distributions |= trial.distributions
            into = self._ended if trial.state.is_finished() else self._running
            into[trial.number] = _row_of(trial)

    @property
    def suggestions(self) -> list[Suggestions]:
        """The parameters of the trials that have ended."""
        return [row.suggestions for row in self._ended.values()]

    def space_with(self, sources: Sequence["StudyTable"]) -> Space | None:
        """Returns the space of all trials and of those of other studies; ``None`` where they share nothing.

        It is that of ``interop.from_studies``. Where nothing says in which trials a parameter exists, it is the space of the
        parameters that all trials have.
        """
        if self._known_space is not None:
            return self._known_space
        suggestions = self.suggestions
        if self._space is not None and all(_holds(self._space[1], trial) for trial in suggestions[self._space[0] :]):
            self._space = len(suggestions), self._space[1]
            return self._space[1]
        space = _space([*(trial for source in sources for trial in source.suggestions), *suggestions])
        self._space = len(suggestions), space
        return space

    def rows(self, space: Space, weights: np.ndarray, asking_trial: int) -> tuple[Table, set[str]]:
        """Returns the trials that are configurations of a space, and their configurations for comparison.

        Args:
            space: The space.
            weights: f64[objectives], by which they are weighed.
            asking_trial: The number of the trial that asks, which is left out.
        """
        rows_by_number = {
            **self._ended,
            **{number: row for number, row in self._running.items() if number != asking_trial},
        }
        if space != self._encoded_in:
            self._encoded, self._encoded_in = {}, space
        for number in rows_by_number:
            if number not in self._encoded or number in self._running:
                self._encoded[number] = _encoded(space, rows_by_number[number].suggestions.values)
        numbers = [number for number in rows_by_number if self._encoded[number] is not None]
        entries = [self._encoded[number] for number in numbers]
        if not numbers:
            return Table(np.zeros((0, space.width), np.float32), np.zeros(0)), set()
        encodings = np.stack([entry[0] for entry in entries if entry is not None])
        identities = {entry[1] for entry in entries if entry is not None}
        signs = np.array([1.0 if direction.name == "MAXIMIZE" else -1.0 for direction in self.directions])
        return Table(encodings, _utility([rows_by_number[number] for number in numbers], signs, weights)), identities


def table_of(study: Any) -> StudyTable:
    """Returns the table of a study that is over, as far as this one is concerned."""
    table = StudyTable(study)
    table.update([trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()])
    return table


def tables_of(space: Space, sources: Sequence[StudyTable]) -> list[Table]:
    """Returns the trials of other studies that are configurations of a space, a table for each study that has some."""
    tables = [source.rows(space, np.ones(1), -1)[0] for source in sources]
    return [table for table in tables if len(table.utility)]


def bounded_space(table: StudyTable, sources: Sequence[StudyTable]) -> dict[str, Any]:
    """Returns the distributions of all parameters that are in the space, as the study last saw them."""
    space = table.space_with(sources)
    if space is None:
        return {}
    distributions: dict[str, Any] = {}
    for study_table in (*sources, table):
        distributions |= study_table.distributions
    return {name: distributions[name] for name in sorted(space.domains) if not distributions[name].single()}


def _row_of(trial: Any) -> _Row:
    steps = trial.intermediate_values
    constraints = trial.system_attrs.get(_CONSTRAINTS)
    return _Row(
        suggestions_of(trial, _domain),
        trial.state.name,
        tuple(trial.values or ()),
        steps[max(steps)] if steps else float("nan"),
        0.0 if constraints is None else float(sum(max(constraint, 0.0) for constraint in constraints)),
    )


@functools.lru_cache(maxsize=4096)
def _domain(name: str, distribution: Any) -> Domain | None:
    """The domain of a distribution; ``None`` where there is none, so that the parameter stays independent."""
    try:
        return interop.from_optuna({name: distribution}).domains[name]
    except InputError:
        return None


def _space(suggestions: Sequence[Suggestions]) -> Space | None:
    """The inferred space, or that of the parameters that all whole trials have."""
    try:
        return infer(suggestions)
    except InputError:
        pass
    complete = [trial for trial in suggestions if trial.is_complete]
    shared = [
        name for name in (complete[0].values if complete else ()) if all(name in trial.values for trial in complete)
    ]
    for names in (shared, *([name] for name in shared)):
        reduced = [
            Suggestions({n: trial.domains[n] for n in names}, {n: trial.values[n] for n in names}, True)
            for trial in complete
        ]
        try:
            return infer(reduced) if names else None
        except InputError:  # their domains cannot be joined
            continue
    return None


def _holds(space: Space | None, suggestions: Suggestions) -> bool:
    """Whether a space has exactly the parameters of a trial, with these values."""
    if space is None:
        return False
    try:
        config = interop.from_params(space, dict(suggestions.values))
    except InputError:
        return False
    return not suggestions.is_complete or config.keys() == suggestions.values.keys()


def _encoded(space: Space, values: Any) -> tuple[np.ndarray, str] | None:
    """The encoding of a trial, and its configuration for comparison; ``None`` if it is not in the space."""
    try:
        configs = space.configs([interop.unchecked_config(space, dict(values))])
    except InputError:
        return None
    (config,) = space.dicts(configs)
    return np.asarray(space.encode(configs))[0], identity(config)


def _utility(rows: Sequence[_Row], signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The utility of trials, f64[n]: complete ones from -1 to 1, those that violate constraints below, failed ones last."""
    complete = np.array([row.state == "COMPLETE" for row in rows])
    value = np.full(len(rows), np.nan)
    if complete.any():
        values = np.array([row.values for row in rows if row.state == "COMPLETE"], np.float64) * signs
        value[complete] = _scalarized(values, weights)
    median = float(np.median(value[complete])) if complete.any() else 0.0
    for i, row in enumerate(rows):
        if row.state == "PRUNED" and len(signs) == 1:
            value[i] = np.fmin(median, row.reported * signs[0])
        elif row.state != "COMPLETE":
            value[i] = median
    violation = np.array([row.violation for row in rows])
    failed = np.array([row.state == "FAIL" for row in rows])
    is_valid = ~failed & (violation == 0)
    utility = np.full(len(rows), -2.0)
    utility[is_valid] = _leveled(value[is_valid])
    is_violating = ~failed & ~is_valid
    utility[is_violating] = -1.5 + 0.5 * _ranks(-violation[is_violating])
    return utility


def _leveled(values: np.ndarray) -> np.ndarray:
    """Values from -1 to 1: the better half by its distance to the median, the worse half, whose size says little, by rank."""
    if not len(values):
        return values
    values = np.clip(values, -1e300, 1e300)
    median, best = float(np.median(values)), float(values.max())
    if best <= median:
        return _ranks(values) - 1.0
    better = (values / 2 - median / 2) / (best / 2 - median / 2)
    return np.where(values >= median, better, _ranks(values) - 1.0)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1, f64[n]; equal values share one."""
    if not len(values):
        return values
    order = np.unique(values, return_inverse=True)[1].astype(np.float64)
    return order / max(order.max(), 1.0)


def _scalarized(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """One number for the values f64[n, objectives]: of several objectives, by the ranks of each."""
    if values.shape[1] == 1:
        return values[:, 0]
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in values.T], axis=1)
    weighted = weights * ranks / np.maximum(ranks.max(axis=0), 1)
    return weighted.min(axis=1) + _SHARE_OF_SUM * weighted.sum(axis=1)
