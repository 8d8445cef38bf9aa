"""The database under the journal: how it is opened, who may write, and what a refusal looks like."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any

import postgres as postgres_server
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from builders import Clock
from sqlalchemy import URL, create_engine, event, func, select
from sqlalchemy.pool import NullPool

from keeper.domain import InputError
from keeper.submit.errors import JournalError, LostLease
from keeper.submit.journal import Journal, Leases, Store, models, reign
from keeper.submit.journal import store as store_module

VAULT, BORN = "0x" + "Aa" * 20, "0x" + "01" * 32
FOREVER = 10**9


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000)


@pytest.fixture
def stores() -> Iterator[Callable[..., Store]]:
    """Opens databases."""
    opened: list[Store] = []

    def open_store(url: URL | str, **options: Any) -> Store:
        opened.append(Store(url if isinstance(url, str) else url.render_as_string(hide_password=False), **options))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def opened(stores, journal_url) -> Callable[..., Store]:
    """Opens the journal's database once more, as another process would."""
    return lambda **options: stores(journal_url, **options)


def journal_of(store: Store, clock: Clock) -> Journal:
    return Journal(store, 1, VAULT, BORN, clock)


def count(store: Store, table: Any) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# Opening


def test_the_tables_are_those_of_the_models(opened):
    with opened().engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, models.Base.metadata) == []


def test_opening_again_changes_nothing(opened, clock):
    first = opened()
    reign(first, "test", FOREVER, clock)
    journal_of(first, clock).know(3, 30)
    assert journal_of(opened(), clock).vault().known_vault_nonce == 3


def test_a_database_of_a_newer_version_is_refused(opened):
    with opened().engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(InputError, match="a newer version of Ballast wrote it"):
        opened()


def test_an_upgrade_that_fails_leaves_nothing_half_done(journal_url, opened, monkeypatch):
    engine = create_engine(journal_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table receipt (in_the_way integer)")  # the last table to be made
    with pytest.raises(InputError, match=r"cannot open .*receipt"):
        opened()
    with engine.begin() as connection:
        connection.exec_driver_sql("drop table receipt")
    opened()


def test_keepers_that_start_together_set_a_database_up_once(journal_url):
    failures: list[Exception] = []
    together = threading.Barrier(4)

    def start() -> None:
        together.wait()
        try:
            Store(journal_url).close()
        except InputError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_who_only_looks_sets_nothing_up(journal_url, opened, tmp_path):
    with pytest.raises(InputError, match="`keeper run`"):
        opened(create=False)
    assert list(tmp_path.iterdir()) == []
    opened()
    opened(create=False)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://keeper:hunter2@host/db",
        "postgresql+nodriver://keeper:hunter2@host/db",
        "postgresql+psycopg://keeper:hunter2@host:port/db",
    ],
)
def test_what_is_no_url_of_a_journal_is_said_without_it(url):
    with pytest.raises(InputError) as refused:
        Store(url)
    assert str(refused.value) == ("journal: not a database URL: use sqlite:///FILE or postgresql+psycopg://…")


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
@pytest.mark.parametrize(
    "credentials", ["keeper:hunter2@127.0.0.1:1/db", "127.0.0.1:1/db?user=keeper&password=hunter2"]
)
def test_a_postgres_that_cannot_be_reached_is_one_line_without_the_password(scheme, credentials):
    with pytest.raises(InputError) as refused:
        Store(f"{scheme}://{credentials}")
    said = str(refused.value)
    assert said.startswith("journal: cannot open postgresql+psycopg://")
    assert "127.0.0.1" in said
    assert "\n" not in said
    assert "hunter2" not in said


def test_a_wrong_password_is_not_repeated(postgres):
    url = postgres().set(password="hunter2")  # noqa: S106 - a wrong one
    if postgres_server.VARIABLE in os.environ:
        pytest.skip("the server given may not ask for passwords")
    with pytest.raises(InputError, match="password authentication failed") as refused:
        Store(url.render_as_string(hide_password=False))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("path", ["file/journal.sqlite", "."])
