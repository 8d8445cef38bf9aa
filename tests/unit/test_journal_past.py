"""The past in the journal: shared by decisions, advanced by batches, and kept no longer than it is needed."""

from collections.abc import Iterator

import pytest
from builders import NOW, POOLS, USDC, WETH, Clock, at, policy, snapshot
from sqlalchemy import func, select, update

from keeper.domain import Programme
from keeper.policy import decide, executed, remember
from keeper.submit.journal import DAY, Intent, Journal, Outcome, Retention, State, Store, models, reign

VAULT, SIGNER, BORN = "0x" + "Aa" * 20, "0x" + "Bb" * 20, "0x" + "01" * 32
BASKET = {USDC: (0.6, 0.5), WETH: (0.4, 0.5)}
PROGRAMME = Programme(slices=3, done=1, interval=600, next_at=NOW, deadline=NOW + 3600, goal_drift=0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(journal_url) -> Iterator[Store]:
    store = Store(journal_url)
    yield store
    store.close()


@pytest.fixture
def journal(store, clock) -> Journal:
    reign(store, "test", 10**9, clock)
    return Journal(store, 1, VAULT, BORN, clock)


def tick(journal: Journal, when: int, status: str = "hold", reason: str = "quiet", intent_id: int = 0, **asked):
    """What a tick of the loop writes down; gives its facts."""
    by = policy(**asked)
    seen = at(snapshot(BASKET, POOLS), when, {})
    seen = seen.model_copy(update={"past": remember(journal.past()[0], seen, by)})
    facts = (seen, by, decide(seen, by))
    return journal.record(status, reason, when // 12, facts, intent_id), facts


def batch(journal: Journal, state: State, decision_id: int, number: int = 1) -> Intent:
    intent = journal.commit(
        Intent(
            decision_id=decision_id, signer=SIGNER, account_nonce=number, vault_nonce=number, deadline=NOW, order=b"x",
            predicted="{}", predicted_cost=0, turnover=0, created_block=1,
        )
    )  # fmt: skip
    outcome = Outcome(block_number=number, nav_before=1, nav_after=1, drift_before=2, drift_after=1, realised="{}")
    journal.close(intent, state, "as told", outcome if state in (State.DONE, State.FAILED) else None)
    return intent


def rows(store: Store) -> int:
    with store.read() as session:
        return session.scalar(select(func.count()).select_from(models.Past)) or 0


def test_a_journal_that_never_decided_has_no_past(journal):
    assert journal.past() == (None, 0)


def test_the_past_of_a_decision_comes_back_with_its_facts(journal):
    decision_id, facts = tick(journal, NOW)
    assert journal.facts(decision_id) == facts
    assert journal.past() == (facts[0].past, 0)
    assert decide(*journal.facts(decision_id)[:2]) == facts[2]


def test_decisions_share_a_past_until_it_changes(journal, store):
    for k in range(5):
        tick(journal, NOW + 12 * k, reason=f"reason {'abcde'[k]}")
    assert rows(store) == 1
    tick(journal, NOW + DAY)
    assert rows(store) == 2


def test_each_decision_keeps_the_past_that_it_knew(journal):
    first, facts = tick(journal, NOW)
    tick(journal, NOW + DAY, reason="another day")
    assert journal.facts(first)[0].past == facts[0].past


@pytest.mark.parametrize("state", [State.DONE, State.FAILED])
def test_an_executed_batch_is_found_until_a_past_knows_it(journal, state):
    decision_id, facts = tick(journal, NOW, "rebalance")
    intent = batch(journal, state, decision_id)
    found = journal.executed_since(0)
    assert (found.id, journal.decision_of(found)) == (intent.id, facts[2])
    tick(journal, NOW + 12, intent_id=intent.id)
    assert journal.past()[1] == intent.id
    assert journal.executed_since(intent.id) is None


@pytest.mark.parametrize("state", [State.REVERTED, State.CANCELLED, State.EXPIRED, State.SUPERSEDED, State.ABANDONED])
def test_a_batch_that_was_not_executed_changes_no_past(journal, state):
    batch(journal, state, tick(journal, NOW, "rebalance")[0])
    assert journal.executed_since(0) is None


def test_a_batch_whose_decision_cannot_be_read_leaves_nothing_to_do(journal, store):
    decision_id, facts = tick(journal, NOW, "rebalance")
    intent = batch(journal, State.DONE, decision_id)
    with store.write() as session:
        session.execute(update(models.Decision).values(body=b"\0"))
    assert journal.decision_of(intent) is None
    past = facts[0].past.replaced(programme=PROGRAMME)
    assert executed(past, journal.decision_of(intent), NOW).programme is None


def test_a_past_of_another_version_begins_anew_and_knows_its_batches(journal, store):
    tick(journal, NOW, intent_id=7)
    with store.write() as session:
        session.execute(update(models.Past).values(body=b"\0"))
    assert journal.past() == (None, 7)


def test_vaults_in_one_database_have_pasts_of_their_own(journal, store, clock):
    tick(journal, NOW)
    other = Journal(store, 1, "0x" + "Cc" * 20, BORN, clock)
    assert other.past() == (None, 0)
    batch(journal, State.DONE, tick(journal, NOW, "rebalance")[0])
    assert other.executed_since(0) is None


def test_compaction_keeps_the_latest_past_and_those_of_trades(journal, store, clock):
    traded, facts = tick(journal, NOW, "rebalance")
    for day in range(1, 6):
        clock.now = NOW + day * DAY
        tick(journal, clock.now, reason=f"day {'abcdef'[day]}")
    assert rows(store) == 6
    clock.now = NOW + 30 * DAY
    journal.compact(Retention())
    assert rows(store) == 2
    assert journal.facts(traded) == facts
    assert journal.past()[0].sampled_at == NOW + 5 * DAY


def test_compaction_leaves_the_pasts_of_other_vaults_alone(journal, store, clock):
    other = Journal(store, 1, "0x" + "Cc" * 20, BORN, clock)
    for day in range(3):
        tick(journal, NOW + day * DAY, reason=f"day {'abc'[day]}")
        tick(other, NOW + day * DAY, reason=f"day {'abc'[day]}")
    clock.now = NOW + 30 * DAY
    journal.compact(Retention())
    assert rows(store) == 4
