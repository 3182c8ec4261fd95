"""Omniglot few-shot classification with MAML (Finn et al. 2017, arXiv:1703.03400, table 1).

Four 3x3 convolutions of 64 filters with stride 2, transductive batch norm; 1100/100/423 characters for training,
validation and test, rotations as new classes; sampled and rotated on the device.

    python -m experiments.omniglot --preset quick --out runs/omniglot

Preset ``paper`` is the paper's 5-way 1-shot: 1 inner step of rate 0.4 in training, 3 in evaluation, 32 tasks, Adam 1e-3,
60,000 iterations, published 98.7 ± 0.4.
"""

import dataclasses
import sys

import jax
import optax

from metajax import data, fewshot, nn, run
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings; the defaults are the paper's for 5-way 1-shot."""

    ways: int = 5
    shots: int = 1
    queries: int = 15
    inner_steps: int = 1
    test_steps: int = 3
    inner_rate: float = 0.4
    tasks: int = 32
    chunk: int = 1
    outer_rate: float = 1e-3
    cosine: bool = False
    steps: int = 60_000
    episodes: int = 600
    evaluate_every: int = 2000
    width: int = 64
    seed: int = 0

    def __post_init__(self):
        if min(self.ways, self.shots, self.queries, self.inner_steps, self.test_steps, self.tasks, self.steps) < 1:
            raise InputError("ways, shots, queries, inner_steps, test_steps, tasks and steps must be positive")
        if self.tasks % self.chunk:
            raise InputError(f"tasks={self.tasks} must be a multiple of chunk={self.chunk}")
        if self.episodes % 50 or self.evaluate_every % CHUNK:
            raise InputError(f"episodes must be a multiple of 50, evaluate_every of {CHUNK}")


CHUNK = 50
PRESETS = {
    "quick": {"queries": 5, "tasks": 16, "outer_rate": 2e-3, "cosine": True, "steps": 2500, "evaluate_every": 500},
    "paper": {},
}


def make(config: Config):
    """The model's init, the task loss, the inner optimizer and the learner."""
    init, apply = nn.functional(lambda rngs: nn.Conv4(config.ways, width=config.width, rngs=rngs))
    loss, inner = fewshot.cross_entropy(apply), optax.sgd(config.inner_rate)
    rate = optax.cosine_decay_schedule(config.outer_rate, config.steps) if config.cosine else config.outer_rate
    learner = fewshot.maml(loss, inner, optax.adam(rate), config.inner_steps, chunk=config.chunk)
    return init, loss, inner, learner


def train(config: Config, directory: run.RunDirectory, show: bool = True):
    """Trains, chooses nothing on test classes, tests on ``episodes`` tasks; returns the report."""
    parts = data.omniglot(config.seed)
    init, loss, inner, learner = make(config)
    state_key, init_key, validation_key, test_key = jax.random.split(jax.random.key(config.seed), 4)
    episodes = lambda images, queries: fewshot.classes(images, config.ways, config.shots, queries, rotations=True)
    sampler = fewshot.tasks(episodes(parts.train, config.queries), config.tasks)
    adapt = fewshot.adapt(loss, inner, config.test_steps)

    def score(params, images, key, n):
        sample = episodes(images, 15)
        return fewshot.evaluate(adapt, loss, params, sample, "accuracy", key, n, "transductive", chunk=10)

    def validate(state):
        return {"validation_accuracy": float(score(state.hyper, parts.validation, validation_key, 200).mean[-1])}

    state = learner.init(state_key, init(init_key))
    state = run.train(
        learner,
        state,
        sampler,
        config.steps,
        directory,
        chunk=CHUNK,
        evaluate=validate,
        evaluate_every=config.evaluate_every,
        best="validation_accuracy",
        label="omniglot",
        show=show,
    )
    state = run.load(state, directory.path, best=("validation_accuracy", True))
    report = score(state.hyper, parts.test, test_key, config.episodes)
    directory.finish(
        {
            "metrics": {
                "accuracy": 100 * float(report.mean[-1]),
                "interval": 100 * float(report.interval[-1]),
                "best_step": int(state.step),
                "seconds": max(r["seconds"] for r in directory.metrics()),
            },
            "curve": report.mean.tolist(),
            "protocol": str(report),
        }
    )
    return report


def main(argv=None) -> int:
    config, options = run.parse(Config, PRESETS, argv, __doc__, "omniglot", "runs/omniglot")

    def command():
        data.omniglot(config.seed)  # before anything is written
        with run.RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
            print(train(config, directory))
            print(f"written to {directory.path}: result.json")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
