"""How batches are cut, and that states are whole."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metajax._typing import is_key
from metajax.parallel._devices import AXIS
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Placement:
    """Cuts batches along one axis over the devices of a mesh; everything else is whole on each.

    Args:
        mesh: A mesh of one axis.
        axes: The axis of each array of a batch that is cut: an integer for all of them, ``None`` for arrays that are whole on
            every device, or a tree of both whose leaves stand for parts of the batch, as ``in_axes`` of ``jax.vmap``.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import parallel
        >>> placement = parallel.Placement(parallel.mesh("all"), axes=(1, None))
        >>> batch = placement.spread((np.zeros((5, 64)), np.zeros(3)))
        >>> tuple(batch[0].sharding.spec), batch[1].sharding.is_fully_replicated
        ((None, 'devices'), True)
    """

    mesh: Mesh
    axes: Any = 0

    @property
    def _replicated(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec())

    def _sharding(self, axis: int | None, shift: int = 0) -> NamedSharding:
        """How an array is cut; ``shift`` is the number of axes that were put in front."""
        if axis is None:
            return self._replicated
        return NamedSharding(self.mesh, PartitionSpec(*[None] * (axis + shift), AXIS))

    def _map(self, change: Any, batch: Any) -> Any:
        """Applies ``change(path, leaf, axis)`` to every array of a batch."""
        is_leaf = lambda axis: axis is None or isinstance(axis, int)
        of_part = lambda path, axis, part: jax.tree_util.tree_map_with_path(
            lambda inner, leaf: change(jax.tree_util.keystr((*path, *inner)), leaf, axis), part
        )
        try:
            return jax.tree_util.tree_map_with_path(of_part, self.axes, batch, is_leaf=is_leaf)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            reason = str(error).splitlines()[0].rstrip(":")
            raise InputError(f"batch_axes must be a prefix of the batch, got {self.axes!r} ({reason})") from error

    def check(self, batch: Any) -> None:
        """Refuses a batch that cannot be cut into equal parts.

        Args:
            batch: Arrays, or their shapes as ``jax.eval_shape`` returns them.

        Raises:
            InputError: If an array lacks the axis, the number of devices does not divide it, or the axes do not fit the batch.
        """
        self._check(batch, self.mesh.size)

    def check_own(self, batch: Any) -> None:
        """Refuses the part of a batch of this process, as ``check`` does."""
        self._check(batch, sum(device.process_index == jax.process_index() for device in self.mesh.devices.ravel()))

    def _check(self, batch: Any, n: int) -> None:
        def check_one(path: str, leaf: Any, axis: int | None) -> None:
            if axis is None:
                return
            shape = np.shape(leaf)
            if not 0 <= axis < len(shape):
                raise InputError(
                    f"batch_axes must name an axis of each leaf of the batch, but batch{path} of shape {shape} has no "
                    f"axis {axis}; use None to leave it undivided"
                )
            if shape[axis] % n:
                raise InputError(
                    f"devices: the number of devices must divide axis {axis} of batch{path}, got {n} devices and size "
                    f"{shape[axis]}; use a multiple of {n}, or fewer devices"
                )

        self._map(check_one, batch)

    def replicate(self, tree: Any) -> Any:
        """Returns arrays that are whole on every device. In a program over hosts, every process gives the same values."""
        return jax.tree.map(lambda leaf: _put(leaf, self._replicated), tree)

    def spread(self, batch: Any, stacked: bool = False) -> Any:
        """Puts a batch on the devices. In a program over hosts, every process gives its own part.

        Args:
            batch: Arrays on the host.
            stacked: Whether batches are stacked along an axis of their own in front.
        """
        return self._map(lambda _path, leaf, axis: _put(leaf, self._sharding(axis, int(stacked))), batch)

    def constrain(self, batch: Any) -> Any:
        """The same batch inside of a compiled program, cut."""
        return self._map(lambda _path, leaf, axis: jax.lax.with_sharding_constraint(leaf, self._sharding(axis)), batch)

    def in_programs(self) -> contextlib.AbstractContextManager[Any]:
        """A context for what is traced into a program: ``bilevel.batched`` finds the mesh there and shares its tasks."""
        return jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh)

    def over_own_part(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Returns ``fn(whole, part)`` split over devices: each computes its own part, as if it were alone.

        Args:
            fn: A function of a tree that is whole on every device, and of arrays that are cut along their first axis. So is
                all that it returns.
        """
        whole, cut = PartitionSpec(), PartitionSpec(AXIS)
        return jax.shard_map(fn, mesh=self.mesh, in_specs=(whole, cut), out_specs=cut, check_vma=False)

    def constrain_whole(self, tree: Any) -> Any:
        """The same arrays inside of a compiled program, whole on every device."""
        return jax.lax.with_sharding_constraint(tree, self._replicated)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    """Puts an array, or the part of it that this process has, on the devices."""
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    if is_key(leaf):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))
