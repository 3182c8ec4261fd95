"""Programs over hosts: every process runs the same steps, one of them writes, and they decide together."""

import socket

import jax
import numpy as np

from metajax.types import InputError


def connect(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, seconds: int = 300
) -> None:
    """Joins this process with those of the other hosts into one program; call it before anything is computed.

    It is ``jax.distributed.initialize``, with errors that say what to do. On a cluster that JAX knows (Slurm, Kubernetes, TPU)
    no argument is needed. All processes need to see the same files, so that a run directory is one.

    Args:
        coordinator: ``host:port`` of the first process.
        processes: Number of processes.
        process: Number of this one, from 0.
        seconds: How long the processes wait for each other.

    Raises:
        InputError: If this process is connected already, ``coordinator`` is not an address, a number is out of range, the port
            is in use, or the other processes do not connect in time.

    Example:
        >>> try:
        ...     connect("nowhere", 2, 0)
        ... except InputError as error:
        ...     print(error)
        connect: coordinator must be 'host:port', got 'nowhere'
    """
    if jax.distributed.is_initialized():
        raise InputError(
            "connect must be called once, but this process is connected already; a program has one coordinator"
        )
    if coordinator is not None:
        _check(coordinator, processes, process)
    try:
        jax.distributed.initialize(coordinator, processes, process, initialization_timeout=seconds)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"connect: JAX could not connect with coordinator={coordinator!r}, processes={processes}, "
            f"process={process}: {str(error).splitlines()[0]}"
        ) from error


def _check(coordinator: str, processes: int | None, process: int | None) -> None:
    """Refuses arguments for which JAX would wait forever, or end the process."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"connect: coordinator must be 'host:port', got {coordinator!r}")
    if processes is None or process is None or not 0 <= process < processes:
        raise InputError(
            "connect: processes must be an integer >= 1 and process an integer from 0 to processes - 1, got "
            f"processes={processes}, process={process}"
        )
    if process == 0:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", int(port)))
            except OSError as error:
                raise InputError(
                    f"connect: coordinator must name a free port, but the port of {coordinator!r} cannot be used "
                    f"({error.strerror}); another coordinator may be running, so choose another port"
                ) from error


def is_first() -> bool:
    """Whether this process writes the files.

    Returns:
        True in the first process of a program over hosts, and where there is no other.

    Example:
        >>> is_first()
        True
    """
    return jax.process_index() == 0


def agreed(*numbers: float) -> tuple[float, ...]:
    """Lets all processes decide alike; it waits for them.

    Args:
        *numbers: What this process says. Numbers are compared in 32 bits.

    Returns:
        The largest of what the processes say, number by number.

    Example:
        >>> agreed(0, 3)
        (0.0, 3.0)
    """
    if jax.process_count() == 1:
        return tuple(map(float, numbers))
    from jax.experimental import multihost_utils

    everyone = multihost_utils.process_allgather(np.asarray(numbers, np.float32))
    return tuple(np.asarray(everyone).reshape(-1, len(numbers)).max(axis=0).tolist())


def wait(name: str) -> None:
    """Waits until every process is at the same point.

    Args:
        name: The name of the point, by which processes that are at different ones fail.

    Example:
        >>> wait("data written")
    """
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)
