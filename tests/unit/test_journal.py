"""What the journal keeps, on SQLite and on Postgres."""

from collections.abc import Iterator
from typing import Any

import pytest
from builders import USDC, WETH, Clock, address, policy, snapshot, v2_pool
from sqlalchemy import func, select, update

from keeper.domain import InputError
from keeper.policy import decide
from keeper.submit.errors import JournalError, LostLease
from keeper.submit.history import history_of
from keeper.submit.journal import DAY, Attempt, Intent, Journal, Mined, Outcome, Retention, State, Store, models, reign
from keeper.submit.signer import SignedTransaction

VAULT = "0x" + "Aa" * 20
SIGNER = "0x" + "Bb" * 20
BORN = "0x" + "01" * 32
WIDEST = 2**256 - 1


def skewed(price_change: int = 0, target: float = 0.5) -> Any:
    seen = snapshot({USDC: (0.6, target), WETH: (0.4, 1 - target)}, (v2_pool(1, USDC, WETH, 50_000_000),))
    assets = tuple(
        asset.model_copy(update={"price": asset.price * (100 + price_change) // 100}) for asset in seen.vault.assets
    )
    return seen.model_copy(update={"vault": seen.vault.model_copy(update={"assets": assets})})


def facts_of(seen: Any) -> Any:
    by = policy()
    return seen, by, decide(seen, by)


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000)


@pytest.fixture
def store(journal_url) -> Iterator[Store]:
    store = Store(journal_url)
    yield store
    store.close()


@pytest.fixture
def journal(store, clock) -> Journal:
    reign(store, "test", 10**9, clock)
    return Journal(store, 1, VAULT, BORN, clock)


def intent(journal: Journal, **changes: Any) -> Intent:
    values = {
        "signer": SIGNER,
        "account_nonce": 7,
        "vault_nonce": 3,
        "deadline": journal.now + 60,
        "order": b"\x00\xff",
        "predicted": "{}",
        "predicted_cost": 5,
        "turnover": 6,
        "created_block": 100,
    }
    return journal.commit(Intent(**values | changes))


def sign(journal: Journal, of: Intent, number: int = 1, *, max_fee: int = 20, priority_fee: int = 2) -> Attempt:
    journal.signed(
        of, "batch", SignedTransaction(bytes([number]), f"0x{number:064x}"), 100, 21_000, max_fee, priority_fee
    )
    current = journal.open_intent(SIGNER)
    assert current is not None
    return current.attempts[-1]


def count(store: Store, table: Any) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


# Vaults


def test_a_vault_is_bound_to_the_block_that_deployed_it(journal, store, clock):
    journal.know(1, 1)
    with pytest.raises(InputError, match=f"knows the vault {VAULT} from a chain where block {BORN}"):
        Journal(store, 1, VAULT, "0x" + "02" * 32, clock)


def test_a_vault_that_another_process_has_bound_meanwhile_is_not_written_to(journal, store, clock):
    late = Journal(store, 1, VAULT, "0x" + "02" * 32, clock)
    journal.know(1, 1)
    for use in (late.vault, lambda: late.know(1, 1), lambda: late.decisions(1)):
        with pytest.raises(InputError, match="use another journal"):
            use()


def test_a_vault_is_seen_once_another_process_has_written_it(journal, store, clock):
    other = Journal(store, 1, VAULT, BORN, clock)
    assert (other.vault(), other.decisions(5), other.intents(5)) == (None, [], [])
    journal.record("hold", "nothing to do", 1, None)
    assert len(other.decisions(5)) == 1


def test_a_first_write_that_was_rolled_back_is_forgotten(journal, store):
    with pytest.raises(JournalError):
        journal.record("hold", "nothing to do", 2**70, None)
    journal.record("hold", "nothing to do", 2, None)
    assert [row.block_number for row in journal.decisions(5)] == [2]


def test_vaults_share_a_database_without_seeing_each_other(journal, store, clock):
    other = Journal(store, 1, "0x" + "Cc" * 20, BORN, clock)
    journal.record("hold", "nothing to do", 1, facts_of(skewed()))
    first = journal.decisions(1)[0]
    other.record("hold", "nothing to do", 1, None)
    assert [row.ticks for row in other.decisions(5)] == [1]
    assert other.last_snapshot() is None
    with pytest.raises(InputError, match="has no decision"):
        other.facts(first.id)


def test_what_is_known_of_the_chain_never_goes_back(journal):
    journal.know(5, 50)
    journal.know(4, 60)
    vault = journal.vault()
    assert (vault.known_vault_nonce, vault.known_block) == (5, 60)


def test_anybody_can_halt_and_resume_while_a_keeper_reigns(journal, store, journal_url, clock):
    journal.know(1, 1)
    person = Store(journal_url)
    Journal(person, 1, VAULT, BORN, clock).halt("looking into it")
    assert journal.vault().halted_why == "looking into it"
    clock.now += 5
    Journal(person, 1, VAULT, BORN, clock).resume()
    vault = journal.vault()
    assert (vault.halted_at, vault.halted_why, vault.resumed_at) == (None, None, clock.now)
    person.close()


# Decisions


def test_holds_in_a_row_for_the_same_reason_are_one_row(journal, clock):
    for tick, drift in enumerate(("1.20%", "1.25%", "0.9%")):
        clock.now += 12
        journal.record("hold", f"drift {drift} is inside the band", 100 + tick, None)
    (row,) = journal.decisions(5)
    assert (row.ticks, row.block_number, row.reason) == (3, 100, "drift 0.9% is inside the band")
    assert (row.at, row.until) == (clock.now - 24, clock.now)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("hold", "inside the band"), ("hold", "cooling down")),
        (("hold", "stale price"), ("refused", "stale price")),
        (("rebalance", "drift 3%"), ("rebalance", "drift 3%")),
        (("planned", "drift 3%"), ("planned", "drift 3%")),
    ],
)
def test_other_reasons_and_trades_have_rows_of_their_own(journal, first, second):
    ids = [journal.record(*first, 1, None), journal.record(*second, 2, None)]
    assert ids == sorted(set(ids))
    assert [row.ticks for row in journal.decisions(5)] == [1, 1]


