"""From what the curves should do to swaps that can be done: integers, circles in parts, the rest solved again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import compress
from math import ceil

import numpy as np

from keeper.routing.goal import Goal
from keeper.routing.integers import Ledger, Trade, carry_out, last_exits
from keeper.routing.market import Market
from keeper.routing.plan import Plan
from keeper.routing.problem import Problem
from keeper.routing.selection import Selection, select
from keeper.routing.solver import Solution
from keeper.routing.starts import starts

_ROUNDS = 24
"""How often the rest of the problem is solved again, where not all trades could be carried out."""
_PARTS = 300
"""Partial swaps in which circles are gone round, in one of those rounds."""
_WORTHWHILE = 1e-10
"""What a round must add to be kept, as a part of the basket's value."""
_STILL = 1e-8
"""An asset that changes by less than this part of the basket's value, or comes so near to a bound, is to be there."""
_MATERIAL = 1e-7
"""What must be missing to be named, and for a way to start circles to be sought, as a part of the basket's value."""
_CORRECTIONS = 6
"""Times that trades are carried out with other amounts, where what is lost on the way leads an asset astray."""
_DUST = 1e-12
"""A trade below this part of the basket's value is rounding of the solver."""


def carried_out(problem: Problem, goal: Goal, selection: Selection) -> Plan:
    """The plan that comes of ``selection``, the best one for ``goal``; without a certificate."""
    ledger = Ledger(
        {pool.name: pool for pool in problem.pools},
        {asset.token: asset.balance for asset in problem.snapshot.vault.assets},
    )
    allowed, best = problem.routable, Plan(problem)
    market, wanted, stuck = problem.market, goal, allowed.copy()
    for _ in range(_ROUNDS):
        trades, curves = _trades(problem, market, selection.solution)
        fixed = _fixed(problem, market, wanted, selection.solution)
        trial, plan, undone = found = _simulated(problem, ledger, trades, fixed)
        missing = _promise(wanted, selection) - max(plan.worth - best.worth, 0.0)
        # What is done without a start is done first, unless it takes a pool's other pair.
        wait = _better(trial, plan, best) and not market.shared
        if undone and missing > _MATERIAL * problem.nav_usd and not wait:
            for start in starts(market, market.with_one_pair(stuck, trades), ledger, undone, missing):
                started = _simulated(problem, ledger, [*trades, *start], fixed)
                if _better(started[0], started[1], found[1]):
                    found = started
            trial, plan, undone = found
        stranded = trial.stranded
        # Where something is stranded, what was to lead on cannot.
        failed = [trade in undone or trade.token_out in stranded for trade in trades]
        if _better(trial, plan, best):
            best, ledger = plan, trial
            if not any(failed) and (stuck == allowed).all():
                return best
            market, wanted = _after(problem, goal, ledger)
            allowed = market.with_one_pair(problem.routable, ledger.swaps)
            stuck = allowed.copy()
        elif any(failed):
            lost = list(compress(zip(trades, curves, strict=True), failed))
            if not best.dropped and missing > _MATERIAL * problem.nav_usd:
                best = replace(best, dropped=tuple(trade.pool for trade, _ in lost))
            stuck[[curve for _, curve in lost]] = 0
        else:
            break
        selection = select(market, wanted, stuck, problem.toll, thorough=problem.thorough)
        left = _promise(wanted, selection) / problem.nav_usd
        if (stuck == allowed).all() and left <= _MATERIAL:
            best = replace(best, dropped=())
            if left <= _WORTHWHILE:
                break
    return best


def _better(ledger: Ledger, plan: Plan, best: Plan) -> bool:
    """Whether ``plan``, leading to ``ledger``, is worth more than ``best``, with nothing stranded or newly astray."""
    limited = plan.strays and best.swaps and not best.strays
    can_be_done = plan.swaps and not ledger.stranded and not limited
    return bool(can_be_done) and plan.worth > best.worth + _WORTHWHILE * plan.problem.nav_usd


def _promise(goal: Goal, selection: Selection) -> float:
    """What the best set of curves would add to doing nothing, USD."""
    return selection.value - goal.worth(np.zeros(len(goal.gain)))


