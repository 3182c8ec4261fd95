"""Which inner rate MAML should take in a short training on Omniglot, by validation tasks alone.

    python -m experiments.fewshot.inner_rates --out runs/inner_rates
    python -m experiments.fewshot.inner_rates --ways 20 --out runs/inner_rates_20

MAML's published rates are 2.0 on a loss that is the mean over the support (``experiments/fewshot/_published_settings.py``).
They were chosen for 60,000 steps. This experiment trains on a few thousand tasks with each of several rates and scores
every one on tasks of the validation characters. Test characters are never used. Presets ``quick`` and ``cpu`` take 0.4.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from experiments import harness
from experiments.fewshot import classify, omniglot
from experiments.harness.markdown import table
from metajax import fewshot, run
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the comparison."""

    rates: str = "0.1,0.4,1,2"
    """Inner rates, separated by commas."""
    ways: int = 5
    """Classes of a task."""
    shots: str = "1"
    """Examples of a class in the support."""
    steps: int = 500
    """Outer updates of a training."""
    tasks: int = 8
    """Tasks of an outer update."""
    width: int = 32
    """Filters of a layer."""
    episodes: int = 400
    """Validation tasks, a multiple of 50."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "ways", "steps", "tasks", "width")
        if self.episodes % 50 or self.episodes < 50:
            raise InputError(f"--episodes must be a positive multiple of 50, got {self.episodes}")
        self.as_numbers()

    def as_numbers(self) -> tuple[float, ...]:
        """Returns the rates as numbers."""
        try:
            return tuple(float(part) for part in self.rates.split(","))
        except ValueError:
            raise InputError(f"--rates must be numbers separated by commas, got {self.rates}") from None

    def of_rate(self, rate: float) -> classify.Config:
        """Returns the settings of one training."""
        settings: dict[str, Any] = {"method": "maml", "ways": self.ways, "shots": self.shots, "seed": self.seed}
        settings |= {"steps": self.steps, "tasks": self.tasks, "width": self.width, "inner_rate": rate}
        return classify.Config(**{**omniglot.preset("cpu", settings), **settings})


def validate(config: Config, rate: float) -> fewshot.Report:
    """Trains with one rate, and returns the report on validation tasks."""
    settings = config.of_rate(rate)
    parts, _ = classify.prepare(settings)
    keys = jax.random.split(jax.random.key(settings.seed), 3)
    method = classify.build(settings, parts, settings.steps)
    sampler = fewshot.episodes.tasks(
        classify.episodes(settings, parts.train, "training", train=True), settings.tasks or 1
    )
    start = method.init(keys[0], method.init_params(keys[1]))
    state = run.train(method.learner, start, sampler, settings.steps, chunk=classify.CHUNK, label=f"rate {rate}")
    validation = classify.episodes(settings, parts.validation, "validation")
    return fewshot.evaluate(method, state.hyper, validation, "accuracy", keys[2], config.episodes, settings.batch_norm)


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Validates every rate and chooses one."""
    metrics: dict[str, float] = {}
    for rate in config.as_numbers():
        report = validate(config, rate)
        print(f"rate {rate}: {report}")
        metrics |= {
            f"validation_{rate}": 100 * float(report.mean[-1]),
            f"interval_{rate}": 100 * float(report.interval[-1]),
        }
    metrics["chosen_rate"] = max(config.as_numbers(), key=lambda rate: metrics[f"validation_{rate}"])
    protocol = (
        f"{config.ways}-way {config.shots}-shot, {config.episodes} tasks of validation characters after {config.steps} steps "
        f"with {config.tasks} tasks each"
    )
    return {"metrics": metrics, "protocol": protocol}


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """Validation accuracy by rate."""
    m = result["metrics"]
    rates = [name.removeprefix("validation_") for name in m if name.startswith("validation_")]
    rows = [[rate, f"{m[f'validation_{rate}']:.2f} ± {m[f'interval_{rate}']:.2f}"] for rate in rates]
    return (
        f"{table(['inner rate', 'validation accuracy, %'], rows)}\n\nChosen: {m['chosen_rate']}. {result['protocol']}."
    )


EXPERIMENT = harness.Experiment("inner_rates", __doc__, Config, train, table=markdown)

if __name__ == "__main__":
    EXPERIMENT.exit()
