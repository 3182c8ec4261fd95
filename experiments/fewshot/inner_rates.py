"""Which inner rate MAML should take in a short training on Omniglot, by validation tasks alone.

    python -m experiments.fewshot.inner_rates --out runs/inner_rates
    python -m experiments.fewshot.inner_rates --ways 20 --out runs/inner_rates_20

MAML's published rates are 2.0 on a loss that is the mean over the support (``experiments/fewshot/_published_settings.py``).
They were chosen for 60,000 steps. This experiment trains on a few thousand tasks with each of several rates and scores
every one on tasks of the validation characters. Test characters are never used. Presets ``quick`` and ``cpu`` take 0.4 on 5
ways and 0.1 on 20.
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
        wrong = [name for name in ("ways", "steps", "tasks", "width") if getattr(self, name) < 1]
        if wrong:
            raise InputError(f"--{wrong[0]} {getattr(self, wrong[0])}: accepted is a positive whole number")
        if self.episodes % 50 or self.episodes < 50:
            raise InputError(f"--episodes {self.episodes}: accepted are positive multiples of 50")
        self.each()

    def each(self) -> tuple[float, ...]:
        """Returns the rates as numbers."""
        try:
            return tuple(float(part) for part in self.rates.split(","))
        except ValueError:
            raise InputError(f"--rates {self.rates}: accepted are numbers separated by commas") from None

    def one(self, rate: float) -> classify.Config:
        """Returns the settings of one training."""
        settings: dict[str, Any] = {"method": "maml", "ways": self.ways, "shots": self.shots, "seed": self.seed}
        settings |= {"steps": self.steps, "tasks": self.tasks, "width": self.width, "inner_rate": rate}
        return classify.Config(**{**omniglot.preset("cpu", settings), **settings})


def validate(config: Config, rate: float) -> fewshot.Report:
    """Trains with one rate, and returns the report on validation tasks."""
    one = config.one(rate)
    parts, _ = classify.prepare(one)
    keys = jax.random.split(jax.random.key(one.seed), 3)
    method = classify.build(one, parts, one.steps)
    sampler = fewshot.episodes.tasks(classify.episodes(one, parts.train, "training", train=True), one.tasks or 1)
    start = method.init(keys[0], method.init_params(keys[1]))
    state = run.train(method.learner, start, sampler, one.steps, chunk=classify.CHUNK, label=f"rate {rate}")
    validation = classify.episodes(one, parts.validation, "validation")
    return fewshot.evaluate(method, state.hyper, validation, "accuracy", keys[2], config.episodes, one.batch_norm)


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Validates every rate and chooses one."""
    metrics: dict[str, float] = {}
    for rate in config.each():
        report = validate(config, rate)
        print(f"rate {rate}: {report}")
        metrics |= {
            f"validation_{rate}": 100 * float(report.mean[-1]),
            f"interval_{rate}": 100 * float(report.interval[-1]),
        }
    metrics["chosen_rate"] = max(config.each(), key=lambda rate: metrics[f"validation_{rate}"])
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
