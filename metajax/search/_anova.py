"""The functional analysis of variance of a ridge regression over its whole space, exactly."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from metajax.predictor import Model
from metajax.predictor._forms import Pairs
from metajax.search._groups import groups
from metajax.types import InputError


def anova(model: Model, context: ArrayLike | Sequence[Any] | None = None) -> dict[tuple[str, ...], float]:
    """Decomposes the variance of a prediction over the space into shares of single choices and of pairs of choices.

    The shares are read off the weights of ``predictor.ridge(1)`` or ``ridge(2)``, for a space of any size.
    ``predictor.importance`` estimates total shares of other models by sampling.

    Args:
        model: A ridge regression.
        context: f[c], the context of the model, if it has any.

    Returns:
        The share of each choice ``(name,)`` and of each pair ``(name, other)``, largest first. They sum to one, or are all 0
        if the prediction does not vary.

    Raises:
        InputError: If the model is another one, or the space is infinite or has conditions.

    References:
        Hutter, Hoos and Leyton-Brown, An efficient approach for assessing hyperparameter importance, 2014.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Categorical, Space
        >>> space = Space({name: Categorical((0, 1)) for name in "abc"})
        >>> metric = [4 * c["a"] + c["b"] * c["c"] for c in space.dicts(space.at(range(8)))]
        >>> trials = predictor.Trials.from_arrays(space, space.at(range(8)), metric)
        >>> shares = search.anova(predictor.fit(trials, predictor.ridge(2, penalty=1e-3), "value"))
        >>> list(shares)[0], round(sum(shares.values()), 6)
        (('a',), 1.0)
    """
    space = model.space
    form = None if model.spec.form is None else model.spec.form(model.params)
    if not isinstance(form, Pairs) or space.conditions:
        actual = "a space with conditions" if space.conditions else model.spec.name
        raise InputError(f"anova: model must be a predictor.ridge on a space without conditions, got {actual}")
    form = form.with_context(
        np.asarray(model.inputs(jnp.zeros((1, space.width)), context)[0, space.width :], np.float64)
    )
    parts = groups(space)
    main = [p.rows @ form.linear + 0.5 * np.einsum("vw,wx,vx->v", p.rows, form.pairs, p.rows) for p in parts]
    variance: dict[tuple[str, ...], float] = {}

    def add(names: tuple[str, ...], value: float) -> None:
        names = tuple(sorted(set(names), key=list(space.domains).index))
        variance[names] = variance.get(names, 0.0) + value

    for i, first in enumerate(parts):
        for j in range(i + 1, len(parts)):
            interaction = first.rows @ form.pairs @ parts[j].rows.T
            main[i] = main[i] + interaction.mean(axis=1)
            main[j] = main[j] + interaction.mean(axis=0)
            interaction = (
                interaction - interaction.mean(axis=1, keepdims=True) - interaction.mean(axis=0) + interaction.mean()
            )
            add((first.name, parts[j].name), float((interaction**2).mean()))
    for part, values in zip(parts, main):
        add((part.name,), float(values.var()))
    total = max(sum(variance.values()), 1e-300)
    return dict(sorted(((names, v / total) for names, v in variance.items()), key=lambda item: -item[1]))
