"""The write-ahead journal: what is to be sent is on disk before it is signed, and signed bytes before they are sent."""

from keeper.submit.journal.journal import DAY, Journal, Mined, Retention, amounts, reign
from keeper.submit.journal.models import OPEN, Attempt, Intent, Outcome, State
from keeper.submit.journal.store import Leases, NoJournalYet, Reign, Store

__all__ = [
    "DAY",
    "OPEN",
    "Attempt",
    "Intent",
    "Journal",
    "Leases",
    "Mined",
    "NoJournalYet",
    "Outcome",
    "Reign",
    "Retention",
    "State",
    "Store",
    "amounts",
    "reign",
]
