"""How well a few trainings predict all others: Kendall tau on NAS-Bench-201 by model and number of trainings.

    python -m experiments.predictor.predict_nas_bench_201 --out runs/predict_nas_bench_201

The protocol is that of PINAT's code (Lu et al. 2023, ShunLu91/PINAT, with the sizes of TNASP, Lu et al. 2021): 78 to 1,563 of
the 15,625 cells are drawn uniformly, a model sees the validation accuracy of each, and its ranking of ALL 15,625 cells is
compared with their test accuracy, mean over the table's seeds; nothing is excluded. Here a cell is seen with one training of
one seed. Only 6,466 cells are distinct, so that many have a copy among the trained ones; "unseen" is the same ranking judged on
the cells that are neither trained nor a copy of a trained one, and regret is counted on those. Each draw is new, by its seed.

"Hamming kernel, fixed" is kernel ridge regression with exp(-.25 · edges that differ) and a ridge of .03, without any fit of
hyperparameters: what a learned kernel has to reach. "kernel" learns a length scale for each edge, which 78 trainings cannot
tell apart, "tied" one for all, and "chosen" is the one of both with the better five-fold cross-validation on the trained cells.

"paths" are features of a cell (``predictor.architectures.path_features``); "+ 12 epochs" adds the accuracy after 12 epochs as a
column, which costs a short training of every cell that is ranked, and "+ size" the number of parameters, which costs
nothing. Models and features were chosen on CIFAR-100 with other draws; their hyperparameters are learned from the drawn
trainings alone.

With 78 trained cells expect a tau of .58 for "kernel", .59 for "tied" and the fixed kernel, .77 for "kernel on paths"; 20
minutes on one shared core. A run goes on with ``--resume``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import kendalltau

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against, duration, listed
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
    """``models`` are names of ``MODELS``, or ``all``; ``trainings`` numbers of trained cells."""

    models: str = "all"
    trainings: str = ",".join(map(str, PUBLISHED_SIZES))
    draws: int = 10
    dataset: str = "cifar10"
    seed: int = 0

    def __post_init__(self):
        _ = self.names  # raises on another name
        if self.dataset not in supernet.truth.DATASETS:
            raise InputError(f"--dataset {self.dataset}: accepted are {', '.join(supernet.truth.DATASETS)}")
        if not all(n.isdigit() and 2 <= int(n) <= 6000 for n in self.trainings.split(",")) or self.draws < 1:
            given = f"--trainings {self.trainings} --draws {self.draws}"
            raise InputError(f"{given}: accepted are numbers from 2 to 6000 joined by commas, and at least one draw")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.models, MODELS, "models")

    @property
    def sizes(self) -> list[int]:
        return [int(n) for n in self.trainings.split(",")]


def hamming(decay: float = 0.25, ridge: float = 0.03) -> predictor.Spec:
    """Kernel ridge regression with ``exp(-decay · choices that differ)``, of one-hot encodings."""

    def gram(x, z):
        square = jnp.sum(x**2, -1)[:, None] + jnp.sum(z**2, -1)[None] - 2 * x @ z.T
        return jnp.exp(-0.5 * decay * square)

    def fit(key, x, y, weight, blocks, start=None):
        factor = jax.scipy.linalg.cho_factor(gram(x, x) + jnp.diag(ridge / jnp.maximum(weight, 1e-6)), lower=True)
        return {"x": x, "alpha": jax.scipy.linalg.cho_solve(factor, y * (weight > 0))}

    def apply(params, x):
        mean = gram(x, params["x"]) @ params["alpha"]
        return mean, jnp.ones_like(mean)

    return predictor.Spec("hamming", fit, apply)


SPACE = supernet.spaces.cell_space()
PATHS = predictor.architectures.path_features(SPACE)
KERNEL, TIED = predictor.kernel(), predictor.kernel(tied=True)
# name -> specification (or several, chosen from by cross-validation of the trained cells), target, columns of the table that
# are known before training
MODELS = {
    "ridge, value": (predictor.ridge(), "value", ()),
    "ridge": (predictor.ridge(), "rank", ()),
    "ridge of order 2": (predictor.ridge(2), "rank", ()),
    "Hamming kernel, fixed": (hamming(), "rank", ()),
    "kernel": (KERNEL, "rank", ()),
    "kernel, tied": (TIED, "rank", ()),
    "kernel, chosen": ((KERNEL, TIED), "rank", ()),
    "ensemble": (predictor.ensemble(), "rank", ()),
    "graph": (predictor.architectures.graph_network(SPACE), "rank", ()),
    "ridge on paths": (predictor.with_features(predictor.ridge(), PATHS), "rank", ()),
    "ensemble on paths": (predictor.with_features(predictor.ensemble(), PATHS), "rank", ()),
    "kernel on paths, value": (predictor.with_features(predictor.kernel(), PATHS), "value", ()),
    "kernel on paths": (predictor.with_features(KERNEL, PATHS), "rank", ()),
    "kernel on paths, chosen": (tuple(predictor.with_features(spec, PATHS) for spec in (KERNEL, TIED)), "rank", ()),
    "kernel on paths + size": (predictor.with_features(predictor.kernel(), PATHS), "rank", ("params_M",)),
    "kernel on paths + 12 epochs": (predictor.with_features(predictor.kernel(), PATHS), "rank", ("val12",)),
}
PRESETS = {
    "paper": {},
    "tiny": {"models": "ridge,kernel on paths", "trainings": "30,78", "draws": 2},
}


def split(unique: np.ndarray, trainings: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cells drawn uniformly, and those that are neither drawn nor copies of drawn ones; ``unique`` int[cells] numbers the
    distinct ones."""
    rows = rng.permutation(len(unique))[:trainings]
    return rows, np.flatnonzero(~np.isin(unique, unique[rows]))


