"""What to teach a model that compares: value, rank, antisymmetric log-ratio, or the naive relative improvement of a pair.

    python -m experiments.predictor.pairwise --out runs/pairwise

Of one table (NAS-Bench-201 on CIFAR-10, or a table of HPOBench) 50 models are trained. The numbers are shares of pairs
whose better member is named: on pairs held out of all pairs of the 50 (which leaks, because both members were seen in other
pairs), on pairs of 10 models held out, and on pairs of 1,000 models that were never drawn, the truth. On Oboe there are 10
trainings on each of 200 datasets with their meta-features. The numbers are then on pairs of one dataset: of other trainings
on the same datasets (which leaks), and on datasets of families that were left out.

All targets use the same ensemble of networks. The naive model reads both encodings and predicts (p2 - p1) / p1; the others
predict h of one encoding, and a pair by the difference. "circles" is the share of triples that the naive model orders in a
circle; "contradictions" is the share of pairs of which it says the same both ways round. It takes 3 minutes on 2 cores.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.predictor._tabular import cells
from metajax import predictor, run
from metajax.types import InputError

TARGETS = ("value", "rank", "log_ratio", "naive")
SOURCES = ("nasbench201", "hpobench", "oboe")


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the comparison."""

    sources: str = "all"
    """nasbench201, hpobench and oboe, separated by commas, or all."""
    models: int = 50
    """Trained models of a table, at least 10."""
    draws: int = 10
    """Draws of models or datasets."""
    datasets: int = 200
    """Datasets of Oboe, 10 to 300."""
    each: int = 10
    """Trainings on each dataset of Oboe, 2 to 100."""
    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        if self.models < 10 or self.draws < 1 or not 2 <= self.each <= 100 or not 10 <= self.datasets <= 300:
            raise InputError(
                "--models must be >= 10, --draws >= 1, --each from 2 to 100 and --datasets from 10 to 300, got "
                f"{self.models}, {self.draws}, {self.each} and {self.datasets}"
            )

    @property
    def names(self) -> list[str]:
        return harness.selected(self.sources, SOURCES, "sources")


PRESETS = {"paper": {}, "tiny": {"models": 20, "draws": 1, "datasets": 20, "each": 4}}
SPEC = predictor.ensemble(4)


def compare(trials: predictor.Trials, target: str, key: jax.Array, pairs: np.ndarray | None = None):
    """Fits a model to the trials; returns ``(first, second, context) -> f[n]``, above 0 where the second is better."""
    if target == "naive":
        return predictor.fit_pairs(trials, SPEC, key, pairs).compare
    model = predictor.fit(trials, SPEC, target, key)
    sign = -1.0 if target == "value" and not trials.maximize else 1.0
    h = lambda x, context: sign * model.predict(x, context)[0]
    return lambda first, second, context=None: h(second, context) - h(first, context)


def accuracy(judge, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, context: np.ndarray | None = None) -> float:
    """Returns the share of pairs that are ordered right. Pairs that tie are left out."""
    pairs = pairs[y[pairs[:, 0]] != y[pairs[:, 1]]]
    first, second = pairs.T
    order = judge(x[first], x[second], None if context is None else context[first])
    return float(np.mean((order > 0) == (y[second] > y[first])))


def _all_pairs(n: int) -> np.ndarray:
    first, second = np.nonzero(~np.eye(n, dtype=bool))
    return np.stack([first, second], axis=1)


def on_table(table: predictor.benchmarks.TabularBenchmark, target: str, config: Config, draw: int) -> dict[str, float]:
    """Returns the shares for one draw of models of one table."""
    rng = np.random.default_rng((config.seed, draw))
    y = np.nanmean(table.values, axis=1) * (1 if table.maximize else -1)
    x = np.asarray(table.space.encode(table.configs))
    rows = rng.permutation(len(y))
    train_rows, new_rows = rows[: config.models], rows[config.models : config.models + 1000]
    make = lambda at: predictor.Trials.from_arrays(table.space, {k: v[at] for k, v in table.configs.items()}, y[at])
    key = jax.random.key(draw)
    pairs = rng.permutation(_all_pairs(config.models))
    n_train_pairs = len(pairs) * 4 // 5
    leaking = compare(make(train_rows), target, key, pairs[:n_train_pairs])
    n_inside = config.models * 4 // 5
    honest = compare(make(train_rows[:n_inside]), target, key, _all_pairs(n_inside))
    new_pairs = rng.integers(len(new_rows), size=(4000, 2))
    shares = {
        "leaking": accuracy(leaking, x[train_rows], y[train_rows], pairs[n_train_pairs:]),
        "honest": accuracy(
            honest, x[train_rows[n_inside:]], y[train_rows[n_inside:]], _all_pairs(config.models - n_inside)
        ),
        "truth": accuracy(leaking, x[new_rows], y[new_rows], new_pairs[new_pairs[:, 0] != new_pairs[:, 1]]),
    }
    a, b, c = x[new_rows[rng.integers(len(new_rows), size=(3, 2000))]]
    ab, bc, ca = leaking(a, b) > 0, leaking(b, c) > 0, leaking(c, a) > 0
    shares["circles"] = float(np.mean((ab == bc) & (bc == ca)))
    shares["contradictions"] = float(np.mean(leaking(a, b) * leaking(b, a) > 0))
    return shares


