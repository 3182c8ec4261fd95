"""Meta-steps of MAML on sinusoids against PyTorch: a small network, where a step costs everything but arithmetic.

    python -m experiments.benchmarks.sinusoid_steps --out runs/benchmarks/sinusoid

A 1-40-40-1 network with ReLU learns 25 tasks of 10 + 10 points with one inner step of rate 0.01, exact second order, and
Adam 1e-3 outside. A round is ``steps`` meta-steps on the same prepared tasks: one compiled scan here, a Python loop there.
The peers are ``loop`` (autograd, task after task), ``vmap`` (``torch.func`` over tasks) and ``torchopt`` (its
differentiable SGD, task after task, where it is installed). All programs begin at the same weights in every round, and
their losses over the steps are checked to be the same.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from experiments import harness
from experiments.benchmarks import compare, pytorch
from metajax import fewshot, nn

RATE, OUTER = 0.01, 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the tasks and of a round."""

    tasks: int = 25
    """Tasks of a meta-step."""
    shots: int = 10
    """Points of a wave in the support, and as many queries."""
    steps: int = 100
    """Meta-steps of a round."""
    rounds: int = 9
    """Rounds, in which all programs run in turn."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "tasks", "shots", "steps", "rounds")


PRESETS = {"paper": {}, "tiny": {"steps": 5, "rounds": 1}}


def ours(config: Config) -> tuple[fewshot.Method, Any, fewshot.Episode]:
    """Returns the method, its first state, and the tasks of every meta-step."""
    init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
    method = fewshot.maml(fewshot.squared_error(apply), optax.sgd(RATE), optax.adam(OUTER))
    first, draw = jax.random.split(jax.random.key(config.seed))
    sample = fewshot.episodes.tasks(fewshot.episodes.sinusoid(config.shots, config.shots), config.tasks)
    return method, method.init(first, init(first)), jax.jit(jax.vmap(sample))(jax.random.split(draw, config.steps))


class Peers:
    """The same training in PyTorch. The programs return their losses."""

    def __init__(self, config: Config, params: Any, episodes: fewshot.Episode):
        self.torch, self.config = pytorch.load(), config
        layers = [params["layers"][i] for i in sorted(params["layers"])]
        self.initial = [
            np.asarray(a) for layer in layers for a in (np.asarray(layer["kernel"]).T.copy(), layer["bias"])
        ]
        tensor = lambda x: self.torch.tensor(np.asarray(x))
        self.episodes = jax.tree.map(tensor, (*episodes.support, *episodes.query))

    def loss(self, w: Any, x: Any, y: Any) -> Any:
        f = self.torch.nn.functional
        for i in (0, 2):
            x = f.relu(f.linear(x, w[i], w[i + 1]))
        return ((f.linear(x, w[4], w[5]) - y) ** 2).mean()

    def run(self, step: Callable[[list[Any], Any], Any]) -> Callable[[], np.ndarray]:
        """A round; ``step(weights, episodes)`` leaves the gradient and returns the loss."""

        def program():
            weights = [self.torch.tensor(w, requires_grad=True) for w in self.initial]
            adam, losses = self.torch.optim.Adam(weights, OUTER), []
            for i in range(self.config.steps):
                adam.zero_grad()
                losses.append(step(weights, [e[i] for e in self.episodes]).detach())
                adam.step()
            return np.array([float(x) for x in losses])

        return program

    def loop(self, weights: list[Any], episodes: Any) -> Any:
        total = 0.0
        for sx, sy, qx, qy in zip(*episodes):
            grads = self.torch.autograd.grad(self.loss(weights, sx, sy), weights, create_graph=True)
            judged = self.loss([w - RATE * g for w, g in zip(weights, grads)], qx, qy) / self.config.tasks
            judged.backward()
            total = total + judged.detach()
        return total

    def vmap(self, weights: list[Any], episodes: Any) -> Any:
        func = self.torch.func

        def task(weights, sx, sy, qx, qy):
            grads = func.grad(self.loss)(weights, sx, sy)
            return self.loss([w - RATE * g for w, g in zip(weights, grads)], qx, qy)

        mean = lambda weights: self.torch.vmap(task, (None, 0, 0, 0, 0))(weights, *episodes).mean()
        grads, value = func.grad_and_value(mean)([w.detach() for w in weights])
        for w, g in zip(weights, grads):
            w.grad = g
        return value

    def torchopt(self) -> Callable[[list[Any], Any], Any] | None:
        try:
            import torchopt
        except ImportError:
            return None

        def step(weights, episodes):
            total, descent = 0.0, torchopt.sgd(RATE)
            for sx, sy, qx, qy in zip(*episodes):
                grads = self.torch.autograd.grad(self.loss(weights, sx, sy), weights, create_graph=True)
                updates, _ = descent.update(grads, descent.init(weights), inplace=False)
                judged = self.loss(torchopt.apply_updates(tuple(weights), updates, inplace=False), qx, qy)
                (judged / self.config.tasks).backward()
                total = total + judged.detach() / self.config.tasks
            return total

        return step

    def programs(self) -> dict[str, Callable[[], np.ndarray]]:
        steps = {"loop": self.loop, "vmap": self.vmap} | ({"torchopt": t} if (t := self.torchopt()) else {})
        return {name: self.run(step) for name, step in steps.items()}


def measure(config: Config) -> compare.Measured:
    """Measures all programs in turn."""
    method, state, episodes = ours(config)
    train = jax.jit(lambda state, episodes: jax.lax.scan(method.update, state, episodes))
    peers = Peers(config, state.hyper, episodes).programs()
    losses = np.asarray(train(state, episodes)[1]["outer_loss"])
    differences = {f"difference to {name}": compare.difference(losses, peer()) for name, peer in peers.items()}
    compare.check_difference(max(differences.values()), 1e-3, "sinusoid")
    seconds = compare.alternate({"metajax": compare.ready(train, state, episodes), **peers}, config.rounds)
    seconds = {name: values / config.steps for name, values in seconds.items()}
    fastest, ratios = compare.against(seconds)
    label = f"sinusoid MAML, {config.tasks} tasks: times faster than the fastest of PyTorch"
    protocol = f"{config.rounds} rounds of {config.steps} meta-steps in turn; ms a meta-step"
    claims = [compare.claim(label, 20.0, ratios, note=f"against {fastest}")]
    return compare.Measured(compare.times(seconds) | differences, claims, protocol)


EXPERIMENT = compare.benchmark("sinusoid_steps", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
