"""A first-order DARTS step on the SuperNet of NAS-Bench-201 against PyTorch.

    python -m experiments.benchmarks.supernet --size 32 --channels 16 --out runs/benchmarks/supernet_large
    python -m experiments.benchmarks.supernet --size 16 --channels 8 --out runs/benchmarks/supernet_small

There are three stages of one cell, all five operations on all six edges, batches of 64, and batch norm by the batch, in
float32. A step descends the weights on one batch (SGD with Nesterov momentum, weight decay, clipped) and the logits on
another (Adam). PyTorch computes edge by edge, in its usual layout and in channels-last, and takes the gradient of the
logits alone where only they are asked for. A round is ten steps, a compiled scan here; both losses of each step are checked
to be the same.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.benchmarks import compare, pytorch
from metajax import bilevel, fewshot, nn, supernet
from metajax.types import InputError

RATE, MOMENTUM, DECAY, CLIP, OUTER = 0.025, 0.9, 3e-4, 5.0, 3e-4
STEPS = 10


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the network and of the images."""

    size: int = 32
    """Side of the images in pixels."""
    channels: int = 16
    """Channels of the first stage."""
    batch: int = 64
    """Images in a batch."""
    dtype: str = "float32"
    """float32 or bfloat16, of the network."""
    rounds: int = 7
    """Rounds, in which all programs run in turn."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        pytorch.check_dtype(self.dtype)
        harness.check_at_least(self, 1, "size", "channels", "batch", "rounds")
        if self.size % 4:
            raise InputError(f"--size must be a multiple of 4, got {self.size}")

    @property
    def sizes(self) -> str:
        """The sizes of images and network, as a claim names them."""
        precision = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{self.size} x {self.size}, {self.channels} channels{precision}"


PRESETS = {"paper": {}, "tiny": {"size": 8, "channels": 4, "batch": 8, "rounds": 1}}


def network(config: Config, **options: Any) -> nn.Functional:
    """Returns the SuperNet of these sizes."""
    space = supernet.spaces.cell_space()
    cells = nn.functional(
        lambda rngs: supernet.spaces.CellNet(space, 10, config.channels, 3, 1, 3, rngs=rngs, **options)
    )
    return nn.Functional(cells.init, pytorch.in_dtype(cells.apply, config.dtype))


def batches(config: Config, number: int) -> Any:
    """Returns a number of batches ``((x, y) of one inner step, (x, y))`` of images of noise."""
    rng = np.random.default_rng(config.seed)
    x = rng.normal(size=(2, number, config.batch, config.size, config.size, 3)).astype(np.float32)
    y = rng.integers(0, 10, size=(2, number, config.batch)).astype(np.int32)
    return (jnp.asarray(x[0])[:, None], jnp.asarray(y[0])[:, None]), (jnp.asarray(x[1]), jnp.asarray(y[1]))


class Peer:
    """The same SuperNet in PyTorch, kernels and images turned by 180 degrees (see ``_maml_peers.flat``)."""

    def __init__(self, params: Any, channels_last: bool, dtype: str, compiled: bool = False):
        self.torch = pytorch.load()
        self.dtype = getattr(self.torch, dtype)
        self.loss = self.torch.compile(self.computed) if compiled else self.computed
        self.layout = self.torch.channels_last if channels_last else self.torch.contiguous_format
        turn = lambda k: np.asarray(k["kernel"])[::-1, ::-1].transpose(3, 2, 0, 1).copy()
        w: dict[str, np.ndarray] = {"stem": turn(params["stem"])}
        self.edges = [tuple(int(n) for n in name.split("_")[1:]) for name in supernet.spaces.cell_space().domains]
        for s, stage in params["stages"].items():
            cell = stage[0]
            for name in ("conv1", "conv3"):
                for source, kernel in cell[name].items():
                    leaving = [e for e in self.edges if e[0] == source]
                    for (i, j), part in zip(leaving, np.split(turn(kernel), len(leaving))):
                        w[f"{s} {i}{j} {name}"] = part
        for s, block in params["reductions"].items():
            w |= {f"{s} {name}": turn(block[name]) for name in ("first", "second", "shortcut")}
        w |= {"head": np.asarray(params["head"]["kernel"]).T.copy(), "bias": np.asarray(params["head"]["bias"])}
        tensor = lambda v: self.torch.tensor(v)
        laid = {k: tensor(v).contiguous(memory_format=self.layout) if v.ndim == 4 else tensor(v) for k, v in w.items()}
        self.w = {k: v.requires_grad_() for k, v in laid.items()}
        self.logits = self.torch.zeros(len(self.edges), 5, requires_grad=True)
        self.descent = self.torch.optim.SGD(
            list(self.w.values()), RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
        )
        self.adam = self.torch.optim.Adam([self.logits], OUTER, capturable=pytorch.on_gpu())

    def norm(self, x: Any) -> Any:
        return self.torch.nn.functional.batch_norm(x, None, None, training=True)

    def cell(self, w: dict[str, Any], x: Any, s: int, mix: Any) -> Any:
        f, states = self.torch.nn.functional, [x]
        for j in range(1, 4):
            total = 0.0
            for i in range(j):
                x, weight = states[i], mix[self.edges.index((i, j))]
                total = total + weight[1] * x
                total = total + weight[2] * self.norm(f.conv2d(f.relu(x), w[f"{s} {i}{j} conv1"]))
                total = total + weight[3] * self.norm(f.conv2d(f.relu(x), w[f"{s} {i}{j} conv3"], padding=1))
                total = total + weight[4] * f.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            states.append(total)
        return states[-1]

    def computed(self, x: Any, y: Any) -> Any:
        f, w = self.torch.nn.functional, {name: value.to(self.dtype) for name, value in self.w.items()}
        mix = self.torch.softmax(self.logits.to(self.dtype), -1)
        x = self.norm(f.conv2d(x.to(self.dtype), w["stem"], padding=1))
        for s in range(3):
            if s:
                first, second, shortcut = (w[f"{s - 1} {name}"] for name in ("first", "second", "shortcut"))
                reduced = self.norm(f.conv2d(f.relu(x), first, stride=2, padding=1))
                reduced = self.norm(f.conv2d(f.relu(reduced), second, padding=1))
                x = reduced + f.conv2d(f.avg_pool2d(x, 2), shortcut)
            x = self.cell(w, x, s, mix)
        x = f.relu(self.norm(x)).mean((2, 3))
        return f.cross_entropy(f.linear(x, w["head"], w["bias"]).float(), y)

    def batch(self, x: Any, y: Any) -> tuple[Any, Any]:
        x = self.torch.tensor(np.asarray(x)[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy())
        return x.contiguous(memory_format=self.layout), self.torch.tensor(np.asarray(y)).long()

    def step(self, train: Any, validation: Any) -> tuple[Any, Any]:
        torch, weights = self.torch, list(self.w.values())
        inner = self.loss(*train)
        for w, g in zip(weights, torch.autograd.grad(inner, weights)):
            w.grad = g
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        self.descent.step()
        outer = self.loss(*validation)
        self.logits.grad = torch.autograd.grad(outer, self.logits)[0]
        self.adam.step()
        return inner.detach(), outer.detach()


def search(config: Config) -> supernet.Search:
    """Returns first-order DARTS."""
    inner = optax.chain(
        optax.clip_by_global_norm(CLIP),
        optax.add_decayed_weights(DECAY),
        optax.sgd(RATE, momentum=MOMENTUM, nesterov=True),
    )
    outer, first = optax.adam(OUTER), bilevel.first_order()
    space = supernet.spaces.cell_space()
    return supernet.compose_search(space, network(config), fewshot.cross_entropy, inner, outer, 10**4, None, first)


def peer_run(config: Config, params: Any, prepared: Any, channels_last: bool, compiled: bool) -> Callable[[], Any]:
    """Takes ``STEPS`` steps of a peer on prepared batches; returns the losses of both levels, still on the device."""
    peer, inputs = Peer(params, channels_last, config.dtype, compiled), []
    for number in range(STEPS):
        train, validation = jax.tree.map(lambda a, i=number: np.asarray(a[i]), prepared)
        inputs.append((peer.batch(train[0][0], train[1][0]), peer.batch(*validation)))
    return lambda: [peer.step(*batch) for batch in inputs]


class Programs(NamedTuple):
    """The steps of each program by name, how far their losses are from ours, and which peers did not run."""

    calls: dict[str, Callable[[], Any]]
    differences: dict[str, float]
    failed: dict[str, str]


def programs(config: Config) -> Programs:
    """Returns metajax and its peers, checked to do the same work."""
    darts, prepared = search(config), batches(config, STEPS)
    state = darts.init(jax.random.key(config.seed))
    # plain softmax of zeros in both
    state = state._replace(bilevel=state.bilevel._replace(hyper=jax.tree.map(jnp.zeros_like, state.hyper)))
    train = jax.jit(lambda state, batches: jax.lax.scan(darts.update, state, batches))
    with pytorch.exact():
        info = train(state, prepared)[1]
    losses = np.stack([info["inner_loss"], info["outer_loss"]], axis=1)
    differences, failed, runs = {}, {}, {}

    def checked(name: str, channels_last: bool, compiled: bool) -> Callable[[], Any]:
        run = peer_run(config, state.params, prepared, channels_last, compiled)
        with pytorch.exact():
            peer_losses = np.array([[float(v) for v in step] for step in run()])
        # rounding to bfloat16 adds up over steps, so that only the first is compared there
        steps, tolerance = (STEPS, 1e-3) if config.dtype == "float32" else (1, 0.05)
        difference = compare.difference(losses[:steps], peer_losses[:steps])
        differences[f"difference to {name}"] = compare.check_difference(difference, tolerance, f"SuperNet, {name}")
        return run

    kinds = {"PyTorch": (False, False), "PyTorch, channels-last": (True, False)}
    if pytorch.on_gpu():
        kinds["PyTorch, torch.compile"] = (True, True)
    for name, kind in kinds.items():
        runs |= pytorch.attempt(name, lambda name=name, kind=kind: checked(name, *kind), failed)
    graphs = pytorch.graphs({name: runs[name] for name in list(runs)[:2]}, failed)
    peers = {name: pytorch.synchronized(run) for name, run in runs.items()}
    return Programs({"metajax": compare.ready(train, state, prepared), **peers, **graphs}, differences, failed)


def measure(config: Config) -> compare.Measured:
    """Measures both in turn."""
    calls, differences, failed = programs(config)
    seconds = {name: durations / STEPS for name, durations in compare.alternate(calls, config.rounds).items()}
    fastest, ratios = compare.against(seconds)
    label = f"SuperNet step, first order, {config.sizes}: times faster than the fastest of PyTorch"
    protocol = (
        f"{config.rounds} rounds of {STEPS} steps in turn; ms a step of weights and logits; batch norm by the batch"
    )
    claims = [compare.claim(label, 1.3, ratios, note=f"against {fastest}")]
    return compare.Measured(compare.times(seconds) | differences, claims, protocol + pytorch.not_measured(failed))


EXPERIMENT = compare.benchmark("supernet", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
