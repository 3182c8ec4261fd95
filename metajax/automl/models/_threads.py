"""How many threads the libraries of trees use."""

import contextlib
import os
from collections.abc import Iterator

from metajax._optional import is_installed
from metajax.run._lock import available_cores


def n_threads() -> int:
    """Returns the number of cores of this process, or ``OMP_NUM_THREADS`` if that is less."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(available_cores(), int(limit)) if limit.isdigit() and int(limit) > 0 else available_cores()


@contextlib.contextmanager
def limited_threads() -> Iterator[None]:
    """Limits scikit-learn to these threads: more would wait for each other."""
    if not is_installed("threadpoolctl"):  # It comes with scikit-learn.
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(n_threads()):
        yield
