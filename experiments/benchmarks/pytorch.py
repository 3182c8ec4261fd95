"""PyTorch as a peer: where it runs, at which precision, and its compiled and captured programs."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from metajax.types import InputError

PEERS = "pip install 'metajax[peers]'"
DTYPES = ("float32", "bfloat16")
_WARM_UP = 3
"""Calls before a CUDA graph is captured, so that every buffer exists."""


def on_gpu() -> bool:
    """Returns whether JAX runs on a GPU; then PyTorch does too."""
    return jax.default_backend() == "gpu"


def load() -> Any:
    """Returns PyTorch on the device that JAX uses: a thread for each core on a CPU, or the GPU as its default device.

    Raises:
        InputError: if it is not installed, or cannot use the GPU that JAX uses.
    """
    try:
        import torch
    except ImportError:
        raise InputError(f"PyTorch must be installed for this benchmark: {PEERS}") from None
    if on_gpu():
        if not torch.cuda.is_available():
            raise InputError("PyTorch must be installed with CUDA, because JAX runs on a GPU here")
        torch.set_default_device("cuda")
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(cores)
    return torch


def synchronized(program: Callable[[], Any]) -> Callable[[], Any]:
    """Returns a program that returns when the GPU has done its work; on a CPU, the program itself."""
    if not on_gpu():
        return program
    import torch

    def run():
        result = program()
        torch.cuda.synchronize()
        return result

    return run


def graph(program: Callable[[], Any]) -> Callable[[], Any]:
    """Returns the CUDA graph of a program that reads and writes the same buffers in every call, as a synchronized program."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            program()
    torch.cuda.current_stream().wait_stream(stream)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        program()
    return synchronized(recorded.replay)


def graphs(programs: Mapping[str, Callable[[], Any]], failed: dict[str, str]) -> dict[str, Callable[[], Any]]:
    """Returns the CUDA graphs of some programs by name, on a GPU; built after the programs are checked."""
    replays: dict[str, Callable[[], Any]] = {}
    for name, program in programs.items() if on_gpu() else ():
        replays |= attempt(f"{name}, CUDA graph", lambda program=program: graph(program), failed)
    return replays


def attempt(name: str, build: Callable[[], Any], failed: dict[str, str]) -> dict[str, Any]:
    """Returns ``{name: build()}``; or nothing, with the reason in ``failed``, where PyTorch cannot compile a program.

    A peer that does not run is reported, never counted as slow; one that does other work is an error all the same.
    """
    try:
        return {name: build()}
    except AssertionError:
        raise
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
        print(f"{name}: {failed[name]}", file=sys.stderr)
        return {}


def not_measured(failed: Mapping[str, str]) -> str:
    """Returns, for a protocol, which peers did not run and why."""
    return "".join(f"; {name} did not run ({reason})" for name, reason in failed.items())


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Within this context both sides multiply float32 in full precision, to check that programs do the same work.

    Outside, both use the GPU's fast mode (TF32), and both are timed in it. On a CPU there is one mode.
    """
    if not on_gpu():
        yield
        return
    import torch

    def fast(on: bool) -> None:
        torch.set_float32_matmul_precision("high" if on else "highest")
        torch.backends.cudnn.allow_tf32 = on

    fast(False)
    try:
        with jax.default_matmul_precision("highest"):
            yield
    finally:
        fast(True)


def in_dtype(apply: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    """Returns a network that computes in ``dtype``: float32 parameters and inputs are cast, and outputs are float32."""
    if dtype == "float32":
        return apply
    cast = lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x
    return lambda params, x, *rest: apply(*jax.tree.map(cast, (params, x, *rest))).astype(jnp.float32)


def check_dtype(dtype: str) -> None:
    """Raises InputError unless ``dtype`` is one of ``DTYPES``."""
    if dtype not in DTYPES:
        raise InputError(f"--dtype must be one of {', '.join(DTYPES)}, got {dtype}")
