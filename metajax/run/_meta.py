"""The circumstances of a run, without which its numbers mean little: commit, versions, device, command line."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax

from metajax._compiled import processor_lines
from metajax.run._lock import available_cores

_PACKAGES = ("metajax", "jax", "jaxlib", "flax", "optax", "numpy", "orbax-checkpoint")


def _git(*arguments: str) -> str | None:
    """Returns what git prints for the folder of this file, or ``None`` if it fails."""
    folder = Path(__file__).resolve().parent
    try:
        process = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None


def _is_tracked() -> bool:
    """Returns whether this file belongs to the repository around it.

    An installed package may lie inside the repository of another project, whose commit says nothing about the package.
    """
    return _git("ls-files", "--error-unmatch", Path(__file__).name) is not None


def _version(package: str) -> str | None:
    """Returns the version of an installed package, or ``None``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """Returns the name of the processor."""
    names = (line.split(":", 1)[1].strip() for line in processor_lines() if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def hardware() -> str:
    """Returns the hardware in words, for tables: ``2 cores of AMD EPYC``, or the number and kind of accelerators.

    Returns:
        The text.

    Example:
        >>> "core" in hardware() or " x " in hardware()
        True
    """
    device = jax.devices()[0]
    if device.platform == "cpu":
        cores = available_cores()
        return f"{cores} core{'s' if cores > 1 else ''} of {_processor()}"
    return f"{jax.device_count()} x {device.device_kind}"


def command() -> str:
    """Returns the command line as one would type it again here: paths below the working directory are relative."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["python", "-m", spec.name] if spec is not None and spec.name else [Path(sys.argv[0]).name]
    return shlex.join([*program, *(word.replace(f"{Path.cwd()}{os.sep}", "") for word in sys.argv[1:])])


def collect(seed: Any = None) -> dict[str, Any]:
    """Returns the contents of ``meta.json``: commit, command, seed, hardware, versions and time.

    Args:
        seed: The seed of the run.

    Returns:
        Plain values. The commit is ``None`` where metajax is installed and not run from its repository. Its version is always
        among the versions.

    Example:
        >>> sorted(collect(seed=0))[:4]
        ['command', 'commit', 'device', 'dirty']
    """
    tracked = _is_tracked()
    status = _git("status", "--porcelain") if tracked else None
    return {
        "commit": _git("rev-parse", "HEAD") if tracked else None,
        "dirty": None if status is None else bool(status),
        "command": command(),
        "seed": seed,
        "hardware": hardware(),
        "device": str(jax.devices()[0]),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
