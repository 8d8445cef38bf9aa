"""Which pools are worth their gas, and which pair of a pool with many.

A pool that is used costs a fixed ``toll`` on top of its price, so the best set of pools is a combinatorial question.
For any prices nu, the tokens' part of the dual and the sum over pools of max(0, arb(nu) - toll) bound every set at
once; that is what branch and bound prunes with, and what the certificate reports.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from keeper.routing.goal import Goal
from keeper.routing.jit import Floats, Ints
from keeper.routing.market import Market
from keeper.routing.solver import Solution, solve

EXACT_UP_TO = 12
"""Candidates up to which the best set is found by branch and bound."""

_TRIALS = 40
"""Sets that local search tries, where there are more candidates."""
_NEGLIGIBLE = 1e-10
"""An improvement below this part of the basket's value is none."""
_SOFTNESS = (0.3, 0.03, 0.003)
"""Parts of the mean toll: the smoothed bound is minimised with these in turn."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The best set found, worth ``value`` after its tolls, and the least upper bound for any set, with its prices."""

    solution: Solution
    value: float
    bound: float
    bound_at: Solution


class _Search:
    """The best set and the least bound so far."""

    def __init__(self, market: Market, goal: Goal, allowed: Ints, toll: Floats) -> None:
        self.market, self.goal, self.allowed, self.toll = market, goal, allowed, toll
        self.least_gain = _NEGLIGIBLE * goal.nav
        # What is worth less than doing nothing, or less than the best so far, need not be solved to the end.
        self.whole = solve(market, goal, allowed, floor=goal.worth(np.zeros(len(goal.gain))))
        self.seen = {allowed.tobytes(): self.whole}
        value, bound = self.judge(self.whole)
        self.best = Selection(self.whole, value, bound, self.whole)

    def look(self, on: Ints, start: Solution, tolls: float = 0.0) -> Solution:
        """Solve for one set, which costs so much at least, and learn from it."""
        floor = self.best.value + tolls
        solution = self.seen.get(on.tobytes())
        if solution is not None and (not solution.hopeless or solution.value < floor):
            return solution
        solution = self.seen[on.tobytes()] = solve(self.market, self.goal, on, start, floor=floor)
        if solution.hopeless:
            return solution
        value, bound = self.judge(solution)
        if value > self.best.value:
            self.best = replace(self.best, solution=solution, value=value)
        self.offer(solution, bound)
        return solution

    def judge(self, solution: Solution) -> tuple[float, float]:
        """What the set is worth after its tolls (-inf if that is no plan), and a bound on every set.

        It is no plan with two pairs of one pool, or if it did not settle.
        """
        used = solution.used
        if not solution.settled or (self.market.shared and len(set(self.market.pool[used])) < len(used)):
            return -np.inf, self.bound(solution)
        return solution.value - float(self.toll[used].sum()), self.bound(solution)

    def offer(self, solution: Solution, bound: float) -> None:
        """Take note of a bound."""
        if bound < self.best.bound:
            self.best = replace(self.best, bound=bound, bound_at=solution)

    def bound(self, solution: Solution) -> float:
        """No set of allowed curves, one per pool, is worth more than this."""
        return solution.of_tokens + upper_arbs(self.market, self.allowed, self.toll, solution.earned)


def upper_arbs(market: Market, allowed: Ints, toll: Floats, earned: Floats) -> float:
    """Sum over pools of the most that one of its allowed curves earns beyond its toll, or nothing."""
    over = np.where(allowed == 1, np.maximum(earned - toll, 0.0), 0.0)
    if not market.shared:
        return float(over.sum())
    most = np.zeros(len(market.pools))
    np.maximum.at(most, market.pool, over)
    return float(most.sum())


def select(market: Market, goal: Goal, allowed: Ints, toll: Floats, *, thorough: bool = True) -> Selection:
    """The best curves among ``allowed`` (shape (curves,), 0 or 1), at most one per pool, at a toll (dollars) each.

    Where it need not be ``thorough``, curves that do not earn their toll are left out, and that is all.
    """
    search = _Search(market, goal, allowed, toll)
    whole = search.whole
    if market.shared:
        whole = _one_per_pool(search, whole)
    if not toll[whole.used].any():
        return search.best
    start = whole
    for part in _SOFTNESS:
        softness = part * float(toll.mean())
        start = solve(market, goal, allowed, start, toll=toll, softness=softness)
        plain = _at(search, start)
        search.offer(plain, search.bound(plain))
    rough = search.look(_mask(market, [e for e in whole.used if start.earned[e] > toll[e]]), start)
    if not thorough:
        _prune(search, [int(e) for e in whole.used], whole)
        return search.best
    # A pool that is of no use where gas is free, being dearer than a way of more hops, may be the best where it is not.
    everything = [int(e) for e in np.flatnonzero(allowed)]
    candidates = everything if len(everything) <= EXACT_UP_TO else [int(e) for e in whole.used]
    if len(candidates) > EXACT_UP_TO:
        candidates = _prune(search, candidates, whole)
    if len(candidates) <= EXACT_UP_TO:
        _branch(search, [], candidates, rough)
    else:
        _improve(search, candidates)
    if len(everything) > EXACT_UP_TO:
        _add_back(search, everything)
    return search.best


def _at(search: _Search, smoothed: Solution) -> Solution:
    """The same prices, with the value of the dual as it is without smoothing and without tolls."""
    none_on = np.zeros(search.market.size, dtype=np.int64)
    return replace(smoothed, value=_of_tokens(search.goal, smoothed), on=none_on)