def test_decisions_come_newest_first_and_no_more_than_asked_for(journal):
    ids = [journal.record("rebalance", "drift", block, None) for block in range(5)]
    assert [row.id for row in journal.decisions(2)] == ids[:-3:-1]


def test_facts_come_back_as_they_were_and_decide_the_same(journal):
    facts = facts_of(skewed())
    kept = journal.facts(journal.record("rebalance", facts[2].reason, 1, facts))
    assert kept == facts
    assert decide(kept[0], kept[1]) == kept[2]


def test_a_row_of_holds_keeps_the_facts_of_the_last_and_no_others(journal, store):
    for change in (0, 1, 2):
        row = journal.record("hold", "inside the band", 1, facts_of(skewed(change)))
    assert journal.facts(row)[0] == skewed(2)
    assert count(store, models.Snapshot) == 1


def test_a_tick_without_facts_leaves_those_of_the_row_it_joins(journal):
    journal.record("refused", "halted", 1, facts_of(skewed()))
    row = journal.record("refused", "halted", 2, None)
    assert journal.facts(row)[0] == skewed()


def test_there_are_no_facts_of_what_was_refused_before_reading(journal):
    row = journal.record("refused", "the price of WETH is stale", 1, None)
    with pytest.raises(InputError, match=f"the facts of decision {row} are not kept"):
        journal.facts(row)


@pytest.mark.parametrize("column", ["policy", "body"])
@pytest.mark.parametrize("content", [b"not zlib", models.Snapshot.__name__.encode()])
def test_facts_of_another_version_are_one_line(journal, store, column, content):
    row = journal.record("hold", "inside the band", 1, facts_of(skewed()))
    with store.control() as session:
        session.execute(update(models.Decision).values({column: content}))
    with pytest.raises(InputError, match=f"another version of Ballast wrote decision {row}"):
        journal.facts(row)
    with store.control() as session:
        session.execute(update(models.Snapshot).values(body=content))
    assert journal.last_snapshot() is None


def test_the_previous_prices_are_those_of_the_tick_before_and_not_of_the_first_of_many_holds(journal):
    for change in (0, 5, 10):
        journal.record("hold", "inside the band", 1, facts_of(skewed(change)))
    assert history_of(journal, None).previous == skewed(10)


