"""A meta-step of MAML and its family against PyTorch.

    python -m experiments.benchmarks.maml --method maml --out runs/benchmarks/maml

5-way 1-shot, 15 queries a class, 28 x 28 pixels, Conv-4 of 64 filters with stride 2, batch norm by the batch, five inner
steps of rate 0.01, Adam outside, 16 tasks a step, float32. Methods: ``maml`` (exact second order), ``fomaml``, ``anil``,
``meta-sgd``, ``protonet``. Peers, with the same parameters and episodes:

* loop: PyTorch's autograd, one task after the other, in the usual layout and in channels-last;
* vmap: ``torch.func``, all tasks side by side;
* higher: its inner loop on an ``nn.Module`` (``maml`` and ``fomaml``), where it is installed;
* on a GPU also vmap by ``torch.compile``, and loop and vmap as CUDA graphs.

``--dtype bfloat16`` computes the networks in bfloat16 on float32 parameters, in metajax and in PyTorch alike.

The parameters after the first meta-step are checked to be the same in all of them. "Of peak" counts the convolutions'
products alone: forward one, backward two, and a backward pass through a step twice those.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from experiments.benchmarks import compare, pytorch
from metajax import bilevel, fewshot, nn
from metajax.types import InputError

METHODS = ("maml", "fomaml", "anil", "meta-sgd", "protonet")
WAYS, SHOTS, QUERIES, SIZE = 5, 1, 15, 28
RATE, OUTER = 0.01, 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the step; ``chunk`` tasks are run side by side (0: all)."""

    method: str = "maml"
    width: int = 64
    tasks: int = 16
    inner_steps: int = 5
    chunk: int = 1
    dtype: str = "float32"
    rounds: int = 7
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"--method {self.method}: accepted are {', '.join(METHODS)}")
        pytorch.check_dtype(self.dtype)
        if min(self.width, self.tasks, self.inner_steps, self.rounds) < 1:
            raise InputError("width, tasks, inner_steps and rounds must be positive")


PRESETS = {"paper": {}, "tiny": {"width": 8, "tasks": 2, "inner_steps": 1, "rounds": 1}}


def ours(config: Config) -> tuple[fewshot.Method, Any]:
    """The method and its initial parameters."""
    body = nn.functional(lambda rngs: nn.Conv4(None, width=config.width, rngs=rngs))
    head = nn.functional(lambda rngs: nnx.Linear(config.width, WAYS, rngs=rngs))
    body, head = (nn.Functional(part.init, pytorch.in_dtype(part.apply, config.dtype)) for part in (body, head))
    whole, descent, outer = nn.chain(body, head), optax.sgd(RATE), optax.adam(OUTER)
    loss, steps, chunk = fewshot.cross_entropy(whole.apply), config.inner_steps, config.chunk or None
    method = {
        "maml": lambda: fewshot.maml(loss, descent, outer, steps, chunk=chunk),
        "fomaml": lambda: fewshot.maml(loss, descent, outer, steps, estimator=bilevel.first_order(), chunk=chunk),
        "anil": lambda: fewshot.anil(body.apply, fewshot.cross_entropy(head.apply), descent, outer, steps, chunk=chunk),
        "meta-sgd": lambda: fewshot.meta_sgd(loss, RATE, outer, steps, chunk=chunk),
        "protonet": lambda: fewshot.protonet(body.apply, outer, chunk=chunk),
    }[config.method]()
    return method, (body if config.method == "protonet" else whole).init(jax.random.key(config.seed))


def episodes(config: Config) -> fewshot.Episode:
    """Tasks of images of noise."""
    key = jax.random.key(config.seed)
    images = jax.random.uniform(key, (20, SHOTS + QUERIES, SIZE, SIZE))
    return fewshot.episodes.tasks(fewshot.episodes.classes(images, WAYS, SHOTS, QUERIES), config.tasks)(key)


