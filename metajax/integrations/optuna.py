"""Optuna: a sampler that learns from the trials of a study and of earlier studies."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from metajax._optional import optional
from metajax.integrations._quick_proposals import Sources, learn, propose
from metajax.integrations._study_table import StudyTable, bounded_space, table_of, tables_of
from metajax.search._ask_tell import identity
from metajax.space import Space, interop
from metajax.space._optuna import within
from metajax.types import InputError

_optuna: Any = optional("optuna", "metajax.integrations.optuna")

__all__ = ["MetaLearnerSampler"]


class MetaLearnerSampler(_optuna.samplers.BaseSampler):
    """Samples what the meta-learner expects to improve most, after earlier studies where there are some.

    A Gaussian process is fitted to the values of the better half of the trials and the ranks of the others, whose size says
    little. With earlier studies its prior is their mean and the ways in which they differ (``predictor.priors.transfer``), so
    that the first trial is good already. Among 1,024 random configurations and 1,024 that change a few choices of the best
    ones, the one of the largest expected improvement is tried. The space is inferred from the trials, with conditions where
    parameters are suggested under branches.

    Pruned trials count by their last report, but not as better than the median; failed ones as the worst. Running ones count
    as average, so that parallel trials stay apart. Trials that violate constraints rank behind those that do not, by how much.
    Several objectives are scalarized at random in every call (ParEGO).

    Args:
        source_studies: Earlier studies of the same parameters, ``optuna.Study`` objects. They may lack some of the parameters.
        n_startup_trials: Random trials before the first that is proposed, at least 1, where there are no earlier studies.
        seed: Seed of all randomness; ``None`` draws one.
        constraints_func: A function of a frozen trial that returns numbers that are above 0 where a constraint is violated, as
            in Optuna's own samplers.
        space: The space of the parameters, which ``interop.suggest`` suggests; by default it is inferred from the trials.

    Raises:
        InputError: If a source has no complete trial, several objectives, or ``n_startup_trials`` is below 1.

    References:
        Knowles, ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective optimization
        problems, 2006.

    Example:
        >>> import optuna
        >>> from metajax.integrations.optuna import MetaLearnerSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=MetaLearnerSampler(seed=0))
        >>> study.optimize(lambda trial: (trial.suggest_float("x", -1.0, 1.0) - 0.3) ** 2, n_trials=20)
        >>> abs(study.best_params["x"] - 0.3) < 0.05
        True
    """

    def __init__(
        self,
        source_studies: Sequence[Any] = (),
        n_startup_trials: int = 8,
        seed: int | None = None,
        constraints_func: Callable[[Any], Sequence[float]] | None = None,
        space: Space | None = None,
    ):
        if isinstance(n_startup_trials, bool) or not isinstance(n_startup_trials, int) or n_startup_trials < 1:
            raise InputError(f"MetaLearnerSampler: n_startup_trials must be an integer >= 1, got {n_startup_trials!r}")
        for study in source_studies:
            if len(study.directions) > 1:
                raise InputError(
                    f"MetaLearnerSampler: sources must have one objective, but {study.study_name!r} has "
                    f"{len(study.directions)}"
                )
            if not any(trial.state.name == "COMPLETE" and trial.params for trial in study.get_trials(deepcopy=False)):
                raise InputError(
                    f"MetaLearnerSampler: sources must have a complete trial, but {study.study_name!r} has none"
                )
        self._sources = [table_of(study) for study in source_studies]
        self._n_startup, self._constraints, self._space = n_startup_trials, constraints_func, space
        self._independent = _optuna.samplers.RandomSampler(seed=seed)
        self._rng = np.random.default_rng(seed)
        self._learned: tuple[Any, Sources] | None = None
        self._table: StudyTable | None = None

    def reseed_rng(self) -> None:
        """Draws another seed; Optuna calls it in the processes of a parallel study."""
        self._independent.reseed_rng()
        self._rng = np.random.default_rng()

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Returns the distributions of the parameters that are proposed together: all that were seen."""
        table = self._updated_table(study)
        if not self._sources and table.n_complete < self._n_startup:
            return {}
        if self._space is not None:
            return {name: d for name, d in interop.to_optuna(self._space).items() if not d.single()}
        return bounded_space(table, self._sources)

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """Returns the parameters of the configuration that is proposed."""
        table = self._updated_table(study)
        space = table.space_with(self._sources) if search_space else None
        if space is None:
            return {}
        if self._learned is None or self._learned[0] != space:
            self._learned = space, learn(space, tables_of(space, self._sources))
        weights = self._rng.dirichlet(np.ones(len(study.directions)))
        rows, evaluated = table.rows(space, weights, trial.number)
        key = jax.random.key(int(self._rng.integers(2**31)))
        configs = space.decode(propose(space, self._learned[1], rows, key))
        fresh = [config for config in configs if identity(config) not in evaluated]
        proposal = interop.to_params(space, (fresh or configs)[0])
        return {name: within(search_space[name], value) for name, value in proposal.items() if name in search_space}

    def _updated_table(self, study: Any) -> StudyTable:
        """The trials of a study, those that have ended since the last call included."""
        if self._table is None or self._table.study_id != study._study_id:
            self._table = StudyTable(study, self._space)
        self._table.update(study.get_trials(deepcopy=False))
        return self._table

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Returns a random value, for parameters that no trial had before."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Any, trial: Any) -> None:
        """Does nothing; part of the protocol of Optuna."""

    def after_trial(self, study: Any, trial: Any, state: Any, values: Sequence[float] | None) -> None:
        """Records how far a trial violates the constraints."""
        if self._constraints is not None:
            from optuna.samplers._base import _process_constraints_after_trial

            _process_constraints_after_trial(self._constraints, study, trial, state)