def _after(problem: Problem, goal: Goal, ledger: Ledger) -> tuple[Market, Goal]:
    """What the solver sees after the swaps of ``ledger``."""
    market = Market.of(tuple(ledger.pools[pool.name] for pool in problem.pools), problem.unit_values)
    market.keep_to_one_swap(problem.market, ledger.swaps)
    done = np.array([float(ledger.change.get(token, 0)) for token in market.tokens]) * market.scale
    return market, goal.after(done)


def _simulated(
    problem: Problem, ledger: Ledger, trades: list[Trade], fixed: Mapping[str, int]
) -> tuple[Ledger, Plan, list[Trade]]:
    """The books after ``trades``, the plan they make, and what could not be done; circles only if they pay."""

    def simulated(parts: int) -> tuple[Ledger, Plan, list[Trade]]:
        corrected = trades
        for _ in range(_CORRECTIONS):
            trial = ledger.copy()
            undone = carry_out(trial, corrected, parts, fixed)
            plan = Plan(problem, tuple(trial.swaps), trial.sent, trial.change, tuple(trade.pool for trade in undone))
            again = _corrected(plan, corrected, last_exits(ledger, trades, fixed)) if plan.strays else corrected
            if again == corrected:
                break
            corrected = again
        return trial, plan, [trade for trade, done in zip(trades, corrected, strict=True) if done in undone]

    best = simulated(_PARTS)
    # Each part costs gas again. Without circles, or without gas, there is nothing to choose.
    if problem.gas_price > 0 and len(best[0].swaps) - len(ledger.swaps) > len(trades):
        best = max(best, simulated(0), key=lambda found: found[1].worth)
    return best


def _corrected(plan: Plan, trades: list[Trade], exits: Mapping[str, int]) -> list[Trade]:
    """``trades``, of which ``plan`` came, with as much more or less spent of each asset as there is astray of it.

    By its one of ``exits``, if it has one: what another trade spends less comes back less in a circle.
    """
    problem, corrected = plan.problem, list(trades)
    for asset, astray in zip(problem.snapshot.vault.assets, plan.astray, strict=True):
        spending = [k for k, trade in enumerate(trades) if trade.token_in == asset.token]
        if not astray or not spending:
            continue
        k = exits.get(asset.token, max(spending, key=lambda k: trades[k].amount_in))
        # Away from zero: of what is too little, a raw unit less.
        change = ceil(abs(astray) / problem.unit_values[asset.token])
        amount = trades[k].amount_in + (change if astray > 0 else -change)
        corrected[k] = replace(trades[k], amount_in=max(amount, 1))
    return corrected


def _fixed(problem: Problem, market: Market, goal: Goal, solution: Solution) -> dict[str, int]:
    """Net changes that rounding may not pass, raw units: of assets that are to stay as they are, or go to a bound."""
    net = solution.brought(market)
    least = _STILL * problem.nav_usd
    return {
        asset.token: 0 if abs(net[i]) <= least else round(net[i] / market.scale[i])
        for i, asset in enumerate(problem.snapshot.vault.assets)
        if min(abs(net[i]), abs(net[i] - goal.low[i]), abs(net[i] - goal.high[i])) <= least
    }


def _trades(problem: Problem, market: Market, solution: Solution) -> tuple[list[Trade], list[int]]:
    """What the curves do, in raw units, the largest first; and each one's curve."""
    found, curves = [], market.curves
    for e in solution.used:
        i, j = (curves.a[e], curves.b[e]) if solution.ways[e] > 0 else (curves.b[e], curves.a[e])
        # Down: where a pool takes no more than is planned, nothing of what comes in for it may be left over.
        amount = int(solution.amounts_in[e] / market.scale[i])
        # By the dearer side: what is sold because it is too much has no price.
        value = float(max(solution.nu[i] * solution.amounts_in[e], solution.nu[j] * solution.amounts_out[e]))
        if amount > 0 and value > _DUST * problem.nav_usd:
            trade = Trade(market.pools[market.pool[e]].name, market.tokens[i], market.tokens[j], amount, value)
            found.append((solution.amounts_in[e], int(e), trade))
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    return [trade for _, _, trade in found], [e for _, e, _ in found]
