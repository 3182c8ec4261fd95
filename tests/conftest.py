"""Every test runs with strict dtype promotion; warnings are errors (pyproject.toml)."""

import gc
import hashlib
import os
import shutil
import subprocess
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("METAJAX_COMPILED", "0")  # tests leave the home alone
os.environ.setdefault("METAJAX_CHECK_SHAPES", "1")  # public functions compare arrays with their annotated shapes
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # tests run side by side; see wait_passively
# A worker has cores of its own: XLA's idle threads wait by spinning, and those of one worker would slow down the other.
_WORKERS, _WORKER = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
if _WORKERS > 1 and len(_CORES) >= _WORKERS:
    os.sched_setaffinity(0, sorted(_CORES)[int(_WORKER.removeprefix("gw")) :: _WORKERS])
# Compiling takes most of the tests' time: without XLA's costly passes twice as many tests fit into it. Tests of optimized
# programs are marked `optimized`.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Programs that take long to compile are compiled once a session, for all of its workers and the processes that they start.
_COMPILED = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _COMPILED = tempfile.mkdtemp(prefix="metajax_tests_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import hypothesis
import jax
import optax
import pytest

from metajax._compiled import compile_quickly

compile_quickly()  # XLA reads its flags when the first program is compiled

# A first example compiles, so that examples have no deadline of their own.
hypothesis.settings.register_profile("metajax", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("metajax")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# compiled programs keep millions of objects alive, which are not worth walking again and again
gc.set_threshold(100_000, 50, 100)


# A test that begins later than this is skipped by name, so that a run has an end; without it every test runs.
_MINUTES = os.environ.get("METAJAX_TEST_MINUTES")
_BEGAN = time.monotonic()


def pytest_collection_modifyitems(items):
    """Where time may not last for all, files come in an order of the commit, so that no test is always the one left out."""
    if _MINUTES is None:
        return
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=os.path.dirname(__file__))
    seed = head.stdout.strip()
    files = {item.nodeid.split("::")[0] for item in items}
    order = {file: hashlib.blake2s(f"{seed} {file}".encode()).hexdigest() for file in files}
    items.sort(key=lambda item: order[item.nodeid.split("::")[0]])  # stable: the order within a file stays


class Optimization:
    """Compiles the programs of each test as the test asks. It is a plugin, because hooks of this file are not called for the
    docstring examples of the package."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        _optimize(item.get_closest_marker("optimized") is not None or item.nodeid.startswith("metajax/automl/"))


def pytest_configure(config):
    config.pluginmanager.register(Optimization())


def pytest_runtest_setup(item):
    if _MINUTES is not None and time.monotonic() - _BEGAN > 60 * float(_MINUTES):
        pytest.skip(
            f"no time left of METAJAX_TEST_MINUTES={_MINUTES}; pytest {item.nodeid.split('::')[0]} -m slow runs it"
        )


def pytest_unconfigure():
    if _COMPILED is not None:
        shutil.rmtree(_COMPILED, ignore_errors=True)


_GIVEN = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"]


def _optimize(on: bool) -> None:
    """Optimized programs, or those that were asked for, in this process and those that it starts. What is compiled is
    forgotten where that changes."""
    off = not on and _GIVEN == "1"
    if off == jax.config.read("jax_disable_most_optimizations"):
        return
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = str(int(off))
    jax.config.update("jax_disable_most_optimizations", off)
    jax.clear_caches()


@pytest.fixture(scope="module")
def own_programs():
    """JAX keeps a bounded number of compiled programs. Where a test counts them, those of earlier files make room."""
    jax.clear_caches()


@pytest.fixture
def all_cores():
    """The cores of the whole session, for what starts processes with cores of their own."""
    if not _CORES:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _CORES)
    yield
    os.sched_setaffinity(0, own)


@pytest.fixture
def x64():
    """Float64, for checking derivatives."""
    with jax.enable_x64(True):
        yield


def _standard_promotion(function):
    def wrapped(*args, **kwargs):
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return wrapped


# optax (0.2.8) mixes floats and int32 counts in its own arithmetic, which strict promotion refuses; it alone is let off.
for _module in (optax.tree_utils, optax.tree):
    for _name in ("tree_bias_correction", "bias_correction"):
        if hasattr(_module, _name):
            setattr(_module, _name, _standard_promotion(getattr(_module, _name)))
_cosine = optax.cosine_decay_schedule
optax.cosine_decay_schedule = lambda *args, **kwargs: _standard_promotion(_cosine(*args, **kwargs))
