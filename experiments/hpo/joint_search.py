"""Architecture and hyperparameters by one gradient, against one after the other, TPE and random search.

    python -m experiments.hpo.joint_search --out runs/joint_search

A network of two hidden layers of 32 units; each layer is one of four operations (skip, ReLU, tanh, GELU), and the learning
rate, the weight decay and the dropout of its training are searched with them: 2,160 configurations, each a training of 300
steps of AdamW with a cosine schedule. The gradient unrolls all of a training and descends the validation loss in the relaxed
space; now and then it decides, trains the decision, and in the end takes the best of these by validation loss. All methods
share one compiled training and have the same seconds, compilation apart; a configuration found is trained anew with five
other seeds, and scored on the test rows.

The same seconds are not the same number of trainings: a hypergradient runs a whole training forward and backward. The table
says what each method could afford, trainings of decided configurations and hypergradients. The joint search is compared
with each other method by the 95% interval of the difference when seeds and test rows are drawn again. Where it holds 0 no
difference is shown, and on fewer than 300 test rows none is claimed.

On digits every configuration is also trained twice with other seeds: the exhaustive truth, by its own test score, and the
regret of what a method found against its best.

"decay" acts on the weights, dropout is multiplicative Gaussian noise of the same variance (Srivastava et al. 2014,
section 10), which has a derivative. 80 searches of 15 seconds.
"""

import dataclasses
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against
from metajax import bilevel, data, hpo, run
from metajax.automl import prepare
from metajax.data import tabular
from metajax.space import Categorical, Float, Space
from metajax.types import InputError, stream

DATASETS = ("digits", "mnist", "breast_cancer", "wine")
METHODS = ("joint", "one after the other", "tpe", "random")
OPERATIONS = ("skip", "relu", "tanh", "gelu")
WIDTH, BATCH = 32, 64
CLAIM_ROWS = 300
"""On fewer test rows one row is a third of a point or more, and no difference between methods is claimed."""
SPACE = Space(
    {
        "layer_1": Categorical(OPERATIONS),
        "layer_2": Categorical(OPERATIONS),
        "learning_rate": Float(1e-4, 1e-1, log=True, grid=9),
        "weight_decay": Float(1e-4, 1.0, log=True, grid=5),
        "dropout": Float(0.0, 0.5, grid=3),
    }
)
DEFAULT = {"learning_rate": SPACE.at([4 * 16])["learning_rate"].item(), "weight_decay": 1e-2, "dropout": 0.25}


@dataclasses.dataclass(frozen=True)
class Config:
    """``datasets`` are ``all`` or some, separated by commas; ``seconds`` is what each search may take."""

    datasets: str = "all"
    seconds: float = 15.0
    steps: int = 300
    outer_rate: float = 0.3
    decide_every: int = 5
    seeds: int = 5
    refits: int = 5
    truth: bool = True

    def __post_init__(self):
        _ = self.names  # raises on another name
        if min(self.seconds, self.steps, self.decide_every, self.seeds, self.refits) <= 0:
            raise InputError("seconds, steps, decide_every, seeds and refits must be positive")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.datasets, DATASETS, "datasets")


PRESETS = {
    "paper": {},
    "tiny": {"datasets": "wine", "seconds": 1.0, "steps": 20, "seeds": 1, "refits": 1, "truth": False},
}