def test_the_previous_prices_outlast_ticks_that_saw_none(journal):
    journal.record("hold", "inside the band", 1, facts_of(skewed(3)))
    journal.record("refused", "the price of WETH is stale", 2, None)
    journal.record("waiting", "not final", 3, None)
    assert history_of(journal, None).previous == skewed(3)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("half a pair \ud800", "half a pair ?"),
        ("x" * 5000, "x" * 1999 + "…"),
    ],
    ids=["NUL", "surrogate", "long"],
)
def test_whatever_a_node_says_can_be_written_down(journal, said, kept):
    journal.record("refused", said, 1, None)
    journal.record("refused", said, 2, None)
    assert [(row.reason, row.ticks) for row in journal.decisions(5)] == [(kept, 2)]
    attempt = sign(journal, intent(journal))
    journal.sent(attempt, said, said)
    (kept_attempt,) = journal.open_intent(SIGNER).attempts
    assert (kept_attempt.route, kept_attempt.error) == (kept, kept)


# Intents


def test_integers_of_256_bits_survive(journal):
    made = intent(journal, predicted_cost=-WIDEST, turnover=WIDEST, account_nonce=2**63 - 1)
    attempt = sign(journal, made, max_fee=WIDEST, priority_fee=WIDEST - 1)
    journal.mined(attempt, Mined(1, BORN, 1, 2**63 - 1, WIDEST))
    outcome = Outcome(
        block_number=1, nav_before=WIDEST, nav_after=0, drift_before=WIDEST, drift_after=-1, realised="{}"
    )
    journal.close(made, State.DONE, "done", outcome)
    (kept,) = journal.intents(5)
    assert (kept.predicted_cost, kept.turnover, kept.account_nonce) == (-WIDEST, WIDEST, 2**63 - 1)
    assert (kept.attempts[0].max_fee, kept.attempts[0].priority_fee) == (WIDEST, WIDEST - 1)
    assert (kept.attempts[0].receipt.gas_used, kept.attempts[0].receipt.gas_price) == (2**63 - 1, WIDEST)
    assert (kept.outcome.nav_before, kept.outcome.drift_after) == (WIDEST, -1)


def test_an_intent_is_committed_before_it_is_signed_and_signed_before_it_is_sent(journal, clock):
    made = intent(journal)
    assert (made.state, made.created_at, made.attempts) == (State.COMMITTED, clock.now, [])
    clock.now += 1
    attempt = sign(journal, made)
    current = journal.open_intent(SIGNER)
    assert (current.state, attempt.raw, attempt.signed_at, attempt.sent_at) == (State.SIGNED, b"\x01", clock.now, None)
    clock.now += 1
    journal.sent(attempt, "node", None)
    (kept,) = journal.open_intent(SIGNER).attempts
    assert (kept.sent_at, kept.route) == (clock.now, "node")


def test_a_refusal_leaves_where_bytes_were_sent_before(journal, clock):
    attempt = sign(journal, intent(journal))
    journal.sent(attempt, "node", None)
    clock.now += 9
    journal.sent(attempt, None, "the node is down")
    (kept,) = journal.open_intent(SIGNER).attempts
    assert (kept.sent_at, kept.route, kept.error) == (clock.now - 9, "node", "the node is down")


def test_a_reorganisation_reopens_an_intent_and_forgets_the_receipt(journal, store):
    made = intent(journal)
    attempt = sign(journal, made)
    journal.mined(attempt, Mined(5, BORN, 1, 21_000, 3))
    journal.mined(attempt, Mined(6, VAULT, 1, 21_000, 3))
    current = journal.open_intent(SIGNER)
    assert (current.state, current.attempts[0].receipt.block_number) == (State.MINED, 6)
    journal.unmined(attempt)
    current = journal.open_intent(SIGNER)
    assert (current.state, current.attempts[0].receipt) == (State.SIGNED, None)
    assert count(store, models.Receipt) == 0


def test_a_second_intent_of_a_signer_waits_for_the_first(journal, store, clock):
    made = intent(journal)
    other_vault = Journal(store, 1, "0x" + "Cc" * 20, BORN, clock)
    with pytest.raises(JournalError, match=f"intent {made.id} of {SIGNER} is still open"):
        intent(other_vault)
    assert other_vault.open_intent(SIGNER).vault.address == VAULT
    journal.close(made, State.ABANDONED, "never signed")
    intent(other_vault)
    assert journal.open_intent(SIGNER).vault.address == "0x" + "Cc" * 20


def test_signers_and_chains_do_not_wait_for_each_other(journal, store, clock):
    intent(journal)
    intent(journal, signer="0x" + "Dd" * 20)
    intent(Journal(store, 10, VAULT, BORN, clock))
    assert count(store, Intent) == 3


