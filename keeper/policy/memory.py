"""The past that a decision may use, kept by a pure fold: the same snapshots give the same past, live or simulated."""

from keeper.domain import Closes, Decision, Past, Policy, Snapshot
from keeper.policy.schedule import under_way
from keeper.pools.base import unchecked


def remember(past: Past | None, snapshot: Snapshot, policy: Policy) -> Past:
    """The past including ``snapshot``: call it once for each tick, before `decide`. ``past`` itself if nothing is new.

    A price is taken of the first snapshot in each interval of ``policy.memory`` (counted from 1970). Intervals that
    nobody saw repeat the price before them, which leaves the mean of squared returns as it is; after more of them than
    are kept, or where the policy's interval changes, it starts anew. A programme that is over is dropped.
    """
    now, memory = snapshot.block.timestamp, policy.memory
    if past is None:
        return Past.model_construct(
            since=now,
            rebalanced_at=None,
            interval=memory.interval_seconds,
            sampled_at=now,
            closes=_first(snapshot),
            programme=None,
        )
    if past.programme is not None and under_way(past, snapshot, policy) is None:
        past = past.replaced(programme=None)
    passed = now // memory.interval_seconds - past.sampled_at // memory.interval_seconds
    if past.interval != memory.interval_seconds or passed >= memory.samples:
        return past.replaced(interval=memory.interval_seconds, sampled_at=now, closes=_first(snapshot))
    if passed <= 0:
        return past
    before = {entry.token.lower(): entry.prices for entry in past.closes}
    closes = []
    for asset in snapshot.vault.assets:
        prices = before.get(asset.token.lower(), ())
        missed = prices[-1:] * (passed - 1)
        closes.append(_closes(asset.token, (*prices, *missed, asset.price)[-memory.samples :]))
    return past.replaced(sampled_at=now, closes=tuple(closes))


def executed(past: Past, decision: Decision | None, at: int) -> Past:
    """The past once the batch of ``decision`` was executed in a block of timestamp ``at``.

    None for a decision that nobody knows any more: then nothing is left to do after it.
    """
    programme = None if decision is None else decision.programme
    if programme is not None:
        programme = programme.model_copy(update={"next_at": at + programme.interval})
    return past.replaced(rebalanced_at=at, programme=programme)


def _first(snapshot: Snapshot) -> tuple[Closes, ...]:
    return tuple(_closes(asset.token, (asset.price,)) for asset in snapshot.vault.assets)


def _closes(token: str, prices: tuple[int, ...]) -> Closes:
    # Of a snapshot, which was checked; to check hundreds of prices again would take longer than the decision.
    return unchecked(Closes, {"token": token, "prices": prices})
