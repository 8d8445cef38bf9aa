"""The database behind the journal: its settings, and transactions that only the reigning keeper can make."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Final

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from keeper.domain.errors import InputError
from keeper.submit.errors import JournalError, LostLease
from keeper.submit.journal.models import Lease

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_NO_URL: Final = "journal: not a database URL: use sqlite:///FILE or postgresql+psycopg://…"
_BUSY_SECONDS: Final = 20
_WORTH_SHRINKING: Final = 16 * 2**20
"""Bytes; less is soon full again."""
_SQLITE_SETTINGS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"journal_size_limit={_WORTH_SHRINKING}",
)
_LOCK_NUMBER: Final = "hashtextextended(current_schema() || ' ' || :name, 0)"
"""Advisory locks are those of a database, and it may hold several journals."""
_END_ITS_HOLDER: Final = f"""
select count(pg_terminate_backend(pid)) from pg_locks join pg_database on pg_database.oid = database
where datname = current_database() and locktype = 'advisory' and objsubid = 1 and pid <> pg_backend_pid()
and (classid::bigint << 32) | objid::bigint = {_LOCK_NUMBER}
"""  # noqa: S608  both parts are written here
_QUEUES: Final[defaultdict[str, RLock]] = defaultdict(RLock)
"""Of this process's writers to one SQLite file, by its name."""
_POSTGRES_DEFAULTS: Final = {"connect_timeout": "10"}
_POSTGRES_SETTINGS: Final = {
    "lock_timeout": f"{_BUSY_SECONDS}s",
    # A keeper that is stopped in the middle of a transaction must not keep its successor waiting for its locks.
    "idle_in_transaction_session_timeout": "10s",
}


class NoJournalYet(InputError):  # noqa: N818  a state of affairs, not a fault
    """There is no journal, or one that the next keeper brings up to date: nothing to look at, and nothing wrong."""


