"""How well a few trainings predict all others: Kendall tau on NAS-Bench-201 by model and number of trainings.

    python -m experiments.predictor.predict_nas_bench_201 --out runs/predict_nas_bench_201

The protocol is that of PINAT's code (Lu et al. 2023, ShunLu91/PINAT, with the sizes of TNASP, Lu et al. 2021). Of the
15,625 cells 78 to 1,563 are drawn uniformly, and a model sees the validation accuracy of each. Its ranking of ALL 15,625
cells is compared with their test accuracy, mean over the table's seeds; nothing is excluded. Here a cell is seen with one
training of one seed. Only 6,466 cells are distinct, so that many have a copy among the trained ones. "unseen" is the same
ranking judged on the cells that are neither trained nor a copy of a trained one, and regret is counted on those. Each draw
is new, by its seed.

"Hamming kernel, fixed" is kernel ridge regression with exp(-.25 · edges that differ) and a ridge of .03, without any fit of
hyperparameters; a learned kernel has to reach it. "kernel" learns a length scale for each edge, which 78 trainings cannot
tell apart, and "tied" one for all. "chosen" is the one of both with the better five-fold cross-validation on the trained
cells.

"paths" are features of a cell (``predictor.architectures.path_features``). "+ 12 epochs" adds the accuracy after 12 epochs
as a column, which costs a short training of every cell that is ranked; "+ size" adds the number of parameters, which costs
nothing. Models and features were chosen on CIFAR-100 with other draws; their hyperparameters are learned from the drawn
trainings alone.

With 78 trained cells expect a tau of .58 for "kernel", .59 for "tied" and the fixed kernel, and .77 for "kernel on paths".
It takes 20 minutes on one shared core.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against, duration
from experiments.predictor._models import MODELS, SPACE
from metajax import plot, predictor, run, supernet
from metajax.types import InputError

PUBLISHED_SIZES = (78, 156, 469, 781, 1563)
PUBLISHED = {
    "Neural Predictor (Wen et al. 2020)": (0.343, 0.413, 0.584, 0.634, 0.646),
    "NAO (Luo et al. 2018)": (0.467, 0.493, 0.470, 0.522, 0.526),
    "arch2vec (Yan et al. 2020)": (0.542, 0.573, 0.601, 0.606, 0.605),
    "TNASP (Lu et al. 2021)": (0.539, 0.589, 0.640, 0.689, 0.724),
    "PINAT (Lu et al. 2023)": (0.549, 0.631, 0.706, 0.761, 0.784),
}
"""Kendall τ against all architectures (CIFAR-10) by number of trained ones, as TNASP and PINAT print them."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Models and sizes."""

    models: str = "all"
    """Names of ``MODELS``; several are separated by commas. Or all."""
    trainings: str = ",".join(map(str, PUBLISHED_SIZES))
    """Numbers of trained cells, 2 to 6000, separated by commas."""
    draws: int = 10
    """Draws of cells."""
    dataset: str = "cifar10"
    """cifar10, cifar100 or imagenet16."""
    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        if self.dataset not in supernet.truth.DATASETS:
            raise InputError(f"--dataset must be one of {', '.join(supernet.truth.DATASETS)}, got {self.dataset}")
        if not all(n.isdigit() and 2 <= int(n) <= 6000 for n in self.trainings.split(",")) or self.draws < 1:
            raise InputError(
                "--trainings must be integers from 2 to 6000 separated by commas and --draws an integer >= 1, got "
                f"{self.trainings} and {self.draws}"
            )

    @property
    def names(self) -> list[str]:
        return harness.selected(self.models, MODELS, "models")

    @property
    def sizes(self) -> list[int]:
        return [int(n) for n in self.trainings.split(",")]


PRESETS = {
    "paper": {},
    "tiny": {"models": "ridge,kernel on paths", "trainings": "30,78", "draws": 2},
}


