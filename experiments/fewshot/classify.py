"""Any few-shot method on any data, under one protocol.

    python -m experiments.fewshot.classify --method protonet --data omniglot --ways 5 --shots 1 --queries 15 --minutes 10
    python -m experiments.fewshot.classify --method maml --data pictures.npz --ways 5 --shots 5 --minutes 20
    python -m experiments.fewshot.classify --method protonet --batch-norm running --train-ways 60 --minutes 10
    python -m experiments.fewshot.classify --method r2d2 --data my_folder --size 64 --minutes 20 --test-data other_folder

Data: omniglot, mini-imagenet, tiered-imagenet, cifar-fs, sklearn:NAME, an .npz with ``images`` (classes x examples x height
x width [x channels]) or ``x`` and ``y``, or a folder of folders of images. Classes are split into training, validation and
test (64, 16 and 20%, by seed) unless the data has a split of its own. The checkpoint is chosen on validation tasks; the test
is on 600 fresh tasks of test classes (of ``--test-data`` where given), and the report names the whole protocol.
"""

import dataclasses
import itertools
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from experiments import harness
from metajax import data, fewshot, nn, run
from metajax.types import InputError, stream

CHUNK = 20
VALIDATION_TASKS = 200
# of a plan for some minutes: steps to time, the share that validation may take, and seconds to import, read the data and
# save checkpoints, beside what is timed
_TIMED, _VALIDATING, _SETTING_UP = 5, 0.15, 8.0
# settings that a recipe has too: those that it fills in, and those that are always the config's
_FILLED = ("train_ways", "train_queries", "tasks", "chunk", "inner_steps", "test_steps", "inner_rate", "outer_rate")
_CHOSEN = ("cosine", "halve_every", "adapt_norms", "batch_norm")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings; ``None`` takes the method's own (``fewshot.METHODS``).

    ``batch_norm`` is ``transductive`` (the statistics of the batch at hand), ``support`` (those of the support alone) or
    ``running`` (running means of training; for methods that solve a task on features). ``adapt_norms`` says whether MAML's
    inner steps move scale and shift of batch norms. ``cosine`` anneals the outer rate over the run; ``halve_every`` halves it
    after every so many steps instead. ``leak`` is the slope of the activation below zero.

    ``shots`` may be a list such as 1,2,3,4,5: one number for each way, for classes out of balance. ``minutes`` sets the
    number of steps by timing the first ones, so that a schedule ends with them.
    """

    method: str = "protonet"
    data: str = "omniglot"
    test_data: str | None = None
    ways: int = 5
    shots: str = "1"
    queries: int = 15
    train_ways: int | None = None
    train_queries: int | None = None
    minutes: float | None = None
    steps: int = 10_000
    tasks: int | None = None
    chunk: int | None = None
    adapt_norms: bool = True
    inner_steps: int | None = None
    test_steps: int | None = None
    inner_rate: float | None = None
    outer_rate: float | None = None
    cosine: bool = True
    halve_every: int | None = None
    batch_norm: str = "transductive"
    rotations: bool = False
    size: int | None = None
    width: int = 64
    pool: bool = False
    leak: float = 0.0
    episodes: int = 600
    evaluations: int = 10
    seed: int = 0

    def __post_init__(self):
        if self.method not in fewshot.METHODS:
            raise InputError(f"--method {self.method}: accepted are {', '.join(fewshot.METHODS)}")
        positive = ("ways", "queries", "steps", "episodes", "evaluations", "width")
        wrong = [name for name in positive if getattr(self, name) < 1]
        if wrong:
            raise InputError(f"--{wrong[0]} {getattr(self, wrong[0])}: accepted is a positive whole number")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"--minutes {self.minutes}: accepted is a positive number")
        if self.episodes % 50:
            raise InputError(f"--episodes {self.episodes}: accepted are multiples of 50")
        if self.batch_norm not in ("transductive", "support", "running"):
            raise InputError(f"--batch-norm {self.batch_norm}: accepted are transductive, support and running")
        if self.batch_norm == "running" and fewshot.METHODS[self.method].family != "features":
            accepted = [name for name, recipe in fewshot.METHODS.items() if recipe.family == "features"]
            raise InputError(
                f"--batch-norm running: --method {self.method} has no running statistics; accepted with it are "
                f"{', '.join(accepted)}"
            )
        if self.halve_every is not None and (self.halve_every < 1 or self.cosine):
            raise InputError(
                f"--halve-every {self.halve_every}: accepted is a positive number of steps with --no-cosine"
            )
        shots(self.shots)

    def filled(self) -> "Config":
        """With the method's own settings where none are given.

        Raises:
            InputError: if tasks is no multiple of chunk.
        """
        own = fewshot.METHODS[self.method].for_ways(self.ways)
        fill = {name: getattr(own, name) for name in _FILLED if getattr(self, name) is None}
        made = dataclasses.replace(self, **fill)
        if (made.tasks or 1) % (made.chunk or 1):
            raise InputError(f"--tasks {made.tasks}: accepted are multiples of --chunk {made.chunk}")
        return made

    def recipe(self) -> fewshot.Recipe:
        """The recipe of the method with the settings of a filled config."""
        settings = {name: getattr(self, name) for name in (*_FILLED, *_CHOSEN)}
        return dataclasses.replace(fewshot.METHODS[self.method].for_ways(self.ways), **settings)


def shots(text: str) -> int | tuple[int, ...]:
    """``"5"`` or ``"1,2,3"``."""
    try:
        each = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--shots {text}: accepted is a whole number, or one for each way as 1,2,3") from None
    return each[0] if len(each) == 1 else each


def build(config: Config, parts: data.ClassSplit, steps: int) -> fewshot.Method:
    """The method of a filled config on Conv-4 for images, on a perceptron for features."""
    shape = parts.train.x.shape[1:]
    image = len(shape) == 3
    if image and min(shape[:2]) < 16 and config.pool:
        raise InputError(f"--pool: images of {shape[0]} x {shape[1]} are too small to be halved four times")
    if not image and config.batch_norm != "transductive":
        mode = f"--batch-norm {config.batch_norm}"
        raise InputError(f"{mode}: the perceptron for {config.data} has no batch norm; give images")

    def body(*, flatten: bool, context: int) -> nn.Functional:
        if image:
            sizes = (shape[-1], config.width, config.pool, flatten, context, config.leak)
            return nn.functional(lambda rngs: nn.Conv4(None, *sizes, rngs=rngs))
        hidden = (config.width, config.width)
        network = nn.functional(lambda rngs: nn.MLP(shape[-1] + context, hidden, config.width, rngs=rngs))
        if not context:
            return network
        return nn.Functional(network.init, lambda p, x, context: network.apply(p, nn.with_context(x, context)))

    def head(outputs: int) -> nn.Functional:
        return nn.functional(lambda rngs: nnx.Linear(config.width, outputs, rngs=rngs))

    classes = len(parts.train.counts) * (4 if config.rotations else 1)
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return config.recipe().build(body, head, steps=steps, classes=classes, example=example)


def prepare(config: Config) -> tuple[data.ClassSplit, data.Classes]:
    """Training and validation classes, and test classes; the samplers are made once so that bad input shows early."""
    parts = data.class_split(config.data, config.seed, config.size)
    test = parts.test
    if config.test_data is not None:
        test = data.class_split(config.test_data, config.seed, config.size).test
        if test.x.shape[1:] != parts.train.x.shape[1:]:
            raise InputError(
                f"--test-data {config.test_data}: examples of shape {test.x.shape[1:]}, but those of {config.data} are "
                f"{parts.train.x.shape[1:]}; give --size or other data"
            )
    for name, part in (("training", parts.train), ("validation", parts.validation), ("test", test)):
        episodes(config, part, name, train=name == "training")
    return parts, test


def episodes(config: Config, part: data.Classes, name: str, train: bool = False) -> fewshot.episodes.Sampler:
    """Episodes of some classes, as the batch-norm mode asks."""
    ways, queries = config.ways, config.queries
    each = shots(config.shots)
    if train:
        queries = config.train_queries or queries
        if isinstance(each, int):  # one number for each way fixes the ways
            ways = min(config.train_ways or ways, len(part.counts) * (4 if config.rotations else 1))
    made = fewshot.episodes.classes(part, ways, each, queries, config.rotations, f"{config.data}, {name} classes")
    return fewshot.episodes.with_support(made) if config.batch_norm == "support" else made


def load(config: Config) -> dict[str, Any]:
    """Classes for training, validation and test."""
    parts, test = prepare(config)
    return {"train": parts.train, "validation": parts.validation, "test": test}


def train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains, chooses the checkpoint on validation tasks, and tests on ``episodes`` tasks."""
    parts, test = prepare(config)
    keys = jax.random.split(jax.random.key(config.seed), 4)
    if config.recipe().family == "pretraining":
        sampler: Any = fewshot.episodes.examples(parts.train, 64, config.rotations)
    else:
        sampler = fewshot.episodes.tasks(episodes(config, parts.train, "training", train=True), config.tasks or 1)

    def made(steps: int):
        method = build(config, parts, steps)
        return method, method.init(keys[0], method.init_params(keys[1]))

    def judge(method: fewshot.Method, part: data.Classes, name: str, key, n: int):
        mode = config.batch_norm if part.x.ndim == 4 else "none"
        sample, checkpoint = episodes(config, part, name), "best on validation tasks"
        each = name == "test" and config.minutes is None  # the curve over steps costs several tests
        chunk = 1 if config.chunk == 1 else 50
        return fewshot.evaluation.evaluator(method, sample, "accuracy", key, n, mode, chunk, checkpoint, each)

    method, state = made(config.steps)
    validation = judge(method, parts.validation, "validation", keys[2], VALIDATION_TASKS)
    steps, evaluations = config.steps, config.evaluations
    if config.minutes is not None:
        steps, evaluations = planned(config, directory, method, state, sampler, validation)
        method, state = made(steps)  # how it adapts does not depend on the steps: `validation` stays
    state = run.train(
        method.learner,
        state,
        sampler,
        steps,
        directory,
        chunk=CHUNK,
        evaluate=lambda state: {"validation_accuracy": float(validation(state.hyper).mean[-1])},
        evaluate_every=max(CHUNK, steps // evaluations // CHUNK * CHUNK),
        best="validation_accuracy",
        label=config.method,
    )
    state = run.load(state, directory.path, best=("validation_accuracy", True))
    report = judge(method, test, "test", keys[3], config.episodes)(state.hyper)
    return {
        "metrics": {
            "accuracy": 100 * float(report.mean[-1]),
            "interval": 100 * float(report.interval[-1]),
            "best_step": int(state.step),
            "steps": steps,
            "diverged": len(report.diverged),
            "seconds": max(r["seconds"] for r in directory.metrics()),
        },
        "curve": report.mean.tolist(),
        "diverged": list(report.diverged),
        "protocol": f"{config.ways}-way {config.shots}-shot, {config.queries} queries a class: {report}",
    }


def planned(config: Config, directory: run.RunDirectory, method, state, sampler, validation) -> tuple[int, int]:
    """Steps and validations that fit in the minutes: some steps and a validation are compiled and timed, and as much
    compiling is still to come. Kept with the run, so that resuming has the same."""
    file = directory.path / "plan.json"
    if not file.is_file():
        step = lambda s, _: method.update(s, sampler(jax.random.fold_in(stream(s.key, "data"), s.step)))
        few = jax.jit(lambda s: jax.lax.scan(step, s, None, _TIMED)[0])
        clock = [time.perf_counter()]
        for work in (few, few, lambda s: validation(s.hyper), lambda s: validation(s.hyper)):
            jax.block_until_ready(work(state))
            clock.append(time.perf_counter())
        first, again, first_judging, judging = (b - a for a, b in itertools.pairwise(clock))
        test = first_judging - judging + judging * config.episodes / VALIDATION_TASKS
        left = 60 * (config.minutes or 0) - (clock[-1] - clock[0]) - first - test - _SETTING_UP
        evaluations = min(config.evaluations, max(1, int(_VALIDATING * left / judging)))
        steps = max(1, int((left - evaluations * judging) / (again / _TIMED) / CHUNK)) * CHUNK
        if left <= 0:
            print(
                f"--minutes {config.minutes}: compiling and the test alone take longer; {steps} steps", file=sys.stderr
            )
        plan = {"steps": steps, "evaluations": evaluations, "seconds_per_step": again / _TIMED}
        run.write_json(file, {**plan, "seconds_per_validation": judging})
    found = run.read_json(file)
    return int(found["steps"]), int(found["evaluations"])


EXPERIMENT = harness.Experiment("classify", __doc__, Config, train, load)

if __name__ == "__main__":
    EXPERIMENT.exit()
