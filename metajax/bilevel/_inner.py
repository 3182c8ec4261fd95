"""How the inner problem is solved: by the steps of an optimizer, or by a function that returns the solution."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel._scan import Remat, checkpointed_scan, length
from metajax.types import Batch, Hyper, Info, Key, Params, Scalar


class HyperLoss(Protocol):
    """A pure function of hyperparameters and parameters, ``loss(hyper, params, batch, key) -> (loss, info)``."""

    def __call__(self, hyper: Hyper, params: Params, batch: Batch, key: Key, /) -> tuple[Scalar, Info]:
        """Evaluates the loss.

        Args:
            hyper: The hyperparameters, a pytree of floating-point arrays.
            params: The parameters of the inner problem, a pytree of arrays.
            batch: The data: one inner batch for an inner loss, the outer batch for an outer one.
            key: Randomness of this evaluation. A deterministic loss ignores it.

        Returns:
            The loss, a scalar array, and scalars to log by name.
        """
        ...


class InnerInit(Protocol):
    """Makes the first parameters of inner learning, ``init(hyper, key) -> params``."""

    def __call__(self, hyper: Hyper, key: Key, /) -> Params:
        """Makes the first parameters.

        Args:
            hyper: The hyperparameters. MAML returns them: the initialization is what it learns.
            key: Randomness of the initialization.

        Returns:
            The first parameters, a pytree of arrays.
        """
        ...


class InnerSolve(Protocol):
    """Returns the solution of the inner problem, ``solve(hyper, batch, key) -> params``."""

    def __call__(self, hyper: Hyper, batch: Batch, key: Key, /) -> Params:
        """Solves the inner problem.

        Args:
            hyper: The hyperparameters. To be differentiated, the function must be differentiable in them.
            batch: The last of the inner batches.
            key: Randomness of the solution. A deterministic solver ignores it.

        Returns:
            What the outer loss reads in place of parameters, a pytree of arrays.
        """
        ...


InnerOptimizer = Callable[[Hyper], optax.GradientTransformation]
"""``optimizer(hyper) -> optax.GradientTransformation``: learning rates and decays may be hyperparameters."""


class InnerState(NamedTuple):
    """Where inner learning stands.

    Attributes:
        params: The parameters of the inner problem.
        opt_state: The state of the inner optimizer; ``()`` where the problem is solved by a function.
    """

    params: Params
    opt_state: Any


@dataclass(frozen=True)
class Inner:
    """How ``w*(h)`` is reached: ``Inner.descent`` runs an optimizer, ``Inner.solution`` calls a function.

    An estimator of the hypergradient needs one or the other, and says so when it is given the wrong one.

    Example:
        >>> from metajax import bilevel
        >>> inner = bilevel.Inner.solution(lambda h, batch, key: jnp.mean(batch) / (1 + jnp.exp(h)))
        >>> problem = bilevel.Problem(inner, lambda h, w, batch, key: (jnp.mean((w - batch) ** 2), {}))
        >>> bilevel.unroll()(problem)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        metajax.types.InputError: unroll: the inner problem must be Inner.descent(loss, init, optimizer), got ...
    """

    @staticmethod
    def descent(loss: HyperLoss, init: InnerInit, optimizer: InnerOptimizer) -> "Descent":
        """Reaches ``w*(h)`` by the steps of an optimizer on an inner loss.

        Args:
            loss: The inner loss, ``(hyper, params, batch, key) -> (loss, info)``.
            init: ``(hyper, key) -> params``. If it reads ``hyper``, as in MAML, the gradient flows through it.
            optimizer: ``(hyper) -> optax.GradientTransformation``. An inner Adam needs ``eps_root=1e-8``: otherwise the
                derivative of its square root is NaN where a gradient is zero.

        Returns:
            The inner part of a ``Problem``, for ``unroll``, ``forward``, ``implicit`` and every other estimator but
            ``through_solution``.

        Example:
            >>> ridge = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2) + jnp.exp(h) * jnp.sum(w**2), {})
            >>> inner = Inner.descent(ridge, lambda h, key: jnp.zeros(3), lambda h: optax.sgd(0.1))
            >>> state = inner.begin(jnp.zeros(()), jax.random.key(0))
            >>> state, losses = inner.run(jnp.zeros(()), state, jnp.ones((20, 3)), jax.random.key(1))
            >>> state.params.round(2).tolist(), float(losses[0])  # the optimum is 1 / (1 + exp(h)) = 0.5
            ([0.5, 0.5, 0.5], 3.0)
        """
        return Descent(loss, init, optimizer)

    @staticmethod
    def solution(solve: InnerSolve) -> "Solution":
        """Reaches ``w*(h)`` by a function: a closed form, a convex solver with its own derivative, a whole training.

        Ridge regression (R2D2, Bertinetto et al. 2019, arXiv:1805.08136), class means (prototypical networks, Snell et al.
        2017, arXiv:1703.05175) and a quadratic program (MetaOptNet, Lee et al. 2019, arXiv:1904.03758) are examples.

        Args:
            solve: ``(hyper, batch, key) -> params``. The batch is the last inner one.

        Returns:
            The inner part of a ``Problem``, for ``through_solution`` and, if ``solve`` has no derivative, ``evolution``.

        Example:
            >>> shrunk_mean = Inner.solution(lambda h, batch, key: jnp.mean(batch) / (1 + jnp.exp(h)))
            >>> float(shrunk_mean.solve(jnp.zeros(()), jnp.array([1.0, 3.0]), jax.random.key(0)))
            1.0
        """
        return Solution(solve)


@dataclass(frozen=True)
class Descent(Inner):
    """Inner learning by an optimizer; made by ``Inner.descent``.

    Attributes:
        loss: The inner loss, ``(hyper, params, batch, key) -> (loss, info)``.
        init: ``(hyper, key) -> params``.
        optimizer: ``(hyper) -> optax.GradientTransformation``.

    Example:
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = Descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> state = inner.begin(jnp.asarray(0.5), jax.random.key(0))
        >>> state, loss = inner.step(jnp.asarray(0.5), state, (), jax.random.key(1))
        >>> float(loss), float(state.params)
        (0.5, 0.5)
    """

    loss: HyperLoss
    init: InnerInit
    optimizer: InnerOptimizer

    def begin(self, hyper: Hyper, key: Key) -> InnerState:
        """Returns the state before the first inner step.

        Args:
            hyper: The hyperparameters.
            key: Randomness of the initialization.

        Returns:
            The first parameters and the first state of the optimizer.
        """
        params = self.init(hyper, key)
        return InnerState(params, self.optimizer(hyper).init(params))

    def step(self, hyper: Hyper, state: InnerState, batch: Batch, key: Key) -> tuple[InnerState, Scalar]:
        """Makes one update of the inner optimizer.

        Args:
            hyper: The hyperparameters.
            state: The inner state.
            batch: One inner batch.
            key: Randomness of the inner loss in this step.

        Returns:
            The next state, and the inner loss before the update.
        """
        grad_fn = jax.value_and_grad(self.loss, argnums=1, has_aux=True)
        (loss, _), grads = grad_fn(hyper, state.params, batch, key)
        updates, opt_state = self.optimizer(hyper).update(grads, state.opt_state, state.params)
        return InnerState(optax.apply_updates(state.params, updates), opt_state), loss

    def run(
        self,
        hyper: Hyper,
        state: InnerState,
        inner_batches: Batch,
        key: Key,
        remat: Remat = None,
        first: int = 0,
    ) -> tuple[InnerState, jax.Array]:
        """Makes an update for each inner batch, in a scan.

        A single update is made outside of a scan, so that XLA reads what tasks share once for all of them.

        Args:
            hyper: The hyperparameters.
            state: The inner state to go on from.
            inner_batches: The batches, stacked along a leading axis that counts the steps.
            key: Randomness of the inner loss; step t uses ``fold_in(key, first + t)``.
            remat: What reverse mode keeps: ``None`` everything, ``k`` every k-th state, ``"sqrt"`` every √steps-th. The steps
                between are computed again in the backward pass (Griewank and Walther 2000): O(√steps) memory at the cost of
                one more forward pass.
            first: The number of the first step, for its key.

        Returns:
            The last state, and the inner loss before each update, an array of shape ``[steps]``.

        Raises:
            InputError: If the leaves of ``inner_batches`` disagree in the number of steps, or if there are none.
        """
        steps = length(inner_batches)

        def body(carry: InnerState, index_and_batch: Any) -> tuple[InnerState, Scalar]:
            index, batch = index_and_batch
            return self.step(hyper, carry, batch, step_key(key, index))

        if steps == 1:
            end, loss = body(state, (first, jax.tree.map(lambda x: x[0], inner_batches)))
            return end, loss[None]
        return checkpointed_scan(body, state, (first + jnp.arange(steps), inner_batches), steps, remat)


@dataclass(frozen=True)
class Solution(Inner):
    """Inner learning by a function; made by ``Inner.solution``.

    Attributes:
        solve: ``(hyper, batch, key) -> params``.

    Example:
        >>> shrunk_mean = Solution(lambda h, batch, key: jnp.mean(batch) / (1 + jnp.exp(h)))
        >>> float(shrunk_mean.solve(jnp.zeros(()), jnp.array([1.0, 3.0]), jax.random.key(0)))
        1.0
    """

    solve: InnerSolve


def step_key(key: Key, index: int | jax.Array) -> Key:
    """The key of inner step ``index``, for the step itself and for what an estimator computes of the same step again."""
    return jax.random.fold_in(key, index)
