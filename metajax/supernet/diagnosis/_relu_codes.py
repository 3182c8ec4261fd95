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

    A ReLU in a loop counts each time; one in a choice of branches counts where its branch is taken.

    Attributes:
        number: The number of inputs.
        dtype: The type of the counts.
        relus: The number of ReLUs that were met in the text of the programs.
    """

    def __init__(self, number: int, dtype: Any = np.float32):
        self.number, self.dtype, self.relus = number, dtype, 0

    def run(self, jaxpr: Any, consts: Any, args: Any) -> tuple[list[Any], jax.Array]:
        """Returns the outputs of a program, and the counts f[number, number]."""
        values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args)))
        read = lambda var: var.val if isinstance(var, core.Literal) else values[var]
        total = jnp.zeros((self.number, self.number), self.dtype)
        for equation in jaxpr.eqns:
            operands = [read(var) for var in equation.invars]
            outputs, counts = self._equation(equation, operands)
            total = total if counts is None else total + counts
            values.update(zip(equation.outvars, outputs))
        return [read(var) for var in jaxpr.outvars], total

    def _equation(self, equation: Any, operands: list[Any]) -> tuple[Any, jax.Array | None]:
        """Returns the outputs of one equation, and its counts if it is or holds a ReLU."""
        name, params = equation.primitive.name, equation.params
        inner = params.get("call_jaxpr", params.get("jaxpr"))
        if name in _CALLS and inner is not None:
            return self._closed(inner, operands)
        if name == "cond":
            branches = [lambda *args, branch=branch: self._closed(branch, args) for branch in params["branches"]]
            return jax.lax.switch(operands[0], branches, *operands[1:])
        if name == "scan":
            return self._loop(params, operands)
        output = equation.primitive.bind(*operands, **params)
        has_zero = any(not isinstance(v, jax.Array) and np.ndim(v) == 0 and v == 0 for v in operands)
        counts = self._agreeing(output > 0) if name == "max" and has_zero else None
        return output if equation.primitive.multiple_results else [output], counts

    def _closed(self, inner: Any, operands: Any) -> tuple[list[Any], jax.Array]:
        """Returns the outputs and the counts of a program within a program."""
        closed = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
        return self.run(*closed, operands)

    def _loop(self, params: Any, operands: list[Any]) -> tuple[list[Any], jax.Array]:
        """Returns the outputs and the counts of a loop."""
        fixed, carried = params["num_consts"], params["num_carry"]
        consts, init, xs = operands[:fixed], operands[fixed : fixed + carried], operands[fixed + carried :]

        def step(carry: Any, x: Any) -> Any:
            outputs, counts = self._closed(params["jaxpr"], [*consts, *carry, *x])
            return outputs[:carried], (outputs[carried:], counts)

        carry, (stacked_outputs, counts) = jax.lax.scan(step, init, xs, params["length"], params["reverse"])
        return [*carry, *stacked_outputs], jnp.sum(counts, axis=0)

    def _agreeing(self, code: jax.Array) -> jax.Array:
        """Returns in how many units the codes of two inputs agree: those that both switch on, and those that neither does."""
        self.relus += 1
        on = code.reshape(self.number, -1).astype(np.float32)
        both_on = (on @ on.T).astype(self.dtype)  # exact below 2^24 units
        on_counts = jnp.diagonal(both_on)
        return 2 * both_on - on_counts[:, None] - on_counts + on.shape[1]