def test_a_file_that_cannot_be_opened_is_one_line(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^journal: cannot (open|create) .*$"):
        Store(f"sqlite:///{tmp_path / path}")


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "journal.sqlite").write_text("rebalance everything" * 100)
    with pytest.raises(InputError, match=r"^journal: cannot open .*: file is not a database$"):
        Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")


def test_nobody_else_reads_the_signed_transactions_in_the_file(tmp_path, clock):
    store = Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    reign(store, "test", FOREVER, clock)
    assert {path.name for path in tmp_path.iterdir()} == {f"journal.sqlite{part}" for part in ("", "-wal", "-shm")}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    store.close()


# Durability


def test_sqlite_waits_for_the_disk_with_every_commit(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    with store.engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["wal", 2, 1]
    store.close()


@pytest.mark.parametrize("lost", ["journal_mode=DELETE", "synchronous=NORMAL"])
def test_sqlite_that_could_lose_a_commit_is_refused(tmp_path, monkeypatch, lost):
    monkeypatch.setattr(store_module, "_SQLITE_SETTINGS", (*store_module._SQLITE_SETTINGS, lost))
    with pytest.raises(InputError, match="WAL and synchronous=FULL, it has"):
        Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")


def test_sqlite_in_memory_is_refused():
    with pytest.raises(InputError, match="it has memory"):
        Store("sqlite://")


@pytest.mark.parametrize("level", ["off", "local"])
def test_postgres_that_could_lose_a_commit_is_refused(postgres, level):
    url = postgres()
    options = f"{url.query['options']} -csynchronous_commit={level}"
    url = url.update_query_dict({"options": options})
    with pytest.raises(InputError, match=f"synchronous_commit=on and fsync=on, it has {level}"):
        Store(url.render_as_string(hide_password=False))


# Who may write


def test_writing_takes_a_reign(opened, clock):
    store = opened()
    with pytest.raises(LostLease):
        journal_of(store, clock).know(1, 1)
    assert count(store, models.Vault) == 0


def test_a_second_keeper_stands_by_while_the_first_keeps_its_lease(opened, clock):
    reign(opened(), "test", 60, clock)
    clock.now += 59
    second = opened()
    with pytest.raises(LostLease, match="stands by"):
        reign(second, "test", 60, clock)
    assert second.reign is None


def test_a_lease_that_is_renewed_goes_on(opened, clock):
    first = reign(opened(), "test", 60, clock)
    for _ in range(3):
        clock.now += 50
        first.renew()
    with pytest.raises(LostLease, match="stands by"):
        reign(opened(), "test", 60, clock)


def test_a_keeper_that_was_silent_for_its_lease_loses_it_and_writes_nothing_more(opened, clock):
    first, second = opened(), opened()
    old = reign(first, "test", 60, clock)
    clock.now += 60
    new = reign(second, "test", 60, clock)
    assert new.epoch == old.epoch + 1
    for use in (old.renew, old.check, lambda: journal_of(first, clock).know(1, 1)):
        with pytest.raises(LostLease, match="has taken over"):
            use()
    assert count(second, models.Vault) == 0
    journal_of(second, clock).know(1, 1)


def test_nothing_is_written_under_a_lease_that_ran_out_until_it_is_renewed(opened, clock):
    store = opened()
    held = reign(store, "test", 60, clock)
    clock.now += 61
    for use in (held.check, lambda: journal_of(store, clock).know(1, 1)):
        with pytest.raises(JournalError, match="ran out 1 s ago"):
            use()
    assert count(store, models.Vault) == 0
    held.renew()
    held.check()
    journal_of(store, clock).know(1, 1)


def test_a_lease_that_was_given_back_is_free_at_once(opened, clock):
    first = opened()
    epoch = reign(first, "test", 60, clock).epoch
    first.close()
    assert reign(opened(), "test", 60, clock).epoch == epoch + 1


def test_giving_back_what_was_lost_takes_nothing_from_the_successor(opened, clock):
    first, second = opened(), opened()
    old = reign(first, "test", 60, clock)
    clock.now += 60
    new = reign(second, "test", 60, clock)
    old.end()
    new.check()
    with pytest.raises(LostLease, match="stands by"):
        reign(opened(), "test", 60, clock)


def test_leases_of_different_names_are_held_together(opened, clock):
    held = [reign(opened(), f"live:1:{signer}", 60, clock) for signer in range(3)]
    for each in held:
        each.check()


HOLD = """
import sys, time
from keeper.submit.errors import LostLease
from keeper.submit.journal import Store, reign
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    reign(store, "test", 10**9, time.time)
except LostLease:
    print("lost", flush=True)
else:
    print("won", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def keepers() -> Iterator[Callable[[str, int], list[subprocess.Popen[str]]]]:
    """Starts processes that take the lease `test` on the next line they read, and say whether they got it."""
    processes: list[subprocess.Popen[str]] = []

    def start(url: str, number: int) -> list[subprocess.Popen[str]]:
        processes.extend(
            subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(number)
        )
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * number
        return processes

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str]) -> None:
    process.stdin.write("go\n")
    process.stdin.flush()


def test_of_keepers_that_race_for_a_lease_one_wins(journal_url, keepers):
    racers = keepers(journal_url, 3)
    for process in racers:
        tell(process)
    assert sorted(process.stdout.readline() for process in racers) == ["lost\n", "lost\n", "won\n"]


def test_on_postgres_the_lease_of_a_keeper_that_was_killed_is_free_at_once(postgres, keepers, stores):
    url = postgres()
    store = stores(url)
    (process,) = keepers(url.render_as_string(hide_password=False), 1)
    tell(process)
    assert process.stdout.readline() == "won\n"
    with pytest.raises(LostLease):
        reign(store, "test", 60, time.time)
    process.kill()
    process.wait()
    with store.engine.connect() as connection:
        for _ in range(10_000):  # until the server has noticed, which takes it milliseconds
            if connection.exec_driver_sql(LOCKS).scalar_one() == 0:
                break
    assert reign(store, "test", 60, time.time).epoch == 2


LOCKS = "select count(*) from pg_locks where locktype = 'advisory'"


def test_on_postgres_a_keeper_takes_its_lock_again_when_its_session_was_cut(postgres, clock, stores):
    url = postgres()
    first, second = stores(url), stores(url)
    held = reign(first, "test", 60, clock)
    with second.engine.connect() as connection:
        connection.exec_driver_sql(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
        )
    held.renew()
    with pytest.raises(LostLease, match="stands by"):
        reign(second, "test", 60, clock)


def test_a_keeper_that_stops_inside_a_transaction_does_not_keep_its_locks(postgres, monkeypatch, clock, stores):
    monkeypatch.setattr(
        store_module,
        "_POSTGRES_SETTINGS",
        store_module._POSTGRES_SETTINGS | {"idle_in_transaction_session_timeout": "200ms"},
    )
    url = postgres()
    first, second = stores(url), stores(url)
    reign(first, "test", 60, clock)
    with pytest.raises(JournalError), first.write():  # noqa: PT012 - it is the end of the transaction that fails
        clock.now += 60
        reign(second, "test", 60, clock)  # waits for the row until the server has ended the first one's transaction


# Together


def test_who_reads_neither_waits_for_a_writer_nor_stops_one(opened, journal_url, clock, monkeypatch):
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0)
    store, other = opened(), opened()
    reign(store, "test", FOREVER, clock)
    journal = journal_of(store, clock)
    journal.record("hold", "before", 1, None)
    with other.read() as reading:
        before = reading.scalars(select(models.Decision.reason)).all()
        with store.write():
            assert len(journal_of(opened(create=False), clock).decisions(5)) == 1
        journal.record("hold", "after", 2, None)
        if other.is_sqlite:
            assert reading.scalars(select(models.Decision.reason)).all() == before == ["before"]
    assert len(journal_of(other, clock).decisions(5)) == 2


def test_a_write_that_is_broken_off_leaves_nothing(opened, clock):
    store = opened()
    reign(store, "test", FOREVER, clock)
    with pytest.raises(ZeroDivisionError), store.write() as session:  # noqa: PT012 - what comes before it counts
        session.add(models.Vault(chain_id=1, address=VAULT, deployment_hash=BORN))
        session.flush()
        1 / 0  # noqa: B018
    assert count(store, models.Vault) == 0


def test_a_locked_database_is_one_line_and_writes_nothing(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(store_module, "_BUSY_SECONDS", 0.05)
    store = Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    reign(store, "test", FOREVER, clock)
    journal = journal_of(store, clock)
    blocker = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match=r"^the journal sqlite:///.* refused: database is locked$"):
        journal.record("hold", "nothing to do", 1, None)
    blocker.close()
    journal.record("hold", "nothing to do", 2, None)
    assert [row.block_number for row in journal.decisions(5)] == [2]
    store.close()


def test_a_full_disk_is_one_line_and_writes_nothing(tmp_path, clock):
    store = Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    reign(store, "test", FOREVER, clock)
    journal = journal_of(store, clock)
    journal.record("hold", "nothing to do", 1, None)

    @event.listens_for(store.engine, "begin")
    def _no_page_more(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite takes that for as many as there are

    with pytest.raises(JournalError, match=r"^the journal sqlite:///.* refused: database or disk is full$"):  # noqa: PT012
        for block in range(2, 10_000):
            journal.record("rebalance", "x" * 1000, block, None)
    event.remove(store.engine, "begin", _no_page_more)
    latest = journal.decisions(1)[0]
    assert latest.block_number == block - 1
    store.close()


def test_a_postgres_that_went_away_is_one_line_without_the_password(tmp_path, clock):
    folder = postgres_server.binaries()
    if folder is None:
        pytest.skip(postgres_server.MISSING)
    with postgres_server.server(own=True) as new_database:
        store = Store(new_database().render_as_string(hide_password=False))
        reign(store, "test", FOREVER, clock)
        journal = journal_of(store, clock)
        journal.know(1, 1)
    with pytest.raises(JournalError) as refused:
        journal.know(2, 2)
    said = str(refused.value)
    assert said.startswith("the journal postgresql+psycopg://ballast:***@")
    assert "\n" not in said
    assert postgres_server.PASSWORD not in said
    store.close()


class Turn:
    """A store's turn, which says when somebody wants it."""

    def __init__(self, turn: AbstractContextManager[object]) -> None:
        self.turn, self.wanted = turn, threading.Event()

    def __enter__(self) -> None:
        self.wanted.set()
        self.turn.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self.turn.__exit__(*raised)


def test_a_signer_whose_tick_takes_long_keeps_no_other_signer_from_its_lease(tmp_path, clock):
    url, leases = f"sqlite:///{tmp_path / 'journal.sqlite'}", Leases()
    first = leases.take(url, "first", 60, clock)
    first.turn = turn = Turn(first.turn)
    taken: list[Store] = []

    def take(name: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: taken.append(leases.take(url, name, 60, clock)))
        thread.start()
        return thread

    with turn.turn:  # as in a tick that waits for its batch
        again = take("first")
        assert turn.wanted.wait(30)
        other = take("second")
        other.join(30)
        assert [store.reign.name for store in taken] == ["second"]
    again.join()
    other.join()
    for store in (first, *taken):
        leases.give_back(store)


def test_a_lease_that_was_lost_and_asked_for_again_is_given_back_by_who_had_it(opened, journal_url, clock):
    leases = Leases()
    store = leases.take(journal_url, "a", 60, clock)
    clock.now += 100
    with closing(Store(journal_url)) as other:
        reign(other, "a", 60, clock)
        with pytest.raises(LostLease):
            leases.take(journal_url, "a", 60, clock)
        leases.give_back(store)
        assert leases._held == {}
