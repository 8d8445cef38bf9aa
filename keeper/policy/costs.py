"""Where the cost of a plan goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keeper.domain import Swap
from keeper.pools import BasePool
from keeper.routing import Plan
from keeper.units import to_float


@dataclass(frozen=True)
class Costs:
    """What a plan costs, USD; ``off_oracle + fees + impact`` is the value lost by the oracle's prices.

    ``off_oracle`` is what the pools' prices differ from the oracle's (negative: in the vault's favour), ``fees`` what
    the pools keep, ``impact`` what the swaps' own size costs. ``at_pools`` is the value lost where the pools' mean
    prices count instead of the oracle's (see `keeper.policy.lag`). ``exposure`` is how much less than simulated the
    minima let pass: what a sandwich could take at most.
    """

    off_oracle: float
    fees: float
    impact: float
    gas: float
    at_pools: float
    exposure: float


def costs_of(plan: Plan, minima: dict[str, int]) -> Costs:
    """Split a plan's cost. ``minima`` are the least raw amounts that must come back, by token."""
    problem = plan.problem
    market, assets = problem.market, problem.snapshot.vault.assets
    usd = dict(zip(market.tokens, map(float, market.scale), strict=True))
    off_oracle, fees, impact = split(plan.swaps, {pool.name: pool for pool in problem.pools}, usd)
    at_pools = -sum(
        to_float(value) * problem.gain(asset.token) for value, asset in zip(plan.values, assets, strict=True)
    )
    back = {
        asset.token: (plan.sent or {}).get(asset.token, 0) + change
        for asset, change in zip(assets, plan.changes, strict=True)
    }
    exposure = sum((back[token] - least) * usd[token] for token, least in minima.items())
    return Costs(off_oracle, fees, impact, plan.gas_usd, at_pools, exposure)


def split(swaps: Sequence[Swap], pools: Mapping[str, BasePool], usd: Mapping[str, float]) -> tuple[float, float, float]:
    """What swaps lose to the pools' prices being off, to fees, and to their own size, USD.

    ``pools`` by name as they stand before the first swap; ``usd`` for one raw unit, by token.
    """
    standing = dict(pools)
    off = fees = impact = 0.0
    for swap in swaps:
        pool = standing[swap.pool]
        paid = swap.amount_in * usd[swap.token_in]
        after_fee = swap.amount_in * pool.marginal_price(swap.token_in, swap.token_out) * usd[swap.token_out]
        mid = after_fee / (1 - pool.fee_fraction)
        off += paid - mid
        fees += mid - after_fee
        impact += after_fee - swap.amount_out * usd[swap.token_out]
        standing[swap.pool] = pool.swap(swap.token_in, swap.token_out, swap.amount_in).pool
    return off, fees, impact