def _of_tokens(goal: Goal, smoothed: Solution) -> float:
    left = goal.priced(smoothed.nu, smoothed.multipliers)
    return left.worth(smoothed.psi) + float(smoothed.multipliers @ goal.bounds)


def _mask(market: Market, curves: list[int]) -> Ints:
    on = np.zeros(market.size, dtype=np.int64)
    on[curves] = 1
    return on


def _one_per_pool(search: _Search, relaxed: Solution) -> Solution:
    """Of each pool the pair that earns most, exchanged while another one would earn more."""
    market = search.market
    chosen = _best_of_each(search, relaxed.earned, {})
    solution = search.look(_mask(market, sorted(chosen.values())), relaxed)
    tried: set[tuple[int, int]] = set()
    for _ in range(_TRIALS):
        wanted = _best_of_each(search, solution.earned, chosen)
        changes = [(pool, e) for pool, e in wanted.items() if chosen[pool] != e and (pool, e) not in tried]
        if not changes:
            break
        pool, e = max(changes, key=lambda change: solution.earned[change[1]] - solution.earned[chosen[change[0]]])
        tried.add((pool, e))
        exchanged = {**chosen, pool: e}
        other = search.look(_mask(market, sorted(exchanged.values())), solution)
        if other.value > solution.value:
            chosen, solution = exchanged, other
    return solution


def _best_of_each(search: _Search, earned: Floats, held: dict[int, int]) -> dict[int, int]:
    """Per pool the allowed curve that earns most; the one that is held, if no other earns more."""
    best = dict(held)
    for e in np.flatnonzero(search.allowed):
        pool = int(search.market.pool[e])
        if pool not in best or earned[e] > earned[best[pool]] + search.least_gain:
            best[pool] = int(e)
    return best


def _branch(search: _Search, taken: list[int], free: list[int], start: Solution) -> None:
    """Depth first: with a curve, then without. A branch that cannot beat the best set by its bound is left."""
    market, toll = search.market, search.toll
    on = _mask(market, taken + free)
    tolls = float(toll[taken].sum())
    bound = last = np.inf
    solution = start
    for attempt in range(3):
        solution = search.look(on, solution, tolls)
        if solution.hopeless and attempt == 0:
            return
        over = solution.earned - toll
        last = solution.of_tokens + float(over[taken].sum()) + float(np.maximum(over[free], 0).sum())
        bound = min(bound, last)
        narrower = _mask(market, taken + [e for e in free if over[e] > 0])
        if not free or bound <= search.best.value + search.least_gain:
            return
        if (narrower == on).all():
            break
        on = narrower
    over = solution.earned - toll
    turn = max(free, key=lambda e: (over[e], -e))
    rest = [e for e in free if e != turn]
    _branch(search, [*taken, turn], rest, solution)
    # At the same prices, without the one that earns most.
    if last - max(over[turn], 0.0) > search.best.value + search.least_gain:
        _branch(search, taken, rest, solution)


def _prune(search: _Search, candidates: list[int], start: Solution) -> list[int]:
    """Backward elimination: while a curve earns less than its toll, do without it, the worst first."""
    kept, solution = candidates, start
    while len(kept) > 1:
        over = solution.earned - search.toll
        losing = sorted((e for e in kept if over[e] <= 0), key=lambda e: over[e])
        if not losing:
            break
        # Many at once while there are many: the rest then earns more.
        gone = set(losing[: max(1, len(losing) // 8)])
        kept = [e for e in kept if e not in gone]
        solution = search.look(_mask(search.market, kept), solution)
    return [e for e in kept if solution.on[e] and solution.ways[e]]


def _improve(search: _Search, candidates: list[int]) -> None:
    """Without each curve in turn, the least profitable first, as long as it helps."""
    trials = 0
    kept = candidates
    solution = search.look(_mask(search.market, kept), search.best.solution)
    helped = True
    while helped and trials < _TRIALS:
        helped = False
        over = solution.earned - search.toll
        for e in sorted(kept, key=lambda e: over[e])[:_TRIALS]:
            before = search.best.value
            other = search.look(_mask(search.market, [k for k in kept if k != e]), solution)
            trials += 1
            if search.best.value > before + search.least_gain:
                kept = [int(k) for k in other.used]
                solution, helped = other, True
                break
            if trials >= _TRIALS:
                break


def _add_back(search: _Search, candidates: list[int]) -> None:
    """With each curve that would earn more than its toll, and instead of each one in use that shares its tokens."""
    market, curves = search.market, search.market.curves
    for _ in range(_TRIALS):
        best = search.best
        used = [int(e) for e in best.solution.used]
        pools = {int(market.pool[e]) for e in used}
        over = best.solution.earned - search.toll
        outside = [e for e in candidates if e not in used and over[e] > 0 and int(market.pool[e]) not in pools]
        for e in sorted(outside, key=lambda e: -over[e])[:5]:
            solution = search.look(_mask(market, [*used, e]), best.solution)
            ends = {curves.a[e], curves.b[e]}
            for k in used:
                if ends & {curves.a[k], curves.b[k]} and solution.earned[k] < search.toll[k]:
                    search.look(_mask(market, [*(u for u in used if u != k), e]), solution)
        if search.best.value <= best.value + search.least_gain:
            break
