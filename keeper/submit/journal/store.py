"""The database behind the journal: its settings, and transactions that only the reigning keeper can make."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from keeper.domain.errors import InputError
from keeper.submit.errors import JournalError, LostLease
from keeper.submit.journal.models import Lease

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_BUSY_SECONDS: Final = 20


class Store:
    """One database. Reads need nothing; writes need a lease, and fail once another keeper has taken it."""

    def __init__(self, url: str) -> None:
        """Opens the database at an SQLAlchemy ``url`` and brings its tables up to date.

        Raises:
            InputError: the URL is none, the database cannot be reached, or it is not durable.
        """
        try:
            self.name = make_url(url).render_as_string(hide_password=True)
            self.engine = _engine(url)
            self._reading = self.engine.execution_options(reading=True)
            with self.engine.begin() as connection:
                _migrate(connection)
            with self.engine.connect() as connection:
                _check_durable(connection)
        except (ArgumentError, ModuleNotFoundError):
            raise InputError("journal: not a database URL: use sqlite:///FILE or postgresql+psycopg://…") from None
        except SQLAlchemyError as error:
            raise InputError(f"journal: cannot open {self.name}: {_reason(error)}") from None
        self.reign: Reign | None = None

    @property
    def is_sqlite(self) -> bool:
        """Whether this is one file on this machine."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Gives the connections back."""
        if self.reign is not None:
            self.reign.end()
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that writes nothing. Raises `JournalError`."""
        with _plainly(self.name), Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction of the reigning keeper: the epoch is checked in it, and it is on disk when this returns.

        Raises:
            LostLease: another keeper reigns; nothing was written.
            JournalError: the database refused.
        """
        if self.reign is None:
            raise LostLease("nobody reigns here: take the lease first")
        with _plainly(self.name), Session(self.engine, expire_on_commit=False) as session, session.begin():
            self.reign.fence(session)
            yield session

    @contextmanager
    def control(self) -> Iterator[Session]:
        """A transaction of a person, who may halt a keeper whoever reigns. Raises `JournalError`."""
        with _plainly(self.name), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session


class Reign:
    """The right to write, for a time. Who wants to keep it renews it; who lost it finds out at the next write.

    On Postgres an advisory lock on a session of its own stands beside the row, so that a keeper that died frees it at
    once and one that is merely slow keeps it.
    """

    def __init__(self, store: Store, name: str, seconds: int, clock: Callable[[], float]) -> None:
        self.store, self.name, self.seconds, self.clock = store, name, seconds, clock
        self.holder = f"{socket.gethostname()}:{os.getpid()}"
        self.epoch = 0
        self._guard: Connection | None = None

    def begin(self) -> None:
        """Take the lease. Raises `LostLease` while another keeper holds it."""
        with _plainly(self.store.name):
            self._lock()
            try:
                with Session(self.store.engine) as session, session.begin():
                    now = int(self.clock())
                    lease = session.scalar(select(Lease).where(Lease.name == self.name).with_for_update())
                    if lease is None:
                        lease = Lease(name=self.name, holder=self.holder, epoch=0, expires_at=0)
                        session.add(lease)
                    elif lease.expires_at > now and (lease.holder, lease.epoch) != (self.holder, self.epoch):
                        left = lease.expires_at - now
                        raise LostLease(  # noqa: TRY301  the lock must be given back too
                            f"{lease.holder} keeps {self.name} for another {left} s; this one stands by"
                        )
                    lease.holder = self.holder
                    lease.epoch += 1
                    lease.expires_at = now + self.seconds
                    self.epoch = lease.epoch
            except BaseException:
                self._unlock()
                raise
        self.store.reign = self

    def renew(self) -> None:
        """Put the end off, also one that has passed unless another keeper used it. Raises `LostLease` if one did."""
        with self.store.control() as session:
            self._of_this_epoch(session).expires_at = int(self.clock()) + self.seconds

    def check(self) -> None:
        """As `fence`, in a transaction of its own: asked before every broadcast."""
        with self.store.read() as session:
            self.fence(session)

    def fence(self, session: Session) -> None:
        """Locks the lease's row for the rest of the transaction.

        Raises:
            LostLease: another keeper reigns.
            JournalError: the lease has run out, and it is not known who will have it next: `renew` finds out.
        """
        lease = self._of_this_epoch(session)
        if lease.expires_at <= self.clock():
            raise JournalError(f"the lease on {self.name} ran out {int(self.clock()) - lease.expires_at} s ago")

    def _of_this_epoch(self, session: Session) -> Lease:
        lease = session.scalar(select(Lease).where(Lease.name == self.name).with_for_update())
        if lease is None or lease.epoch != self.epoch:
            raise LostLease(f"another keeper has taken over {self.name}: this one stops")
        return lease

    def end(self) -> None:
        """Give the lease back, if it is still held."""
        try:
            with self.store.write() as session:
                session.get_one(Lease, self.name).expires_at = 0
        except (LostLease, JournalError):
            pass
        finally:
            self._unlock()
            self.store.reign = None

    def _lock(self) -> None:
        if self.store.is_sqlite or self._guard is not None:
            return
        guard = self.store.engine.connect()
        taken = guard.execute(text("select pg_try_advisory_lock(hashtext(:name))"), {"name": self.name}).scalar_one()
        if not taken:
            guard.close()
            raise LostLease(f"another keeper holds {self.name}; this one stands by")
        guard.commit()
        self._guard = guard

    def _unlock(self) -> None:
        if self._guard is not None:
            self._guard.invalidate()  # the session ends, and the lock with it
            self._guard.close()
            self._guard = None


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions its own way
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer locks from the start, not at its first write: what it read before must still be true then.
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _check_durable(connection: Connection) -> None:
    """Raises InputError if what is committed could be lost with the power."""
    if connection.dialect.name == "sqlite":
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        if (mode, level) != ("wal", 2):
            raise InputError(f"journal: SQLite must run with WAL and synchronous=FULL, it has {mode} and {level}")
        return
    level = connection.exec_driver_sql("SHOW synchronous_commit").scalar_one()
    if level not in ("on", "remote_apply", "remote_write"):
        raise InputError(f"journal: Postgres must run with synchronous_commit=on, it has {level}")


def _migrate(connection: Connection) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_revision()
    if present == script.get_current_head():
        return
    if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
        raise InputError("journal: a newer version of Ballast wrote it; use that version, or another database")
    command.upgrade(config, "head")


@contextmanager
def _plainly(name: str) -> Iterator[None]:
    """Database errors in one line without secrets or statements."""
    try:
        yield
    except SQLAlchemyError as error:
        raise JournalError(f"the journal {name} refused: {_reason(error)}") from None


def _reason(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split())[:200]
