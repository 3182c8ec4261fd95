"""Tables in which every outcome is known, and the rows that Optuna's samplers and our searches try in them."""

import warnings
from typing import Any

import jax
import numpy as np

from experiments.predictor import _pool
from metajax import predictor, search, supernet
from metajax.space import interop

INITIAL, CANDIDATES = 4, 256
"""The representative configurations with which "kernel" starts, and the number of drawn ones that they represent."""
STUDIED = 100
"""Random trials on each other table that "sampler after studies" knows."""
KERNEL = predictor.kernel()


class Problem:
    """One table: what a model reads of every row, its scores, and what the other tables of its family say."""

    def __init__(self, tables: list[predictor.benchmarks.TabularBenchmark], at: int):
        table = tables[at]
        self.name, self.space = table.name, table.space
        scores = [_utility(t) for t in tables]
        self.y, self.others = scores[at], scores[:at] + scores[at + 1 :]
        self.x = np.asarray(table.space.encode(table.configs))
        self.blocks = table.space.domain_of_column
        self.prior = predictor.priors.average_prior(predictor.priors.normal_scores(np.stack(self.others)))
        columns = [np.asarray(column).tolist() for column in table.configs.values()]
        self.row = {values: i for i, values in enumerate(zip(*columns))}
        self.is_cell = any(name.startswith("edge_") for name in table.space.domains)

    def index(self, config: dict[str, Any]) -> int:
        """Returns the row of a configuration."""
        struct = self.space.configs([config])
        return self.row[tuple(int(struct[name][0]) for name in self.space.domains)]


def _utility(table: predictor.benchmarks.TabularBenchmark) -> np.ndarray:
    mean = np.nanmean(table.values, axis=1)
    return mean if table.maximize else -np.log(np.maximum(mean, 1e-12))


def cells() -> list[predictor.benchmarks.TabularBenchmark]:
    """Returns NAS-Bench-201 as tables."""
    space, oracle = supernet.spaces.cell_space(), supernet.truth.load_oracle()
    configs = {name: np.asarray(column) for name, column in space.at(np.arange(space.size)).items()}
    return [
        predictor.benchmarks.TabularBenchmark(d, space, configs, c["val200_seeds"], True)
        for d, c in oracle.columns.items()
    ]


def optuna_rows(problem: Problem, sampler: str, budget: int, seed: int) -> np.ndarray:
    """Returns the rows that a sampler of Optuna tries: int[budget]."""
    import optuna

    from metajax.integrations.optuna import MetaLearnerSampler

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samplers = {
            "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, seed=seed),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed),
            "sampler": lambda: MetaLearnerSampler(seed=seed),
            "sampler after studies": lambda: MetaLearnerSampler(_studies(problem, seed), seed=seed),
        }
        study = optuna.create_study(direction="maximize", sampler=samplers[sampler]())
        distributions = interop.to_optuna(problem.space)
        rows = []
        for _ in range(budget):
            trial = study.ask(distributions)
            rows.append(problem.index(trial.params))
            study.tell(trial, float(problem.y[rows[-1]]))
    return np.array(rows)


def _studies(problem: Problem, seed: int) -> list[Any]:
    """A study of random trials on each other table of the family."""
    import optuna

    rng, distributions, studies = np.random.default_rng(seed), interop.to_optuna(problem.space), []
    for scores in problem.others:
        rows = rng.integers(len(scores), size=STUDIED)
        configs = problem.space.decode(problem.x[rows])
        study = optuna.create_study(direction="maximize")
        for row, config in zip(rows, configs):
            params = interop.to_params(problem.space, config)
            own_distributions = {name: distributions[name] for name in params}
            study.add_trial(
                optuna.create_trial(params=params, distributions=own_distributions, value=float(scores[row]))
            )
        studies.append(study)
    return studies


def metajax_rows(problem: Problem, method: str, budget: int, seeds: int, seed: int) -> np.ndarray:
    """Returns the rows that a search of ours tries: int[seeds, budget]."""
    key, rng = jax.random.key(seed), np.random.default_rng(seed)
    if method == "average rank":
        return np.argsort(-problem.prior.mean, kind="stable")[None, :budget]
    if method == "kernel":
        candidates = rng.integers(len(problem.y), size=(seeds, CANDIDATES))
        initial = np.stack([rows[search.representative(problem.x[rows], INITIAL)] for rows in candidates])
        spec = (
            predictor.with_features(KERNEL, predictor.architectures.path_features(problem.space))
            if problem.is_cell
            else KERNEL
        )
        return _pool.search(spec, "ei", problem.x, problem.y, problem.blocks, initial, budget, key, "rank")
    sources = problem.prior.factors.shape[1]
    x = np.concatenate([problem.prior.columns(slice(None)), problem.x], axis=1)
    spec = predictor.priors.transfer(sources)
    nothing = np.zeros((seeds, 0), np.int32)
    return _pool.search(spec, "ei", x, problem.y, np.arange(x.shape[1]), nothing, budget, key, "value")
