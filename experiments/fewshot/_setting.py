"""The settings of a few-shot experiment, and the data, the episodes and the method that they name."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from experiments import harness
from metajax import data, fewshot, nn
from metajax.types import InputError

# Settings that a recipe has too: those that it fills in, and those that always come from the config.
_FILLED = ("train_ways", "train_queries", "tasks", "chunk", "inner_steps", "test_steps", "inner_rate", "outer_rate")
_CHOSEN = ("cosine", "halve_every", "adapt_norms", "batch_norm")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings. A flag whose default is None takes the value of the method's recipe in ``fewshot.METHODS``."""

    method: str = "protonet"
    """A name of ``fewshot.METHODS``."""
    data: str = "omniglot"
    """The data, as above."""
    test_data: str | None = None
    """Other data for the test, with examples of the same shape."""
    ways: int = 5
    """Classes of a test task."""
    shots: str = "1"
    """Examples of a class in the support. A list such as 1,2,3,4,5 gives one number for each way (unbalanced classes)."""
    queries: int = 15
    """Queries of a class in a test task."""
    train_ways: int | None = None
    """Classes of a training task."""
    train_queries: int | None = None
    """Queries of a class in a training task."""
    minutes: float | None = None
    """Minutes to train; the number of steps is set by timing the first ones, so that a schedule ends with them."""
    steps: int = 10_000
    """Outer updates, unless minutes are given."""
    tasks: int | None = None
    """Tasks of an outer update."""
    chunk: int | None = None
    """Tasks that are computed at once."""
    adapt_norms: bool = True
    """Whether MAML's inner steps move the scale and the shift of batch norms."""
    inner_steps: int | None = None
    """Inner steps in training."""
    test_steps: int | None = None
    """Inner steps in the test."""
    inner_rate: float | None = None
    """Learning rate of the inner steps."""
    outer_rate: float | None = None
    """Learning rate of the outer updates."""
    cosine: bool = True
    """Anneal the outer rate over the run."""
    halve_every: int | None = None
    """Number of steps after which the outer rate is halved, again and again."""
    batch_norm: str = "transductive"
    """transductive (statistics of the batch at hand), support (those of the support alone) or running (running means of
    training, for methods that solve a task on features)."""
    rotations: bool = False
    """Rotations of a class are classes of their own."""
    size: int | None = None
    """Side in pixels to which images are resized."""
    width: int = 64
    """Filters or units of a layer."""
    pool: bool = False
    """Max-pooling in place of strides."""
    leak: float = 0.0
    """Slope of the activation below zero."""
    episodes: int = 600
    """Test tasks, a multiple of 50."""
    evaluations: int = 10
    """Validations during training."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        if self.method not in fewshot.METHODS:
            raise InputError(f"--method must be one of {', '.join(fewshot.METHODS)}, got {self.method}")
        harness.check_at_least(self, 1, "ways", "queries", "steps", "episodes", "evaluations", "width")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"--minutes must be positive, got {self.minutes}")
        if self.episodes % 50:
            raise InputError(f"--episodes must be a multiple of 50, got {self.episodes}")
        if self.batch_norm not in ("transductive", "support", "running"):
            raise InputError(f"--batch-norm must be transductive, support or running, got {self.batch_norm}")
        if self.batch_norm == "running" and fewshot.METHODS[self.method].family != "features":
            accepted = [name for name, recipe in fewshot.METHODS.items() if recipe.family == "features"]
            raise InputError(
                f"--method must be one of {', '.join(accepted)} with --batch-norm running, because {self.method} has no "
                "running statistics"
            )
        if self.halve_every is not None and (self.halve_every < 1 or self.cosine):
            raise InputError(
                f"--halve-every must be a positive number of steps and needs --no-cosine, got {self.halve_every}"
            )
        shots(self.shots)
        recipe = fewshot.METHODS[self.method].for_ways(self.ways)
        for name in _FILLED:
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(recipe, name))
        if (self.tasks or 1) % (self.chunk or 1):
            raise InputError(f"--tasks must be a multiple of --chunk {self.chunk}, got {self.tasks}")

    def recipe(self) -> fewshot.Recipe:
        """Returns the recipe of the method with these settings."""
        settings = {name: getattr(self, name) for name in (*_FILLED, *_CHOSEN)}
        return dataclasses.replace(fewshot.METHODS[self.method].for_ways(self.ways), **settings)


def shots(text: str) -> int | tuple[int, ...]:
    """Returns the number in ``"5"``, or the numbers in ``"1,2,3"``."""
    try:
        each = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--shots must be an integer >= 1, or one for each way as 1,2,3; got {text}") from None
    return each[0] if len(each) == 1 else each


def build(config: Config, parts: data.ClassSplit, steps: int) -> fewshot.Method:
    """Builds the method of a config: on Conv-4 for images, on a perceptron for features."""
    shape = parts.train.x.shape[1:]
    image = len(shape) == 3
    if image and min(shape[:2]) < 16 and config.pool:
        raise InputError(
            f"--pool must leave images that can be halved four times, but {shape[0]} x {shape[1]} is too small"
        )
    if not image and config.batch_norm != "transductive":
        mode = f"--batch-norm {config.batch_norm}"
        raise InputError(f"{mode} needs images, because the perceptron for {config.data} has no batch norm")

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
    """Returns training and validation classes, and test classes. It makes the samplers once, so that bad input shows early."""
    parts = data.class_split(config.data, config.seed, config.size)
    test = parts.test
    if config.test_data is not None:
        test = data.class_split(config.test_data, config.seed, config.size).test
        if test.x.shape[1:] != parts.train.x.shape[1:]:
            raise InputError(
                f"--test-data must have examples of the shape of {config.data}, {parts.train.x.shape[1:]}, got "
                f"{config.test_data} with {test.x.shape[1:]}; give --size or other data"
            )
    for name, part in (("training", parts.train), ("validation", parts.validation), ("test", test)):
        episodes(config, part, name, train=name == "training")
    return parts, test


def episodes(config: Config, part: data.Classes, name: str, train: bool = False) -> fewshot.episodes.Sampler:
    """Returns the sampler of episodes of some classes, as the batch-norm mode needs it."""
    ways, queries = config.ways, config.queries
    each = shots(config.shots)
    if train:
        queries = config.train_queries or queries
        if isinstance(each, int):  # one number for each way fixes the ways
            ways = min(config.train_ways or ways, len(part.counts) * (4 if config.rotations else 1))
    sampler = fewshot.episodes.classes(part, ways, each, queries, config.rotations, f"{config.data}, {name} classes")
    return fewshot.episodes.with_support(sampler) if config.batch_norm == "support" else sampler
