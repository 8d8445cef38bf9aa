"""Which pools to look at."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

from keeper.domain import Policy, Snapshot
from keeper.pools import BasePool
from keeper.units import percent, to_wad


class LeftOut(NamedTuple):
    """A pool that the policy's filters leave out, by name, and the filter."""

    pool: str
    why: str


def admit(snapshot: Snapshot, policy: Policy) -> tuple[tuple[BasePool, ...], tuple[LeftOut, ...]]:
    """The pools to route through, and those that are left out.

    Liquidity: a pair of a pool's tokens counts for the less valuable of its sides that are assets of the basket, at its
    current price, and the pool for its best pair. A pair of two tokens without a price cannot be judged and stays.
    Oracle band: a pool whose price of two assets is further from the oracle's than the policy allows is not trusted.
    """
    kept, left_out = [], []
    for pool in snapshot.pools:
        why = _why_not(snapshot, policy, pool)
        if why is None:
            kept.append(pool)
        else:
            left_out.append(LeftOut(pool.name, why))
    return tuple(kept), tuple(left_out)


def _why_not(snapshot: Snapshot, policy: Policy, pool: BasePool) -> str | None:
    floor, band = policy.min_pool_liquidity_usd, policy.oracle_band
    if floor is not None and _liquidity_usd(snapshot, pool) < floor:
        return "below the liquidity floor"
    if band is not None and _deviation(snapshot, pool) > band:
        return f"more than {percent(to_wad(band))} off the oracle"
    return None


def _liquidity_usd(snapshot: Snapshot, pool: BasePool) -> float:
    return max(_pair_usd(snapshot, pool, pair) for pair in combinations(pool.tokens, 2))


def _pair_usd(snapshot: Snapshot, pool: BasePool, pair: tuple[str, str]) -> float:
    return min(
        (usd for usd, token in zip(sides_usd(snapshot, pool, pair), pair, strict=True) if token in snapshot.asset),
        default=float("inf"),
    )


def sides_usd(snapshot: Snapshot, pool: BasePool, pair: tuple[str, str]) -> tuple[float, float]:
    """Depth on either side of a pair by the oracle, USD; 0 where the token is no asset."""
    a, b = (
        reserve / 10 ** snapshot.token[token].decimals * snapshot.asset[token].price / 1e18
        if token in snapshot.asset
        else 0.0
        for token, reserve in zip(pair, pool.virtual_reserves(*pair), strict=True)
    )
    return a, b


def _deviation(snapshot: Snapshot, pool: BasePool) -> float:
    """The furthest that the price of a pair of assets is from the oracle's, as a fraction."""
    deviations = [0.0]
    for pair in combinations(pool.tokens, 2):
        if all(token in snapshot.asset for token in pair):
            a, b = sides_usd(snapshot, pool, pair)
            # Depths are equal in value where the pool's price is the oracle's.
            deviations.append(abs(b / a - 1) if a else float("inf"))
    return max(deviations)
