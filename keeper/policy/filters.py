"""Which pools to look at."""

from itertools import combinations

from keeper.domain import Policy, Snapshot
from keeper.pools import BasePool


def deep_pools(snapshot: Snapshot, policy: Policy) -> tuple[BasePool, ...]:
    """The pools that reach the policy's liquidity floor, all if it has none.

    A pair of a pool's tokens counts for the less valuable of its sides that are assets of the basket, at its current
    price, and the pool for its best pair. A pair of two tokens without a price cannot be judged and stays.
    """
    floor = policy.min_pool_liquidity_usd
    return tuple(pool for pool in snapshot.pools if floor is None or _liquidity_usd(snapshot, pool) >= floor)


def _liquidity_usd(snapshot: Snapshot, pool: BasePool) -> float:
    return max(_pair_usd(snapshot, pool, pair) for pair in combinations(pool.tokens, 2))


def _pair_usd(snapshot: Snapshot, pool: BasePool, pair: tuple[str, str]) -> float:
    sides = [
        reserve / 10 ** snapshot.token[token].decimals * snapshot.asset[token].price / 1e18
        for token, reserve in zip(pair, pool.virtual_reserves(*pair), strict=True)
        if token in snapshot.asset
    ]
    return min(sides, default=float("inf"))