class Store:
    """One database. Reads need nothing; writes need a lease, and fail once another keeper has taken it."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Opens the database at an SQLAlchemy ``url`` and brings its tables up to date.

        With ``create`` false nothing is written: a person who looks must not leave a file behind that the keeper, who
        is another user, cannot open, nor change the tables under a keeper that runs.

        Raises:
            InputError: the URL is none, the database cannot be reached, or it is not durable.
            NoJournalYet: ``create`` is false, and there is no journal there, or one of an older version.
        """
        address = _address(url)
        self.name = address.set(query={}).render_as_string(hide_password=True)
        try:
            self.engine = _engine(address, create)
        except (ArgumentError, ModuleNotFoundError):
            raise InputError(_NO_URL) from None
        self._reading = self.engine.execution_options(reading=True)
        self.reign: Reign | None = None
        self.turn = RLock()
        """Held for a tick: vaults of one signer share its reign, and take turns."""
        # SQLite lets one write at a time and makes the others sleep and try again: here they queue instead.
        self.queue: AbstractContextManager[object] = _QUEUES[self.name] if self.is_sqlite else nullcontext()
        try:
            self._prepare(create)
        except SQLAlchemyError as error:
            self.engine.dispose()
            raise InputError(f"journal: cannot open {self.name}: {_reason(error)}") from None
        except BaseException:
            self.engine.dispose()
            raise

    def _prepare(self, create: bool) -> None:
        with self._reading.connect() as connection:
            _check_durable(connection)
            if _is_current(connection):
                return
        if not create:
            raise NoJournalYet(f"journal: {self.name} is empty or of an older version; `keeper run` sets it up")
        with self.engine.begin() as connection:
            _migrate(connection)

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

    def shrink(self) -> None:
        """Give space that rows have left back to the file system, where there is much of it. Postgres does it alone."""
        if not self.is_sqlite:
            return
        with _plainly(self.name), self.engine.connect() as connection:
            pages, free, size = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("page_count", "freelist_count", "page_size")
            )
            if 2 * free > pages and free * size > _WORTH_SHRINKING:
                # It frees a page with each step, and only a script is stepped to its end.
                driver = connection.connection.driver_connection
                assert driver is not None  # noqa: S101  it is connected
                try:
                    driver.executescript("PRAGMA incremental_vacuum")
                except sqlite3.Error as error:
                    raise JournalError(f"the journal {self.name} refused: {_reason(error)}") from None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction of the reigning keeper: the epoch is checked in it, and it is on disk when this returns.

        Raises:
            LostLease: another keeper reigns; nothing was written.
            JournalError: the database refused.
        """
        if self.reign is None:
            raise LostLease("nobody reigns here: take the lease first")
        with self.queue, _plainly(self.name), self._transaction() as session:
            self.reign.fence(session)
            yield session

    def alone(self, session: Session, about: str) -> None:
        """Waits until no other transaction is left that is alone about the same, and keeps others waiting in its turn.

        SQLite needs nothing for that: it has one writer at a time.
        """
        if not self.is_sqlite:
            session.execute(text(f"select pg_advisory_xact_lock({_LOCK_NUMBER})"), {"name": about})

    @contextmanager
    def control(self) -> Iterator[Session]:
        """A transaction of a person, who may halt a keeper whoever reigns. Raises `JournalError`."""
        with self.queue, _plainly(self.name), self._transaction() as session:
            yield session

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session


class Reign:
    """The right to write, for a time. Who wants to keep it renews it; who lost it finds out at the next write.

    On Postgres an advisory lock on a session of its own stands beside the row: it is gone with the session, so that
    the successor of a keeper that died need not wait until the lease has run out. One that lives, but is silent for
    longer than its lease, loses it all the same.
    """

    def __init__(self, store: Store, name: str, seconds: int, clock: Callable[[], float]) -> None:
        self.store, self.name, self.seconds, self.clock = store, name, seconds, clock
        self.holder = f"{socket.gethostname()}:{os.getpid()}"
        self.epoch = 0
        self._expires_at = 0
        self._guard: Connection | None = None

    def begin(self) -> None:
        """Take the lease. Raises `LostLease` while another keeper holds it."""
        with _plainly(self.store.name):
            locked = self._lock()
            try:
                with self.store.queue, Session(self.store.engine) as session, session.begin():
                    self._take(session, locked)
            except BaseException:
                self._unlock()
                raise
        self.store.reign = self

    def _take(self, session: Session, locked: bool) -> None:
        now = int(self.clock())
        lease = session.scalar(select(Lease).where(Lease.name == self.name).with_for_update())
        if lease is None:
            if not (locked or self.store.is_sqlite):
                raise LostLease(f"another keeper is taking {self.name}; this one stands by")
            lease = Lease(name=self.name, epoch=0)
            session.add(lease)
        elif not locked and lease.expires_at > now and (lease.holder, lease.epoch) != (self.holder, self.epoch):
            left = lease.expires_at - now
            raise LostLease(f"{lease.holder} keeps {self.name} for another {left} s; this one stands by")
        elif not locked:
            self._wrest()
        lease.holder = self.holder
        lease.epoch += 1
        lease.expires_at = self._expires_at = now + self.seconds
        self.epoch = lease.epoch

    def renew(self) -> None:
        """Put the end off once half of the lease is over, also when all of it is unless another keeper used it.

        Raises:
            LostLease: another keeper did.
        """
        now = int(self.clock())
        # Before that every write finds out by itself whether the lease is still held.
        if now >= self._expires_at - self.seconds // 2:
            with self.store.control() as session:
                self._of_this_epoch(session).expires_at = now + self.seconds
            self._expires_at = now + self.seconds
        with _plainly(self.store.name):
            self._lock()

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

    def _lock(self) -> bool:
        """Whether the advisory lock is held; SQLite has none."""
        if self.store.is_sqlite:
            return False
        if self._guard is not None:
            try:
                self._guard.exec_driver_sql("select 1")
                self._guard.commit()
            except SQLAlchemyError:  # the session is gone, and the lock with it
                self._unlock()
            else:
                return True
        self._guard = self.store.engine.connect()
        taken: bool = self._on_guard(f"select pg_try_advisory_lock({_LOCK_NUMBER})")
        if not taken:
            self._unlock()
        return taken

    def _wrest(self) -> None:
        """Take the lock from a keeper that is silent: end its session. Otherwise a third one could get in with it."""
        if self.store.is_sqlite:
            return
        self._guard = self.store.engine.connect()
        self._on_guard(_END_ITS_HOLDER)
        self._on_guard(f"select pg_advisory_lock({_LOCK_NUMBER})")

    def _on_guard(self, statement: str) -> Any:
        """One statement in the lock's session; if it fails, the session ends."""
        assert self._guard is not None  # noqa: S101  the two callers have just connected it
        try:
            found = self._guard.execute(text(statement), {"name": self.name}).scalar_one()
            self._guard.commit()
        except BaseException:
            self._unlock()
            raise
        return found

    def _unlock(self) -> None:
        if self._guard is not None:
            self._guard.invalidate()  # the session ends, and the lock with it
            self._guard.close()
            self._guard = None


