"""How long the solver takes, and the whole decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.routing import graphs
from benchmarks.routing.clock import Spread, repeated
from benchmarks.routing.graphs import HOP_USD, MIXES, Kind, World
from keeper.policy import decide
from keeper.routing.goal import Goal
from keeper.routing.jit import Floats, Ints
from keeper.routing.market import Market
from keeper.routing.solver import Solution, solve

NAV = 1e7
PENALTY = 1.0
TOKENS = {10: 5, 100: 20, 1_000: 50, 10_000: 100}
"""Tokens of a world, by its pools."""
AIMS = {10: 1.0, 100: 3.0, 1_000: 10.0, 10_000: 100.0}
"""Milliseconds for the solver, by pools."""
DECIDE_AIM = 100.0
"""Milliseconds for the whole decision at 100 pools."""
MOVE = 0.001
"""How far prices move before the warm start."""


def solver_table(sizes: Sequence[int], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """One row per kinds of pools, number of pools, and calm or torn market."""
    rows = []
    for name, mix in MIXES.items():
        for pools in sizes:
            for torn in (False, True):
                row = _solver_row(seeds, TOKENS[pools], pools, mix, torn=torn)
                rows.append({"mix": name, "aim_ms": AIMS[pools], **row})
    return rows


def growth_table(tokens: Sequence[int], pools: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """One row per number of tokens, at the same number of pools of all kinds, in a calm market."""
    return [_solver_row(seeds, count, pools, MIXES["mixed"], torn=False) for count in tokens]


def _solver_row(
    seeds: Sequence[int], tokens: int, pools: int, mix: Mapping[Kind, float], *, torn: bool
) -> dict[str, Any]:
    cold, warm, steps, used = [], [], [], []
    for seed in seeds:
        rng = np.random.default_rng([seed, pools, tokens])
        world = graphs.world(rng, tokens, pools, mix, torn=torn)
        held, targets = graphs.basket(rng, tokens)
        market, goal, on = _problem(world, held * NAV, targets)
        before = solve(market, goal, on)
        steps.append(before.steps)
        used.append(len(before.used))
        cold += repeated(partial(solve, market, goal, on), 20, 0.2)
        drift = np.exp(rng.normal(0, MOVE, tokens))
        moved = World(world.tokens, tuple(float(p) for p in np.array(world.prices) * drift), world.pools)
        warm += _warm(moved, held * NAV * drift, targets, before)
    return {
        "pools": pools,
        "tokens": tokens,
        "torn": torn,
        "cold_ms": Spread.of(cold).as_json(),
        "warm_ms": Spread.of(warm).as_json(),
        "steps": Spread.of(steps).as_json(),
        "curves_used": Spread.of(used).as_json(),
    }


def _warm(world: World, value: Floats, targets: Floats, before: Solution) -> list[float]:
    market, goal, on = _problem(world, value, targets)
    return repeated(partial(solve, market, goal, on, before), 20, 0.2)


def _problem(world: World, value: Floats, targets: Floats) -> tuple[Market, Goal, Ints]:
    """A basket of all the world's tokens, of which so many dollars are held."""
    prices = {token.address: world.unit_value(place) for place, token in enumerate(world.tokens)}
    market = Market.of(world.pools, prices)
    nav = float(value.sum())
    return market, graphs.goal(nav, PENALTY, value / nav, targets), np.ones(market.size, dtype=np.int64)


def decide_table(sizes: Sequence[int], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """One row per kinds of pools and number of pools: a basket of eight tokens, gas at five dollars a hop."""
    rows = []
    for name, mix in MIXES.items():
        for pools in sizes:
            times, swaps, gaps = [], [], []
            for seed in seeds:
                rng = np.random.default_rng([seed, pools, 8])
                tokens = max(8, TOKENS[pools])
                world = graphs.world(rng, tokens, pools, mix)
                held, targets = graphs.basket(rng, min(8, tokens))
                snapshot = graphs.snapshot(world, range(len(held)), NAV, held.tolist(), targets.tolist())
                policy = graphs.policy(PENALTY, HOP_USD)
                times += repeated(partial(decide, snapshot, policy), 3, 2.0)
                decision = decide(snapshot, policy)
                swaps.append(len(decision.swaps))
                if decision.certificate is not None:
                    gaps.append(decision.certificate.gap_usd / NAV * 1e4)
            rows.append(
                {
                    "mix": name,
                    "pools": pools,
                    "aim_ms": DECIDE_AIM if pools == 100 else None,
                    "ms": Spread.of(times).as_json(),
                    "swaps": Spread.of(swaps).as_json(),
                    "gap_bp": Spread.of(gaps).as_json(),
                }
            )
    return rows
