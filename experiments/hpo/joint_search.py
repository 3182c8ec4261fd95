"""Architecture and hyperparameters by one gradient, against one after the other, TPE and random search.

    python -m experiments.hpo.joint_search --out runs/joint_search

A network has two hidden layers of 32 units. Each layer is one of four operations (skip, ReLU, tanh, GELU), and the learning
rate, the weight decay and the dropout of the training are searched with them: 2,160 configurations, each a training of 300
steps of AdamW with a cosine schedule. The gradient unrolls all of a training and descends the validation loss in the
relaxed space. Now and then it decides and trains the decision; in the end it takes the best of these by validation loss.
All methods share one compiled training and have the same seconds, compilation apart. A configuration that is found is
trained anew with five other seeds, and scored on the test rows.

The same seconds are not the same number of trainings: a hypergradient runs a whole training forward and backward. The table
says what each method could afford: trainings of decided configurations, and hypergradients. The joint search is compared
with each other method by the 95% interval of the difference when seeds and test rows are drawn again. Where the interval
holds 0, no difference is shown, and on fewer than 300 test rows none is claimed.

On digits every configuration is also trained twice with other seeds. This is the exhaustive truth; the regret is how far
the true accuracy of what a method found is below the best.

The decay acts on the weights. Dropout is multiplicative Gaussian noise of the same variance (Srivastava et al. 2014,
section 10), which has a derivative. There are 80 searches of 15 seconds.
"""

import dataclasses
import functools
import itertools
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against
from experiments.hpo import _joint
from experiments.hpo._joint import METHODS, SPACE
from metajax import data, run
from metajax.types import InputError

DATASETS = ("digits", "mnist", "breast_cancer", "wine")
CLAIM_ROWS = 300
"""On fewer test rows one row is a third of a point or more, and no difference between methods is claimed."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the comparison."""

    datasets: str = "all"
    """Names of the datasets, separated by commas, or all."""
    seconds: float = 15.0
    """Seconds of a search."""
    steps: int = 300
    """Updates of a training."""
    outer_rate: float = 0.3
    """Learning rate of the logits."""
    decide_every: int = 5
    """Hypergradients between two decisions that are trained."""
    seeds: int = 5
    """Searches of each method on each dataset."""
    refits: int = 5
    """Fresh trainings of what a search found."""
    truth: bool = True
    """Whether every configuration is trained on digits."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        harness.check_at_least(self, 1, "steps", "decide_every", "seeds", "refits")
        if self.seconds <= 0:
            raise InputError(f"--seconds must be positive, got {self.seconds}")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.datasets, DATASETS, "datasets")


PRESETS = {
    "paper": {},
    "tiny": {"datasets": "wine", "seconds": 1.0, "steps": 20, "seeds": 1, "refits": 1, "truth": False},
}


def load(config: Config) -> dict[str, Any]:
    """The rows of every dataset."""
    return {name: _joint.rows(name, 0) for name in config.names}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method on every dataset."""
    setting = functools.cache(lambda name: _joint.Setting(name, 0, config))  # one split of the rows for all seeds
    truth = known_truth(config, directory, setting) if config.truth and "digits" in config.names else None
    (directory.path / "right").mkdir(exist_ok=True)

    def work(cell: harness.Cell) -> dict[str, Any]:
        problem = setting(cell["dataset"])
        best = _joint.search(cell["method"], problem, config, cell["seed"])
        keys = jax.random.split(jax.random.key(10**5 + cell["seed"]), config.refits)
        right = np.mean([problem.right(jnp.asarray(best.encoding), key) for key in keys], axis=0, dtype=np.float64)
        data.save_npz(_rows_file(directory, cell), right=right)
        record = {
            "accuracy": 100 * float(right.mean()),
            "validation_loss": best.loss,
            "trained": best.trained,
            "hypergradients": best.hypergradients,
        }
        return record | (regret(truth, best) if truth is not None and cell["dataset"] == "digits" else {})

    cells = [{"dataset": d, "method": m, "seed": s} for d in config.names for m in METHODS for s in range(config.seeds)]
    records = harness.measure(directory, cells, work, "searches")
    metrics: dict[str, float] = {}
    for dataset in config.names:
        metrics |= means(dataset, records)
        metrics |= gains(dataset, records, directory)
    if truth is not None:
        metrics |= {"truth best": 100 * float(truth.max()), "truth median": 100 * float(np.median(truth))}
    protocol = (
        f"{SPACE.size} configurations, {config.seconds:g} s a search (compilation apart), means of {config.seeds} seeds; "
        f"accuracy on test rows of {config.refits} fresh trainings of what was found; one split of the rows"
    )
    return {"metrics": metrics, "protocol": protocol}


