"""Never worse than the obvious: no trade, one path per pair, a grid of splits over the best paths."""

from collections import Counter
from collections.abc import Iterator

import pytest
from graphs import graph, net_changes, objective_usd, raw_units_usd

from benchmarks.peers.paths import Path, Pools, best_path
from keeper.domain import Policy, Snapshot, Swap
from keeper.policy import consider
from keeper.units import WAD

PARTS = 20
"""A split in steps of 5%."""


def asked_with_gas(asked: Policy, gas_price_wei: int) -> Policy:
    return asked.model_copy(update={"gas_price_wei": gas_price_wei})


def pairs(facts: Snapshot, change: Counter[str]) -> Iterator[tuple[str, str, int]]:
    """What is sold on balance matched to what is bought by value, the largest first: token in, token out, amount in."""

    def unit(token: str) -> float:
        return facts.asset[token].price / 1e18 / 10 ** facts.token[token].decimals

    bought = {token: amount * unit(token) for token, amount in change.items() if amount > 0 and token in facts.asset}
    total = sum(bought.values())
    for token, amount in sorted(change.items(), key=lambda entry: entry[1] * unit(entry[0])):
        if amount >= 0:
            continue
        left = -amount
        wanted = sorted(bought, key=lambda other: -bought[other])
        for other in wanted:
            part = left if other == wanted[-1] else round(-amount * bought[other] / total)
            if part > 0:
                yield token, other, min(part, left)
                left -= min(part, left)


def best(facts: Snapshot, asked: Policy, market: Pools, pair: tuple[str, str, int]) -> Path | None:
    token_in, token_out, amount_in = pair
    asset = facts.asset[token_out]
    unit = asset.price / 1e18 / 10 ** facts.token[token_out].decimals
    return best_path(
        market,
        token_in,
        token_out,
        amount_in,
        max_hops=3,
        gas_of=lambda name: gas_usd(facts, asked, asked.gas_units.of(market.by_name[name].kind)),
        unit_value=unit,
    )


def gas_usd(facts: Snapshot, asked: Policy, units: int) -> float:
    return units * (asked.gas_price_wei or 0) / 1e18 * facts.native_price / 1e18


def along(market: Pools, swaps: tuple[Swap, ...], amount_in: int) -> Path:
    """The same pools with another amount."""
    amount, after, made = amount_in, [], []
    for swap in swaps:
        amount_out, pool = market.by_name[swap.pool].swap(swap.token_in, swap.token_out, amount)
        made.append(swap.model_copy(update={"amount_in": amount, "amount_out": amount_out}))
        after.append(pool)
        amount = amount_out
    return Path(amount, 0.0, tuple(made), tuple(after))


def worth(facts: Snapshot, asked: Policy, paths: list[Path]) -> float:
    """The objective of carrying out these paths, gas included."""
    change: Counter[str] = Counter()
    kinds = {pool.name: pool.kind for pool in facts.pools}
    units = asked.gas_units.base if paths else 0
    for path in paths:
        change[path.swaps[0].token_in] -= path.swaps[0].amount_in
        change[path.swaps[-1].token_out] += path.amount_out
        units += sum(asked.gas_units.of(kinds[swap.pool]) for swap in path.swaps)
    return objective_usd(facts, asked, change, gas_usd(facts, asked, units))


def one_path_per_pair(facts: Snapshot, asked: Policy, change: Counter[str]) -> float:
    market, paths = Pools.of(facts.pools), []
    for pair in pairs(facts, change):
        path = best(facts, asked, market, pair)
        if path is not None:
            market = market.after(path)
            paths.append(path)
    return worth(facts, asked, paths)


def grid_of_splits(facts: Snapshot, asked: Policy, change: Counter[str]) -> float:
    """Each 5% along the path that is best once the ones before are gone, then each path at once with all of its own."""
    market, paths = Pools.of(facts.pools), []
    for token_in, token_out, amount in pairs(facts, change):
        trial, parts = market, Counter[tuple[Swap, ...]]()
        routes: dict[tuple[str, ...], tuple[Swap, ...]] = {}
        for part in range(PARTS):
            slice_in = amount * (part + 1) // PARTS - amount * part // PARTS
            path = best(facts, asked, trial, (token_in, token_out, slice_in)) if slice_in else None
            if path is not None:
                trial = trial.after(path)
                route = routes.setdefault(tuple(swap.pool + swap.token_in for swap in path.swaps), path.swaps)
                parts[route] += slice_in
        for route, total in parts.items():
            path = along(market, route, total)
            market = market.after(path)
            paths.append(path)
    return worth(facts, asked, paths)


@pytest.mark.parametrize("gas_price_wei", [0, 10**10], ids=["free gas", "10 gwei"])
@pytest.mark.parametrize("seed", range(25))
def test_a_plan_is_never_worse_than_the_obvious(seed, gas_price_wei):
    facts, asked = graph(seed, tokens=4 + seed % 7, assets=3 + seed % 4 % 2, pools=12 + 2 * seed, noise=0.002)
    asked = asked_with_gas(asked, gas_price_wei)
    found = consider(facts, asked)
    decision = found.decision
    change = net_changes(decision)
    achieved = objective_usd(facts, asked, change, decision.estimate.gas_usd)
    tolerance = raw_units_usd(facts) * max(1, len(decision.swaps)) + 1e-12 * facts.nav / WAD
    assert achieved >= objective_usd(facts, asked, {}) - tolerance
    if decision.action == "rebalance":
        assert achieved >= one_path_per_pair(facts, asked, change) - tolerance
        assert achieved >= grid_of_splits(facts, asked, change) - tolerance
