"""Enumeration: every configuration of a finite space is evaluated."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from metajax.parallel import Devices
from metajax.predictor._forms import Form, Network
from metajax.search._groups import groups, limits, row_sums
from metajax.search._heuristics import objective_of, score
from metajax.search._prefixes import enumerate_all
from metajax.search._query import Found, Query, formula, outcome, predicted, rank
from metajax.types import InputError

_MAX_SIZE = 10**7
"""Largest space that is enumerated by evaluating the model on every encoding."""
_BLOCK = 65_536


@dataclasses.dataclass(frozen=True)
class Enumerate:
    r"""Evaluates every configuration of a finite space: the exact maximum.

    For a network with one hidden layer, a configuration is a prefix p and a suffix q of choices, whose contributions to the
    hidden units add up. A pair costs a comparison and an addition for each unit:

    $$\max_{p, q} \; \sum_u v_u \, \mathrm{relu}\bigl(a_u(p) + b_u(q)\bigr)$$

    The mean of a network with one hidden layer (``predictor.mlp``, ``ensemble``) is enumerated without writing the
    configurations down, hundreds of millions a second. Other models, and any model with ``optimism``, are evaluated on every
    encoding, which is limited to 10^7 configurations.

    Attributes:
        forbidden: Combinations such as ``{"op": "skip", "layers": 1}`` to leave out. They are supported only for the mean of a
            network with one hidden layer; use ``Certify`` for other models.
        devices: The devices that share the work of a network with one hidden layer: how many, all, a list, or a mesh.

    Raises:
        InputError: In ``maximize``, if the space is infinite or has over 10^7 configurations where the fast way does not
            apply, or if combinations are forbidden there.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Integer, Space
        >>> space = Space({"layers": Integer(1, 8), "width": Integer(1, 8)})
        >>> metric = [-((c["layers"] - 3) ** 2) - c["width"] for c in space.dicts(space.at(range(64)))]
        >>> trials = predictor.Trials.from_arrays(space, space.at(range(64)), metric)
        >>> model = predictor.fit(trials, predictor.ridge(2, penalty=1e-3), "value")
        >>> found = search.maximize(model, search.Enumerate(), k=1)
        >>> found.configs, found.evaluated, found.gap
        ([{'layers': 3, 'width': 1}], 64, 0.0)
    """

    forbidden: Sequence[Mapping[str, Any]] = ()
    devices: Devices = "all"

    def search(self, query: Query) -> Found:
        """See ``Maximizer.search``."""
        space = query.model.space
        form = None
        if not query.optimism and space.size < math.inf:
            form = formula(query.model, query.context)
        if isinstance(form, Network) and len(form.layers) == 2:
            return self._prefixes(query, form)
        if self.forbidden:
            raise InputError(
                "Enumerate: with forbidden combinations, the model must be a network with one hidden layer and optimism 0, got "
                f"{query.model.spec.name} with optimism={query.optimism:g}; use search.Certify"
            )
        encodings, evaluated = _evaluate_all(query, form)
        scores = np.asarray(score(space, query.model.spec, objective_of(query), encodings))
        return rank(query, encodings, scores, evaluated, exact=True)

    def _prefixes(self, query: Query, form: Network) -> Found:
        space = query.model.space
        parts = groups(space)
        enumerated = enumerate_all(form, parts, limits(space, parts, self.forbidden, None, None), query.k, self.devices)
        if not len(enumerated.values):
            raise InputError("Enumerate: the constraints exclude every configuration; forbid fewer combinations")
        encodings = row_sums(parts, enumerated.assignments)
        values = predicted(query.model, encodings, query.context)
        return outcome(query.model, encodings, values, float(values[0]), enumerated.number)


def _evaluate_all(query: Query, form: Form | None) -> tuple[np.ndarray, int]:
    """Encodings of the k best configurations in blocks of one size, and the number of all."""
    space, spec = query.model.space, query.model.spec
    if space.size > _MAX_SIZE:
        raise InputError(
            f"Enumerate: the space must have at most 10^7 configurations for {spec.name}, got 10^{space.log10_size:.1f}; use "
            "search.Certify or search.Gradient for larger spaces"
        )
    size, objective = int(space.size), objective_of(query)
    best, values = np.zeros((0, space.width), np.float32), np.zeros(0)
    for first in range(0, size, _BLOCK):
        index = np.minimum(
            np.arange(first, first + _BLOCK), size - 1
        )  # the last block is filled with repetitions of its last index
        encodings = np.asarray(space.encode(space.at(index)))[: size - first]
        if form is None:
            padded = np.concatenate([encodings, np.repeat(encodings[-1:], _BLOCK - len(encodings), axis=0)])
            scores = np.asarray(score(space, spec, objective, jnp.asarray(padded)))[: len(encodings)]
        else:  # the mean is computed in float64, as in ``predict``
            scores = form.value(encodings.astype(np.float64))
        best, values = np.concatenate([best, encodings]), np.concatenate([values, scores])
        order = np.argsort(-values, kind="stable")[: query.k]
        best, values = best[order], values[order]
    return best, size
