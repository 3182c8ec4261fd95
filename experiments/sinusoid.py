"""Sinusoid regression with MAML (Finn et al. 2017, arXiv:1703.03400, section 5.1 and figure 2).

Sine waves of amplitude [0.1, 5] and phase [0, π]; a 1-40-40-1 network adapts to 10 points of one by gradient descent.

    python -m experiments.sinusoid --preset quick --out runs/sinusoid

Preset ``paper`` is the paper's: 1 inner step of rate 0.01, 25 tasks, Adam 1e-3, 70,000 iterations. Preset ``quick`` takes
5 inner steps, which suits a test after 10 steps better.
"""

import dataclasses
import sys

import jax
import numpy as np
import optax

from metajax import fewshot, nn, plot, run
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings; the defaults are the paper's."""

    shots: int = 10
    queries: int = 10
    inner_steps: int = 1
    inner_rate: float = 0.01
    test_steps: int = 10
    tasks: int = 25
    outer_rate: float = 1e-3
    cosine: bool = False
    steps: int = 70_000
    episodes: int = 600
    test_queries: int = 100
    seed: int = 0

    def __post_init__(self):
        if min(self.shots, self.queries, self.inner_steps, self.tasks, self.steps, self.test_steps) < 1:
            raise InputError("shots, queries, inner_steps, tasks, steps and test_steps must be positive")
        if self.episodes % 50:
            raise InputError(f"episodes={self.episodes} must be a multiple of 50")


PRESETS = {"quick": {"inner_steps": 5, "steps": 40_000, "cosine": True}, "paper": {}}


def make(config: Config):
    """The model's init, the task loss, the inner optimizer and the learner."""
    init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
    loss, inner = fewshot.squared_error(apply), optax.sgd(config.inner_rate)
    rate = optax.cosine_decay_schedule(config.outer_rate, config.steps) if config.cosine else config.outer_rate
    return init, apply, loss, inner, fewshot.maml(loss, inner, optax.adam(rate), config.inner_steps)


def train(config: Config, directory: run.RunDirectory, show: bool = True):
    """Trains, tests on ``episodes`` tasks, writes the figure and the result; returns the report."""
    init, apply, loss, inner, learner = make(config)
    state_key, init_key, test_key, figure_key = jax.random.split(jax.random.key(config.seed), 4)
    sampler = fewshot.tasks(fewshot.sinusoid(config.shots, config.queries), config.tasks)
    state = learner.init(state_key, init(init_key))
    state = run.train(learner, state, sampler, config.steps, directory, chunk=1000, label="sinusoid", show=show)

    adapt = fewshot.adapt(loss, inner, config.test_steps)
    test = fewshot.sinusoid(config.shots, config.test_queries)
    report = fewshot.evaluate(adapt, loss, state.hyper, test, "mse", test_key, config.episodes)
    figure(config, apply, adapt, state.hyper, figure_key, directory)
    mean, interval = report.mean[-1], report.interval[-1]
    directory.finish(
        {
            "metrics": {
                "mse": float(mean),
                "interval": float(interval),
                "mse_after_0": float(report.mean[0]),
                "mse_after_1": float(report.mean[1]),
                "seconds": max(r["seconds"] for r in directory.metrics()),
            },
            "curve": report.mean.tolist(),
            "protocol": str(report),
        }
    )
    return report


def figure(config: Config, apply, adapt, params, key, directory: run.RunDirectory) -> None:
    """Three new waves, and the network after 0, 1 and all adaptation steps."""
    sample, grid = fewshot.sinusoid(config.shots, 200), np.linspace(-5, 5, 200)[:, None].astype(np.float32)
    panels = []
    for i in range(3):
        episode = sample(jax.random.fold_in(key, i))
        path = adapt(params, episode.support, key)
        curves = {
            f"{n} steps": np.asarray(apply(jax.tree.map(lambda x, n=n: x[n], path), grid))[:, 0]
            for n in sorted({0, 1, config.test_steps})
        }
        order = np.argsort(np.asarray(episode.query[0])[:, 0])
        truth = (np.asarray(episode.query[0])[order, 0], np.asarray(episode.query[1])[order, 0])
        support = (np.asarray(episode.support[0])[:, 0], np.asarray(episode.support[1])[:, 0])
        panels.append((grid[:, 0], curves, truth, support))
    plot.save(plot.adaptation(panels), directory.path / "adaptation.png")


def main(argv=None) -> int:
    config, options = run.parse(Config, PRESETS, argv, __doc__, "sinusoid", "runs/sinusoid")

    def command():
        with run.RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
            print(train(config, directory))
            print(f"written to {directory.path}: result.json, adaptation.png")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
