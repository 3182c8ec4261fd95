"""Steps over devices: two processes with a core each against one, by the size of the step.

    python -m experiments.benchmarks.devices --out runs/benchmarks/devices

A step of MAML is taken by one process on one core, and by two processes on a core each that add up their gradients over
loopback (Gloo), as two hosts would. *Strong scaling* is the time of one over the time of two for the same tasks; two would be
perfect. *Weak scaling* is the time of one over the time of two where two have twice the tasks; one would be perfect. The
protocol says how many bytes the sum has and how long it takes alone, from which larger machines can be planned.

It needs two cores and Linux.
"""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import harness
from experiments.benchmarks import compare, maml
from metajax import parallel
from metajax.run import compiled_chunk
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the step."""

    tasks: int = 16
    """Tasks of a step."""
    width: int = 32
    """Filters of a layer of MAML's network."""
    steps: int = 20
    """Steps of a round."""
    rounds: int = 5
    """Rounds; one process and two take turns."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "tasks", "width", "steps", "rounds")
        if self.tasks % 2:
            raise InputError(f"--tasks must be even, got {self.tasks}")


PRESETS = {"paper": {}, "tiny": {"tasks": 2, "width": 2, "steps": 1, "rounds": 1}}


def work(config: Config, tasks: int) -> dict[str, Any]:
    """Takes steps in this process, with those of the other hosts, and returns the seconds of each round and of a sum alone."""
    settings = maml.Config(width=config.width, tasks=tasks, chunk=jax.device_count(), seed=config.seed)
    method, params = maml.ours(settings)
    episodes = jax.tree.map(np.asarray, maml.episodes(settings))
    placement = parallel.Placement(parallel.mesh("all"))
    batch = jax.tree_util.Partial(lambda episodes, _key: episodes, episodes)
    chunk = compiled_chunk(method.learner, batch, placement)
    state = placement.replicate(method.init(jax.random.key(config.seed), params))
    add = jax.jit(
        jax.shard_map(lambda x: jax.lax.psum(x, "devices"), mesh=placement.mesh, in_specs=_spec(), out_specs=_spec())
    )
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    gradient = placement.replicate(jnp.zeros(size, jnp.float32))
    seconds, sums = [], []
    for number in range(config.rounds + 1):  # the first one compiles
        parallel.wait(f"round {number}")
        started = time.perf_counter()
        state, _, is_finite = chunk(state, None, config.steps)
        jax.block_until_ready(is_finite)
        seconds.append((time.perf_counter() - started) / config.steps)
        started = time.perf_counter()
        for _ in range(10):
            jax.block_until_ready(add(gradient))
        sums.append((time.perf_counter() - started) / 10)
    return {"seconds": seconds[1:], "sum": sums[1:], "bytes": 4 * size}


def _spec() -> jax.sharding.PartitionSpec:
    return jax.sharding.PartitionSpec()


def on_hosts(config: Config, processes: int, tasks: int) -> dict[str, Any]:
    """Runs ``work`` in processes of their own, each on a core of its own, and returns what the first one measured."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if not hasattr(os, "sched_getaffinity"):
        raise InputError("the benchmark of devices must run on Linux, where processes are bound to cores")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < processes:
        raise InputError(f"the benchmark of devices must run on at least {processes} cores, got {len(cores)}")
    settings = json.dumps(dataclasses.asdict(config))
    command = [sys.executable, "-m", "experiments.benchmarks.devices", "--worker", settings]
    started = [
        subprocess.Popen(
            [*command, *map(str, (tasks, port, processes, i, cores[i]))],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"},
        )
        for i in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process of the benchmark failed; its error is above")
    return json.loads(outputs[0].splitlines()[-1])


def measure(config: Config) -> compare.Measured:
    """Compares one process with two."""
    first_run = on_hosts(config, 1, config.tasks)
    two = on_hosts(config, 2, config.tasks)
    double = on_hosts(config, 2, 2 * config.tasks)
    second_run = on_hosts(config, 1, config.tasks)
    alone = np.concatenate([first_run["seconds"], second_run["seconds"]])
    ratio = lambda other: np.median(alone) / np.asarray(other["seconds"])
    sum_ms = 1e3 * float(np.median(two["sum"]))
    metrics = {
        "one process ms": 1e3 * float(np.median(alone)),
        "two processes ms": 1e3 * float(np.median(two["seconds"])),
        "two processes, twice the tasks ms": 1e3 * float(np.median(double["seconds"])),
        "sum ms": sum_ms,
        "sum bytes": float(two["bytes"]),
    }
    claims = [
        compare.claim(f"MAML, {config.tasks} tasks: strong scaling to two processes", 1.6, ratio(two)),
        compare.claim(f"MAML, {config.tasks} tasks a process: weak scaling to two processes", 0.85, ratio(double)),
    ]
    protocol = (
        f"MAML on 28 x 28 images, {config.width} filters, processes on loopback with a core each; a step sums {two['bytes']:,} "
        f"bytes, which takes {sum_ms:.2f} ms alone; {config.rounds} rounds of {config.steps} steps"
    )
    return compare.Measured(metrics, claims, protocol)


EXPERIMENT = compare.benchmark("devices", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _settings, _tasks, _port, _processes, _process, _core = sys.argv[2:]
        os.sched_setaffinity(0, {int(_core)})
        if int(_processes) > 1:
            parallel.connect(f"127.0.0.1:{_port}", int(_processes), int(_process))
        print(json.dumps(work(Config(**json.loads(_settings)), int(_tasks))))
    else:
        EXPERIMENT.exit()
