"""A meta-step of MAML and its family against PyTorch.

    python -m experiments.benchmarks.maml --method maml --out runs/benchmarks/maml

The tasks have 5 ways, 1 shot and 15 queries a class of 28 x 28 pixels. The network is Conv-4 of 64 filters with stride 2
and batch norm by the batch; there are five inner steps of rate 0.01, Adam outside, and 16 tasks a step, in float32. The
methods are ``maml`` (exact second order), ``fomaml``, ``anil``, ``meta-sgd`` and ``protonet``. The peers have the same
parameters and episodes:

* loop: PyTorch's autograd, one task after the other, in the usual layout and in channels-last;
* vmap: ``torch.func``, all tasks side by side;
* higher: its inner loop on an ``nn.Module`` (``maml`` and ``fomaml``), where it is installed;
* on a GPU also vmap by ``torch.compile``, and loop and vmap as CUDA graphs.

``--dtype bfloat16`` computes the networks in bfloat16 on float32 parameters, in metajax and in PyTorch alike. The
parameters after the first meta-step are checked to be the same in all of them. "Of peak" counts the convolutions' products
alone: forward one, backward two, and a backward pass through a step twice those.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from experiments import harness
from experiments.benchmarks import compare, pytorch
from experiments.benchmarks._maml_peers import OUTER, QUERIES, RATE, SHOTS, SIZE, WAYS, Peers, flat
from metajax import bilevel, fewshot, nn
from metajax.types import InputError

METHODS = ("maml", "fomaml", "anil", "meta-sgd", "protonet")


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the step."""

    method: str = "maml"
    """maml, fomaml, anil, meta-sgd or protonet."""
    width: int = 64
    """Filters of a layer."""
    tasks: int = 16
    """Tasks of a meta-step."""
    inner_steps: int = 5
    """Inner steps."""
    chunk: int = 1
    """Tasks that run side by side; 0 for all."""
    dtype: str = "float32"
    """float32 or bfloat16, of the networks."""
    rounds: int = 7
    """Rounds, in which all programs run in turn."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"--method must be one of {', '.join(METHODS)}, got {self.method}")
        pytorch.check_dtype(self.dtype)
        harness.check_at_least(self, 1, "width", "tasks", "inner_steps", "rounds")


PRESETS = {"paper": {}, "tiny": {"width": 8, "tasks": 2, "inner_steps": 1, "rounds": 1}}


def ours(config: Config) -> tuple[fewshot.Method, Any]:
    """Returns the method and its initial parameters."""
    body = nn.functional(lambda rngs: nn.Conv4(None, width=config.width, rngs=rngs))
    head = nn.functional(lambda rngs: nnx.Linear(config.width, WAYS, rngs=rngs))
    body, head = (nn.Functional(part.init, pytorch.in_dtype(part.apply, config.dtype)) for part in (body, head))
    network, descent, outer = nn.chain(body, head), optax.sgd(RATE), optax.adam(OUTER)
    loss, steps, chunk = fewshot.cross_entropy(network.apply), config.inner_steps, config.chunk or None
    method = {
        "maml": lambda: fewshot.maml(loss, descent, outer, steps, chunk=chunk),
        "fomaml": lambda: fewshot.maml(loss, descent, outer, steps, estimator=bilevel.first_order(), chunk=chunk),
        "anil": lambda: fewshot.anil(body.apply, fewshot.cross_entropy(head.apply), descent, outer, steps, chunk=chunk),
        "meta-sgd": lambda: fewshot.meta_sgd(loss, RATE, outer, steps, chunk=chunk),
        "protonet": lambda: fewshot.protonet(body.apply, outer, chunk=chunk),
    }[config.method]()
    return method, (body if config.method == "protonet" else network).init(jax.random.key(config.seed))


def episodes(config: Config) -> fewshot.Episode:
    """Returns tasks of images of noise."""
    key = jax.random.key(config.seed)
    images = jax.random.uniform(key, (20, SHOTS + QUERIES, SIZE, SIZE))
    return fewshot.episodes.tasks(fewshot.episodes.classes(images, WAYS, SHOTS, QUERIES), config.tasks)(key)


def products(config: Config) -> float:
    """Returns the operations of the convolutions in a meta-step; a backward pass through a step has twice its own."""
    sizes, channels = [-(-SIZE // 2**i) for i in range(1, 5)], [1, *[config.width] * 4]
    image = sum(2.0 * 9 * s * s * a * b for s, a, b in zip(sizes, channels[:-1], channels[1:]))
    support, query = WAYS * SHOTS * image, WAYS * QUERIES * image
    if config.method in ("anil", "protonet"):
        return config.tasks * 3 * (support + query)
    passes_per_step = 3 if config.method == "fomaml" else 9
    return config.tasks * (passes_per_step * config.inner_steps * support + 3 * query)


def compared(
    config: Config, peers: Peers, moved: dict[str, np.ndarray]
) -> tuple[dict[str, Callable[[], Any]], dict[str, float], dict[str, str]]:
    """Returns PyTorch's programs that do the same work, how far each is from ours, and why others do not run.

    Args:
        config: The config of the benchmark.
        peers: The programs of PyTorch.
        moved: What the first meta-step changes here.
    """
    programs, differences, failed = {}, {}, {}
    for name, build in peers.programs().items():
        checked_programs = pytorch.attempt(
            name, lambda build=build, name=name: checked(config, name, build(), moved), failed
        )
        for step, difference in filter(None, checked_programs.values()):
            programs[name], differences[name] = step, difference
    graphs = pytorch.graphs({name: programs[name] for name in ("loop", "vmap") if name in programs}, failed)
    return {name: pytorch.synchronized(step) for name, step in programs.items()} | graphs, differences, failed


def checked(
    config: Config, name: str, program: tuple[Callable[[], Any], dict[str, Any]] | None, moved: dict[str, np.ndarray]
) -> tuple[Callable[[], Any], float] | None:
    """Returns a step of PyTorch, and the share of weights that its first call moves another way than ours."""
    if program is None:
        return None
    step, weights = program
    values = lambda: {k: weights[k].detach().cpu().numpy().copy() for k in moved}
    before = values()
    with pytorch.exact():
        step()
    changed = {k: v - before[k] for k, v in values().items()}
    # Adam's first step is the sign of the gradient: a share of signs, except for gradients that are nothing but rounding
    weight_difference = float(
        np.mean([np.abs(changed[k] - moved[k]).mean() / OUTER for k in moved if k.endswith("weight")])
    )
    tolerance = 0.02 if config.dtype == "float32" else 0.3
    return step, compare.check_difference(weight_difference, tolerance, f"{config.method}, {name}")


def measure(config: Config) -> compare.Measured:
    """Measures all programs in turn."""
    method, params = ours(config)
    tasks, state = episodes(config), method.init(jax.random.key(config.seed), params)
    update = jax.jit(method.update)
    with pytorch.exact():
        after, _ = update(state, tasks)
    learned = after.hyper["params"] if config.method == "meta-sgd" else after.hyper
    moved = {k: v - flat(params)[k] for k, v in flat(learned).items()}
    programs, differences, failed = compared(config, Peers(config, params, tasks), moved)
    seconds = compare.alternate({"metajax": compare.ready(update, state, tasks)} | programs, config.rounds)
    fastest, ratios = compare.against(seconds)
    rate = products(config) / seconds["metajax"]
    best = compare.peak()
    goal = 3.0 if config.method == "maml" else 2.5
    precision = "" if config.dtype == "float32" else f" in {config.dtype}"
    label = f"{config.method}, Conv-4, {config.tasks} tasks{precision}: times faster than the fastest of PyTorch"
    claims = [compare.claim(label, goal, ratios, note=f"against {fastest}")]
    if config.method == "maml":
        claims.append(compare.claim("maml: share of the matrix product's peak", 0.55, rate / best))
    metrics = compare.times(seconds) | {"peak GFLOP/s": best / 1e9, "GFLOP/s": float(np.median(rate)) / 1e9}
    metrics |= {f"difference to {name}": value for name, value in differences.items()}
    protocol = f"{config.rounds} rounds in turn; ms a meta-step; batch norm by the batch; {config.dtype}"
    return compare.Measured(metrics, claims, protocol + pytorch.not_measured(failed))


EXPERIMENT = compare.benchmark("maml", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