def on_datasets(oboe: predictor.benchmarks.Oboe, target: str, config: Config, draw: int) -> dict[str, float]:
    """Returns the shares for one draw of datasets of Oboe."""
    rng = np.random.default_rng((config.seed, draw))
    families = rng.permutation(oboe.family.max() + 1)
    size = np.cumsum(np.bincount(oboe.family)[families])
    train_datasets = np.flatnonzero(np.isin(oboe.family, families[size <= config.datasets]))
    new_datasets = np.flatnonzero(~np.isin(oboe.family, families[size <= config.datasets]))
    accuracy_of = np.clip(1.0 - oboe.error, 0.01, 1.0)
    meta = np.nan_to_num(oboe.meta)
    meta = np.sign(meta) * np.log1p(np.abs(meta))
    tried_configs = np.stack([rng.permutation(oboe.error.shape[1]) for _ in train_datasets])[:, : config.each]
    group = np.repeat(train_datasets, config.each)
    struct = {name: column[tried_configs.ravel()] for name, column in oboe.configs.items()}
    trials = predictor.Trials.from_arrays(
        oboe.space, struct, accuracy_of[group, tried_configs.ravel()], group=group, context=meta[group]
    )
    judge = compare(trials, target, jax.random.key(draw))
    x = np.asarray(oboe.space.encode(oboe.configs))

    def mean_accuracy(datasets):
        shares = []
        for dataset in datasets[:100]:
            pairs = rng.integers(len(x), size=(100, 2))
            context = np.broadcast_to(meta[dataset], (len(x), meta.shape[1]))
            shares.append(accuracy(judge, x, accuracy_of[dataset], pairs[pairs[:, 0] != pairs[:, 1]], context))
        return float(np.mean(shares))

    return {
        "leaking": mean_accuracy(rng.permutation(train_datasets)),
        "truth": mean_accuracy(rng.permutation(new_datasets)),
    }


@functools.lru_cache(maxsize=1)
def _tables(names: tuple[str, ...]) -> dict[str, list[predictor.benchmarks.TabularBenchmark]]:
    readers = {"nasbench201": lambda: cells()[:1], "hpobench": predictor.benchmarks.hpobench}
    return {name: read() for name, read in readers.items() if name in names}


def load(config: Config) -> dict[str, Any]:
    """The tables, and Oboe's errors and meta-features."""
    values: dict[str, Any] = {name: [t.values for t in tables] for name, tables in _tables(tuple(config.names)).items()}
    if "oboe" in config.names:
        oboe = predictor.benchmarks.oboe()
        values["oboe"] = (oboe.error, oboe.meta)
    return values


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every target on every source."""
    tables = _tables(tuple(config.names))
    oboe = predictor.benchmarks.oboe() if "oboe" in config.names else None

    def work(cell):
        if cell["source"] == "oboe":
            assert oboe is not None
            return on_datasets(oboe, cell["target"], config, cell["draw"])
        source_tables = tables[cell["source"]]
        return on_table(source_tables[cell["draw"] % len(source_tables)], cell["target"], config, cell["draw"])

    cells_ = [{"source": s, "target": t, "draw": d} for s in config.names for t in TARGETS for d in range(config.draws)]
    records = harness.measure(directory, cells_, work, "pairs")
    metrics = {}
    for source in config.names:
        for target in TARGETS:
            own_records = [r for r in records if (r["source"], r["target"]) == (source, target)]
            for measure in ("leaking", "honest", "truth", "circles", "contradictions"):
                if measure in own_records[0]:
                    metrics[f"{source}_{target}_{measure}"] = float(np.mean([r[measure] for r in own_records]))
    protocol = f"Means of {config.draws} draws; each draw of HPOBench is on the next of its tables."
    return {"metrics": metrics, "protocol": protocol, "records": records}


def markdown(config: dict, result: dict) -> str:
    """Shares of pairs ordered right."""
    columns = ("leaking", "honest", "truth", "circles", "contradictions")
    head = ("pairs held out (leaks)", "models held out", "truth", "circles", "contradictions")
    get = lambda source, target, measure: number(result["metrics"].get(f"{source}_{target}_{measure}"), ".3f")
    pairs = itertools.product(Config(**config).names, TARGETS)
    return table(
        ["source", "target", *head], ([*pair, *(get(*pair, measure) for measure in columns)] for pair in pairs)
    )


def statement(results: Results) -> list[str]:
    """What a leaking split of pairs pretends."""
    m = results["pairwise"].metrics
    return [
        f"The better of two models is named for {100 * m['nasbench201_rank_leaking']:.0f}% of the pairs when pairs are held "
        f"out, and for {100 * m['nasbench201_rank_honest']:.0f}% when models are. Only the second number counts."
    ]


EXPERIMENT = harness.Experiment(
    "pairwise",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
