"""How many threads the libraries of trees use, and the workers that train models side by side."""

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from metajax._optional import is_installed
from metajax.run._lock import available_cores

T = TypeVar("T")
_local = threading.local()


def n_threads() -> int:
    """Returns the number of threads for one model: one in a worker, whose neighbors train others, and all elsewhere."""
    return getattr(_local, "threads", None) or n_workers()


def n_workers() -> int:
    """Returns the number of cores of this process, or ``OMP_NUM_THREADS`` if that is less."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(available_cores(), int(limit)) if limit.isdigit() and int(limit) > 0 else available_cores()


def _become_worker() -> None:
    """Libraries that a worker calls use one thread."""
    _local.threads = 1


@functools.cache
def workers() -> ThreadPoolExecutor:
    """Returns the threads that train models side by side, one for each core."""
    return ThreadPoolExecutor(n_workers(), "metajax-worker", _become_worker)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.cache_clear)  # The threads of a process are not those of its children.


def side_by_side(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Does all jobs in the workers, or one after the other where this is called by one; returns their results in order.

    If one fails, or Ctrl-C is pressed, those that have not started are dropped.
    """
    if getattr(_local, "threads", None) is not None:
        return [job() for job in jobs]
    futures = [workers().submit(job) for job in jobs]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


def wait_passively() -> None:
    """Lets the threads of OpenMP sleep while they wait for each other, unless the environment says otherwise.

    Threads that wait actively keep the cores from those they wait for as soon as anything else runs on the machine: a fit of
    one second was seen to take a minute. It must be called before a library of trees is loaded, and only by a program that owns
    its process.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextlib.contextmanager
def limited_threads() -> Iterator[None]:
    """Limits OpenMP, and with it scikit-learn's trees, to the threads of this thread: more would wait for each other.

    The limit of OpenMP is one of the calling thread, so that workers do not disturb each other. It holds for what is loaded
    when it is set, and so scikit-learn is loaded before.
    """
    if not is_installed("sklearn"):
        yield
        return
    import sklearn  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(n_threads(), "openmp"):
        yield


class _Quiet:
    """Hides warnings while anyone is inside; the filters of Python are those of the whole process."""

    def __init__(self):
        self._lock, self._n_inside, self._before = threading.Lock(), 0, warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
            self._n_inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._before.__exit__(None, None, None)


quiet = _Quiet()
"""Hides the warnings of libraries: a model that has not converged is judged by its score."""
