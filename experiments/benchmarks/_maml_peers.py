"""MAML and its family in PyTorch, the peers of ``experiments.benchmarks.maml``.

``config`` is the config of that benchmark everywhere.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks import pytorch
from metajax import fewshot

WAYS, SHOTS, QUERIES, SIZE = 5, 1, 15, 28
RATE, OUTER = 0.01, 1e-3


def flat(params: Any) -> dict[str, np.ndarray]:
    """Returns our parameters in PyTorch's layout and under its names.

    Kernels are turned by 180 degrees: with stride 2, "SAME" begins at the first pixel of an even image, and PyTorch's padding
    of one begins before it.
    """
    body = params.get("body", params)
    weights = {}
    for i in range(4):
        convolution, norm = body["convolutions"][i], body["norms"][i]
        weights[f"{i}.weight"] = np.asarray(convolution["kernel"])[::-1, ::-1].transpose(3, 2, 0, 1).copy()
        weights |= {f"{i}.bias": convolution["bias"], f"{i}.scale": norm["scale"], f"{i}.shift": norm["bias"]}
    if "head" in params:
        weights |= {"head.weight": np.asarray(params["head"]["kernel"]).T.copy(), "head.bias": params["head"]["bias"]}
    return {name: np.asarray(value) for name, value in weights.items()}


class Peers:
    """The same methods in PyTorch. Every program is a meta-step on weights of its own."""

    def __init__(self, config: Any, params: Any, episode: fewshot.Episode):
        self.torch, self.config = pytorch.load(), config
        self.dtype = getattr(self.torch, config.dtype)
        self.initial = flat(params)
        turned = lambda x: np.asarray(x)[:, :, ::-1, ::-1].transpose(0, 1, 4, 2, 3).copy()
        make = lambda part: (self.torch.tensor(turned(part[0])), self.torch.tensor(np.asarray(part[1])).long())
        self.support, self.query = make(episode.support), make(episode.query)

    def features(self, w: dict[str, Any], x: Any) -> Any:
        """Returns the features of images by Conv-4."""
        f, x = self.torch.nn.functional, x.to(self.dtype)
        w = {k: v.to(self.dtype) for k, v in w.items() if k[0].isdigit()}
        for i in range(4):
            x = f.conv2d(x, w[f"{i}.weight"], w[f"{i}.bias"], stride=2, padding=1)
            x = f.relu(f.batch_norm(x, None, None, w[f"{i}.scale"], w[f"{i}.shift"], training=True))
        return x.mean((2, 3)).float()

    def head(self, w: dict[str, Any], features: Any) -> Any:
        """Returns the scores of features."""
        features, weight, bias = (x.to(self.dtype) for x in (features, w["head.weight"], w["head.bias"]))
        return self.torch.nn.functional.linear(features, weight, bias).float()

    def loss(self, w: dict[str, Any], x: Any, y: Any) -> Any:
        """Returns the loss of some images."""
        return self.torch.nn.functional.cross_entropy(self.head(w, self.features(w, x)), y)

    def protonet(self, w: dict[str, Any], support: Any, query: Any) -> Any:
        """Returns the query loss of a task by prototypical networks."""
        torch = self.torch
        features, labels = self.features(w, support[0]), torch.nn.functional.one_hot(support[1], WAYS).float()
        means = labels.T @ features / labels.sum(0)[:, None]
        query_features = self.features(w, query[0])
        distances = (query_features**2).sum(1)[:, None] - 2 * query_features @ means.T + (means**2).sum(1)
        return torch.nn.functional.cross_entropy(-distances, query[1])

    def task_loss(self, w: dict[str, Any], support: Any, query: Any, grad: Callable) -> Any:
        """Returns the query loss of one task after adaptation; ``grad(loss, weights, *args)`` returns gradients by name."""
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
            gradient = grad(self.loss, fast, *support)
            if self.config.method == "fomaml":
                gradient = {k: g.detach() for k, g in gradient.items()}
            fast = {k: fast[k] - (rates[k] if rates else RATE) * g for k, g in gradient.items()}
        return self.loss(fast, *query)

    def weights(self) -> dict[str, Any]:
        """Returns weights that are the program's own."""
        w = {k: self.torch.tensor(v, requires_grad=True) for k, v in self.initial.items()}
        if self.config.method == "meta-sgd":
            full = lambda v: self.torch.full(v.shape, RATE, requires_grad=True)
            w |= {f"rate {k}": full(v) for k, v in self.initial.items()}
        return w

    def adam(self, w: dict[str, Any]) -> Any:
        """Returns the outer optimizer of some weights."""
        return self.torch.optim.Adam(list(w.values()), OUTER, capturable=pytorch.on_gpu())

    def loop(self, channels_last: bool) -> tuple[Callable[[], Any], dict[str, Any]]:
        """Makes a step by autograd, one task after the other."""
        torch, w = self.torch, self.weights()
        adam, tasks = self.adam(w), self.config.tasks
        layout = torch.channels_last if channels_last else torch.contiguous_format
        inputs = [x.contiguous(memory_format=layout) for x in self.support[0]]
        queries = [x.contiguous(memory_format=layout) for x in self.query[0]]

        def grad(loss, weights, x, y):
            is_exact = self.config.method != "fomaml"
            gradient = torch.autograd.grad(loss(weights, x, y), list(weights.values()), create_graph=is_exact)
            return dict(zip(weights, gradient))

        def step():
            adam.zero_grad()
            for t in range(tasks):
                loss = self.task_loss(w, (inputs[t], self.support[1][t]), (queries[t], self.query[1][t]), grad)
                (loss / tasks).backward()
            adam.step()

        return step, w

    def vmap(self, compiled: bool = False) -> tuple[Callable[[], Any], dict[str, Any]]:
        """Makes a step by ``torch.func``, all tasks side by side."""
        torch, w = self.torch, self.weights()
        adam = self.adam(w)
        grad = lambda loss, weights, *args: torch.func.grad(loss)(weights, *args)
        task = lambda w, sx, sy, qx, qy: self.task_loss(w, (sx, sy), (qx, qy), grad)
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
        """Makes a step by higher's inner loop; ``None`` where it is not installed."""
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
                weights_by_name = {k: getattr(self, k.replace(".", "_")) for k in w}
                return peers.head(weights_by_name, peers.features(weights_by_name, x))

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
                    loss = entropy(fast(self.query[0][t]), self.query[1][t]) / tasks
                    if self.config.method == "fomaml":
                        for p, g in zip(network.parameters(), torch.autograd.grad(loss, list(fast.parameters()))):
                            p.grad = g if p.grad is None else p.grad + g
                    else:
                        loss.backward()
            adam.step()

        return step, {k: getattr(network, k.replace(".", "_")) for k in w}

    def programs(self) -> dict[str, Callable[[], tuple[Callable[[], Any], dict[str, Any]]]]:
        """Returns, by name, what makes a step and its weights."""
        programs = {"loop": lambda: self.loop(False), "loop, channels-last": lambda: self.loop(True), "vmap": self.vmap}
        if self.config.method in ("maml", "fomaml") and not pytorch.on_gpu() and self.config.dtype == "float32":
            programs["higher"] = self.higher
        if pytorch.on_gpu():
            programs["vmap, torch.compile"] = lambda: self.vmap(True)
        return programs