@functools.cache
def rows(name: str, seed: int) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Training, validation and test: x f32[n, d], y i32[n]."""
    if name in ("digits", "mnist"):
        images = data.digits(seed) if name == "digits" else data.mnist(seed, 2_000, 1_000)
        return jax.tree.map(jnp.asarray, images.flat()._asdict())
    prepared = prepare(tabular.load(name), seed)
    search, final = prepared.search, prepared.final
    return {
        "train": (search.x, search.y),
        "validation": (search.x_eval, search.y_eval),
        "test": (final.x_eval, final.y_eval),
    }


class Setting:
    """The problem on one dataset, and its compiled pieces."""

    def __init__(self, name: str, seed: int, config: Config):
        self.parts, self.steps = rows(name, seed), config.steps
        x, y = self.parts["train"]
        classes = int(max(int(jnp.max(part[1])) for part in self.parts.values())) + 1

        def init(key):
            sizes = [x.shape[1], WIDTH, WIDTH, classes]
            keys = jax.random.split(key, 3)
            weights = [jax.random.normal(k, (a, b)) * a**-0.5 for k, a, b in zip(keys, sizes, sizes[1:])]
            return {"w": weights, "b": [jnp.zeros(b) for b in sizes[1:]]}

        def network(choice, params, x, key):
            h = x @ params["w"][0] + params["b"][0]
            for layer in (1, 2):
                options = jnp.stack([h, jax.nn.relu(h), jnp.tanh(h), jax.nn.gelu(h)])
                h = jnp.tensordot(choice.values[f"layer_{layer}"], options, axes=1)
                if key is not None:
                    share = choice.values["dropout"]
                    noise = jax.random.normal(jax.random.fold_in(key, layer), h.shape)
                    h = h * (1 + jnp.sqrt(share / (1 - share) + 1e-6) * noise)
                h = h @ params["w"][layer] + params["b"][layer]
            return h

        def learn(choice, params, batch, key):
            draw, noise = jax.random.split(key)
            picked = jax.random.randint(draw, (BATCH,), 0, len(y))
            outputs = network(choice, params, x[picked], noise)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, y[picked])), {}

        def judge(choice, params, batch, key):
            outputs = network(choice, params, batch[0], None)
            loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, batch[1]))
            return loss, {"accuracy": jnp.mean(jnp.argmax(outputs, -1) == batch[1], dtype=jnp.float32)}

        def optimizer(values):
            shape = lambda step: 0.5 * (1 + jnp.cos(jnp.pi * step.astype(jnp.float32) / config.steps))
            return hpo.adam(lambda step: values["learning_rate"] * shape(step), weight_decay=values["weight_decay"])

        self.made = hpo.joint_problem(SPACE, init, learn, judge, optimizer)
        self.counter = jnp.arange(config.steps)
        self.estimate = bilevel.unroll("sqrt")(self.made.relaxed)
        self.optimizer = optax.adam(config.outer_rate)
        self.advance = jax.jit(self._advance)
        self.score = jax.jit(self._score, static_argnums=2)
        self.right = jax.jit(self._right)
        self.population = jax.jit(jax.vmap(self._score, in_axes=(0, 0, None)), static_argnums=2)

    def _train(self, encoding: jax.Array, key: jax.Array) -> tuple[Any, jax.Array]:
        """Parameters of one configuration after its training, and a key to judge them with."""
        start, learn, judge = jax.random.split(key, 3)
        inner = self.made.encoded.inner
        end, _ = inner.run(encoding, inner.begin(encoding, start), self.counter, learn)
        return end.params, judge

    def _score(self, encoding: jax.Array, key: jax.Array, part: str) -> tuple[jax.Array, jax.Array]:
        """Loss and accuracy on a part of the rows after training one configuration."""
        params, judge = self._train(encoding, key)
        loss, info = self.made.encoded.outer_loss(encoding, params, self.parts[part], judge)
        return loss, info["accuracy"]

    def _right(self, encoding: jax.Array, key: jax.Array) -> jax.Array:
        """Which test rows are right after training one configuration: f32[rows], 0 or 1."""
        params, judge = self._train(encoding, key)
        one = lambda x, y: self.made.encoded.outer_loss(encoding, params, (x[None], y[None]), judge)[1]["accuracy"]
        return jax.vmap(one)(*self.parts["test"])

    def _advance(self, logits: Any, state: Any, free: Any, key: jax.Array):
        """One step of the logits that are free, by the hypergradient through a whole training; and the relaxed encoding."""
        grad = self.estimate(logits, None, self.counter, self.parts["validation"], key).grad
        grad = jax.tree.map(lambda g, f: jnp.where(f & jnp.isfinite(g), g, 0.0), grad, free)
        updates, state = self.optimizer.update(grad, state)
        logits = optax.apply_updates(logits, updates)
        return logits, state, SPACE.relax(logits)

    def warm(self) -> None:
        """Compiles everything that a search uses."""
        logits, free = SPACE.logits(DEFAULT), dict.fromkeys(SPACE.domains, True)
        jax.block_until_ready(self.advance(logits, self.optimizer.init(logits), free, jax.random.key(0)))
        SPACE.decode(jnp.zeros((1, SPACE.width)))
        jax.block_until_ready(self.score(jnp.zeros(SPACE.width), jax.random.key(0), "validation"))


class Best:
    """The configurations that a search has trained, the best by validation loss, how many hypergradients it took, and its
    clock."""

    def __init__(self, setting: Setting, key: jax.Array, seconds: float):
        self.setting, self.key = setting, key
        self.encoding, self.loss, self.trained = np.zeros(SPACE.width, np.float32), np.inf, 0
        self.hypergradients = 0
        self.until = time.perf_counter() + seconds

    @property
    def over(self) -> bool:
        return time.perf_counter() > self.until

    def train(self, config: dict[str, Any]) -> float:
        encoding = SPACE.encode(SPACE.configs([config]))[0]
        loss = float(self.setting.score(encoding, jax.random.fold_in(self.key, self.trained), "validation")[0])
        self.trained += 1
        if np.isfinite(loss) and loss < self.loss:
            self.encoding, self.loss = np.asarray(encoding), loss
        return loss


def by_gradient(best: Best, config: Config, key: jax.Array, start: dict, free: Callable[[str], bool], until: float):
    """Descends the logits whose names are free until the time; decides now and then. Returns the last decision."""
    logits, made = start, best.setting
    state, open_names = made.optimizer.init(logits), {name: free(name) for name in SPACE.domains}
    decided, tried, encoding = {}, [], SPACE.relax(logits)
    for step in itertools.count():
        over = step > 0 and time.perf_counter() > until
        if over or step % config.decide_every == config.decide_every - 1:
            decided = SPACE.decode(encoding[None])[0]
            if decided not in tried:
                best.train(decided)
                tried.append(decided)
        if over:
            return decided
        logits, state, encoding = made.advance(logits, state, open_names, jax.random.fold_in(key, step))
        best.hypergradients += 1


def search(method: str, setting: Setting, config: Config, seed: int) -> Best:
    """Runs one method for its seconds."""
    key = jax.random.fold_in(jax.random.key(seed), METHODS.index(method))
    setting.warm()
    best = Best(setting, stream(key, "trainings"), config.seconds)
    if method == "joint":
        by_gradient(best, config, key, SPACE.logits(DEFAULT), lambda name: True, best.until)
    elif method == "one after the other":
        layer = lambda name: name.startswith("layer")
        half = best.until - config.seconds / 2
        decided = by_gradient(best, config, key, SPACE.logits(DEFAULT), layer, half)
        # an operation that is decided weighs nearly one
        fixed = {n: 20.0 * v if layer(n) else v for n, v in SPACE.logits({**DEFAULT, **_only(decided, layer)}).items()}
        by_gradient(best, config, key, fixed, lambda name: not layer(name), best.until)
    elif method == "random":
        for draw in itertools.count():
            if best.over:
                break
            best.train(SPACE.dicts(SPACE.sample(jax.random.fold_in(key, draw), 1))[0])
    else:
        import optuna

        from metajax.space import interop

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
        while not best.over:
            trial = study.ask(interop.to_optuna(SPACE))
            loss = best.train({**trial.params})
            study.tell(trial, loss if np.isfinite(loss) else 1e6)
    return best


def _only(config: Any, keep: Callable[[str], bool]) -> dict:
    return {name: value for name, value in config.items() if keep(name)}


def truth(setting: Setting, chunk: int = 144) -> np.ndarray:
    """Test accuracy of every configuration, mean of two trainings."""
    encodings = SPACE.encode(SPACE.at(np.arange(SPACE.size)))
    scores = []
    for first in range(0, len(encodings), chunk):
        part = encodings[first : first + chunk]
        keys = [jax.random.split(jax.random.fold_in(jax.random.key(10**6 + s), first), len(part)) for s in range(2)]
        scores.append(np.mean([setting.population(part, k, "test")[1] for k in keys], axis=0))
    return np.nan_to_num(np.concatenate(scores))


def load(config: Config) -> dict[str, Any]:
    """The rows of every dataset."""
    return {name: rows(name, 0) for name in config.names}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method on every dataset."""
    setting = functools.cache(lambda name, seed: Setting(name, seed, config))
    known = None
    if config.truth and "digits" in config.names:
        file = directory.path / "truth.npz"
        if not file.is_file():
            data.save_npz(file, accuracy=truth(setting("digits", 0)))
        known = data.load_npz(file, ("accuracy",))["accuracy"]
    encodings = np.asarray(SPACE.encode(SPACE.at(np.arange(SPACE.size))))

    (directory.path / "right").mkdir(exist_ok=True)
    # the share of the refits that are right, by test row
    file_of = lambda cell: directory.path / "right" / f"{cell['dataset']}_{cell['method']}_{cell['seed']}.npz"

    def work(cell):
        # one split of the rows for all seeds of digits, whose truth is that of one split
        made = setting(cell["dataset"], 0)
        best = search(cell["method"], made, config, cell["seed"])
        keys = jax.random.split(jax.random.key(10**5 + cell["seed"]), config.refits)
        right = np.mean([made.right(jnp.asarray(best.encoding), key) for key in keys], axis=0, dtype=np.float64)
        told: dict[str, Any] = {
            "accuracy": 100 * float(right.mean()),
            "validation_loss": best.loss,
            "trained": best.trained,
            "hypergradients": best.hypergradients,
        }
        data.save_npz(file_of(cell), right=right)
        if known is not None and cell["dataset"] == "digits":
            place = int(np.argmin(np.abs(encodings - best.encoding).sum(axis=1)))
            told |= {"regret": 100 * float(known.max() - known[place]), "rank": int(np.sum(known > known[place])) + 1}
        return told

    cells = [{"dataset": d, "method": m, "seed": s} for d in config.names for m in METHODS for s in range(config.seeds)]
    records = harness.measure(directory, cells, work, "searches")
    metrics = {}
    for dataset, method in itertools.product(config.names, METHODS):
        mine = [r for r in records if (r["dataset"], r["method"]) == (dataset, method)]
        for key in ("accuracy", "validation_loss", "trained", "hypergradients", "regret", "rank"):
            if key in mine[0]:
                metrics[f"{dataset} {method} {key}"] = float(np.mean([r[key] for r in mine]))
        metrics[f"{dataset} {method} deviation"] = (
            float(np.std([r["accuracy"] for r in mine], ddof=1)) if len(mine) > 1 else 0.0
        )
    for dataset in config.names:
        read = lambda r: data.load_npz(file_of(r), ("right",))["right"]
        right = {
            m: np.array([read(r) for r in records if (r["dataset"], r["method"]) == (dataset, m)]) for m in METHODS
        }
        metrics[f"{dataset} test rows"] = right["joint"].shape[1]
        for other in METHODS[1:]:
            gain = 100 * float(right["joint"].mean() - right[other].mean())
            low, high = difference(right["joint"], right[other])
            metrics |= {f"{dataset} {other} gain{end}": v for end, v in (("", gain), ("_low", low), ("_high", high))}
    if known is not None:
        metrics |= {"truth best": 100 * float(known.max()), "truth median": 100 * float(np.median(known))}
    protocol = (
        f"{SPACE.size} configurations, {config.seconds:g} s a search (compilation apart), means of {config.seeds} seeds; "
        f"accuracy on test rows of {config.refits} fresh trainings of what was found; one split of the rows"
    )
    return {"metrics": metrics, "protocol": protocol}


