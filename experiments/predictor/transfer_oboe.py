"""Which of 219 configurations of 12 model types for a dataset never seen, from its meta-features and a few trainings.

    python -m experiments.predictor.transfer_oboe --out runs/transfer_oboe

The data is Oboe's collection (Yang et al. 2019): balanced errors of scikit-learn's models on 415 OpenML datasets, whose 48
meta-features come from OpenML. Datasets are left out by family in ten folds. There are 179 families; 55 datasets are
variants of Friedman's functions. After t trainings of the left-out dataset the best of t + 1 configurations counts: those
tried, and the one named next. Regret is its balanced error less that of the best of the 219, in points.

"transfer" predicts the normal scores of all configurations from the meta-features (``predictor.priors.meta_prior``). It
goes on by expected improvement of a Gaussian process with the errors of that prediction as its covariance
(``predictor.priors.transfer``). "without meta-features" takes the mean over datasets as its prior. "average rank" goes down
the list of mean ranks. "nearest" takes the best configuration of the nearest dataset in meta-features, then of the second
nearest, and so on; "nearest 10" goes down the mean ranks of the ten nearest.

Expect 1.4 points for "transfer" after 3 trainings and 2.6 for "average rank". It takes 3 minutes on 2 cores.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.stats import rankdata, wilcoxon

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import table
from experiments.predictor import _pool as pool
from metajax import plot, predictor, run
from metajax.types import InputError

TRAININGS = (0, 1, 3, 5, 10)
METHODS = ("random", "average rank", "nearest", "nearest 10", "transfer without meta-features", "transfer")


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the comparison."""

    methods: str = "all"
    """Names of the table, separated by commas, or all."""
    folds: int = 10
    """Folds of families, at least 2."""
    datasets: int = 1000
    """Datasets of each fold that are judged at most."""
    draws: int = 20
    """Orders of random search."""
    seed: int = 0
    """Seed of all draws."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        if self.folds < 2 or min(self.datasets, self.draws) < 1:
            raise InputError(
                f"--folds must be >= 2, --datasets and --draws >= 1, got {self.folds}, {self.datasets} and {self.draws}"
            )

    @property
    def names(self) -> list[str]:
        return harness.selected(self.methods, METHODS, "methods")


PRESETS = {"paper": {}, "tiny": {"folds": 3, "datasets": 3, "draws": 5}}
_STEPS = max(TRAININGS) + 1


def order(
    method: str, oboe: predictor.benchmarks.Oboe, train_datasets: np.ndarray, test_datasets: np.ndarray, config: Config
) -> np.ndarray:
    """Returns the configurations that a method tries, in order: int[datasets, runs, steps].

    Args:
        method: A name of ``METHODS``.
        oboe: The collection.
        train_datasets: The datasets that the method knows.
        test_datasets: The datasets that are left out. Of these it knows what it has tried.
        config: The config of the experiment.
    """
    error, rng = oboe.error, np.random.default_rng(config.seed)
    if method == "random":
        draw = lambda: rng.permutation(error.shape[1])[:_STEPS]
        return np.stack([[draw() for _ in range(config.draws)] for _ in test_datasets])
    ranks = np.apply_along_axis(rankdata, 1, error[train_datasets])
    if method == "average rank":
        return np.repeat(np.argsort(ranks.mean(axis=0), kind="stable")[None, None, :_STEPS], len(test_datasets), axis=0)
    if method.startswith("nearest"):
        train_meta, test_meta = (
            predictor.priors.scaled_by_rank(oboe.meta[train_datasets], oboe.meta[rows])
            for rows in (train_datasets, test_datasets)
        )
        near = np.argsort(((test_meta[:, None] - train_meta[None]) ** 2).sum(axis=-1), axis=1, kind="stable")
        if method == "nearest 10":
            return np.stack([np.argsort(ranks[row[:10]].mean(axis=0), kind="stable")[None, :_STEPS] for row in near])
        return np.stack([_best_of_each(error[train_datasets[row]])[None] for row in near])
    scores = predictor.priors.normal_scores(error[train_datasets], maximize=False)
    if method == "transfer":
        prior = predictor.priors.meta_prior(
            scores, oboe.meta[train_datasets], oboe.meta[test_datasets], oboe.family[train_datasets], seed=config.seed
        )
    else:
        prior = predictor.priors.average_prior(scores)
    encodings = np.asarray(oboe.space.encode(oboe.configs))
    spec, nothing, rows = predictor.priors.transfer(len(train_datasets)), np.zeros((1, 0), np.int32), []
    for i, dataset in enumerate(test_datasets):
        columns = prior.columns(slice(None), i if prior.mean.ndim == 2 else None)
        x = np.concatenate([columns, encodings], axis=1)
        blocks, key = np.arange(x.shape[1]), jax.random.key(config.seed)
        rows.append(pool.search(spec, "ei", x, -error[dataset], blocks, nothing, _STEPS, key))
    return np.stack(rows)


def _best_of_each(error: np.ndarray) -> np.ndarray:
    """Returns the best configuration of each dataset in turn, without repetition."""
    picked: list[int] = []
    for row in error:
        if len(picked) < _STEPS:
            picked.append(next(int(c) for c in np.argsort(row, kind="stable") if c not in picked))
    return np.array(picked)


def load(config: Config) -> dict[str, Any]:
    """The errors and the meta-features."""
    oboe = predictor.benchmarks.oboe()
    return {"error": oboe.error, "meta": oboe.meta}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """All methods on all folds."""
    oboe = predictor.benchmarks.oboe()
    fold = (np.random.default_rng(config.seed).permutation(oboe.family.max() + 1) % config.folds)[oboe.family]

    def work(cell):
        train_datasets = np.flatnonzero(fold != cell["fold"])
        at = np.flatnonzero(fold == cell["fold"])[: config.datasets]
        orders = order(cell["method"], oboe, train_datasets, at, config)
        best = np.minimum.accumulate(np.take_along_axis(oboe.error[at][:, None], orders, axis=2), axis=2)
        regret = (best - oboe.error[at].min(axis=1)[:, None, None]).mean(axis=1)
        return {"datasets": at.tolist(), "regret": (100 * regret[:, list(TRAININGS)]).tolist()}

    cells = [{"method": name, "fold": k} for k in range(config.folds) for name in config.names]
    records = harness.measure(directory, cells, work, "transfer")
    regret: dict[str, np.ndarray] = {}
    family = oboe.family
    for name in config.names:
        folds = [r for r in records if r["method"] == name]
        at = np.concatenate([r["datasets"] for r in folds])
        by_dataset = np.argsort(at)
        regret[name] = np.concatenate([r["regret"] for r in folds])[by_dataset]
        family = oboe.family[at[by_dataset]]
    by_family = lambda values: np.array([values[family == f].mean(axis=0) for f in np.unique(family)])
    protocol = (
        f"{len(family)} datasets of {len(np.unique(family))} families, left out by family in {config.folds} folds; p of "
        "Wilcoxon's signed ranks against transfer, two-sided, over datasets and over the means of families."
    )
    return {"metrics": compared(regret, by_family), "protocol": protocol}


def compared(regret: dict[str, np.ndarray], by_family: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Returns mean regrets over datasets and families, 95% intervals of the latter, and the p-values against transfer.

    Args:
        regret: Of each method, f[datasets, trainings].
        by_family: The means of families, f[families, trainings].
    """
    metrics: dict[str, float] = {}
    for name, values in regret.items():
        for i, t in enumerate(TRAININGS):
            label = f"{_label(name)}_{t}"
            metrics[label] = float(values[:, i].mean())
            families = by_family(values)[:, i]
            metrics[f"{label}_by_family"] = float(families.mean())
            metrics[f"{label}_by_family_interval"] = float(1.96 * families.std() / np.sqrt(len(families)))
            if name == "transfer" or "transfer" not in regret:
                continue
            for suffix, f in (("p", lambda v: v), ("p_by_family", by_family)):
                difference = f(regret["transfer"])[:, i] - f(values)[:, i]
                is_same = not np.any(np.abs(difference) > 1e-9)
                metrics[f"{label}_{suffix}"] = 1.0 if is_same else float(wilcoxon(difference).pvalue)  # type: ignore[attr-defined]
    return metrics


