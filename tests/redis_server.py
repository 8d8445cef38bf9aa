"""A throw-away Redis for tests, if this machine has one."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError as NoConnection

MISSING = "needs Redis: its server program `redis-server` on this machine"


def binary() -> str | None:
    return shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def server(port: int | None = None) -> Iterator[str]:
    """A server of its own that keeps nothing; yields its URL."""
    program, port = binary(), port or free_port()
    assert program is not None, MISSING
    home = Path(tempfile.mkdtemp(prefix="ballast-redis-"))
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(home)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log)  # noqa: S603 - Debian's own
    url = f"redis://127.0.0.1:{port}"
    try:
        _await(url, process, home / "log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(home, ignore_errors=True)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + 30
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except NoConnection:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < give_up_at, log.read_text()
                time.sleep(0.02)
            else:
                return
