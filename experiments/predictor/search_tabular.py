"""Search on tables where every outcome is known, against random search and Optuna, without and with other tables.

    pip install optuna torch==2.13.0    # Optuna's Gaussian process needs PyTorch; both are in the extra `peers`
    python -m experiments.predictor.search_tabular --out runs/search_tabular

There are fifteen tables: 8 of HPOBench (an MLP's balanced validation accuracy), 4 of FCNet (the logarithm of the validation
error) and 3 of NAS-Bench-201 (validation accuracy after 200 epochs). Each configuration counts with its mean over the
seeds. The normalized regret is (optimum - best so far) / (optimum - median). Optuna's samplers are given the same space,
with ordered hyperparameters as whole numbers, and run in the same invocation.

"kernel" starts from 4 representative configurations of 256 drawn ones. It fits a Gaussian process (on the paths of a cell,
where there is one) to the normal quantiles of the ranks seen, and takes the largest expected improvement. "transfer" has
the other tables of the family as its prior (``predictor.priors.average_prior``) and starts from its best. It draws only the
candidates that are looked at, so that its runs differ little. "average rank" goes down the list of the other tables' mean
normal scores. "sampler" is ``integrations.optuna.MetaLearnerSampler``, run by Optuna, and "sampler after studies" the same
with a study of 100 random trials on each other table of the family.

"transfer" and "average rank" read the other tables of the family whole. On NAS-Bench-201 this is next to a look-up: its three
tables hold the same 15,625 cells on three sets of images, whose ranks nearly agree. Those rows are marked, and every mean is
given with and without them.

Methods and settings were chosen on a part of the HPOBench and FCNet tables with other draws. The model of a table never
sees it beyond the trials made. Expect .23 for "kernel" and .07 for "transfer" after 10 trials, where TPE has .33. It takes
40 minutes on 2 cores, and the sampler half an hour more.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import table
from experiments.predictor import _pool
from experiments.predictor._tabular import INITIAL, Problem, cells, metajax_rows, optuna_rows
from metajax import plot, predictor, run
from metajax.types import InputError

BUDGETS = (1, 5, 10, 25, 50, 100)
OF_OPTUNA = ("tpe", "gp", "sampler", "sampler after studies")
METHODS = ("random", "tpe", "gp", "kernel", "average rank", "transfer", *OF_OPTUNA[2:])
FAMILIES = ("hpobench", "fcnet", "nasbench201")


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the comparison."""

    methods: str = "all"
    """Names of the table, separated by commas, or all."""
    families: str = "all"
    """hpobench, fcnet and nasbench201, separated by commas, or all."""
    tables: int = 100
    """Tables of each family at most."""
    seeds: int = 20
    """Runs of a method on a table."""
    budget: int = 100
    """Trials of a run."""
    gp_seeds: int = 5
    """Runs of Optuna's Gaussian process, which takes a second a trial."""
    gp_budget: int = 50
    """Trials of such a run."""
    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self):
        _ = self.names, self.groups  # raise on another name
        if min(self.seeds, self.gp_seeds, self.tables) < 1 or min(self.budget, self.gp_budget) < INITIAL:
            raise InputError(
                f"--seeds, --gp-seeds and --tables must be >= 1, --budget and --gp-budget >= {INITIAL}, got {self.seeds}, "
                f"{self.gp_seeds}, {self.tables}, {self.budget} and {self.gp_budget}"
            )

    @property
    def names(self) -> list[str]:
        return harness.selected(self.methods, METHODS, "methods")

    @property
    def groups(self) -> list[str]:
        return harness.selected(self.families, FAMILIES, "families")


PRESETS = {
    "paper": {},
    "tiny": {"families": "hpobench", "tables": 2, "seeds": 2, "gp_seeds": 1, "budget": 10, "gp_budget": 6},
}