def difference(first: np.ndarray, second: np.ndarray, draws: int = 4000) -> tuple[float, float]:
    """The 95% interval, in points, of the first's accuracy less the second's when seeds and test rows are drawn again: the rows
    are the same for both, the seeds of each are its own.

    Args:
        first: f[seeds, rows], the share of the refits of a search that are right.
        second: f[seeds, rows], of the other.
        draws: of the bootstrap.
    """
    rng, (seeds, rows) = np.random.default_rng(0), first.shape
    weight = lambda n: rng.multinomial(n, np.full(n, 1 / n), size=draws) / n  # how often each is drawn
    picked = weight(rows)
    mean = lambda right: np.sum((weight(seeds) @ right) * picked, axis=1)
    low, high = np.quantile(100 * (mean(first) - mean(second)), [0.025, 0.975])
    return float(low), float(high)


def markdown(config: dict, result: dict) -> str:
    """One row for each dataset and method."""
    m = result["metrics"]
    rows = []
    for dataset, method in itertools.product(DATASETS, METHODS):
        if f"{dataset} {method} accuracy" not in m:
            continue
        mine = {k.removeprefix(f"{dataset} {method} "): v for k, v in m.items() if k.startswith(f"{dataset} {method} ")}
        shown = {"validation_loss": ".4f", "trained": ".0f", "hypergradients": ".0f", "regret": ".2f", "rank": ".0f"}
        values = [
            number(mine.get(k), form, "not recorded" if k == "hypergradients" else "") for k, form in shown.items()
        ]
        accuracy = f"{mine['accuracy']:.2f} ± {mine['deviation']:.2f}"
        rows.append([dataset, method, accuracy, "" if method == "joint" else _verdict(m, dataset, mine), *values])
    head = ["dataset", "method", "test accuracy", "joint less this", "validation loss"]
    made = table([*head, "trainings afforded", "hypergradients afforded", "regret", "rank"], rows)
    if "truth best" not in m:
        return made
    return f"{made}\n\nTruth on digits: best {m['truth best']:.2f}, median {m['truth median']:.2f} of {SPACE.size}."


