"""The certificate: a bound on every plan, and which parts of the gap no plan could close."""

from __future__ import annotations

from math import sqrt

import numpy as np

from keeper.routing.goal import Goal, slope
from keeper.routing.jit import Floats
from keeper.routing.plan import Certificate, Plan
from keeper.routing.problem import Problem
from keeper.routing.selection import Selection
from keeper.routing.solver import Solution, wanted_at
from keeper.units import to_float

_WORTHLESS = 1e-60
"""Dollars per raw unit of a token that nothing leads to: a pool full of it is worth nothing."""
_SATED = 1e-6
"""A dollar of an asset that is worth less than this is not wanted."""
_HARDLY = 1e-3
"""Nor may one of an asset that is worth less than this be: barriers keep prices that far from zero."""


def certified(plan: Plan, selection: Selection) -> Certificate:
    """The certificate of ``plan``, which came of ``selection``."""
    problem = plan.problem
    base = problem.gas_usd(problem.gas_units.base)
    at = selection.bound_at
    exact = problem.goal(margin=0)
    of_tokens, wanted = wanted_at(exact, at.nu, at.multipliers)
    # What the solver kept clear of the limits, a plan may use: it counts.
    kept_clear = 0.0 if problem.limits is None else of_tokens - wanted_at(problem.goal(), at.nu, at.multipliers)[0]
    objective = plan.objective if plan.swaps else problem.hold
    bound = max(problem.hold, selection.bound + kept_clear - base)
    if problem.limits is None:
        # Parts of a swap can do a hair better than the whole, in a pool where the fee stays on the side that is bought.
        bound = max(bound, objective)
    snapshot, market = problem.snapshot, problem.market
    prices = at.nu.copy()
    # With a covariance, what an asset is worth depends on where the others end.
    steepness = slope(exact.penalty, exact.excess + wanted)
    for i, asset in enumerate(snapshot.vault.assets):
        if asset.token in problem.unreached:
            # At this price it is best left as it is.
            prices[i] = problem.gain(asset.token) - float(steepness[i])
    prices = _priced_throughout(problem, prices)
    dual = {
        token: float(prices[i])
        * (1.0 if token in snapshot.asset else market.scale[i] * 10 ** snapshot.token[token].decimals)
        for i, token in enumerate(market.tokens)
    }
    one_pair = max(selection.value - base, problem.hold)
    structural = max(bound - one_pair, 0.0) if market.shared else 0.0
    return Certificate(
        objective, bound, dual, tuple(map(float, at.multipliers)), structural, _unwanted(plan, exact, at, wanted)
    )


def sated(problem: Problem, selection: Selection) -> bool:
    """Whether an asset has more value than its target by so much that having less of it would be worth more."""
    nu = selection.solution.nu
    return any(
        nu[i] < _SATED and asset.token not in problem.unreached for i, asset in enumerate(problem.snapshot.vault.assets)
    )


def _unwanted(plan: Plan, goal: Goal, at: Solution, wanted: Floats) -> float:
    """What the bound has for changing assets of no worth as is ``wanted`` at its prices, not as ``plan`` does, USD.

    By these one may throw away what no pool takes, or lose as much as the limits allow.
    """
    worthless = [
        i
        for i, asset in enumerate(plan.problem.snapshot.vault.assets)
        if at.nu[i] < _HARDLY and asset.token not in plan.problem.unreached
    ]
    if not worthless:
        return 0.0
    left, traded = goal.priced(at.nu, at.multipliers), np.zeros(len(wanted))
    traded[: len(plan.values)] = [to_float(value) for value in plan.values]
    instead = wanted.copy()
    instead[worthless] = traded[worthless]
    unused = float(at.multipliers @ (goal.bounds - goal.rows @ traded))
    return max(left.worth(wanted) - left.worth(instead) + unused, 0.0)


def _priced_throughout(problem: Problem, nu: Floats) -> Floats:
    """``nu`` with prices for tokens that no route leads through, at which the pools there earn nothing.

    The bound then is the sum over all pools, and nobody needs to know which ones were left aside.
    """
    market, curves = problem.market, problem.market.curves
    prices = nu.copy()
    known = np.arange(len(prices)) < len(problem.snapshot.vault.assets)
    on = problem.routable == 1
    known[curves.a[on]] = known[curves.b[on]] = True
    aside = [int(e) for e in np.flatnonzero(~on)]
    while reached := [e for e in aside if known[curves.a[e]] != known[curves.b[e]]]:
        for e in reached:
            i, j = (curves.a[e], curves.b[e]) if known[curves.a[e]] else (curves.b[e], curves.a[e])
            if known[j]:
                continue
            pool, here, there = market.pools[market.pool[e]], market.tokens[i], market.tokens[j]
            # Between what one gets for it and what one pays for it.
            raw = sqrt(pool.marginal_price(there, here) / pool.marginal_price(here, there))
            prices[j] = prices[i] * market.scale[i] * raw / market.scale[j]
            known[j] = True
    prices[~known] = _WORTHLESS / market.scale[~known]
    return prices
