"""Any model as two pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from metajax.types import InputError, Key, Params


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
    """A model as ``init(key) -> params`` and ``apply(params, *inputs, **kwargs) -> outputs``."""

    init: Callable[[Key], Params]
    apply: Apply


def functional(module: Any, *example: Any) -> Functional:
    """A Flax model as a pair of pure functions, so that parameters are a plain pytree.

    Args:
        module: one of
            a function ``nnx.Rngs -> nnx.Module`` (a class such as ``partial(MLP, 1, (40, 40), 1)`` that takes ``rngs=``
            is wrapped as ``lambda rngs: MLP(..., rngs=rngs)``);
            an ``nnx.Module``, whose present weights ``init`` then returns whatever the key (a pre-trained network);
            a Linen module, with example inputs;
            a pair ``(init, apply)``, returned as it is.
        example: inputs for a Linen module's ``init``.

    Returns:
        ``(init, apply)``. State that is not a parameter (running statistics, random counters) is held at its initial
        value: what learns must be in the parameters.

    Raises:
        InputError: if ``module`` is none of these.

    Example:
        >>> from flax import nnx
        >>> init, apply = functional(lambda rngs: nnx.Linear(2, 3, rngs=rngs))
        >>> apply(init(jax.random.key(0)), jax.numpy.ones((5, 2))).shape
        (5, 3)
    """
    from flax import linen, nnx

    if isinstance(module, tuple) and len(module) == 2 and all(callable(f) for f in module):
        return Functional(*module)
    if isinstance(module, linen.Module):
        return Functional(
            lambda key: module.init(key, *example)["params"],
            lambda params, *inputs, **kwargs: module.apply({"params": params}, *inputs, **kwargs),
        )
    if isinstance(module, nnx.Module):
        graph, params, rest = nnx.split(module, nnx.Param, ...)
        fixed = nnx.to_pure_dict(params)
        return Functional(lambda key: fixed, _applier(graph, params, rest))
    if callable(module):

        def init(key: Key) -> Params:
            return nnx.to_pure_dict(nnx.split(module(nnx.Rngs(key)), nnx.Param, ...)[1])

        graph, params, rest = nnx.split(nnx.eval_shape(lambda: module(nnx.Rngs(0))), nnx.Param, ...)
        if jax.tree.leaves(rest):  # its values count, not only its structure
            rest = nnx.split(module(nnx.Rngs(0)), nnx.Param, ...)[2]
        return Functional(jax.jit(init), _applier(graph, params, rest))
    raise InputError(
        f"functional: module is a {type(module).__name__}; accepted are an nnx.Module, a function of nnx.Rngs that "
        "makes one, a Linen module with example inputs, or a pair (init, apply)"
    )


def _applier(graph: Any, like: Any, rest: Any) -> Callable[..., Any]:
    from flax import nnx

    def apply(params: Params, *inputs: Any, **kwargs: Any) -> Any:
        state = jax.tree.map(lambda x: x, like)  # a copy of the structure, to be filled
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state, rest, copy=True)(*inputs, **kwargs)

    return apply


def chain(body: Functional, head: Functional) -> Functional:
    """``head(body(x))`` with parameters ``{"body": ..., "head": ...}``; further arguments go to the body.

    Example:
        >>> from flax import nnx
        >>> body = functional(lambda rngs: nnx.Linear(2, 8, rngs=rngs))
        >>> head = functional(lambda rngs: nnx.Linear(8, 3, rngs=rngs))
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


def with_context(x: jax.Array, context: jax.Array) -> jax.Array:
    """Inputs [n, ..., c] with the same context [k] appended to each: [n, ..., c + k]."""
    return jnp.concatenate([x, jnp.broadcast_to(context, (*x.shape[:-1], context.shape[-1]))], axis=-1)


def by_support(apply: Callable[..., Any]) -> Callable[..., Any]:
    """An ``apply`` that also takes a pair ``(support x, x)`` and then normalizes by the support's statistics alone.

    The model must accept ``reference=``, as ``Conv4`` does. ``fewshot.episodes.with_support`` makes samplers of such pairs.
    """

    def run(params: Params, x: Any, *inputs: Any, **kwargs: Any) -> Any:
        if not isinstance(x, tuple):
            return apply(params, x, *inputs, **kwargs)
        support, queries = x
        number = support.shape[0]
        return apply(params, jnp.concatenate([support, queries]), *inputs, reference=number, **kwargs)[number:]

    return run