def load(config: Config) -> dict[str, Any]:
    """The columns of the table."""
    return {"table": supernet.truth.load_oracle().columns[config.dataset]}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Fits every model to every draw."""
    table = supernet.truth.load_oracle()
    encodings = np.asarray(SPACE.encode(SPACE.at(np.arange(SPACE.size))))
    truth = table.scores(config.dataset, "test200")
    trained = table.columns[config.dataset]["val200_seeds"]
    best = float(np.nanmax(truth))

    def work(cell):
        spec, target, known = MODELS[cell["model"]]
        rng = np.random.default_rng((config.seed, cell["draw"], cell["trainings"]))
        rows, unseen = split(table.unique, cell["trainings"], rng)
        seeds = [rng.choice(np.flatnonzero(np.isfinite(trained[row]))) for row in rows]
        columns = np.stack([table.scores(config.dataset, c) for c in known], axis=1) if known else None
        context = None if columns is None else columns[rows]
        struct = {name: np.asarray(column)[rows] for name, column in SPACE.at(np.arange(SPACE.size)).items()}
        trials = predictor.Trials.from_arrays(SPACE, struct, trained[rows, seeds], context=context)
        key = jax.random.key(config.seed + cell["draw"])
        if not isinstance(spec, predictor.Spec):
            spec = predictor.choose(trials, spec, target, key).spec
        model = predictor.fit(trials, spec, target, key)
        predicted, _ = model.predict(encodings, columns)
        top = unseen[np.argsort(-predicted[unseen], kind="stable")]
        return {
            "tau": _tau(predicted, truth),
            "tau_unseen": _tau(predicted[unseen], truth[unseen]),
            "unseen": len(unseen),
            "regret_1": best - float(truth[top[0]]),
            "regret_10": best - float(truth[top[:10]].max()),
        }

    cells = [
        {"model": name, "trainings": size, "draw": draw}
        for size in config.sizes
        for name in config.names
        for draw in range(config.draws)
    ]
    records = harness.measure(directory, cells, work, "predict")
    metrics = {}
    for name in config.names:
        for size in config.sizes:
            some = [r for r in records if (r["model"], r["trainings"]) == (name, size)]
            for what in ("tau", "tau_unseen", "unseen", "regret_1", "regret_10"):
                metrics[f"{_label(name)}_{size}_{what}"] = float(np.mean([r[what] for r in some]))
            metrics[f"{_label(name)}_{size}_tau_std"] = float(np.std([r["tau"] for r in some], ddof=config.draws > 1))
    for size in config.sizes:
        metrics[f"best_{size}_tau"] = max(metrics[f"{_label(name)}_{size}_tau"] for name in config.names)
    curves: dict[str, tuple[Any, ...]] = {
        n: (config.sizes, *([metrics[f"{_label(n)}_{s}_{part}"] for s in config.sizes] for part in ("tau", "tau_std")))
        for n in config.names
    }
    if config.dataset == "cifar10":
        curves["PINAT, published"] = (
            list(PUBLISHED_SIZES),
            list(PUBLISHED["PINAT (Lu et al. 2023)"]),
        )
    figure = plot.curves(curves, "trained cells", "Kendall τ on all cells")
    figure.axes[0].set_xscale("log")
    plot.save(figure, directory.path / "tau.png")
    protocol = (
        f"NAS-Bench-201, {config.dataset}: cells are drawn uniformly, each seen with one validation accuracy; judged by "
        f"the mean test accuracy of all 15,625, as PINAT's code does, and on unseen cells (neither trained nor copies of "
        f"trained ones), on which regret is counted too; mean ± deviation of {config.draws} draws."
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


def _tau(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(kendalltau(predicted, truth).statistic)  # type: ignore[attr-defined]


def _label(name: str) -> str:
    return name.replace(" + ", "_with_").replace(", ", "_").replace(" ", "_")


def markdown(config: dict, result: dict) -> str:
    """The table of a finished run, published rows first."""
    given, metrics = Config(**config), result["metrics"]
    ends = list(dict.fromkeys((given.sizes[0], given.sizes[-1])))
    head = [*map(str, given.sizes), *(f"{s}, unseen" for s in ends), f"regret of the first 10 at {given.sizes[0]}"]
    rows = []
    if given.dataset == "cifar10":
        for name, values in PUBLISHED.items():
            at: dict[int, float] = dict(zip(PUBLISHED_SIZES, values))
            rows.append(
                [f"{name}, published", *(number(at.get(s), ".3f") for s in given.sizes), *["–"] * (len(ends) + 1)]
            )
    for name in given.names:
        cells = [
            f"{metrics[f'{_label(name)}_{s}_tau']:.3f} ± {metrics[f'{_label(name)}_{s}_tau_std']:.3f}"
            for s in given.sizes
        ]
        cells += [f"{metrics[f'{_label(name)}_{s}_tau_unseen']:.3f}" for s in ends]
        cells.append(f"{metrics[f'{_label(name)}_{given.sizes[0]}_regret_10']:.2f}")
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
        known = PUBLISHED[rival][column]
        parts.append(
            f"from {size:,} trainings the best of {len(ours)} models, {best.replace('_', ' ')}, has {ours[best]:.3f}, "
            f"{against(ours[best], known, m[f'{best}_{size}_tau_std'])} the {known:.3f} of {rival}"
        )
    cost = duration(sum(record["seconds"] for record in run.result["records"]))
    return [
        f"Accuracies on NAS-Bench-201 are predicted with these Kendall τ: {listed(parts)}. The run's section says how cells "
        f"were split. All fits together took {cost}."
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
)

if __name__ == "__main__":
    EXPERIMENT.exit()
