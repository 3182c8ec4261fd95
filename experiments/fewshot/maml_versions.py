"""Is MAML++ above MAML? They are trained on Omniglot, on the same tasks, seeds and network.

    python -m experiments.fewshot.maml_versions --out runs/maml_versions
    python -m experiments.fewshot.maml_versions --preset cpu --out runs/maml_versions_cpu
    python -m experiments.fewshot.maml_versions --steps 3000 --width 16 --out runs/maml_versions   # the committed result

Every method and seed is a run of ``experiments.fewshot.omniglot`` in a folder of its own below ``--out``. With
``--resume``, a run that was stopped goes on, and finished ones are not repeated. With preset ``equal-tasks`` every method
sees 24,000 tasks with Conv-4 of 32 filters and stride 2; with preset ``cpu`` 128,000 tasks with 64 filters. MAML takes one
inner step of rate 0.4 (3 in the test). MAML++ takes the five of rate 0.1 of its authors, with learned rates, batch norm per
step and the multi-step loss in the first tenth of training. The control ``maml-5`` is MAML with five inner steps of rate
0.1 in training and test: it tells what the steps alone are worth. Everything else is the same for all.

The report has the test accuracies of every seed, the mean difference of MAML++ to each with its 95% interval over seeds
(Student's t), and the interval over test tasks. With 16 filters and 3,000 updates a run takes two to four minutes on one
core.

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

VERSIONS: dict[str, dict[str, Any]] = {
    "maml": {"method": "maml"},
    "maml-5": {"method": "maml", "inner_steps": 5, "test_steps": 5, "inner_rate": 0.1},
    "maml++": {"method": "maml++"},
}
"""Settings of every method by its name in the table; ``maml-5`` is the control with as many inner steps as MAML++."""


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
            raise InputError(f"--like must be one of {', '.join(omniglot.PRESETS)}, got {self.like}")
        harness.check_at_least(self, 2, "seeds")  # for an interval over seeds

    def of_run(self, version: str, seed: int) -> classify.Config:
        """Returns the settings of one run."""
        settings: dict[str, Any] = {**VERSIONS[version], "ways": self.ways, "shots": self.shots}
        settings |= {"seed": seed, "episodes": self.episodes}
        settings |= {name: getattr(self, name) for name in ("steps", "width") if getattr(self, name) is not None}
        return classify.Config(**{**omniglot.preset(self.like, settings), **settings})


PRESETS = {"equal-tasks": {}, "cpu": {"like": "cpu"}, "paper": {"like": "paper"}}


def load(config: Config) -> dict[str, Any]:
    """The characters, which are the same for every run."""
    return classify.load(config.of_run("maml", 0))


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains what is not trained yet, and compares."""
    results: dict[str, list[dict[str, float]]] = {version: [] for version in VERSIONS}
    for seed in range(config.seeds):
        for version in VERSIONS:
            folder = directory.path / f"{version}_{seed}"
            if not (folder / "result.json").is_file():
                settings = config.of_run(version, seed)
                is_begun = (folder / "config.json").is_file()
                with run.RunDirectory(folder, run.to_dict(settings), resume=is_begun) as inside:
                    print(f"{version}, seed {seed}: {classify.EXPERIMENT.execute(settings, inside)['protocol']}")
            results[version].append(run.read_json(folder / "result.json")["metrics"])
    return {"metrics": compare(results), "seeds": results, "protocol": protocol(config)}


def compare(results: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Returns the mean accuracies and minutes, and the differences of MAML++ to the others with their intervals."""
    metrics = {}
    for version, runs in results.items():
        metrics[f"{version}_accuracy"] = float(np.mean([m["accuracy"] for m in runs]))
        metrics[f"{version}_minutes"] = float(np.mean([m["seconds"] for m in runs]) / 60)
        if version != "maml++":
            for name, value in difference(results["maml++"], runs).items():
                metrics[f"{name}_to_{version}"] = value
    return metrics


def difference(runs: list[dict[str, float]], others: list[dict[str, float]]) -> dict[str, float]:
    """Returns the mean difference of accuracies over seeds, with 95% intervals over seeds and over test tasks."""
    differences = np.array([m["accuracy"] - other["accuracy"] for m, other in zip(runs, others)])
    n = len(differences)
    return {
        "difference": float(differences.mean()),
        "interval_over_seeds": float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)),
        "interval_over_tasks": float(sum(m["interval"] ** 2 for m in [*runs, *others]) ** 0.5 / n),
    }


def protocol(config: Config) -> str:
    """How the numbers came about."""
    settings = config.of_run("maml++", 0)
    n_tasks = settings.steps * (settings.tasks or 1)
    return (
        f"{config.ways}-way {config.shots}-shot Omniglot, {config.seeds} seeds, {n_tasks} training tasks each, "
        f"{config.episodes} test tasks a run, Conv-4 of {settings.width} filters; intervals are of 95%"
    )


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """Seeds beside each other, and the verdicts."""
    m, versions = result["metrics"], list(result["seeds"])
    rows = [
        [str(seed), *(f"{one['accuracy']:.2f} ± {one['interval']:.2f}" for one in runs)]
        for seed, runs in enumerate(zip(*result["seeds"].values()))
    ]
    verdicts = [verdict(m, version) for version in versions if version != "maml++"]
    minutes = ", ".join(f"{version} {m[f'{version}_minutes']:.0f}" for version in versions)
    return f"{table(['seed', *versions], rows)}\n\n{' '.join(verdicts)} Minutes a run: {minutes}."


def verdict(m: Mapping[str, float], version: str) -> str:
    """Returns the difference of MAML++ to another version in words."""
    middle, width = m[f"difference_to_{version}"], m[f"interval_over_seeds_to_{version}"]
    low, high = middle - width, middle + width
    shown = (
        f"MAML++ is above {version}"
        if low > 0
        else f"{version} is above MAML++"
        if high < 0
        else "no difference is shown"
    )
    return (
        f"MAML++ less {version}: {middle:+.2f} points, 95% interval over seeds {low:+.2f} to {high:+.2f} (over test tasks ± "
        f"{m[f'interval_over_tasks_to_{version}']:.2f}): {shown}."
    )


def statement(results: Results) -> list[str]:
    """MAML++ beside MAML on the same tasks."""
    run = results["maml_versions"]
    m = run.metrics
    parts = []
    for version, steps in (("maml", "one inner step"), ("maml-5", "five")):
        middle, width = m[f"difference_to_{version}"], m[f"interval_over_seeds_to_{version}"]
        parts.append(f"{against(middle, 0.0, width)} MAML with {steps} ({middle:+.2f} ± {width:.2f})")
    return [f"MAML++ is {' and '.join(parts)} over {run.config['seeds']} seeds."]


EXPERIMENT = harness.Experiment("maml_versions", __doc__, Config, train, load, PRESETS, markdown, statement=statement)

if __name__ == "__main__":
    EXPERIMENT.exit()