@pytest.mark.parametrize("state", [state for state in State if state not in models.OPEN])
def test_a_closed_intent_is_not_open(journal, clock, state):
    made = intent(journal)
    journal.close(made, state, "over")
    assert journal.open_intent(SIGNER) is None
    (kept,) = journal.intents(5)
    assert (kept.state, kept.why, kept.closed_at) == (state, "over", clock.now)


def test_replacements_outbid_all_bytes_of_the_same_account_nonce(journal, store, clock):
    made = intent(journal)
    sign(journal, made, 1, max_fee=9, priority_fee=2)
    sign(journal, made, 2, max_fee=10, priority_fee=1)  # as text, "9" is above "10"
    assert journal.highest_fees(SIGNER, 7) == (10, 2)
    assert journal.highest_fees(SIGNER, 8) == (0, 0)
    assert Journal(store, 1, address(5), "0x" + "02" * 32, clock).highest_fees(SIGNER, 7) == (0, 0)


def test_own_bytes_are_known_again(journal):
    sign(journal, intent(journal), 5)
    assert journal.knows_transaction(f"0x{5:064x}")
    assert not journal.knows_transaction(f"0x{6:064x}")


def test_the_same_bytes_are_not_signed_twice(journal):
    made = intent(journal)
    sign(journal, made, 1)
    with pytest.raises(JournalError):
        sign(journal, made, 1)
    assert len(journal.open_intent(SIGNER).attempts) == 1


# Compaction


RETENTION = Retention(holds=DAY, merged=3600)


def test_old_holds_become_one_for_each_reason_and_hour(journal, store, clock):
    clock.now -= clock.now % 3600
    for tick in range(120):  # two hours, and the reason alternates
        journal.record("hold", ("inside the band", "trading would cost 3 USD")[tick % 2], tick, facts_of_hold)
        clock.now += 60
    clock.now += DAY
    assert journal.compact(RETENTION) > 0
    rows = journal.decisions(1000)
    assert [(row.reason, row.ticks) for row in reversed(rows)] == [
        ("inside the band", 30),
        ("trading would cost 3 USD", 30),
    ] * 2
    assert (rows[-1].block_number, rows[-1].until - rows[-1].at) == (0, 58 * 60)
    assert count(store, models.Snapshot) == 0
    assert all(row.body is None and row.policy is None for row in rows)


facts_of_hold = facts_of(skewed(target=0.6))


def test_what_is_compact_stays_as_it_is(journal, clock):
    for tick in range(20):
        journal.record("hold", "ab"[tick % 2], tick, facts_of_hold)
    clock.now += 2 * DAY
    assert journal.compact(RETENTION) == 18 + 20
    before = [(row.id, row.ticks) for row in journal.decisions(50)]
    assert journal.compact(RETENTION) == 0
    assert [(row.id, row.ticks) for row in journal.decisions(50)] == before


def test_a_hold_that_still_goes_on_is_not_old(journal, clock):
    journal.record("hold", "inside the band", 1, facts_of_hold)
    clock.now += 2 * DAY
    row = journal.record("hold", "inside the band", 2, facts_of_hold)
    assert journal.compact(RETENTION) == 0
    assert journal.facts(row) == facts_of_hold


def test_trades_keep_their_facts_for_ever(journal, clock):
    facts = facts_of(skewed())
    row = journal.record("rebalance", facts[2].reason, 1, facts)
    made = intent(journal, decision_id=row)
    clock.now += 1000 * DAY
    assert journal.compact(RETENTION) == 0
    assert journal.facts(row) == facts
    assert made.decision_id == row


def test_old_plans_of_a_dry_run_go_too(journal, store, clock):
    facts = facts_of(skewed())
    for tick in range(3):
        journal.record("planned", facts[2].reason, tick, facts)
    clock.now += 2 * DAY
    journal.compact(RETENTION)
    (row,) = journal.decisions(5)
    assert (row.ticks, count(store, models.Snapshot)) == (3, 0)


def test_compaction_leaves_other_vaults_alone(journal, store, clock):
    other = Journal(store, 1, "0x" + "Cc" * 20, BORN, clock)
    row = other.record("hold", "inside the band", 1, facts_of_hold)
    clock.now += 2 * DAY
    journal.compact(RETENTION)
    assert other.facts(row) == facts_of_hold


def test_a_keeper_that_does_not_reign_does_not_compact(store, clock):
    with pytest.raises(LostLease):
        Journal(store, 1, VAULT, BORN, clock).compact(RETENTION)
