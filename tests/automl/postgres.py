"""A PostgreSQL server of its own for tests, in a temporary directory, on a free port."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


def find_server() -> Path | None:
    """The directory of ``initdb`` and ``pg_ctl``; ``None`` if PostgreSQL is not installed."""
    places = [
        *os.environ.get("PATH", "").split(os.pathsep),
        *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin"))),
    ]
    for place in reversed(places):
        if (Path(place) / "initdb").exists() and (Path(place) / "pg_ctl").exists():
            return Path(place)
    return None


@contextlib.contextmanager
def server(binaries: Path) -> Iterator[str]:
    """Runs a server, and yields the URL of its database."""
    with tempfile.TemporaryDirectory(prefix="metajax_pg_") as name:
        yield from _serve(binaries, Path(name))


def _serve(binaries: Path, directory: Path) -> Iterator[str]:
    data, user = directory / "data", "nobody" if os.getuid() == 0 else None  # PostgreSQL refuses to run as root
    if user is not None:
        shutil.chown(directory, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(name: str, *arguments: str) -> None:
        command = [str(binaries / name), "-D", str(data), *arguments]
        subprocess.run(command, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL, timeout=120)

    run("initdb", "--username=tester", "--auth=trust", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={directory} -c fsync=off"
    run("pg_ctl", "-w", "-l", str(directory / "log"), "-o", options, "start")
    try:
        yield f"postgresql://tester:secret@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
