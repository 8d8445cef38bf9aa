"""A throw-away Postgres for tests, if this machine has one."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

PASSWORD = "pass-word/of:the@test"  # noqa: S105  of a cluster that lives as long as the tests
VARIABLE = "BALLAST_TEST_POSTGRES"
MISSING = f"needs Postgres: its server program on this machine, or the URL of a running one in {VARIABLE}"

NewDatabase = Callable[[], URL]
"""Creates an empty schema, which is all that a journal needs and costs nothing, and returns where it is."""


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`; Debian keeps them off the PATH."""
    folders = [*map(Path, os.environ.get("PATH", "").split(os.pathsep)), *Path("/usr/lib/postgresql").glob("*/bin")]
    return next(
        (folder for folder in folders if all((folder / name).is_file() for name in ("initdb", "postgres"))), None
    )


def available() -> bool:
    return VARIABLE in os.environ or binaries() is not None


@contextmanager
def server(*, own: bool = False) -> Iterator[NewDatabase]:
    """The server named by `BALLAST_TEST_POSTGRES`, or a new cluster that goes again; always the latter if ``own``."""
    if not own and (url := os.environ.get(VARIABLE)):
        with _schemas(make_url(url).set(drivername="postgresql+psycopg")) as new:
            yield new
        return
    folder = binaries()
    assert folder is not None, MISSING
    home = Path(tempfile.mkdtemp(prefix="ballast-postgres-"))
    try:
        with _cluster(folder, home) as url, _schemas(url) as new:
            yield new
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _cluster(folder: Path, home: Path) -> Iterator[URL]:
    password = home / "password"
    password.write_text(PASSWORD)
    user = _unprivileged()
    if user is not None:
        for path in (home, password):
            os.chown(path, user.pw_uid, user.pw_gid)
    as_user = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = home / "data"
    initdb = [folder / "initdb", "-D", data, "-U", "ballast", "-A", "scram-sha-256", "--pwfile", password]
    made = subprocess.run(  # noqa: S603 - Debian's own
        [*initdb, "-E", "UTF8", "--locale=C", "--no-sync"],
        check=False,
        cwd=home,
        capture_output=True,
        text=True,
        **as_user,
    )
    assert made.returncode == 0, made.stderr
    # A socket in a folder of its own: no port that another program could have.
    options = ["-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-k", home]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - Debian's own
            [folder / "postgres", "-D", data, *options], cwd=home, stderr=log, **as_user
        )
    try:
        url = URL.create("postgresql+psycopg", "ballast", PASSWORD, database="postgres", query={"host": str(home)})
        _await(url, process, home / "log")
        yield url
    finally:
        process.send_signal(signal.SIGQUIT)  # at once, whoever is connected
        process.wait(timeout=10)


def _unprivileged() -> pwd.struct_passwd | None:
    """Postgres refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {user.pw_name: user for user in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _await(url: URL, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up_at = time.monotonic() + 30
    engine = create_engine(url, poolclass=NullPool)
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.05)
        else:
            return


@contextmanager
def _schemas(url: URL) -> Iterator[NewDatabase]:
    made: list[str] = []
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def new() -> URL:
        made.append(f"ballast_{uuid4().hex}")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"create schema {made[-1]}")
        return url.update_query_dict({"options": f"-csearch_path={made[-1]}"})

    yield new
    if VARIABLE in os.environ:
        with engine.connect() as connection:
            for name in made:
                connection.exec_driver_sql(f"drop schema {name} cascade")