def split(unique: np.ndarray, trainings: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws cells uniformly; returns them, and the cells that are neither drawn nor copies of drawn ones.

    Args:
        unique: int[cells], the numbers of the distinct cells.
        trainings: The number of drawn cells.
        rng: The generator of the draw.
    """
    rows = rng.permutation(len(unique))[:trainings]
    return rows, np.flatnonzero(~np.isin(unique, unique[rows]))


def load(config: Config) -> dict[str, Any]:
    """The columns of the table."""
    return {"table": supernet.truth.load_oracle().columns[config.dataset]}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Fits every model to every draw."""
    oracle = supernet.truth.load_oracle()
    combinations = itertools.product(config.sizes, config.names, range(config.draws))
    cells = [{"model": name, "trainings": size, "draw": draw} for size, name, draw in combinations]
    records = harness.measure(directory, cells, lambda cell: fit_and_rank(config, cell, oracle), "predict")
    metrics: dict[str, float] = {}
    for name, size in itertools.product(config.names, config.sizes):
        own_records, label = (
            [r for r in records if (r["model"], r["trainings"]) == (name, size)],
            f"{_label(name)}_{size}",
        )
        for measure in ("tau", "tau_unseen", "unseen", "regret_1", "regret_10"):
            metrics[f"{label}_{measure}"] = float(np.mean([r[measure] for r in own_records]))
        metrics[f"{label}_tau_std"] = float(np.std([r["tau"] for r in own_records], ddof=config.draws > 1))
    for size in config.sizes:
        metrics[f"best_{size}_tau"] = max(metrics[f"{_label(name)}_{size}_tau"] for name in config.names)
    protocol = (
        f"NAS-Bench-201, {config.dataset}: cells are drawn uniformly, each seen with one validation accuracy; judged by "
        f"the mean test accuracy of all 15,625, as PINAT's code does, and on unseen cells (neither trained nor copies of "
        f"trained ones), on which regret is counted too; mean ± deviation of {config.draws} draws."
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


def fit_and_rank(config: Config, cell: harness.Cell, oracle: supernet.truth.Oracle) -> dict[str, Any]:
    """Fits a model to drawn trainings, and judges how it ranks all cells and the unseen ones."""
    spec, target, context_columns = MODELS[cell["model"]]
    truth = oracle.scores(config.dataset, "test200")
    validation, best = oracle.columns[config.dataset]["val200_seeds"], float(np.nanmax(truth))
    rng = np.random.default_rng((config.seed, cell["draw"], cell["trainings"]))
    rows, unseen = split(oracle.unique, cell["trainings"], rng)
    seeds = [rng.choice(np.flatnonzero(np.isfinite(validation[row]))) for row in rows]
    columns = np.stack([oracle.scores(config.dataset, c) for c in context_columns], axis=1) if context_columns else None
    context = None if columns is None else columns[rows]
    all_cells = SPACE.at(np.arange(SPACE.size))
    struct = {name: np.asarray(column)[rows] for name, column in all_cells.items()}
    trials = predictor.Trials.from_arrays(SPACE, struct, validation[rows, seeds], context=context)
    key = jax.random.key(config.seed + cell["draw"])
    if not isinstance(spec, predictor.Spec):
        spec = predictor.choose(trials, spec, target, key).spec
    model = predictor.fit(trials, spec, target, key)
    predicted, _ = model.predict(np.asarray(SPACE.encode(all_cells)), columns)
    top = unseen[np.argsort(-predicted[unseen], kind="stable")]
    return {
        "tau": supernet.diagnosis.kendall_tau(predicted, truth),
        "tau_unseen": supernet.diagnosis.kendall_tau(predicted[unseen], truth[unseen]),
        "unseen": len(unseen),
        "regret_1": best - float(truth[top[0]]),
        "regret_10": best - float(truth[top[:10]].max()),
    }


def draw(config: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Draws Kendall's τ of every model by the number of trained cells, beside the published one of PINAT."""
    settings, metrics = Config(**config), result["metrics"]
    values = lambda name, part: [metrics[f"{_label(name)}_{s}_{part}"] for s in settings.sizes]
    curves: dict[str, tuple[Any, ...]] = {
        n: (settings.sizes, values(n, "tau"), values(n, "tau_std")) for n in settings.names
    }
    if settings.dataset == "cifar10":
        curves["PINAT, published"] = (list(PUBLISHED_SIZES), list(PUBLISHED["PINAT (Lu et al. 2023)"]))
    figure = plot.curves(curves, "trained cells", "Kendall τ on all cells")
    figure.axes[0].set_xscale("log")
    plot.save(figure, directory / "tau.png")


def _label(name: str) -> str:
    return name.replace(" + ", "_with_").replace(", ", "_").replace(" ", "_")


def markdown(config: dict, result: dict) -> str:
    """Kendall τ by model and number of trainings, with the published rows first."""
    settings, metrics = Config(**config), result["metrics"]
    ends = list(dict.fromkeys((settings.sizes[0], settings.sizes[-1])))
    head = [
        *map(str, settings.sizes),
        *(f"{s}, unseen" for s in ends),
        f"regret of the first 10 at {settings.sizes[0]}",
    ]
    rows = []
    if settings.dataset == "cifar10":
        for name, values in PUBLISHED.items():
            value_by_size: dict[int, float] = dict(zip(PUBLISHED_SIZES, values))
            rows.append(
                [
                    f"{name}, published",
                    *(number(value_by_size.get(s), ".3f") for s in settings.sizes),
                    *["–"] * (len(ends) + 1),
                ]
            )
    for name in settings.names:
        cells = [
            f"{metrics[f'{_label(name)}_{s}_tau']:.3f} ± {metrics[f'{_label(name)}_{s}_tau_std']:.3f}"
            for s in settings.sizes
        ]
        cells += [f"{metrics[f'{_label(name)}_{s}_tau_unseen']:.3f}" for s in ends]
        cells.append(f"{metrics[f'{_label(name)}_{settings.sizes[0]}_regret_10']:.2f}")
        rows.append([name, *cells])
    return table(["model", *head], rows)


def statement(results: Results) -> list[str]:
    """Kendall τ against published predictors, of models that see architectures alone."""
    run, parts = results["predict_nas_bench_201"], []
    m = run.metrics
    for size in (PUBLISHED_SIZES[0], PUBLISHED_SIZES[-1]):
        ours = {k.removesuffix(f"_{size}_tau"): v for k, v in m.items() if k.endswith(f"_{size}_tau")}
        ours = {n: tau for n, tau in ours.items() if "epochs" not in n and f"{n}_{size}_tau_std" in m}
        best = max(ours, key=lambda name: ours[name])
        column = PUBLISHED_SIZES.index(size)
        rival = max(PUBLISHED, key=lambda name: PUBLISHED[name][column])
        published = PUBLISHED[rival][column]
        parts.append(
            f"from {size:,} trainings {ours[best]:.3f} by the best of {len(ours)} models ({best.replace('_', ' ')}), "
            f"{against(ours[best], published, m[f'{best}_{size}_tau_std'])} the {published:.3f} of {rival}"
        )
    cost = duration(sum(record["seconds"] for record in run.result["records"]))
    return [
        f"Kendall τ of predicted accuracies on NAS-Bench-201 is {'; '.join(parts)}. Its section says how cells were split. "
        f"All fits took {cost}."
    ]


EXPERIMENT = harness.Experiment(
    "predict_nas_bench_201",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
    figures=("tau.png",),
    draw=draw,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