def flat(params: Any) -> dict[str, np.ndarray]:
    """Our parameters in PyTorch's layout and under its names, kernels turned by 180 degrees: with stride 2, "SAME" begins at
    the first pixel of an even image and PyTorch's padding of one before it."""
    body = params.get("body", params)
    found = {}
    for i in range(4):
        convolution, norm = body["convolutions"][i], body["norms"][i]
        found[f"{i}.weight"] = np.asarray(convolution["kernel"])[::-1, ::-1].transpose(3, 2, 0, 1).copy()
        found |= {f"{i}.bias": convolution["bias"], f"{i}.scale": norm["scale"], f"{i}.shift": norm["bias"]}
    if "head" in params:
        found |= {"head.weight": np.asarray(params["head"]["kernel"]).T.copy(), "head.bias": params["head"]["bias"]}
    return {name: np.asarray(value) for name, value in found.items()}


class Peers:
    """The same methods in PyTorch; every program is a meta-step on weights of its own."""

    def __init__(self, config: Config, params: Any, drawn: fewshot.Episode):
        self.torch, self.config = pytorch.load(), config
        self.dtype = getattr(self.torch, config.dtype)
        self.initial = flat(params)
        turned = lambda x: np.asarray(x)[:, :, ::-1, ::-1].transpose(0, 1, 4, 2, 3).copy()
        make = lambda part: (self.torch.tensor(turned(part[0])), self.torch.tensor(np.asarray(part[1])).long())
        self.support, self.query = make(drawn.support), make(drawn.query)

    def features(self, w: dict[str, Any], x: Any) -> Any:
        f, x = self.torch.nn.functional, x.to(self.dtype)
        w = {k: v.to(self.dtype) for k, v in w.items() if k[0].isdigit()}
        for i in range(4):
            x = f.conv2d(x, w[f"{i}.weight"], w[f"{i}.bias"], stride=2, padding=1)
            x = f.relu(f.batch_norm(x, None, None, w[f"{i}.scale"], w[f"{i}.shift"], training=True))
        return x.mean((2, 3)).float()

    def head(self, w: dict[str, Any], features: Any) -> Any:
        features, weight, bias = (x.to(self.dtype) for x in (features, w["head.weight"], w["head.bias"]))
        return self.torch.nn.functional.linear(features, weight, bias).float()

    def loss(self, w: dict[str, Any], x: Any, y: Any) -> Any:
        return self.torch.nn.functional.cross_entropy(self.head(w, self.features(w, x)), y)

    def protonet(self, w: dict[str, Any], support: Any, query: Any) -> Any:
        torch = self.torch
        features, labels = self.features(w, support[0]), torch.nn.functional.one_hot(support[1], WAYS).float()
        means = labels.T @ features / labels.sum(0)[:, None]
        at = self.features(w, query[0])
        distances = (at**2).sum(1)[:, None] - 2 * at @ means.T + (means**2).sum(1)
        return torch.nn.functional.cross_entropy(-distances, query[1])

    def judged(self, w: dict[str, Any], support: Any, query: Any, grad: Callable) -> Any:
        """The query loss of one task after adaptation; ``grad(loss, weights, *args)`` by name."""
        if self.config.method == "protonet":
            return self.protonet(w, support, query)
        rates = {k.removeprefix("rate "): v for k, v in w.items() if k.startswith("rate ")}
        w = {k: v for k, v in w.items() if not k.startswith("rate ")}
        if self.config.method == "anil":
            body = w
            fast = {k: v for k, v in w.items() if k.startswith("head")}
            features = self.features(body, support[0])
            loss = lambda fast, x, y: self.torch.nn.functional.cross_entropy(self.head(fast, x), y)
            for _ in range(self.config.inner_steps):
                fast = {k: fast[k] - RATE * g for k, g in grad(loss, fast, features, support[1]).items()}
            return loss(fast, self.features(body, query[0]), query[1])
        fast = w
        for _ in range(self.config.inner_steps):
            found = grad(self.loss, fast, *support)
            if self.config.method == "fomaml":
                found = {k: g.detach() for k, g in found.items()}
            fast = {k: fast[k] - (rates[k] if rates else RATE) * g for k, g in found.items()}
        return self.loss(fast, *query)

    def weights(self) -> dict[str, Any]:
        w = {k: self.torch.tensor(v, requires_grad=True) for k, v in self.initial.items()}
        if self.config.method == "meta-sgd":
            full = lambda v: self.torch.full(v.shape, RATE, requires_grad=True)
            w |= {f"rate {k}": full(v) for k, v in self.initial.items()}
        return w

    def adam(self, w: dict[str, Any]) -> Any:
        return self.torch.optim.Adam(list(w.values()), OUTER, capturable=pytorch.on_gpu())

    def loop(self, channels_last: bool) -> tuple[Callable[[], Any], dict[str, Any]]:
        torch, w = self.torch, self.weights()
        adam, tasks = self.adam(w), self.config.tasks
        layout = torch.channels_last if channels_last else torch.contiguous_format
        inputs = [x.contiguous(memory_format=layout) for x in self.support[0]]
        asked = [x.contiguous(memory_format=layout) for x in self.query[0]]

        def grad(loss, weights, x, y):
            found = torch.autograd.grad(
                loss(weights, x, y), list(weights.values()), create_graph=self.config.method != "fomaml"
            )
            return dict(zip(weights, found))

        def step():
            adam.zero_grad()
            for t in range(tasks):
                judged = self.judged(w, (inputs[t], self.support[1][t]), (asked[t], self.query[1][t]), grad)
                (judged / tasks).backward()
            adam.step()

        return step, w

    def vmap(self, compiled: bool = False) -> tuple[Callable[[], Any], dict[str, Any]]:
        torch, w = self.torch, self.weights()
        adam = self.adam(w)
        grad = lambda loss, weights, *args: torch.func.grad(loss)(weights, *args)
        task = lambda w, sx, sy, qx, qy: self.judged(w, (sx, sy), (qx, qy), grad)
        mean = lambda w: torch.vmap(task, (None, 0, 0, 0, 0))(w, *self.support, *self.query).mean()
        gradient = torch.func.grad(mean)
        if compiled:
            gradient = torch.compile(gradient)

        def step():
            for k, g in gradient({k: v.detach() for k, v in w.items()}).items():
                w[k].grad = g
            adam.step()

        return step, w

    def higher(self) -> tuple[Callable[[], Any], dict[str, Any]] | None:
        try:
            import higher
        except ImportError:
            return None
        torch, w, peers = self.torch, self.weights(), self

        class Network(torch.nn.Module):
            def __init__(self):
                super().__init__()
                for k, v in w.items():
                    self.register_parameter(k.replace(".", "_"), torch.nn.Parameter(v.detach().clone()))

            def forward(self, x):
                mine = {k: getattr(self, k.replace(".", "_")) for k in w}
                return peers.head(mine, peers.features(mine, x))

        network = Network()
        adam, descent = torch.optim.Adam(network.parameters(), OUTER), torch.optim.SGD(network.parameters(), RATE)
        entropy, tasks = torch.nn.functional.cross_entropy, self.config.tasks

        def step():
            adam.zero_grad()
            for t in range(tasks):
                with higher.innerloop_ctx(
                    network, descent, copy_initial_weights=False, track_higher_grads=self.config.method != "fomaml"
                ) as (fast, inner):
                    for _ in range(self.config.inner_steps):
                        inner.step(entropy(fast(self.support[0][t]), self.support[1][t]))
                    judged = entropy(fast(self.query[0][t]), self.query[1][t]) / tasks
                    if self.config.method == "fomaml":
                        for p, g in zip(network.parameters(), torch.autograd.grad(judged, list(fast.parameters()))):
                            p.grad = g if p.grad is None else p.grad + g
                    else:
                        judged.backward()
            adam.step()

        return step, {k: getattr(network, k.replace(".", "_")) for k in w}

    def programs(self) -> dict[str, Callable[[], tuple[Callable[[], Any], dict[str, Any]]]]:
        """By name, what makes a step and its weights."""
        found = {"loop": lambda: self.loop(False), "loop, channels-last": lambda: self.loop(True), "vmap": self.vmap}
        if self.config.method in ("maml", "fomaml") and not pytorch.on_gpu() and self.config.dtype == "float32":
            found["higher"] = self.higher
        if pytorch.on_gpu():
            found["vmap, torch.compile"] = lambda: self.vmap(True)
        return found


