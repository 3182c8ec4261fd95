"""Which devices a program uses."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from metajax.types import InputError

AXIS = "devices"
"""The name of the one axis of a mesh."""

Devices = int | Literal["all"] | Sequence[Any] | Mesh
"""Devices as an argument: how many of all, ``"all"``, a list of ``jax.Device``, or a mesh of one axis."""


def mesh(devices: Devices) -> Mesh:
    """Returns a mesh of one axis.

    Args:
        devices: How many devices, an integer from 1; ``"all"`` for all of all hosts; a list of devices; or a mesh of one axis.

    Returns:
        The mesh.

    Raises:
        InputError: If there are not as many devices, one is named twice, the mesh has several axes, or processes of a program
            over hosts are left without a device.

    Example:
        >>> mesh(1).size, mesh("all").size == len(jax.devices())
        (1, True)
    """
    if isinstance(devices, Mesh):
        if len(devices.axis_names) != 1:
            raise InputError(f"devices must be a mesh of one axis, got a mesh of the axes {devices.axis_names}")
        chosen = list(devices.devices.ravel())
    elif isinstance(devices, str):
        if devices != "all":
            raise InputError(f"devices must be 'all', a number, a list of devices, or a mesh, got {devices!r}")
        chosen = jax.devices()
    elif isinstance(devices, int):
        all_devices = jax.devices()
        if isinstance(devices, bool) or not 1 <= devices <= len(all_devices):
            raise InputError(
                f"devices must be from 1 to {len(all_devices)}, the number of {all_devices[0].platform} devices of this "
                f"program, got {devices}"
            )
        chosen = all_devices[:devices]
    else:
        chosen = list(devices)
    if not chosen or len(set(chosen)) != len(chosen) or not all(isinstance(device, jax.Device) for device in chosen):
        raise InputError(f"devices must be distinct devices of jax.devices(), at least one, got {devices!r}")
    idle = sorted(set(range(jax.process_count())) - {device.process_index for device in chosen})
    if idle:
        raise InputError(
            f"devices must include at least one device of every process, but the processes {idle} have none; add some "
            "of theirs, or use 'all'"
        )
    return Mesh(np.asarray(chosen), (AXIS,))
