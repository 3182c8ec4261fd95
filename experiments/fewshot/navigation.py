"""Reinforcement learning with MAML: 2-D navigation (Finn et al. 2017, arXiv:1703.03400, section 5.3 and figure 4).

    python -m experiments.fewshot.navigation --preset quick --out runs/navigation

A point must reach a goal that it cannot see and that is drawn anew for each task. The reward is minus the squared distance,
for 100 steps. The policy (two layers of 100 units) takes policy-gradient steps of rate 0.1, then 0.05. The outer updates
are those of PPO, where the paper takes TRPO. As in the paper's figure, three other policies stand beside it: one that is
pre-trained on all goals and adapted by the same steps, one with random weights, and an oracle that is given the goal.
Preset ``paper`` has the paper's 500 iterations of 20 tasks.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import table
from experiments.harness.words import against, duration
from metajax import fewshot, nn, plot, run
from metajax.fewshot import navigation
from metajax.types import InputError, Key, stream


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. The defaults are the paper's, except those of PPO."""

    steps: int = 500
    """Outer updates."""
    tasks: int = 20
    """Goals of an outer update."""
    trajectories: int = 20
    """Trajectories of a goal before and after the inner step."""
    inner_rate: float = 0.1
    """Rate of the first policy-gradient step."""
    outer_rate: float = 1e-3
    """Learning rate of the outer updates."""
    epochs: int = 5
    """Epochs of PPO on the trajectories of an update."""
    clip: float = 0.2
    """Clipping range of PPO's ratio, between 0 and 1."""
    width: int = 100
    """Units of a layer."""
    test_goals: int = 100
    """Goals of the test."""
    test_steps: int = 3
    """Policy-gradient steps in the test."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "steps", "tasks", "trajectories", "epochs", "width", "test_goals", "test_steps")
        if not 0 < self.clip < 1:
            raise InputError(f"--clip must be between 0 and 1, got {self.clip}")


PRESETS = {"quick": {"steps": 200}, "paper": {}}
KINDS = ("maml", "pre-trained", "oracle")


def make(config: Config, kind: str, rate: float) -> tuple[Any, Callable[[Key], Any], fewshot.Method]:
    """Returns the policy, its initial parameters by key, and the method that trains it with gradient steps of a rate."""
    sees = kind == "oracle"
    sizes = (config.width, config.width)
    init, apply = nn.functional(lambda rngs: nn.MLP(4 if sees else 2, sizes, 2, rngs=rngs))

    def policy(params, position, goal):
        return apply(params, jnp.concatenate([position, goal], axis=-1) if sees else position)

    inner, outer = navigation.surrogate(policy), navigation.surrogate(policy, config.clip)
    descent, adam = optax.sgd(rate), optax.adam(config.outer_rate)
    method = fewshot.maml(inner, descent, adam, 1, query_loss=outer)
    if kind != "maml":  # what is judged has not learned; `adapt` stays, for the test
        judge = lambda hyper, learned, batch, key: outer(learned, batch, key)
        plain = fewshot.by_solution(lambda hyper, support, key: hyper, judge, adam)
        method = method._replace(init=plain.init, update=plain.update)
        if sees:
            method = method._replace(adapt=plain.adapt, train_steps=0)
    return policy, lambda key: {"mean": init(key), "log_std": jnp.zeros(2)}, method


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains the three policies, each in a directory below the run's, and tests them."""
    test_key = stream(jax.random.key(config.seed), "test")
    goals = navigation.goals(stream(test_key, "goals"), config.test_goals)
    returns: dict[str, np.ndarray] = {}
    seconds = 0.0
    for kind in KINDS:
        policy, init, method = make(config, kind, config.inner_rate)
        later = make(config, kind, config.inner_rate / 2)[2]  # the paper halves the rate after the first step
        keys = jax.random.split(stream(jax.random.key(config.seed), kind), 2)
        start = method.init(keys[0], init(keys[1]))
        # the other policies draw their "query" under the policy itself: what is adapted is what is judged
        adapted = method if kind == "maml" else method._replace(adapt=_unchanged)
        learner = navigation.reinforced(adapted, policy, config.trajectories, epochs=config.epochs)
        with run.RunDirectory(directory.path / kind, {**directory.config, "kind": kind}, resume=True) as subdirectory:
            sampler = lambda key: navigation.goals(key, config.tasks)
            state = run.train(learner, start, sampler, config.steps, subdirectory, chunk=20, label=kind)
            seconds += max(r["seconds"] for r in subdirectory.metrics())
        steps = [] if kind == "oracle" else [method] + [later] * (config.test_steps - 1)
        test = _tester(policy, steps, goals, stream(test_key, "trajectories"))
        by_step = test(state.hyper)
        returns[kind] = np.broadcast_to(by_step, (len(by_step), config.test_steps + 1))
        if kind == "maml":
            returns["random"] = test(init(keys[1]))
    protocol = f"mean return of 100 steps over {config.test_goals} goals, 40 trajectories each; PPO outside"
    return {"metrics": {"seconds": seconds, **summarized(config, returns)}, "protocol": protocol}