class Leases:
    """The leases that one process holds: vaults of one signer in one journal have one between them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[tuple[str, str], Store] = {}
        self._users: Counter[Store] = Counter()

    def take(self, url: str, name: str, seconds: int, clock: Callable[[], float]) -> Store:
        """The database at ``url``, with the right to write to it; to be given back.

        Raises:
            InputError: the database is not usable.
            LostLease: another keeper holds the lease, or this process has lost it and not given it back altogether.
        """
        with self._lock:
            store = self._held.get((url, name))
            if store is None:
                store = Store(url)
                try:
                    Reign(store, name, seconds, clock).begin()
                except BaseException:
                    store.close()
                    raise
                self._held[url, name] = store
                self._users[store] = 1
                return store
            self._users[store] += 1
        # Not under the lock: a tick holds its turn for as long as it waits for its batch, and vaults of other signers
        # must not wait for that.
        try:
            with store.turn:
                if store.reign is not None:
                    store.reign.renew()
                    store.reign.check()
        except BaseException:
            self.give_back(store)
            raise
        return store

    def give_back(self, store: Store) -> None:
        """Ends the lease if nobody here needs it any more."""
        with self._lock:
            self._users[store] -= 1
            if self._users[store] <= 0:
                del self._users[store]
                self._held = {key: held for key, held in self._held.items() if held is not store}
                store.close()


def _address(url: str) -> URL:
    """Raises `InputError`, in words without the URL: its password may be part of what is wrong with it."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(_NO_URL) from None
    if address.drivername in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    return address


def _engine(address: URL, create: bool) -> Engine:
    if address.get_backend_name() == "sqlite":
        return _sqlite(address, create)
    if address.get_backend_name() != "postgresql":
        raise InputError(_NO_URL)
    engine = create_engine(address, pool_pre_ping=True, connect_args=_POSTGRES_DEFAULTS | dict(address.query))

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.autocommit = True  # what is set in a transaction goes with it
        for setting, value in _POSTGRES_SETTINGS.items():
            connection.execute(f"set {setting} = '{value}'")
        connection.autocommit = False

    return engine


def _sqlite(address: URL, create: bool) -> Engine:
    file = Path(address.database or ":memory:")
    if file.name != ":memory:" and not address.query and not file.exists():
        if not create:
            raise NoJournalYet(f"journal: there is none at {file} yet: `keeper run` starts it")
        try:
            # Signed transactions are in it. SQLite gives its other two files the same permissions.
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
        except OSError as error:
            raise InputError(f"journal: cannot create {file}: {error.strerror}") from None
    engine = create_engine(address, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions its own way
        if connection.execute("PRAGMA page_count").fetchone() == (0,):
            # Holds only for a file that is still empty; on any other it would write, and wait for a writer.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        for pragma in _SQLITE_SETTINGS:
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
    flushing = connection.exec_driver_sql("SHOW fsync").scalar_one()
    if level not in ("on", "remote_apply", "remote_write") or flushing != "on":
        raise InputError(
            f"journal: Postgres must run with synchronous_commit=on and fsync=on, it has {level} and {flushing}"
        )


def _is_current(connection: Connection) -> bool:
    """Whether the tables are those of this version. Raises `InputError` if they are of a newer one."""
    script = ScriptDirectory(str(_MIGRATIONS))
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and present not in {revision.revision for revision in script.walk_revisions()}:
        raise InputError("journal: a newer version of Ballast wrote it; use that version, or another database")
    return present == script.get_current_head()


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Keepers that start together; on SQLite the transaction itself keeps the second one out.
        connection.execute(text(f"select pg_advisory_xact_lock({_LOCK_NUMBER})"), {"name": "ballast tables"})
    if _is_current(connection):
        return
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _plainly(name: str) -> Iterator[None]:
    """Database errors in one line without secrets or statements."""
    try:
        yield
    except (SQLAlchemyError, OverflowError) as error:  # the latter is how SQLite's driver refuses 65 bits
        raise JournalError(f"the journal {name} refused: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split())[:200]
