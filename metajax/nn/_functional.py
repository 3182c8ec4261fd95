"""What a network is to metajax: a pair of pure functions, and how such pairs are put together."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.types import Key, Params


class Apply(Protocol):
    """What a model computes, as a pure function of its parameters."""

    def __call__(self, params: Params, /, *inputs: Any, **kwargs: Any) -> Any:
        """Returns the outputs of the model.

        Args:
            params: Parameters, as ``Functional.init`` makes them.
            *inputs: Inputs of the model.
            **kwargs: Further arguments of the model, such as ``reference=``.
        """
        ...


class Functional(NamedTuple):
    """A model as two pure functions.

    Attributes:
        init: ``key -> params``, a pytree of arrays.
        apply: ``(params, *inputs, **kwargs) -> outputs``.
    """

    init: Callable[[Key], Params]
    apply: Apply


def chain(body: Functional, head: Functional) -> Functional:
    """Puts two networks together: ``head(body(x))``.

    Args:
        body: The first network; inputs after the first go to it.
        head: The second network.

    Returns:
        A network with parameters ``{"body": ..., "head": ...}``.

    Example:
        >>> from flax import nnx
        >>> from metajax import nn
        >>> body = nn.functional(lambda rngs: nnx.Linear(2, 8, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(8, 3, rngs=rngs))
        >>> init, apply = chain(body, head)
        >>> apply(init(jax.random.key(0)), jax.numpy.ones((5, 2))).shape
        (5, 3)
    """

    def init(key: Key) -> Params:
        first, second = jax.random.split(key)
        return {"body": body.init(first), "head": head.init(second)}

    def apply(params: Params, *inputs: Any, **kwargs: Any) -> Any:
        return head.apply(params["head"], body.apply(params["body"], *inputs, **kwargs))

    return Functional(init, apply)


@checked
def with_context(x: Float[AnyArray, "n *axes c"], context: Float[AnyArray, " k"]) -> Float[Array, "n *axes c_and_k"]:
    """Appends the same context to every input, for a network of CAVIA.

    Args:
        x: Inputs, channels last.
        context: The context of the task.

    Returns:
        Inputs with k more channels.

    References:
        Zintgraf et al. 2019, arXiv:1810.03642.

    Example:
        >>> with_context(jnp.zeros((2, 1)), jnp.array([7.0, 8.0])).tolist()
        [[0.0, 7.0, 8.0], [0.0, 7.0, 8.0]]
    """
    return jnp.concatenate([x, jnp.broadcast_to(context, (*x.shape[:-1], context.shape[-1]))], axis=-1)


def by_support(apply: Apply) -> Apply:
    """Makes an apply function that also takes a pair ``(support x, x)`` and normalizes by the support's statistics alone.

    ``fewshot.episodes.with_support`` makes samplers of such pairs.

    Args:
        apply: The apply function of a model that accepts ``reference=``, as ``Conv4`` does.

    Returns:
        An apply function of single inputs, as before, and of pairs, for which it returns the outputs of ``x``.

    Example:
        >>> from metajax import nn
        >>> init, apply = nn.functional(lambda rngs: nn.Conv4(3, width=4, rngs=rngs))
        >>> support, x = jnp.ones((6, 8, 8, 1)), jnp.zeros((2, 8, 8, 1))
        >>> jax.jit(by_support(apply))(init(jax.random.key(0)), (support, x)).shape
        (2, 3)
    """

    def run(params: Params, x: Any, *inputs: Any, **kwargs: Any) -> Any:
        if not isinstance(x, tuple):
            return apply(params, x, *inputs, **kwargs)
        support, queries = x
        number = support.shape[0]
        return apply(params, jnp.concatenate([support, queries]), *inputs, reference=number, **kwargs)[number:]

    return run
