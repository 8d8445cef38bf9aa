"""How large a journal grows."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import NOW, USDC, WETH, Clock, address, policy, snapshot, v2_pool

from keeper.domain import Closes, Decision, Past, Policy, Snapshot
from keeper.policy import decide
from keeper.submit.errors import JournalError
from keeper.submit.journal import DAY, Intent, Journal, Outcome, Retention, State, Store, reign
from keeper.submit.journal import store as store_module
from keeper.submit.signer import SignedTransaction

BLOCK, HOUR, YEAR = 12, 3600, 365 * DAY
WINDOW = HOUR
GIGABYTE = 10**9


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path, clock) -> Iterator[Journal]:
    # Thousands of commits: where there is a disk in memory, none of them waits for a real one.
    memory = Path("/dev/shm")  # noqa: S108 - a name of its own in it, as tmp_path has one
    file = (memory if memory.is_dir() else tmp_path) / f"ballast-{tmp_path.parent.name}-{tmp_path.name}.sqlite"
    store = Store(f"sqlite:///{file}")
    reign(store, "test", 10**10, clock)
    yield Journal(store, 1, "0x" + "Aa" * 20, "0x" + "01" * 32, clock)
    store.close()
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def size(journal: Journal) -> int:
    """Bytes of the file, once everything is in it."""
    with journal.store.engine.connect() as connection:
        pages, page = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size")
        )
    return int(pages * page)


def facts() -> tuple[Snapshot, Policy, Decision]:
    """Five times as much as 8 assets and 30 pools compress to on the offline mainnet (4.4 kB)."""
    noise = random.Random(5)  # noqa: S311 - what does not compress, and no secret
    seen = snapshot(
        {USDC: (0.5, 0.5), WETH: (0.5, 0.5)},
        tuple(
            v2_pool(noise.getrandbits(160), USDC, WETH, noise.uniform(1e6, 1e8)) for _ in range(400)
        ),
    )  # fmt: skip
    small = snapshot({USDC: (0.5, 0.5), WETH: (0.5, 0.5)}, (v2_pool(1, USDC, WETH, 1e7),))
    return seen, policy(), decide(small, policy())


def trade(journal: Journal, number: int, seen: Any) -> None:
    """All rows that a batch leaves behind, with bytes as long as a large order's."""
    decision = journal.record("rebalance", "drift 3% is outside the band", number, seen)
    signer = "0x" + "Bb" * 20
    intent = journal.commit(
        Intent(
            decision_id=decision, signer=signer, account_nonce=number, vault_nonce=number, deadline=journal.now,
            order=random.Random(number).randbytes(2000), predicted="{}" * 200, predicted_cost=10**20, turnover=10**18,  # noqa: S311
            created_block=number,
        )
    )  # fmt: skip
    raw = random.Random(-number).randbytes(2500)  # noqa: S311
    journal.signed(intent, "batch", SignedTransaction(raw, f"0x{number:064x}"), number, 10**6, 10**10, 10**9)
    outcome = Outcome(
        block_number=number, nav_before=10**24, nav_after=10**24, drift_before=10**17, drift_after=10**16,
        realised="{}" * 200,
    )  # fmt: skip
    journal.close(intent, State.DONE, "drift 3% -> 1%", outcome)


def remembered(seen: Any, hour: int) -> Any:
    """With the past of an hourly memory, longer than the default and of prices that do not compress."""
    noise = random.Random(hour)  # noqa: S311
    closes = tuple(
        Closes(token=address(number), prices=tuple(noise.randint(1, 10**23) for _ in range(200))) for number in range(8)
    )
    past = Past(since=NOW, interval=HOUR, sampled_at=NOW + hour * HOUR, closes=closes)
    return (seen[0].model_copy(update={"past": past}), *seen[1:])


def test_a_year_of_blocks_stays_below_two_gigabytes(journal, clock):
    """Worse than life: no two holds in a row are for the same reason, and a batch every two hours."""
    plain = facts()
    retention = Retention(holds=WINDOW)
    sizes = []
    for hour in range(4):
        seen = remembered(plain, hour)
        for tick in range(HOUR // BLOCK):
            number = hour * HOUR // BLOCK + tick
            journal.record("hold", ("inside the band", "a trade would cost more than it gains")[tick % 2], number, seen)
            clock.now += BLOCK
        if hour % 2:
            trade(journal, hour, seen)
        journal.compact(retention)
        sizes.append(size(journal))
    growth = (sizes[3] - sizes[1]) / 2  # an hour's, once the window is full
    year = sizes[1] * (Retention().holds / WINDOW) + growth * YEAR / HOUR
    print(f"an hour {sizes[1] / 1e6:.1f} MB, then {growth / 1e3:.1f} kB an hour: {year / GIGABYTE:.2f} GB a year")
    assert year < 2 * GIGABYTE


def test_compaction_gives_much_space_back_to_the_disk(journal, clock, monkeypatch):
    monkeypatch.setattr(store_module, "_WORTH_SHRINKING", 10**6)
    seen = facts()
    for number in range(100):
        journal.record("planned", f"drift {number}", number, seen)
    before = size(journal)
    clock.now += 3 * DAY
    journal.compact(Retention())
    assert before > 10 * size(journal)


def test_a_disk_too_busy_to_give_space_back_is_one_line(journal, clock, monkeypatch):
    monkeypatch.setattr(store_module, "_WORTH_SHRINKING", 0)
    seen = facts()
    for number in range(10):
        journal.record("planned", f"drift {number}", number, seen)
    clock.now += 3 * DAY
    with monkeypatch.context() as without:
        without.setattr(Store, "shrink", lambda _: None)
        journal.compact(Retention())
    with journal.store.engine.connect() as connection:  # the pool's only one, which it keeps
        connection.exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(JournalError, match="refused: attempt to write a readonly database"):
        journal.store.shrink()


def test_compaction_keeps_a_little_free_space_for_the_next_ticks(journal, clock):
    seen = facts()
    for number in range(100):
        journal.record("planned", f"drift {number}", number, seen)
    before = size(journal)
    clock.now += 3 * DAY
    journal.compact(Retention())
    assert size(journal) == before