def _tester(policy: Any, steps: list[fewshot.Method], goals: jax.Array, key: Key) -> Callable[[Any], np.ndarray]:
    """Returns ``params -> returns [goals, steps]`` of a policy and the gradient steps that it takes."""
    compiled = jax.jit(lambda params: navigation.returns_by_step(steps, policy, params, goals, key))
    return lambda params: np.asarray(compiled(params))


def _unchanged(hyper: Any, support: Any, key: Key) -> Any:
    return jax.tree.map(lambda x: x[None], hyper)


def summarized(config: Config, returns: dict[str, np.ndarray]) -> dict[str, float]:
    """Returns the mean return of every policy after every step, with its 95% interval over goals."""
    metrics = {}
    for kind, values in returns.items():
        for step in range(config.test_steps + 1):
            name = f"{kind.replace('-', '_')}_after_{step}"
            metrics[name] = float(values[:, step].mean())
            metrics[f"{name}_interval"] = float(1.96 * values[:, step].std() / np.sqrt(config.test_goals))
    return metrics


def draw(config: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Draws the mean return by gradient step, with the 95% intervals over goals."""
    steps, metrics = range(config["test_steps"] + 1), result["metrics"]
    values = lambda kind, part: [metrics[f"{kind.replace('-', '_')}_after_{step}{part}"] for step in steps]
    kinds = ("maml", "random", "pre-trained", "oracle")
    curves = {kind: (steps, values(kind, ""), values(kind, "_interval")) for kind in kinds}
    figure = plot.curves(curves, "gradient steps", "mean return")
    figure.axes[0].set_xticks(steps)
    trained = [min(line) for kind, (_, line, _) in curves.items() if kind != "random"]
    figure.axes[0].set_ylim(bottom=2 * min(trained))  # random weights may leave the picture
    plot.save(figure, directory / "returns.png")


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """Returns by policy and gradient step."""
    m = result["metrics"]
    kinds = [name.removesuffix("_after_0") for name in m if name.endswith("_after_0")]
    steps = sorted(
        {int(name.split("_after_")[1]) for name in m if "_after_" in name and not name.endswith("_interval")}
    )
    cell = lambda kind, step: f"{m[f'{kind}_after_{step}']:.2f} ± {m[f'{kind}_after_{step}_interval']:.2f}"
    rows = [[kind.replace("_", "-"), *(cell(kind, step) for step in steps)] for kind in kinds]
    head = ["policy", *(f"return after {step} step{'s' * (step != 1)}" for step in steps)]
    return f"{table(head, rows)}\n\nTraining took {duration(m['seconds'])}."


def statement(results: Results) -> list[str]:
    """MAML against a pre-trained policy and the oracle."""
    m = results["navigation"].metrics
    margin = m["maml_after_3_interval"]
    return [
        f"In navigation to a new goal, MAML has a return of {m['maml_after_3']:.1f} after three steps: "
        f"{against(m['maml_after_3'], m['pre_trained_after_3'], margin)} a pre-trained policy "
        f"({m['pre_trained_after_3']:.1f}) and {against(m['maml_after_3'], m['oracle_after_0'], margin)} the oracle "
        f"({m['oracle_after_0']:.1f}). Training took {duration(m['seconds'])}."
    ]


EXPERIMENT = harness.Experiment(
    "navigation",
    __doc__,
    Config,
    train,
    presets=PRESETS,
    table=markdown,
    figures=("returns.png",),
    draw=draw,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
