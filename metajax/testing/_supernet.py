"""What every search method keeps, as checks for the methods of other people."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from metajax import fewshot, nn, supernet
from metajax._typing import is_key
from metajax.run import Checkpoints
from metajax.space import Space
from metajax.supernet.spaces import CellNet, cell_space
from metajax.testing._contract import Contract
from metajax.types import Info, Key, Params

STEPS = 12
"""Steps of the search that is checked."""
STEPS_PER_EPOCH = 4
CLASSES = 3
UNITS = 8
OPERATIONS = ("none", "skip", "conv1x1")


class SearchContract(Contract):
    """Checks what every search method keeps, on a search of a few seconds.

    Nearly all of that time is compiling. So a method has one compiled program, which all checks share, and the network is as
    small as a search can be: three edges with three operations, side by side, on inputs of 4 x 4 pixels. The first state is
    computed operation by operation, with small programs that are those of every other method.

    Args:
        method: The method; ``supernet.SupernetMethod(paper, recipe)`` makes one of a recipe of your own.
        learning_rate: The learning rate of the weights.

    Attributes:
        recipe: The method's recipe on the tiny space.
        search: The method on the tiny network.
        batches: The batches of all steps, stacked.
        first: The state before the first step.
        last: The state after the last step, computed in one call.
        info: The info that the last step logged.

    Example:
        >>> from metajax import bilevel, supernet
        >>> recipe = lambda space: supernet.Recipe(supernet.relaxations.sigmoid_mixture(), bilevel.first_order)
        >>> contract = SearchContract(supernet.SupernetMethod("of my own", recipe))
        >>> contract.check_decision()  # each check raises an AssertionError that says what is broken
        >>> contract.check()  # all of them
    """

    def __init__(self, method: supernet.SupernetMethod, learning_rate: float = 0.1):
        self.space: Space = cell_space(3, OPERATIONS)
        self.recipe: supernet.Recipe = method.recipe(self.space)
        self.search: supernet.Search = method.build(
            self.space,
            functools.partial(_tiny_network, self.space),
            fewshot.cross_entropy,
            steps=STEPS,
            learning_rate=learning_rate,
            steps_per_epoch=STEPS_PER_EPOCH,
        )
        update = jax.jit(self.search.update)  # traced once, wherever it is called

        def advance(state: Any, batches: Any, first: Any, last: Any) -> Any:
            pick = lambda i: jax.tree.map(lambda x: x[i], batches)
            shapes = jax.eval_shape(update, state, pick(0))[1]
            info = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
            return jax.lax.fori_loop(first, last, lambda i, carry: update(carry[0], pick(i)), (state, info))

        self._advance = jax.jit(advance)
        # bound to a device, as what is restored will be: else it would be compiled again
        put = functools.partial(jax.device_put, device=jax.devices()[0])
        host_batches = [_batches(seed, self.recipe.inner_steps) for seed in range(STEPS)]
        self.batches: Any = put(jax.tree.map(lambda *x: np.stack(x), *host_batches))
        self.first: supernet.SearchState = put(self.search.init(jax.random.key(0)))
        last, info = self._advance(self.first, self.batches, 0, STEPS)
        self.last: supernet.SearchState = last
        self.info: Info = info

    def check_types(self) -> None:
        """Types and shapes of the state stay, also where the first one is traced, and all of it is finite."""
        kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
        assert kinds(self.first) == kinds(self.last), "an update changes a type or a shape of the state"
        traced = jax.eval_shape(self.search.init, jax.random.key(0))
        assert kinds(self.first) == kinds(traced), "a traced first state has another type or shape"
        assert _is_finite(self.info, self.last.params, self.last.logits), "the search is not finite"

    def check_steps(self) -> None:
        """A loop of single steps ends where the steps in one program end."""
        state, info = self.first, self.info
        for step in range(STEPS):
            state, info = self._advance(state, self.batches, step, step + 1)
        _assert_close(state, self.last, 1e-3)
        _assert_close(info, self.info, 1e-3)
        self._assert_compiled_once()

    def check_resume(self) -> None:
        """A search that was saved and restored ends in the same bits."""
        with tempfile.TemporaryDirectory() as directory:
            saved = Checkpoints(Path(directory) / "checkpoints")
            half = STEPS // 2
            state, _ = self._advance(self.first, self.batches, 0, half)
            saved.save(half, state)
            restored = Checkpoints(saved.path).restore(self.first).state
        resumed, undisturbed = (self._advance(s, self.batches, half, STEPS)[0] for s in (restored, state))
        _assert_close(resumed, undisturbed, 0.0)
        self._assert_compiled_once()

    def check_without_information(self) -> None:
        """On data without information the search stays finite."""
        nothing = jax.tree.map(jnp.zeros_like, self.batches)
        state, info = self._advance(self.first, nothing, 0, STEPS)
        assert _is_finite(info, state.params, state.logits), "the search is not finite on inputs of zeros"

    def check_decision(self) -> None:
        """The strengths decide on a configuration, pruned values weigh nothing, and logits learn if the method says so."""
        strengths = np.asarray(self.search.strengths(self.last))
        assert strengths.shape == (self.space.width,), (
            f"strengths has shape {strengths.shape}, not {(self.space.width,)}"
        )
        self.space.configs([supernet.decide(self.space, strengths, self.recipe.threshold)])
        assert np.all(strengths[np.asarray(self.last.mask) == 0] == 0), "a pruned value has a strength"
        supernet.events.check_mask(self.space, self.last.mask)
        has_moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), self.first.logits, self.last.logits)
        assert all(has_moved.values()) == self.recipe.learns_logits, f"logits that moved: {has_moved}"

    CHECKS: ClassVar[tuple[Callable[[Any], None], ...]] = (
        check_types,
        check_steps,
        check_resume,
        check_without_information,
        check_decision,
    )

    def _assert_compiled_once(self) -> None:
        number = self._advance._cache_size()  # type: ignore[attr-defined]
        assert number == 1, f"compiled {number} times: a type, a weak type or a sharding changes"


def _tiny_network(space: Any, partial: Any, single_path: bool) -> nn.Functional:
    """Returns the network of the checks: dense operations side by side, or cells of convolutions where channels are partial."""
    if partial != 1:
        build = lambda rngs: CellNet(
            space, CLASSES, 4, 1, stride=2, partial=partial, single_path=single_path, rngs=rngs
        )
        return nn.functional(build)

    edges = len(space.domains)

    def init(key: Key) -> Params:
        draw = lambda name, *shape: jax.random.normal(jax.random.fold_in(key, name), shape) / shape[0] ** 0.5
        return {"stem": draw(0, 16, UNITS), "edges": draw(1, UNITS, edges * UNITS), "head": draw(2, UNITS, CLASSES)}

    def apply(params: Params, x: jax.Array, encoding: jax.Array) -> jax.Array:
        value = nn.standardize(x.reshape(len(x), -1) @ params["stem"])
        bent = nn.standardize(jax.nn.relu(value) @ params["edges"]).reshape(-1, edges, UNITS)
        _, skip, dense = encoding.reshape(edges, -1).T
        return jax.nn.relu(jnp.sum(skip) * value + jnp.einsum("e,bec->bc", dense, bent)) @ params["head"]

    return nn.Functional(init, apply)


@functools.cache
def _examples(number: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Returns images whose class is where the bright row is."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, number).astype(np.int32)
    x = rng.normal(size=(number, 4, 4, 1)).astype(np.float32) * 0.3
    for i, label in enumerate(y):
        x[i, label] += 2.0
    return x, y


def _batches(seed: int, inner_steps: int) -> Any:
    """Returns the batches of one step: of training, of validation, and the validation part."""
    x, y = _examples()
    rows = np.random.default_rng(seed).integers(0, len(y), (inner_steps + 1, 16))
    return (x[rows[:-1]], y[rows[:-1]]), (x[rows[-1]], y[rows[-1]]), (x[:32], y[:32])


def _is_finite(*trees: Any) -> bool:
    """Whether every number of the trees is finite."""
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(trees))


def _assert_close(a: Any, b: Any, tolerance: float) -> None:
    """Compares two trees; a tolerance of 0 asks for the same bits."""
    plain = lambda x: np.asarray(jax.random.key_data(x) if is_key(x) else x)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(plain(x), plain(y), rtol=tolerance, atol=tolerance), a, b)
