"""Reinforcement learning with MAML: 2-D navigation (Finn et al. 2017, arXiv:1703.03400, section 5.3 and figure 4).

    python -m experiments.fewshot.navigation --preset quick --out runs/navigation

A point must reach a goal that it cannot see, drawn anew for each task; reward is minus the squared distance, 100 steps. The
policy (two layers of 100) takes policy-gradient steps of rate 0.1, then 0.05; outside, PPO (the paper takes TRPO). Beside
it, as in the paper's figure: a policy pre-trained on all goals and adapted by the same steps, one with random weights, and
an oracle that is given the goal. Preset ``paper`` has the paper's 500 iterations of 20 tasks.
"""

import dataclasses
from collections.abc import Mapping
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
from metajax.types import InputError, stream


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings; the defaults are the paper's where PPO leaves them."""

    steps: int = 500
    tasks: int = 20
    trajectories: int = 20
    inner_rate: float = 0.1
    outer_rate: float = 1e-3
    epochs: int = 5
    clip: float = 0.2
    width: int = 100
    test_goals: int = 100
    test_steps: int = 3
    seed: int = 0

    def __post_init__(self):
        whole = ("steps", "tasks", "trajectories", "epochs", "width", "test_goals", "test_steps")
        bad = [n for n in whole if getattr(self, n) < 1]
        if bad:
            raise InputError(f"--{bad[0]} {getattr(self, bad[0])}: accepted is a positive whole number")
        if not 0 < self.clip < 1:
            raise InputError(f"--clip {self.clip}: accepted are numbers between 0 and 1")


PRESETS = {"quick": {"steps": 200}, "paper": {}}
KINDS = ("maml", "pre-trained", "oracle")


def make(config: Config, kind: str, rate: float):
    """The policy, its initial parameters by key, and the method that trains it; ``rate`` is that of a gradient step."""
    sees = kind == "oracle"
    sizes = (config.width, config.width)
    init, apply = nn.functional(lambda rngs: nn.MLP(4 if sees else 2, sizes, 2, rngs=rngs))

    def policy(params, position, goal):
        return apply(params, jnp.concatenate([position, goal], axis=-1) if sees else position)

    inner, outer = navigation.surrogate(policy), navigation.surrogate(policy, config.clip)
    descent, adam = optax.sgd(rate), optax.adam(config.outer_rate)
    method = fewshot.maml(inner, descent, adam, 1, query_loss=outer)
    if kind != "maml":  # the same, but what is judged has not learned; `adapt` stays, for the test
        judge = lambda hyper, learned, batch, key: outer(learned, batch, key)
        plain = fewshot.by_solution(lambda hyper, support, key: hyper, judge, adam)
        method = method._replace(init=plain.init, update=plain.update)
        if sees:
            method = method._replace(adapt=plain.adapt, train_steps=0)
    return policy, lambda key: {"mean": init(key), "log_std": jnp.zeros(2)}, method


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains the three policies, each in a directory below the run's, and tests them."""
    found: dict[str, np.ndarray] = {}
    test_key = stream(jax.random.key(config.seed), "test")
    goals = navigation.goals(test_key, config.test_goals)
    seconds = 0.0
    for kind in KINDS:
        policy, init, method = make(config, kind, config.inner_rate)
        later = make(config, kind, config.inner_rate / 2)[2]  # the paper's halved rate after the first step
        keys = jax.random.split(stream(jax.random.key(config.seed), kind), 2)
        state = method.init(keys[0], init(keys[1]))
        learner = navigation.reinforced(
            # the others draw their "query" under the policy itself: what is adapted is what is judged
            method if kind == "maml" else method._replace(adapt=_unchanged),
            policy,
            config.trajectories,
            epochs=config.epochs,
        )
        with run.RunDirectory(directory.path / kind, {**directory.config, "kind": kind}, resume=True) as inside:
            sampler = lambda key: navigation.goals(key, config.tasks)
            done = run.train(learner, state, sampler, config.steps, inside, chunk=20, label=kind)
            seconds += max(r["seconds"] for r in inside.metrics())
        steps = [] if kind == "oracle" else [method] + [later] * (config.test_steps - 1)
        scored = jax.jit(
            lambda p, policy=policy, steps=steps: navigation.returns_by_step(steps, policy, p, goals, test_key)
        )
        returns = np.asarray(scored(done.hyper))
        found[kind] = np.broadcast_to(returns, (len(returns), config.test_steps + 1))
        if kind == "maml":
            found["random"] = np.asarray(scored(init(keys[1])))
    metrics = {"seconds": seconds}
    for kind, returns in found.items():
        for step in range(config.test_steps + 1):
            name = f"{kind.replace('-', '_')}_after_{step}"
            metrics[name] = float(returns[:, step].mean())
            metrics[f"{name}_interval"] = float(1.96 * returns[:, step].std() / np.sqrt(config.test_goals))
    steps = np.arange(config.test_steps + 1)
    drawn = {k: (steps, r.mean(axis=0), 1.96 * r.std(axis=0) / np.sqrt(len(r))) for k, r in found.items()}
    figure = plot.curves(drawn, "gradient steps", "mean return")
    trained = [line.min() for kind, (_, line, _) in drawn.items() if kind != "random"]
    figure.axes[0].set_ylim(bottom=2 * min(trained))  # random weights may leave the picture
    plot.save(figure, directory.path / "returns.png")
    protocol = f"mean return of 100 steps over {config.test_goals} goals, 40 trajectories each; PPO outside"
    return {"metrics": metrics, "protocol": protocol}


def _unchanged(hyper, support, key):
    return jax.tree.map(lambda x: x[None], hyper)


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """Returns by policy and gradient step."""
    m = result["metrics"]
    kinds = [name.removesuffix("_after_0") for name in m if name.endswith("_after_0")]
    steps = sorted(
        {int(name.split("_after_")[1]) for name in m if "_after_" in name and not name.endswith("_interval")}
    )
    cell = lambda kind, step: f"{m[f'{kind}_after_{step}']:.2f} ± {m[f'{kind}_after_{step}_interval']:.2f}"
    rows = [[kind.replace("_", "-"), *(cell(kind, step) for step in steps)] for kind in kinds]
    return table(["policy", *(f"return after {step} steps" for step in steps)], rows)


def statement(results: Results) -> list[str]:
    """MAML against a pre-trained policy and the oracle."""
    m = results["navigation"].metrics
    margin = m["maml_after_3_interval"]
    return [
        f"In navigation to a new goal, MAML has a return of {m['maml_after_3']:.1f} after three steps: "
        f"{against(m['maml_after_3'], m['pre_trained_after_3'], margin)} a pre-trained policy "
        f"({m['pre_trained_after_3']:.1f}) and {against(m['maml_after_3'], m['oracle_after_0'], margin)} the oracle, which "
        f"sees the goal ({m['oracle_after_0']:.1f}). Training took {duration(m['seconds'])}."
    ]


EXPERIMENT = harness.Experiment(
    "navigation",
    __doc__,
    Config,
    train,
    presets=PRESETS,
    table=markdown,
    figures=("returns.png",),
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
