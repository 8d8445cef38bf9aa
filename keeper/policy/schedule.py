"""In how many batches: at once, or in slices between which the pools refill.

A slice is a batch like any other, towards aims that lie between what is held and where the whole way leads. Only how
many are done is remembered (`keeper.domain.Programme`); each one decides anew, from what it finds.
"""

from __future__ import annotations

from keeper.domain import Past, Policy, Programme, Snapshot, Twap
from keeper.policy.benefit import Balance
from keeper.policy.guard import Basket

_ROOM = 1.05
"""How much more than the least progress each slice must make, since prices move between them."""


def under_way(past: Past | None, snapshot: Snapshot, policy: Policy) -> Programme | None:
    """The programme that goes on at this snapshot; None if there is none, or if it is over.

    It is over once the drift it was for is gone, past its deadline, or when the policy has no slices any more.
    """
    programme = None if past is None else past.programme
    if programme is None or not isinstance(policy.schedule, Twap) or snapshot.block.timestamp > programme.deadline:
        return None
    basket = Basket.of(snapshot)
    return programme if basket.nav and basket.drift > programme.goal_drift else None


def slices_for(twap: Twap, balance: Balance, horizon: float | None, most: int) -> int:
    """How many slices a rebalance is to have: 1 is all at once.

    With ``slices: auto`` as many as cost least by `cost_of_slices`; ``horizon`` is the time, seconds, in which the
    whole distance costs what the rebalance takes off. Never more than ``most``, 1 at least.
    """
    if twap.slices != "auto":
        return max(min(twap.slices, most), 1)
    assert horizon is not None  # noqa: S101  the policy refuses slices: auto without it
    assert twap.refill_half_life_seconds is not None  # noqa: S101  and without this
    left = 0.5 ** (twap.interval_seconds / twap.refill_half_life_seconds)
    waiting = balance.taken * twap.interval_seconds / horizon
    return min(
        range(1, max(min(twap.most, most), 1) + 1),
        key=lambda count: (cost_of_slices(count, balance, left, waiting), count),
    )


def cost_of_slices(count: int, balance: Balance, left: float, waiting: float) -> float:
    """What ``count`` slices cost beside what any number of them does, USD (docs/triggers.md derives it).

    Args:
        count: K, 1 or more.
        balance: impact I and gas g of the whole way in one batch.
        left: the part of a slice's impact on the pools that the next slice still finds, 0 to 1.
        waiting: what the whole distance costs while it lasts for one interval.

    Returns:
        ``I / K**2 (K + 2 sum over m of (K - m) left**m) + K g + waiting (K - 1)(2K - 1) / (6K)``.
    """
    lingering = sum((count - m) * left**m for m in range(1, count))
    return (
        balance.impact / count**2 * (count + 2 * lingering)
        + count * balance.gas
        + waiting * (count - 1) * (2 * count - 1) / (6 * count)
    )


def most_slices(snapshot: Snapshot, drift_after: int) -> int:
    """So many slices that each makes the progress that the vault demands; ``drift_after`` (WAD) after all of them."""
    limits = snapshot.vault.limits
    if limits is None or limits.min_progress == 0:
        return 100
    closed = Basket.of(snapshot).drift - drift_after
    return max(int(closed / (limits.min_progress * _ROOM)), 1)


def begun(twap: Twap, snapshot: Snapshot, drift_after: int, slices: int) -> Programme:
    """The programme whose first slice is decided on at this snapshot."""
    now, limits = snapshot.block.timestamp, snapshot.vault.limits
    longest = (slices - 1) * twap.interval_seconds
    quarter = (Basket.of(snapshot).drift - drift_after) // (4 * slices)
    return Programme(
        slices=slices,
        done=1,
        interval=twap.interval_seconds,
        next_at=now + twap.interval_seconds,
        deadline=now + (twap.deadline_seconds or 2 * longest),
        # Less than a quarter of a slice is not worth another one, and inside the dead band the vault refuses it.
        goal_drift=max(drift_after + quarter, 0 if limits is None else limits.dead_band, 0),
    )


def advanced(programme: Programme) -> Programme | None:
    """The programme once one more slice is executed; None if that was the last."""
    done = programme.done + 1
    return None if done >= programme.slices else programme.model_copy(update={"done": done})
