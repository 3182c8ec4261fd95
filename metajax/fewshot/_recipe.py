"""A method of the literature: its settings, and the function that builds it from a network."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import optax

from metajax import nn
from metajax.fewshot._losses import cross_entropy
from metajax.fewshot._method import Method
from metajax.types import InputError, Key, LossFn, Params, stream

Family = Literal["gradient", "features", "pretraining"]
"""How a method solves a task: by gradient steps, in closed form on learned features, or on features of plain training."""

BatchNorm = Literal["transductive", "support", "running"]
"""The statistics that batch norm uses: those of the batch at hand, of the support alone, or running means of training."""

FEW_WAYS = 10
"""Up to this number of ways a recipe takes its settings for few ways."""


class MakeBody(Protocol):
    """Makes the body of a network as a method needs it."""

    def __call__(self, *, flatten: bool, context: int) -> nn.Functional:
        """Returns ``(params, x) -> features f32[n, d]``, or ``(params, x, context f32[context]) -> features``.

        Args:
            flatten: Keep all positions of an image as features, for a head in closed form. Otherwise their mean is enough.
            context: Size of CAVIA's context vector, which ``apply`` then takes as its second input; 0 for none.
        """
        ...


class MakeHead(Protocol):
    """Makes the last layer of a network."""

    def __call__(self, outputs: int) -> nn.Functional:
        """Returns ``(params, features) -> scores f32[n, outputs]``."""
        ...


@dataclasses.dataclass(frozen=True)
class Network:
    """The network and the training from which a builder makes a method.

    Attributes:
        body: Makes the body.
        head: The head, or what makes it; ``None`` if the caller gave none.
        loss: Makes the loss of a task from an apply function.
        steps: Number of outer steps, which schedules span.
        classes: Number of training classes, or ``None``.
        example: One batch of inputs or its ``jax.ShapeDtypeStruct``, or ``None``.
        outer_optimizer: The optimizer that the caller chose, or ``None`` for the method's own.
    """

    body: MakeBody
    head: nn.Functional | MakeHead | None
    loss: Callable[[nn.Apply], LossFn]
    steps: int
    classes: int | None
    example: Any
    outer_optimizer: optax.GradientTransformation | None

    def scores(self, outputs: int | None) -> nn.Functional:
        """The head with this number of outputs.

        Raises:
            InputError: If the caller gave no head, or a function without a number of outputs.
        """
        if isinstance(self.head, nn.Functional):
            return self.head
        if self.head is None:
            raise InputError(
                "build: head must be a Functional or a function outputs -> Functional for this method, got None"
            )
        if outputs is None:
            raise InputError("build: classes must be the number of training classes for this method, got None")
        return self.head(outputs)


Builder = Callable[["Recipe", Network], tuple[Method, Callable[[Key], Params]]]
"""``(recipe, network) -> (method, key -> initial parameters)``."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a few-shot method, and how it is built from a network.

    ``fewshot.METHODS`` has a recipe for every method. Change settings by ``dataclasses.replace``, after ``for_ways``.

    Attributes:
        builder: Makes the method from this recipe and a network.
        function: The function that makes the method of its parts. Its documentation is that of the method: the mathematics,
            the paper, and what differs from it.
        family: The way in which the method solves a task. Methods of the family ``"pretraining"`` train on labeled
            batches (``episodes.examples``), all others on episodes.
        options: Further arguments of the method's function, such as ``{"l2": 1.0}`` for ``fewshot.r2d2``.
        inner_rate: Learning rate of the inner steps, for a loss that is the mean over the support.
        inner_steps: Adaptation steps in training; 0 for a method that needs none.
        test_steps: Adaptation steps in a test.
        outer_rate: Learning rate of the outer optimizer.
        tasks: Number of tasks in an outer step.
        chunk: Number of tasks that are computed side by side; a divisor of ``tasks``, or ``None`` for all.
        train_queries: Query examples of each class in training.
        ways: Number of classes in a test task.
        train_ways: Number of classes in a training task; ``None`` for as many as in a test.
        many_ways: The settings that replace the others above ``FEW_WAYS`` ways.
        cosine: Anneal the outer rate by a cosine over the training.
        final_share: The last value of the cosine, as a share of ``outer_rate``.
        halve_every: Halve the outer rate each time this number of steps has passed instead; ``None`` never does.
        adapt_norms: Inner steps move scale and shift of batch norms too (MAML).
        batch_norm: ``"transductive"``; ``"support"``, for a body that accepts ``reference=`` and samplers of
            ``episodes.with_support``; or ``"running"``, in the family ``"features"``, for a body that accepts ``report=``
            and ``statistics=``. ``nn.Conv4`` accepts all three.

    Example:
        >>> from metajax import fewshot
        >>> recipe = fewshot.METHODS["imaml"].for_ways(5)
        >>> shorter = dataclasses.replace(recipe, inner_steps=8, options={"strength": 1.0})
        >>> recipe.inner_steps, shorter.inner_steps
        (16, 8)
    """

    builder: Builder
    function: Callable[..., Method]
    family: Family
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    inner_rate: float = 0.0
    inner_steps: int = 0
    test_steps: int = 0
    outer_rate: float = 1e-3
    tasks: int = 16
    chunk: int | None = 1
    train_queries: int = 5
    ways: int = 5
    train_ways: int | None = None
    many_ways: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cosine: bool = True
    final_share: float = 0.0
    halve_every: int | None = None
    adapt_norms: bool = True
    batch_norm: BatchNorm = "transductive"

    def for_ways(self, ways: int) -> "Recipe":
        """Returns the recipe for tasks with this number of classes, with ``train_ways`` filled in.

        Args:
            ways: Number of classes in a test task, >= 2.

        Raises:
            InputError: If there are fewer than 2 ways.

        Example:
            >>> from metajax import fewshot
            >>> few, many = (fewshot.METHODS["maml"].for_ways(ways) for ways in (5, 20))
            >>> (few.inner_rate, few.inner_steps), (many.inner_rate, many.inner_steps)
            ((0.4, 1), (0.4, 5))
        """
        if ways < 2:
            raise InputError(f"for_ways: ways={ways} must be an integer >= 2")
        changes = self.many_ways if ways > FEW_WAYS else {}
        return dataclasses.replace(self, ways=ways, train_ways=self.train_ways or ways, **changes)

    def schedule(self, steps: int) -> optax.ScalarOrSchedule:
        """Returns the outer rate over ``steps`` outer steps: annealed by a cosine, halved at intervals, or constant."""
        if self.cosine:
            return optax.cosine_decay_schedule(self.outer_rate, steps, self.final_share)
        if self.halve_every is not None:
            return optax.exponential_decay(self.outer_rate, self.halve_every, 0.5, staircase=True)
        return self.outer_rate

    def build(
        self,
        body: nn.Functional | MakeBody,
        head: nn.Functional | MakeHead | None = None,
        *,
        steps: int,
        loss: Callable[[nn.Apply], LossFn] = cross_entropy,
        classes: int | None = None,
        example: Any = None,
        outer_optimizer: optax.GradientTransformation | None = None,
    ) -> Method:
        """Builds the method.

        Args:
            body: The network from inputs to features, as a ``Functional``, or as a function ``(flatten, context) ->
                Functional`` that makes it as the method needs it (see ``MakeBody``). CAVIA calls it with the context as a
                second input.
            head: The last layer, from features to scores, as a ``Functional``, or as a function ``outputs -> Functional``.
                Methods that adapt have ``ways`` outputs, those of the family ``"pretraining"`` have ``classes``. Methods
                of the family ``"features"`` need none.
            steps: Number of outer steps, which the schedule of the outer rate spans.
            loss: Makes the loss of a task from an apply function, for methods that adapt: ``fewshot.cross_entropy`` or
                ``fewshot.squared_error``.
            classes: Number of training classes, for a function ``head`` in the family ``"pretraining"``.
            example: One batch of inputs or its ``jax.ShapeDtypeStruct``, for ``batch_norm="running"``.
            outer_optimizer: The optimizer of the meta-learned parameters. ``None`` takes the method's own: Adam with the
                recipe's schedule, or gradient descent with a rate that falls to zero for Reptile.

        Returns:
            A method that knows its initial parameters: ``method.init(key)`` draws them, ``method.init_params(key)``
            returns them.

        Raises:
            InputError: If the method needs a head, classes or an example that are not given, or cannot have running
                statistics.

        Example:
            >>> import jax
            >>> from flax import nnx
            >>> from metajax import fewshot, nn
            >>> body = nn.functional(lambda rngs: nn.MLP(1, (40,), 40, rngs=rngs))
            >>> head = nn.functional(lambda rngs: nnx.Linear(40, 1, rngs=rngs))
            >>> method = fewshot.METHODS["anil"].build(body, head, steps=100, loss=fewshot.squared_error)
            >>> sorted(method.init(jax.random.key(0)).hyper)
            ['body', 'head']
        """
        if steps < 1:
            raise InputError(f"build: steps must be an integer >= 1, got {steps}")
        if self.batch_norm == "running" and self.family != "features":
            raise InputError(
                "build: batch_norm='running' needs a method of the family 'features', because this method has no "
                "running statistics; use 'transductive' or 'support'"
            )
        network = Network(self._maker(body), head, loss, steps, classes, example, outer_optimizer)
        method, init_params = self.builder(self, network)

        def init(key: Key, params: Params | None = None) -> Any:
            return method.init(key, init_params(stream(key, "params")) if params is None else params)

        return method._replace(init=init, init_params=init_params)

    def _maker(self, body: nn.Functional | MakeBody) -> MakeBody:
        """Returns the function that makes the body, with batch norm by the support where the recipe says so."""

        def make(*, flatten: bool, context: int) -> nn.Functional:
            network = body if isinstance(body, nn.Functional) else body(flatten=flatten, context=context)
            return (
                nn.Functional(network.init, nn.by_support(network.apply)) if self.batch_norm == "support" else network
            )

        return make
