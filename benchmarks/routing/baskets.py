"""Whole rebalances: all pools and the whole basket at once, beside one pair at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers.paths import PARTS, Exchange, one_by_one
from benchmarks.routing import graphs
from benchmarks.routing.clock import Spread, timed
from benchmarks.routing.graphs import HOP_USD, MIXES, World
from keeper.domain import Snapshot
from keeper.routing import Plan, Problem, optimise
from keeper.units import WAD

NAVS = (100_000, 1_000_000, 10_000_000)
"""Dollars."""
PENALTY = 10.0
"""So large that going all the way to the targets is best, nearly."""


@dataclass(frozen=True)
class Cost:
    """What a rebalance costs in basis points of NAV, in how many swaps and milliseconds.

    It costs what is lost by the oracle's prices, gas, and the tracking penalty of what is left to do.
    """

    bp: float
    hops: int
    milliseconds: float


@dataclass(frozen=True)
class Compared:
    """One rebalance, three ways; ``missed`` is what anything could be better than ours, basis points of NAV."""

    joint: Cost
    single: Cost
    split: Cost
    missed: float
    unit: float


def compare(world: World, snapshot: Snapshot, hop_usd: float) -> Compared | None:
    """The best plan, and the same net sales exchanged one by one for the same shares of purchases; None for a hold.

    Sales are matched to purchases by value, the largest first.
    """
    problem = Problem(
        snapshot=snapshot,
        pools=world.pools,
        tracking_penalty=PENALTY,
        gas_units=graphs.gas_units(),
        gas_price=graphs.gas_price(hop_usd),
    )
    milliseconds, plan = timed(lambda: optimise(problem))
    if not plan.swaps:
        return None
    values = problem.unit_values
    sold, bought = _legs(plan, -1), _legs(plan, 1)
    exchanges = matched(sold, bought, values)
    found = []
    for parts in (1, PARTS):
        took, done = timed(partial(one_by_one, world.pools, exchanges, values, hop_usd=hop_usd, parts=parts))
        change = {token: -amount for token, amount in sold.items()}
        for exchange, amount in zip(exchanges, done.amounts_out, strict=True):
            change[exchange.token_out] = change.get(exchange.token_out, 0) + amount
        found.append(Cost(_bp(problem, change, done.hops * hop_usd), done.hops, took))
    change = {asset.token: moved for asset, moved in zip(snapshot.vault.assets, plan.changes, strict=True)}
    joint = Cost(_bp(problem, change, len(plan.swaps) * hop_usd), len(plan.swaps), milliseconds)
    missed = 0.0 if plan.certificate is None else plan.certificate.gap / problem.nav_usd * 1e4
    most_hops = max(joint.hops, found[0].hops, found[1].hops)
    return Compared(joint, found[0], found[1], missed, sum(values.values()) * most_hops / problem.nav_usd * 1e4)


def _bp(problem: Problem, change: Mapping[str, int], gas: float) -> float:
    """Basis points of NAV that net changes (raw units) and gas (dollars) cost; see `Cost`."""
    moved = np.array(
        [change.get(asset.token, 0) * problem.unit_values[asset.token] for asset in problem.snapshot.vault.assets]
    )
    after = tuple(excess + round(value * WAD) for excess, value in zip(problem.excess, moved, strict=True))
    return float(problem.tracking(after) + gas - moved.sum()) / problem.nav_usd * 1e4


def _legs(plan: Plan, sign: int) -> dict[str, int]:
    """What is sold (-1) or bought (1) on balance, raw units, the most valuable first."""
    values = plan.problem.unit_values
    legs = {
        asset.token: sign * change
        for asset, change in zip(plan.problem.snapshot.vault.assets, plan.changes, strict=True)
        if sign * change > 0
    }
    return dict(sorted(legs.items(), key=lambda leg: -leg[1] * values[leg[0]]))


def matched(sold: dict[str, int], bought: dict[str, int], values: dict[str, float]) -> list[Exchange]:
    """Every sale is spent in full, and purchases get their shares of it."""
    spent = sum(amount * values[token] for token, amount in sold.items())
    scale = spent / sum(amount * values[token] for token, amount in bought.items())
    wanted = [(token, amount * values[token] * scale) for token, amount in bought.items()]
    exchanges = []
    for token, amount in sold.items():
        left = amount
        while left > 0:
            target, dollars = wanted[0]
            part = min(left, round(dollars / values[token])) if len(wanted) > 1 else left
            if part > 0:
                exchanges.append(Exchange(token, target, part))
                left -= part
            if left > 0:
                wanted.pop(0)
            else:
                wanted[0] = (target, dollars - part * values[token])
    return exchanges


# What is compared


def random_basket(seed: int, tokens: int, pools: int, nav: float) -> tuple[World, Snapshot]:
    """A world of mixed pools, and a vault of all its tokens that has drifted."""
    rng = np.random.default_rng([seed, tokens, pools])
    world = graphs.world(rng, tokens, pools, MIXES["mixed"])
    held, targets = graphs.basket(rng, tokens)
    return world, graphs.snapshot(world, range(tokens), nav, held.tolist(), targets.tolist())


def real_basket(seed: int, world: World, symbols: Sequence[str], nav: float) -> tuple[World, Snapshot]:
    """A vault of real tokens that has drifted."""
    places = [place for place, token in enumerate(world.tokens) if token.symbol in symbols]
    held, targets = graphs.basket(np.random.default_rng(seed), len(places))
    return world, graphs.snapshot(world, places, nav, held.tolist(), targets.tolist())


REAL_BASKETS = {
    "2026": ("USDC", "WETH", "USDT", "WBTC", "LINK", "PEPE"),
    "2022": ("USDC", "WETH", "USDT", "DAI", "COMP", "WBTC"),
}


def table(seeds: Sequence[int], shape: tuple[int, int], navs: Sequence[float]) -> list[dict[str, Any]]:
    """One row per world, NAV and price of gas; numbers are medians and spreads over the seeds."""
    real = graphs.real_worlds()
    rows = []
    for hop_usd in (0.0, HOP_USD):
        for nav in navs:
            given = {f"{shape[0]} tokens, {shape[1]} pools": [random_basket(seed, *shape, nav) for seed in seeds]}
            for name, world in real.items():
                given[f"real states {name}"] = [real_basket(seed, world, REAL_BASKETS[name], nav) for seed in seeds]
            for name, baskets in given.items():
                found = [compare(world, snapshot, hop_usd) for world, snapshot in baskets]
                rows.append(_row(name, hop_usd, nav, [entry for entry in found if entry is not None]))
    return rows


def _row(name: str, hop_usd: float, nav: float, found: Sequence[Compared]) -> dict[str, Any]:
    row: dict[str, Any] = {"world": name, "hop_usd": hop_usd, "nav_usd": nav, "rebalances": len(found)}
    if not found:
        return row
    for way in ("joint", "single", "split"):
        costs: list[Cost] = [getattr(entry, way) for entry in found]
        row[way] = {
            "bp": Spread.of([cost.bp for cost in costs]).as_json(),
            "hops": Spread.of([cost.hops for cost in costs]).as_json(),
            "ms": Spread.of([cost.milliseconds for cost in costs]).as_json(),
        }
        if way != "joint":
            saved = [getattr(entry, way).bp - entry.joint.bp for entry in found]
            row[way]["saved_bp"] = Spread.of(saved).as_json()
            row[way]["never_better"] = all(less >= -entry.unit for less, entry in zip(saved, found, strict=True))
    row["missed_bp"] = Spread.of([entry.missed for entry in found]).as_json()
    return row