def _verdict(metrics: dict[str, float], dataset: str, mine: dict[str, float]) -> str:
    """What the test rows say of the joint search against this method."""
    if "gain" not in mine:  # results of a version that kept no test rows
        return "not tested: no claim"
    rows = metrics[f"{dataset} test rows"]
    if rows < CLAIM_ROWS:
        return f"no claim on {rows:.0f} test rows"
    shown = "" if mine["gain_low"] > 0 or mine["gain_high"] < 0 else ": no difference shown"
    return f"{mine['gain']:+.2f} ({mine['gain_low']:+.2f} to {mine['gain_high']:+.2f}){shown}"


def statement(results: Results) -> list[str]:
    """Architecture and hyperparameters together against Optuna's TPE."""
    m = results["joint_search"].metrics
    datasets = sorted(k.removesuffix(" joint accuracy") for k in m if k.endswith(" joint accuracy"))
    how = [_against_tpe(m, dataset) for dataset in datasets]
    trained = [statistics.mean(m[f"{d} {method} trained"] for d in datasets) for method in ("joint", "tpe")]
    return [
        "Architecture and hyperparameters together by gradient were compared with Optuna's TPE in the same seconds on "
        f"{len(datasets)} datasets. The gradient is shown to be above on {how.count('above')} and below on "
        f"{how.count('below')}; no difference is shown on {how.count('level with')}. It could afford {trained[0]:.0f} "
        f"trainings, TPE {trained[1]:.0f}."
    ]


def _against_tpe(metrics: dict[str, float], dataset: str) -> str:
    """By the interval of the difference; in older results, by the larger deviation over seeds."""
    low = metrics.get(f"{dataset} tpe gain_low")
    if low is not None:
        return "above" if low > 0 else "below" if metrics[f"{dataset} tpe gain_high"] < 0 else "level with"
    spread = max(metrics.get(f"{dataset} {method} deviation", 0.0) for method in ("joint", "tpe"))
    return against(metrics[f"{dataset} joint accuracy"], metrics[f"{dataset} tpe accuracy"], spread)


EXPERIMENT = harness.Experiment(
    "joint_search",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