def known_truth(config: Config, directory: run.RunDirectory, setting: Callable[[str], _joint.Setting]) -> np.ndarray:
    """Returns the test accuracy of every configuration on digits; it is measured once and kept with the run."""
    file = directory.path / "truth.npz"
    if not file.is_file():
        data.save_npz(file, accuracy=_joint.truth(setting("digits")))
    return data.load_npz(file, ("accuracy",))["accuracy"]


def regret(truth: np.ndarray, best: _joint.Best) -> dict[str, float]:
    """Returns how far the true accuracy of what was found is below the best, in points, and its rank."""
    encodings = np.asarray(SPACE.encode(SPACE.at(np.arange(SPACE.size))))
    index = int(np.argmin(np.abs(encodings - best.encoding).sum(axis=1)))
    return {"regret": 100 * float(truth.max() - truth[index]), "rank": int(np.sum(truth > truth[index])) + 1}


def _rows_file(directory: run.RunDirectory, cell: Mapping[str, Any]) -> Path:
    """The file of the shares of the refits that are right, by test row."""
    return directory.path / "right" / f"{cell['dataset']}_{cell['method']}_{cell['seed']}.npz"


def means(dataset: str, records: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean of every number of the methods on a dataset, and the deviation of the accuracy over seeds."""
    metrics: dict[str, float] = {}
    for method in METHODS:
        method_records = [r for r in records if (r["dataset"], r["method"]) == (dataset, method)]
        for key in ("accuracy", "validation_loss", "trained", "hypergradients", "regret", "rank"):
            if key in method_records[0]:
                metrics[f"{dataset} {method} {key}"] = float(np.mean([r[key] for r in method_records]))
        deviation = float(np.std([r["accuracy"] for r in method_records], ddof=1)) if len(method_records) > 1 else 0.0
        metrics[f"{dataset} {method} deviation"] = deviation
    return metrics


def gains(dataset: str, records: list[dict[str, Any]], directory: run.RunDirectory) -> dict[str, float]:
    """Returns what the joint search gains over each other method on a dataset, with the interval of the difference."""
    read = lambda record: data.load_npz(_rows_file(directory, record), ("right",))["right"]
    records_of = lambda method: [r for r in records if (r["dataset"], r["method"]) == (dataset, method)]
    right = {method: np.array([read(record) for record in records_of(method)]) for method in METHODS}
    metrics: dict[str, float] = {f"{dataset} test rows": right["joint"].shape[1]}
    for other in METHODS[1:]:
        gain = 100 * float(right["joint"].mean() - right[other].mean())
        low, high = difference(right["joint"], right[other])
        metrics |= {f"{dataset} {other} gain{end}": v for end, v in (("", gain), ("_low", low), ("_high", high))}
    return metrics


def difference(first: np.ndarray, second: np.ndarray, draws: int = 4000) -> tuple[float, float]:
    """Returns the 95% interval, in points, of the first accuracy less the second one.

    Seeds and test rows are drawn again. The rows are the same for both, the seeds of each are its own.

    Args:
        first: f[seeds, rows], the shares of the refits of a search that are right.
        second: f[seeds, rows], those of the other search.
        draws: The draws of the bootstrap.
    """
    rng, (seeds, rows) = np.random.default_rng(0), first.shape
    weight = lambda n: rng.multinomial(n, np.full(n, 1 / n), size=draws) / n  # how often each is drawn
    row_weights = weight(rows)
    mean = lambda right: np.sum((weight(seeds) @ right) * row_weights, axis=1)
    low, high = np.quantile(100 * (mean(first) - mean(second)), [0.025, 0.975])
    return float(low), float(high)


def markdown(config: dict, result: dict) -> str:
    """One row for each dataset and method."""
    m = result["metrics"]
    rows = []
    for dataset, method in itertools.product(DATASETS, METHODS):
        if f"{dataset} {method} accuracy" not in m:
            continue
        own = {k.removeprefix(f"{dataset} {method} "): v for k, v in m.items() if k.startswith(f"{dataset} {method} ")}
        shown = {"validation_loss": ".4f", "trained": ".0f", "hypergradients": ".0f", "regret": ".2f", "rank": ".0f"}
        values = [
            number(own.get(k), form, "not recorded" if k == "hypergradients" else "") for k, form in shown.items()
        ]
        accuracy = f"{own['accuracy']:.2f} ± {own['deviation']:.2f}"
        rows.append([dataset, method, accuracy, "" if method == "joint" else _verdict(m, dataset, own), *values])
    head = ["dataset", "method", "test accuracy", "joint less this", "validation loss"]
    text = table([*head, "trainings afforded", "hypergradients afforded", "regret", "rank"], rows)
    if "truth best" not in m:
        return text
    return f"{text}\n\nTruth on digits: best {m['truth best']:.2f}, median {m['truth median']:.2f} of {SPACE.size}."


def _verdict(metrics: dict[str, float], dataset: str, own: dict[str, float]) -> str:
    """What the test rows say of the joint search against this method."""
    if "gain" not in own:  # results of a version that kept no test rows
        return "not tested: no claim"
    rows = metrics[f"{dataset} test rows"]
    if rows < CLAIM_ROWS:
        return f"no claim on {rows:.0f} test rows"
    shown = "" if own["gain_low"] > 0 or own["gain_high"] < 0 else ": no difference shown"
    return f"{own['gain']:+.2f} ({own['gain_low']:+.2f} to {own['gain_high']:+.2f}){shown}"


def statement(results: Results) -> list[str]:
    """Architecture and hyperparameters together against Optuna's TPE."""
    m = results["joint_search"].metrics
    datasets = sorted(k.removesuffix(" joint accuracy") for k in m if k.endswith(" joint accuracy"))
    how = [_against_tpe(m, dataset) for dataset in datasets]
    trained = [statistics.mean(m[f"{d} {method} trained"] for d in datasets) for method in ("joint", "tpe")]
    return [
        f"Architecture and hyperparameters together by gradient are shown to be above Optuna's TPE in the same seconds on "
        f"{how.count('above')} of {len(datasets)} datasets, below it on {how.count('below')}. The gradient could afford "
        f"{trained[0]:.0f} trainings, TPE {trained[1]:.0f}."
    ]


def _against_tpe(metrics: dict[str, float], dataset: str) -> str:
    """By the interval of the difference; in older results, by the larger deviation over seeds."""
    low = metrics.get(f"{dataset} tpe gain_low")
    if low is not None:
        return "above" if low > 0 else "below" if metrics[f"{dataset} tpe gain_high"] < 0 else "level with"
    spread = max(metrics.get(f"{dataset} {method} deviation", 0.0) for method in ("joint", "tpe"))
    return against(metrics[f"{dataset} joint accuracy"], metrics[f"{dataset} tpe accuracy"], spread)


EXPERIMENT = harness.Experiment(
    "joint_search",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
    needs=lambda config: ["optuna"],  # one of the searches is Optuna's
)

if __name__ == "__main__":
    EXPERIMENT.exit()
