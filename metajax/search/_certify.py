"""Certified search: the maximum of a model over a finite space of any size, with a proof."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metajax.search._groups import Limits, assignments_of, groups, limits, row_sums
from metajax.search._query import Found, Query, encoded, formula, outcome, predicted
from metajax.search._tree import certify
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Certify:
    r"""Branch and bound over a finite space of any size: exact if it ends in time, and otherwise with a bound on the gap.

    A box of configurations leaves each choice some of its values. On a box, a hidden unit is at least $\ell$, and choice g adds
    $d_g \ge 0$ to that. The unit is then bounded by a sum over choices, so that the maximum over the box is a sum of maxima:

    $$\mathrm{relu}\Bigl(\ell + \sum_g d_g\Bigr) \le \sum_g \mathrm{relu}(\beta_g \, \ell + d_g), \qquad
    \sum_g \beta_g = 1$$

    The bound holds for any shares β, which are chosen to make it small. Boxes whose bound is below the best value found are
    left out, and the others are cut in two.

    For the mean of models with a formula: ridge regressions, and ReLU networks of one or two hidden layers and their
    ensembles (``predictor.ridge``, ``mlp``, ``ensemble``). If the search does not end within ``seconds``, it returns the best
    configurations so far, an upper bound on all others, and the gap between them.

    Attributes:
        seconds: Wall time after which the search stops without a proof; at least 0.
        forbidden: Combinations such as ``{"op": "skip", "layers": 1}`` to leave out.
        cost: f[width], the cost of each column of the encoding, as of ``supernet.regularizers.cost_table``. Needs ``budget``.
        budget: Largest total cost of a configuration that the search may return.
        around: A configuration to stay near, in place of ``cost`` and ``budget``. The maximum of a model far from its data says
            more about the model than about the space. Needs ``radius``.
        radius: Number of choices (or of items of a ``Subset``) that may differ from ``around``; an integer >= 0.

    Raises:
        InputError: If only one of two fields is given that belong together, or ``radius`` is not an integer >= 0. In
            ``maximize``, if the space is infinite, the model has no formula, ``optimism`` is not 0, or no configuration
            satisfies the constraints.

    Example:
        >>> import jax
        >>> from metajax import predictor, search
        >>> from metajax.space import Categorical, Space
        >>> space = Space({f"x{i}": Categorical(tuple(range(10))) for i in range(12)})  # 10^12 configurations
        >>> tried = space.sample(jax.random.key(0), 200)
        >>> gain = [-sum((v - 7) ** 2 for v in c.values()) for c in space.dicts(tried)]
        >>> model = predictor.fit(predictor.Trials.from_arrays(space, tried, gain), predictor.ridge(penalty=1e-3), "value")
        >>> found = search.maximize(model, search.Certify(seconds=10, forbidden=[{"x0": 7}]), k=1)
        >>> list(found.configs[0].values())[1:] == [7] * 11, bool(found.gap < 1e-6)
        (True, True)
    """

    seconds: float = 60.0
    forbidden: Sequence[Mapping[str, Any]] = ()
    cost: Any = None
    budget: float | None = None
    around: Mapping[str, Any] | None = None
    radius: int | None = None

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise InputError(f"Certify: seconds must be a number >= 0, got {self.seconds}")
        if (self.around is None) != (self.radius is None):
            raise InputError("Certify: around and radius must be passed together")
        if self.around is not None and self.cost is not None:
            raise InputError(
                "Certify: around and radius cannot be combined with cost and budget; pass one of the two pairs"
            )
        if self.radius is not None and (int(self.radius) != self.radius or self.radius < 0):
            raise InputError(f"Certify: radius must be an integer >= 0, got {self.radius}")

    def search(self, query: Query) -> Found:
        """See ``Maximizer.search``."""
        model, space, form = query.model, query.model.space, formula(query.model, query.context)
        if form is None or query.optimism:
            raise InputError(
                "Certify: model must be ridge, mlp or ensemble and optimism 0, because only their means can be bounded, "
                f"got {model.spec.name} with optimism={query.optimism:g}"
            )
        parts = groups(space)
        start = encoded(space, query.start, "start")
        initial = assignments_of(parts, start) if len(start) else None
        constraints = limits(space, parts, self.forbidden, self.cost, self.budget)
        if self.around is not None:
            center = assignments_of(parts, encoded(space, [self.around], "around"))
            constraints = self._near(constraints, center[0], [len(part.rows) for part in parts])
            initial = center if initial is None else np.concatenate([initial, center])
        proof = certify(form, parts, constraints, query.k, self.seconds, start=initial)
        if not len(proof.values):
            raise InputError("Certify: no configuration was found that satisfies the constraints; relax them")
        encodings = row_sums(parts, proof.assignments)
        bound = float(model.in_units(proof.upper))
        return outcome(model, encodings, predicted(model, encodings, query.context), bound, proof.nodes)

    def _near(self, constraints: Limits, center: np.ndarray, sizes: Sequence[int]) -> Limits:
        """The limits with a budget for differences from the center: each group that differs costs 1."""
        assert self.radius is not None
        differs = [(np.arange(size) != value).astype(np.float64) for size, value in zip(sizes, center)]
        return constraints._replace(cost=differs, budget=float(self.radius))
