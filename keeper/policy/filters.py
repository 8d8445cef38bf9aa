"""Which pools to look at."""

from keeper.domain import Policy, Snapshot
from keeper.pools import BasePool


def deep_pools(snapshot: Snapshot, policy: Policy) -> tuple[BasePool, ...]:
    """The pools that reach the policy's liquidity floor, all if it has none.

    A pool counts for the least valuable of its sides that are assets of the basket, at its current price. A pool of
    two tokens without a price cannot be judged and stays.
    """
    floor = policy.min_pool_liquidity_usd
    return tuple(pool for pool in snapshot.pools if floor is None or _liquidity_usd(snapshot, pool) >= floor)


def _liquidity_usd(snapshot: Snapshot, pool: BasePool) -> float:
    sides = [
        reserve / 10 ** snapshot.token[token].decimals * snapshot.asset[token].price / 1e18
        for token, reserve in zip(pool.tokens, pool.virtual_reserves(), strict=True)
        if token in snapshot.asset
    ]
    return min(sides, default=float("inf"))