@functools.lru_cache(maxsize=1)
def _families(names: tuple[str, ...]) -> dict[str, list[predictor.benchmarks.TabularBenchmark]]:
    readers = {"hpobench": predictor.benchmarks.hpobench, "fcnet": predictor.benchmarks.fcnet, "nasbench201": cells}
    return {name: readers[name]() for name in names}


def needs(config: Config) -> list[str]:
    """The packages of Optuna's methods; its Gaussian process needs PyTorch."""
    return (["optuna"] if {*OF_OPTUNA} & {*config.names} else []) + (["torch"] if "gp" in config.names else [])


def load(config: Config) -> dict[str, Any]:
    """The tables."""
    return {name: [table.values for table in tables] for name, tables in _families(tuple(config.groups)).items()}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method on every table."""
    problems = {
        (family, tables[at].name): (tables, at)
        for family, tables in _families(tuple(config.groups)).items()
        for at in range(min(len(tables), config.tables))
    }

    def work(cell: harness.Cell) -> dict[str, float]:
        problem, method = Problem(*problems[cell["family"], cell["table"]]), cell["method"]
        budget = config.gp_budget if method == "gp" else config.budget
        regret = _pool.regrets(problem.y, rows_of(method, problem, budget, config))
        return {f"regret_{b}": float(regret[:, b - 1].mean()) for b in BUDGETS if b <= budget}

    combinations = itertools.product(config.names, problems)
    cells = [{"method": m, "family": f, "table": t} for m, (f, t) in combinations]
    records = harness.measure(directory, cells, work, "search")
    metrics = summarized(config, records)
    protocol = (
        f"{len(problems)} tables, mean over seeds of each; {config.seeds} runs a table ({config.gp_seeds} of Optuna's Gaussian "
        "process, one of average rank); ± is half of the 95% interval of the mean when tables are drawn again (bootstrap)."
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


def rows_of(method: str, problem: Problem, budget: int, config: Config) -> np.ndarray:
    """Returns the rows that every run of a method tries: int[runs, budget]."""
    if method == "random":
        rng = np.random.default_rng(config.seed)
        return rng.integers(len(problem.y), size=(10 * config.seeds, budget))
    if method in OF_OPTUNA:
        seeds = range(config.gp_seeds if method == "gp" else config.seeds)
        return np.stack([optuna_rows(problem, method, budget, config.seed + s) for s in seeds])
    return metajax_rows(problem, method, budget, config.seeds, config.seed)


def summarized(config: Config, records: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean regret of every method and budget, with its interval, and without NAS-Bench-201."""
    metrics: dict[str, float] = {}
    for name in config.names:
        own_records = [r for r in records if r["method"] == name]
        for b in (b for b in BUDGETS if f"regret_{b}" in own_records[0]):
            values = np.array([r[f"regret_{b}"] for r in own_records])
            label = f"{name.replace(' ', '_')}_{b}"
            metrics[label] = float(values.mean())
            metrics[f"{label}_interval"] = _interval(values, config.seed)
            unknown = np.array([r[f"regret_{b}"] for r in own_records if r["family"] != "nasbench201"])
            if 0 < len(unknown) < len(own_records):
                metrics[f"{label}_without_nasbench201"] = float(unknown.mean())
    return metrics


