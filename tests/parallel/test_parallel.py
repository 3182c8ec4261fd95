"""Trainings on eight virtual devices and in two processes, against one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from metajax import parallel, run
from metajax.types import InputError

HERE = Path(__file__).parent


def start(script, *arguments, devices=1):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags}
    command = [sys.executable, "-W", "ignore", str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process):
    try:
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def compared():
    return json.loads(finished(start("on_devices.py", devices=8)))


@pytest.mark.parametrize(
    "case",
    [
        *("supervised", "maml", "maml_in_chunks", "evaluated", "hyperparameters", "searched"),
        *("enumerated", "exhausted", "resumed", "iterated"),
    ],
)
def test_several_devices_end_where_one_does(compared, case):
    """Sums are made in another order: nothing else differs."""
    assert compared[case] < 5e-6


@pytest.mark.parametrize("learner", ["supervised", "maml", "maml in chunks"])
def test_devices_communicate_once_a_step(compared, learner):
    """The gradient and the loss are summed up; neither batch nor state travels."""
    counts = compared["communication"][learner]
    assert counts.pop("all-reduce") <= 3
    assert set(counts.values()) == {0}


@pytest.mark.parametrize(
    ("number", "message"),
    enumerate(
        [
            "devices: the number of devices must divide axis 0 of batch[0], got 8 devices and size 60; use a multiple of 8",
            "devices must be from 1 to 8, the number of cpu devices of this program, got 9",
            "devices must be from 1 to 8, the number of cpu devices of this program, got 0",
            "devices must be 'all', a number, a list of devices, or a mesh, got 'both'",
            "devices must be a mesh of one axis, got a mesh of the axes ('a', 'b')",
            "devices must be distinct devices of jax.devices()",
            "batch[0] of shape (60, 6) has no axis 3",
            "batch_axes must be a prefix of the batch, got (0, 0, 0)",
            "evaluate: the number of devices must divide chunk=16, got 3 devices",
        ]
    ),
)
def test_what_cannot_be_cut_is_refused(compared, number, message):
    given = compared["refused"][number]
    assert message in given and "\n" not in given


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def numbers(output):
    return np.array(output.splitlines()[-2].split(","), float)


def test_two_processes_end_where_one_does(tmp_path):
    """They write one run, each loads its part of the data, and the run goes on in one process alone."""
    for steps in (10, 20):
        port = free_port()
        pair = [start("on_hosts.py", port, number, tmp_path / "run", steps) for number in range(2)]
        outputs = [finished(process) for process in pair]
        np.testing.assert_array_equal(*map(numbers, outputs))
        assert all("the processes [1] have none" in output for output in outputs)
    alone = numbers(finished(start("on_hosts.py", 0, 0, tmp_path / "alone", 20)))
    np.testing.assert_allclose(numbers(outputs[0]), alone, rtol=1e-5, atol=1e-6)
    records = [
        [r["step"] for r in map(json.loads, (tmp_path / name / "metrics.jsonl").open())] for name in ("run", "alone")
    ]
    assert records == [[10, 20], [10, 20]]
    continued = numbers(finished(start("on_hosts.py", 0, 0, tmp_path / "run", 30)))
    longer = numbers(finished(start("on_hosts.py", 0, 0, tmp_path / "longer", 30)))
    np.testing.assert_allclose(continued, longer, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", 2, 0), "coordinator must be 'host:port', got 'nowhere'"),
        (("localhost:http", 2, 0), "coordinator must be 'host:port'"),
        (("localhost:1234", 2, 2), "process an integer from 0 to processes - 1, got processes=2, process=2"),
        (("localhost:1234",), "processes=None, process=None"),
    ],
)
def test_an_address_that_is_none_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        parallel.connect(*arguments)


def test_a_second_coordinator_is_refused():
    with socket.socket() as first:
        first.bind(("", 0))
        first.listen()
        with pytest.raises(InputError, match=r"the port of .* cannot be used .*another coordinator may be running"):
            parallel.connect(f"localhost:{first.getsockname()[1]}", 2, 0)


def test_one_process_agrees_with_itself(tmp_path):
    assert parallel.agreed(2, 0.5) == (2.0, 0.5) and parallel.is_first()
    parallel.wait("anything")
    mesh = parallel.mesh(jax.devices()[:1])
    assert parallel.mesh(mesh).devices.tolist() == [jax.devices()[0]]
    with pytest.raises(InputError, match=r"cannot be used|not a run directory"):
        run.RunDirectory(__file__, {})
