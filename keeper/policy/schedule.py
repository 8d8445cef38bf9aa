"""In how many batches: at once, or in slices between which the pools refill."""

from keeper.domain import Past, Programme, Snapshot
from keeper.policy.guard import Basket


def under_way(past: Past | None, snapshot: Snapshot) -> Programme | None:
    """The programme that goes on at this snapshot; None if there is none, or if it is over.

    It is over once the drift it was for is gone, or past its deadline.
    """
    programme = None if past is None else past.programme
    if programme is None or snapshot.block.timestamp > programme.deadline:
        return None
    basket = Basket.of(snapshot)
    return programme if basket.nav and basket.drift > programme.goal_drift else None
