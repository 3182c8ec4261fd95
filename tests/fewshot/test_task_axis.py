"""An update is given several tasks; one task is refused before its examples count as tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import fewshot
from metajax.fewshot.episodes import Episode
from metajax.types import InputError

APPLY = lambda w, x: x @ w
LOSS = fewshot.cross_entropy(APPLY)
METHODS = {
    "maml": fewshot.maml(LOSS, optax.sgd(0.1), optax.sgd(0.1), 2),
    "maml_plus_plus": fewshot.maml_plus_plus(LOSS, 0.1, optax.sgd(0.1), 2),
    "protonet": fewshot.protonet(APPLY, optax.sgd(0.1)),
    "reptile": fewshot.reptile(LOSS, optax.sgd(0.1), optax.sgd(0.1), 2),
}


def part(*leading, n=4):
    y = np.broadcast_to(np.arange(n), (*leading, n)).astype(np.int32)
    return jnp.ones((*leading, n, 3)), jnp.asarray(y)


@pytest.mark.parametrize("name", METHODS)
def test_an_episode_without_the_axis_of_tasks_is_refused(name):
    method = METHODS[name]
    state = method.init(jax.random.key(0), jnp.zeros((3, 4)))
    moved, _ = method.update(state, Episode(part(2), part(2)))
    assert int(moved.step) == 1
    for update in (method.update, jax.jit(method.update)):
        with pytest.raises(
            InputError, match=r"update: support must have a leading axis of tasks, .*, got y of shape \(4,\)"
        ):
            update(state, Episode(part(), part()))
        with pytest.raises(InputError, match=r"update: all arrays .*episodes.tasks\(sampler, n\).*their axes differ"):
            update(state, Episode(part(), part(n=8)))
        with pytest.raises(InputError, match="their axes differ"):
            update(state, Episode(part(2), part(3)))