def products(config: Config) -> float:
    """Operations of the convolutions in a meta-step; those of a backward pass through a step are twice its own."""
    sizes, channels = [-(-SIZE // 2**i) for i in range(1, 5)], [1, *[config.width] * 4]
    image = sum(2.0 * 9 * s * s * a * b for s, a, b in zip(sizes, channels[:-1], channels[1:]))
    support, query = WAYS * SHOTS * image, WAYS * QUERIES * image
    if config.method in ("anil", "protonet"):
        return config.tasks * 3 * (support + query)
    each = 3 if config.method == "fomaml" else 9
    return config.tasks * (each * config.inner_steps * support + 3 * query)


def compared(
    config: Config, peers: Peers, moved: dict[str, np.ndarray]
) -> tuple[dict[str, Callable[[], Any]], dict[str, float], dict[str, str]]:
    """PyTorch's programs that run and do the same work, how far each is from ours, and why others do not run.

    Args:
        moved: what the first meta-step changes here.
    """
    programs, apart, failed = {}, {}, {}
    for name, build in peers.programs().items():
        made = pytorch.attempt(name, lambda build=build, name=name: checked(config, name, build(), moved), failed)
        for step, difference in filter(None, made.values()):
            programs[name], apart[name] = step, difference
    graphs = pytorch.graphs({name: programs[name] for name in ("loop", "vmap") if name in programs}, failed)
    return {name: pytorch.synchronized(step) for name, step in programs.items()} | graphs, apart, failed


def checked(
    config: Config, name: str, made: tuple[Callable[[], Any], dict[str, Any]] | None, moved: dict[str, np.ndarray]
) -> tuple[Callable[[], Any], float] | None:
    """A step of PyTorch, and the share of weights that its first call moves another way than ours."""
    if made is None:
        return None
    step, weights = made
    values = lambda: {k: weights[k].detach().cpu().numpy().copy() for k in moved}
    before = values()
    with pytorch.exact():
        step()
    gone = {k: v - before[k] for k, v in values().items()}
    # Adam's first step is the sign of the gradient: a share of signs, but for gradients that are nothing but rounding
    apart = float(np.mean([np.abs(gone[k] - moved[k]).mean() / OUTER for k in moved if k.endswith("weight")]))
    most = 0.02 if config.dtype == "float32" else 0.3
    return step, compare.same(apart, most, f"{config.method}, {name}")


def measure(config: Config) -> compare.Measured:
    """All programs in turn."""
    method, params = ours(config)
    drawn, state = episodes(config), method.init(jax.random.key(config.seed), params)
    update = jax.jit(method.update)
    with pytorch.exact():
        after, _ = update(state, drawn)
    learned = after.hyper["params"] if config.method == "meta-sgd" else after.hyper
    moved = {k: v - flat(params)[k] for k, v in flat(learned).items()}
    programs, apart, failed = compared(config, Peers(config, params, drawn), moved)
    seconds = compare.alternate({"metajax": compare.ready(update, state, drawn)} | programs, config.rounds)
    fastest, ratios = compare.against(seconds)
    rate = products(config) / seconds["metajax"]
    best = compare.peak()
    goal = 3.0 if config.method == "maml" else 2.5
    precision = "" if config.dtype == "float32" else f" in {config.dtype}"
    what = f"{config.method}, Conv-4, {config.tasks} tasks{precision}: times faster than the fastest of PyTorch"
    claims = [compare.claim(what, goal, ratios, note=f"against {fastest}")]
    if config.method == "maml":
        claims.append(compare.claim("maml: share of the matrix product's peak", 0.55, rate / best))
    metrics = compare.times(seconds) | {"peak GFLOP/s": best / 1e9, "GFLOP/s": float(np.median(rate)) / 1e9}
    metrics |= {f"difference to {name}": value for name, value in apart.items()}
    protocol = f"{config.rounds} rounds in turn; ms a meta-step; batch norm by the batch; {config.dtype}"
    return compare.Measured(metrics, claims, protocol + pytorch.not_measured(failed))


EXPERIMENT = compare.benchmark("maml", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