def draw(config: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Draws the mean regret of every method by the number of trials, with the intervals of the tables drawn again."""
    metrics, curves = result["metrics"], {}
    n_tables = len({(record["family"], record["table"]) for record in result["records"]})
    for name in _measured_methods(Config(**config), result["records"]):
        budgets = [b for b in BUDGETS if f"{name.replace(' ', '_')}_{b}" in metrics]
        values = ([metrics[f"{name.replace(' ', '_')}_{b}{part}"] for b in budgets] for part in ("", "_interval"))
        curves[name] = (budgets, *values)
    figure = plot.curves(curves, "trials", "normalized regret", f"mean of {n_tables} tables")
    figure.axes[0].set(xscale="log", yscale="log")
    plot.save(figure, directory / "regret.png")


def _interval(values: np.ndarray, seed: int, draws: int = 4000) -> float:
    """Returns half of the 95% interval of the mean when tables are drawn again."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(high - low) / 2


LOOKED_UP = ("average rank", "transfer")
"""The methods that read the family's other tables whole."""


def markdown(config: dict, result: dict) -> str:
    """Regret by method and budget, with and without the tables that others give away, and by table at 10 trials."""
    settings, records = Config(**config), result["records"]
    parts = [f"All tables:\n\n{_by_budget(settings, records)}"]
    others = [r for r in records if r["family"] != "nasbench201"]
    if 0 < len(others) < len(records):
        parts.append(
            f"Without NAS-Bench-201, which the methods marked {_marked('')} look up:\n\n{_by_budget(settings, others)}"
        )
    tables = list(dict.fromkeys((r["family"], r["table"]) for r in records))
    at = {(r["method"], r["family"], r["table"]): r.get("regret_10", float("nan")) for r in records}
    mark = lambda method, family: f" {_marked('')}" if method in LOOKED_UP and family == "nasbench201" else ""
    methods = _measured_methods(settings, records)
    regrets = [[" ".join(name), *(f"{at[m, *name]:.3f}{mark(m, name[0])}" for m in methods)] for name in tables]
    parts.append(f"After 10 trials, by table:\n\n{table(['table', *methods], regrets)}")
    if any(family == "nasbench201" for family, _ in tables):
        parts.append(f"{_marked('')} A look-up of the complete tables of the same cells on two other sets of images.")
    return "\n\n".join(parts)


def _measured_methods(settings: Config, records: list[dict]) -> list[str]:
    """The methods that were measured: a result may be older than some."""
    names = {record["method"] for record in records}
    return [name for name in settings.names if name in names]


def _marked(name: str) -> str:
    return f"{name} †".strip()


def _by_budget(settings: Config, records: list[dict]) -> str:
    """The mean regrets over the tables of these records, with the interval when tables are drawn again."""
    runs = {"gp": settings.gp_seeds, "random": 10 * settings.seeds, "average rank": 1}
    rows = []
    for name in _measured_methods(settings, records):
        own_records, cells = [r for r in records if r["method"] == name], []
        for b in BUDGETS:
            values = np.array([r[f"regret_{b}"] for r in own_records if f"regret_{b}" in r])
            cells.append(f"{values.mean():.3f} ± {_interval(values, settings.seed):.3f}" if len(values) else "–")
        seconds = np.mean([r["seconds"] for r in own_records]) / runs.get(name, settings.seeds)
        looked_up = name in LOOKED_UP and any(r["family"] == "nasbench201" for r in own_records)
        label = f"Optuna's {name}" if name in ("tpe", "gp") else _marked(name) if looked_up else name
        rows.append([label, str(len(own_records)), *cells, f"{seconds:.2f}"])
    return table(["method", "tables", *(f"{b} trials" for b in BUDGETS), "seconds a run"], rows)


def statement(results: Results) -> list[str]:
    """Search on tabular benchmarks against Optuna, where no method looks the answer up."""
    result = results["search_tabular"]
    seed = Config(**result.config).seed
    records = [record for record in result.result["records"] if record["family"] != "nasbench201"]
    names = sorted({record["method"] for record in records})
    tables = len({(record["family"], record["table"]) for record in records})
    regrets = lambda name: np.array([record["regret_25"] for record in records if record["method"] == name])
    regret = {name: float(regrets(name).mean()) for name in names}
    order = sorted(regret, key=lambda name: regret[name])
    ranked = ", ".join(f"{name} {regret[name]:.3f} ± {_interval(regrets(name), seed):.3f}" for name in order)
    return [
        f"Search on {tables} tabular benchmarks (without NAS-Bench-201, which is looked up) has these normalized regrets after "
        f"25 trials: {ranked}. tpe and gp are Optuna's; transfer and average rank know other tables."
    ]


EXPERIMENT = harness.Experiment(
    "search_tabular",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
    figures=("regret.png",),
    draw=draw,
    needs=needs,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
