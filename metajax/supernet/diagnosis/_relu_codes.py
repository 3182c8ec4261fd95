"""In how many ReLUs of a network two inputs agree, read from the network's program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

# programs within programs that compute what they hold
_CALLS = ("pjit", "jit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat2", "checkpoint")


class Agreement:
    """Runs programs and counts in how many ReLUs, ``max(v, 0)``, two of the inputs agree.

    Those in a loop count each time, those in a choice of branches where the branch is taken.

    Attributes:
        number: of inputs.
        dtype: of the counts.
        relus: that were met in the text of the programs.
    """

    def __init__(self, number: int, dtype: Any = np.float32):
        self.number, self.dtype, self.relus = number, dtype, 0

    def run(self, jaxpr: Any, consts: Any, args: Any) -> tuple[list[Any], jax.Array]:
        """The outputs of a program, and f[number, number]."""
        values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args)))
        read = lambda var: var.val if isinstance(var, core.Literal) else values[var]
        total = jnp.zeros((self.number, self.number), self.dtype)
        for equation in jaxpr.eqns:
            given = [read(var) for var in equation.invars]
            made, more = self._equation(equation, given)
            total = total if more is None else total + more
            values.update(zip(equation.outvars, made))
        return [read(var) for var in jaxpr.outvars], total

    def _equation(self, equation: Any, given: list[Any]) -> tuple[Any, jax.Array | None]:
        name, params = equation.primitive.name, equation.params
        inner = params.get("call_jaxpr", params.get("jaxpr"))
        if name in _CALLS and inner is not None:
            return self._closed(inner, given)
        if name == "cond":
            branches = [lambda *args, branch=branch: self._closed(branch, args) for branch in params["branches"]]
            return jax.lax.switch(given[0], branches, *given[1:])
        if name == "scan":
            return self._loop(params, given)
        made = equation.primitive.bind(*given, **params)
        zero = any(not isinstance(v, jax.Array) and np.ndim(v) == 0 and v == 0 for v in given)
        more = self._agreeing(made > 0) if name == "max" and zero else None
        return made if equation.primitive.multiple_results else [made], more

    def _closed(self, inner: Any, given: Any) -> tuple[list[Any], jax.Array]:
        closed = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
        return self.run(*closed, given)

    def _loop(self, params: Any, given: list[Any]) -> tuple[list[Any], jax.Array]:
        fixed, carried = params["num_consts"], params["num_carry"]
        consts, init, xs = given[:fixed], given[fixed : fixed + carried], given[fixed + carried :]

        def step(carry: Any, x: Any) -> Any:
            made, more = self._closed(params["jaxpr"], [*consts, *carry, *x])
            return made[:carried], (made[carried:], more)

        last, (each, more) = jax.lax.scan(step, init, xs, params["length"], params["reverse"])
        return [*last, *each], jnp.sum(more, axis=0)

    def _agreeing(self, code: jax.Array) -> jax.Array:
        """In how many units the codes of two inputs agree: those that both switch on, and those that none does."""
        self.relus += 1
        on = code.reshape(self.number, -1).astype(np.float32)
        both = (on @ on.T).astype(self.dtype)  # exact below 2^24 units
        each = jnp.diagonal(both)
        return 2 * both - each[:, None] - each + on.shape[1]
