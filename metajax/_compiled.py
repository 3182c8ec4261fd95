"""Keeps compiled programs from one process to the next, so that a second run starts at once, and measures compilation."""

import functools
import hashlib
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.monitoring
import jaxlib.version

_MAX_DAYS_UNUSED = 30
_MIN_SECONDS = 0.3  # of compilation; less is hardly more than reading a file


def keep_compiled() -> Path | None:
    """Turns on JAX's persistent compilation cache for this process, for programs that take over 0.3 seconds to compile.

    The programs lie below ``~/.cache/metajax/compiled``, in a folder for this version of jaxlib and this processor, so that no
    program meets another machine. Programs that were not used for 30 days are deleted. Nothing is changed where a cache is set
    already (``JAX_COMPILATION_CACHE_DIR``) or where ``METAJAX_COMPILED=0``.

    Returns:
        The folder, or ``None`` where nothing was changed.
    """
    if jax.config.values["jax_compilation_cache_dir"] or os.environ.get("METAJAX_COMPILED") == "0":
        return None
    folder = Path.home() / ".cache" / "metajax" / "compiled" / f"{jaxlib.version.__version__}-{_processor()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if file.stat().st_atime < time.time() - 86_400 * _MAX_DAYS_UNUSED:
                file.unlink(missing_ok=True)
    except OSError:  # the home directory is read-only
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)
    return folder


_QUICK = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
    "xla_backend_optimization_level": 1,
}
"""With these options, XLA compiles in a third to half of the time, and programs run up to a quarter longer."""
_QUICK_RELEASES = ("0.10",)  # that know them as flags; an unknown flag ends the process


@functools.cache
def quick_options() -> dict[str, Any]:
    """Returns the options of ``jax.jit`` that compile quickly, none where this release or device does not know them."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1.0, compiler_options=_QUICK)(0.0)
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return _QUICK


def compile_quickly() -> None:
    """Makes this process compile quickly rather than to fast programs, where this release of JAX is known to be able to.

    It must be called before anything is computed, and only by a program that owns its process. Nothing is changed where
    ``XLA_FLAGS`` is set.
    """
    release = ".".join(jaxlib.version.__version__.split(".")[:2])
    if release in _QUICK_RELEASES:
        os.environ.setdefault("XLA_FLAGS", " ".join(f"--{name}={str(value).lower()}" for name, value in _QUICK.items()))


_thread_totals = threading.local()
_registered: list[bool] = []


def compiling() -> float:
    """Returns the seconds that this thread has spent on tracing and compiling since the first call in any thread."""
    if not _registered:
        _registered.append(True)
        jax.monitoring.register_event_duration_secs_listener(_listen)
    return getattr(_thread_totals, "seconds", 0.0)


def _listen(event: str, duration_secs: float, **kwargs: Any) -> None:
    if event.startswith("/jax/core/compile/"):
        _thread_totals.seconds = getattr(_thread_totals, "seconds", 0.0) + duration_secs


def processor_lines() -> list[str]:
    """Returns what Linux says of the processor, a property a line; nothing on other systems."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _processor() -> str:
    """Returns a short hash of the processor that programs are compiled for."""
    lines = processor_lines()
    features = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    if not lines:
        features = [platform.processor()]
    return hashlib.sha256("\n".join([platform.machine(), *features]).encode()).hexdigest()[:12]