def draw(config: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Draws the mean regret over families by the number of configurations tried, with 95% intervals over families."""
    values = lambda name, part: [result["metrics"][f"{_label(name)}_{t}_by_family{part}"] for t in TRAININGS]
    n_tried = np.array(TRAININGS) + 1
    curves = {name: (n_tried, values(name, ""), values(name, "_interval")) for name in Config(**config).names}
    figure = plot.curves(
        curves, "configurations tried", "regret in points of balanced error", "families weigh the same"
    )
    figure.axes[0].set(xscale="log", yscale="log")
    plot.save(figure, directory / "regret.png")


def _label(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_")


def markdown(config: dict, result: dict) -> str:
    """Mean regrets over datasets and over families, with the tests against transfer."""
    settings, metrics, parts = Config(**config), result["metrics"], []
    families = "Mean over families, with 95% intervals over them"
    for title, suffix, p in (("Mean over datasets", "", "p"), (families, "_by_family", "p_by_family")):
        head = ["from meta-features alone" if not t else f"{t} training{'s' * (t > 1)}" for t in TRAININGS]
        rows = []
        for name in settings.names:
            cells = []
            for t in TRAININGS:
                label = f"{_label(name)}_{t}"
                tail = f" (p {metrics[f'{label}_{p}']:.0e})" if f"{label}_{p}" in metrics else ""
                half = metrics.get(f"{label}{suffix}_interval")
                cells.append(f"{metrics[label + suffix]:.2f}{f' ± {half:.2f}' if half else ''}{tail}")
            rows.append([name, *cells])
        parts.append(f"{title}:\n\n{table(['method', *head], rows)}\n")
    return "\n".join(parts)


def statement(results: Results) -> list[str]:
    """Regret over datasets that were never trained on."""
    m, parts = results["transfer_oboe"].metrics, []
    rivals = sorted({k.removesuffix("_5") for k in m if k.endswith("_5") and not k.startswith("transfer_5")})
    for trainings in (0, 5):
        ours = m[f"transfer_{trainings}"]
        best = min((name for name in rivals if f"{name}_{trainings}" in m), key=lambda name: m[f"{name}_{trainings}"])
        reference, p_value = m[f"{best}_{trainings}"], m.get(f"{best}_{trainings}_p")
        p = f", p = {p_value:.1g}" if p_value is not None else ""
        relation = "better than" if ours < reference else "worse than"
        if p_value is None or p_value > 0.05:
            relation = "not shown to differ from"
        parts.append(
            f"after {trainings} trainings {ours:.2f}, {relation} {best.replace('_', ' ')} ({reference:.2f}{p})"
        )
    return [f"Transfer to a new dataset has these mean regrets in points (smaller is better): {'; '.join(parts)}."]


EXPERIMENT = harness.Experiment(
    "transfer_oboe",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
    figures=("regret.png",),
    draw=draw,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
