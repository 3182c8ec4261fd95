"""Is MAML++ above MAML? Both are trained on Omniglot, on the same tasks, seeds and network.

    python -m experiments.fewshot.maml_versions --out runs/maml_versions
    python -m experiments.fewshot.maml_versions --preset cpu --out runs/maml_versions_cpu
    python -m experiments.fewshot.maml_versions --steps 3000 --width 16 --out runs/maml_versions   # the committed result

Every method and seed is a run of ``experiments.fewshot.omniglot`` in a folder of its own below ``--out``. With
``--resume``, a run that was stopped goes on, and finished ones are not repeated. With preset ``equal-tasks`` every method
sees 24,000 tasks with Conv-4 of 32 filters and stride 2; with preset ``cpu`` 128,000 tasks with 64 filters. MAML takes one
inner step of rate 0.4 (3 in the test). MAML++ takes the five of rate 0.1 of its authors, with learned rates, batch norm per
step and the multi-step loss in the first tenth of training. Everything else is the same for both.

The report has the test accuracies of every seed, the mean difference with its 95% interval over seeds (Student's t), and
the interval over test tasks. With 16 filters and 3,000 updates a run takes seven minutes on one core; expect 91.4 for MAML
and 93.0 for MAML++.

Published are 98.7 ± 0.4 for MAML and 99.47 for MAML++ (5-way 1-shot), with max-pooling, 64 filters, 400,000 tasks, and an
ensemble of five checkpoints.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from experiments import harness
from experiments.fewshot import classify, omniglot
from experiments.harness import Results
from experiments.harness.markdown import table
from experiments.harness.words import against
from metajax import run
from metajax.types import InputError

VERSIONS = ("maml", "maml++")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the comparison."""

    like: str = "equal-tasks"
    """The preset of ``experiments.fewshot.omniglot`` that every run takes."""
    ways: int = 5
    """Classes of a task."""
    shots: str = "1"
    """Examples of a class in the support."""
    seeds: int = 3
    """Runs of each method, at least 2."""
    steps: int | None = None
    """Outer updates in place of the preset's."""
    width: int | None = None
    """Filters of a layer in place of the preset's."""
    episodes: int = 600
    """Test tasks of a run, a multiple of 50."""

    def __post_init__(self):
        if self.like not in omniglot.PRESETS:
            raise InputError(f"--like {self.like}: accepted are {', '.join(omniglot.PRESETS)}")
        if self.seeds < 2:
            raise InputError(
                f"--seeds {self.seeds}: accepted is a whole number of at least 2, for an interval over seeds"
            )

    def one(self, method: str, seed: int) -> classify.Config:
        """Returns the settings of one run."""
        settings: dict[str, Any] = {"method": method, "ways": self.ways, "shots": self.shots}
        settings |= {"seed": seed, "episodes": self.episodes}
        settings |= {name: getattr(self, name) for name in ("steps", "width") if getattr(self, name) is not None}
        return classify.Config(**{**omniglot.preset(self.like, settings), **settings})


PRESETS = {"equal-tasks": {}, "cpu": {"like": "cpu"}, "paper": {"like": "paper"}}


def load(config: Config) -> dict[str, Any]:
    """The characters, which are the same for every run."""
    return classify.load(config.one(VERSIONS[0], 0))


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains what is not trained yet, and compares."""
    results: dict[str, list[dict[str, float]]] = {method: [] for method in VERSIONS}
    for seed in range(config.seeds):
        for method in VERSIONS:
            folder = directory.path / f"{method}_{seed}"
            if not (folder / "result.json").is_file():
                one = config.one(method, seed)
                with run.RunDirectory(folder, run.to_dict(one), resume=(folder / "config.json").is_file()) as inside:
                    print(f"{method}, seed {seed}: {classify.EXPERIMENT.execute(one, inside)['protocol']}")
            results[method].append(run.read_json(folder / "result.json")["metrics"])
    return {"metrics": compare(results), "seeds": results, "protocol": protocol(config)}


def compare(results: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Returns the mean accuracies, and the difference of MAML++ and MAML with intervals."""
    scores = {method: np.array([m["accuracy"] for m in runs]) for method, runs in results.items()}
    apart = scores["maml++"] - scores["maml"]
    over_tasks = sum(m["interval"] ** 2 for runs in results.values() for m in runs) ** 0.5 / len(apart)
    width = stats.t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    means = {f"{method}_accuracy": float(each.mean()) for method, each in scores.items()}
    minutes = {
        f"{method}_minutes": float(np.mean([m["seconds"] for m in runs]) / 60) for method, runs in results.items()
    }
    intervals = {"interval_over_seeds": float(width), "interval_over_tasks": float(over_tasks)}
    return {**means, "difference": float(apart.mean()), **intervals, **minutes}


def protocol(config: Config) -> str:
    """How the numbers came about."""
    one = config.one("maml++", 0)
    tasks = one.steps * (one.tasks or 1)
    return (
        f"{config.ways}-way {config.shots}-shot Omniglot, {config.seeds} seeds, {tasks} training tasks each, {config.episodes} "
        f"test tasks a run, Conv-4 of {one.width} filters; difference is MAML++ less MAML, in points, with 95% intervals"
    )


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """Seeds beside each other, and the verdict."""
    m = result["metrics"]
    names = list(result["seeds"])
    pairs = zip(*(result["seeds"][name] for name in names))
    rows = [
        [str(seed), *(f"{r['accuracy']:.2f} ± {r['interval']:.2f}" for r in each)] for seed, each in enumerate(pairs)
    ]
    low, high = m["difference"] - m["interval_over_seeds"], m["difference"] + m["interval_over_seeds"]
    verdict = "MAML++ is above MAML" if low > 0 else "MAML is above MAML++" if high < 0 else "no difference is shown"
    minutes = ", ".join(f"{name} {m[f'{name}_minutes']:.0f}" for name in names)
    return (
        f"{table(['seed', *names], rows)}\n\nMAML++ less MAML: {m['difference']:+.2f} points, 95% interval over seeds "
        f"{low:+.2f} to {high:+.2f} (over test tasks ± {m['interval_over_tasks']:.2f}): {verdict}. Minutes a run: {minutes}."
    )


def statement(results: Results) -> list[str]:
    """MAML++ beside MAML on the same tasks."""
    run = results["maml_versions"]
    m, width = run.metrics, run.metrics["interval_over_seeds"]
    how = against(m["maml++_accuracy"], m["maml_accuracy"], width)
    return [
        f"MAML++ (five inner steps) is {how} MAML (one) on the same tasks in {run.config['seeds']} seeds; the difference is "
        f"{m['difference']:+.2f} ± {width:.2f} points."
    ]


EXPERIMENT = harness.Experiment("maml_versions", __doc__, Config, train, load, PRESETS, markdown, statement=statement)

if __name__ == "__main__":
    EXPERIMENT.exit()
