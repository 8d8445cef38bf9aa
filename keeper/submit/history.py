"""What the breakers need to know of the past."""

from keeper.policy.breakers import Batch, History
from keeper.submit.journal import Journal, State

_LOOK_BACK = 200


def history_of(journal: Journal, balance: int | None) -> History:
    """The journal in the words of `keeper.policy.breakers`. ``balance`` is the signer's, wei; None if nobody signs."""
    vault = journal.vault()
    resumed_at = 0 if vault is None or vault.resumed_at is None else vault.resumed_at
    batches = tuple(
        Batch(
            at=intent.created_at,
            resumed=intent.created_at < resumed_at,
            executed=intent.state in (State.DONE, State.FAILED),
            drift_fell=intent.state == State.DONE,
            nav=0 if intent.outcome is None else intent.outcome.nav_before,
            cost=0 if intent.outcome is None else intent.outcome.nav_before - intent.outcome.nav_after,
            predicted_cost=intent.predicted_cost,
            turnover=intent.turnover,
        )
        for intent in reversed(journal.intents(_LOOK_BACK))
        if intent.closed_at is not None and intent.state != State.ABANDONED and intent.order
    )
    return History(batches=batches, previous=journal.last_snapshot(), balance=balance)
