"""The best plan for a whole rebalance, in integers, with the bound that shows how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from math import ceil, sqrt
from typing import Any

import numpy as np

from keeper.domain import GasUnits, Limits, Snapshot, Swap
from keeper.pools import BasePool
from keeper.routing.goal import Goal, slope
from keeper.routing.integers import Ledger, Trade, carry_out, last_exits
from keeper.routing.jit import Floats, Ints
from keeper.routing.market import Market
from keeper.routing.selection import Selection, select
from keeper.routing.solver import Solution, wanted_at
from keeper.routing.starts import starts
from keeper.units import WAD, mul_div, to_float, value_of, value_of_up

_ROUNDS = 24
"""How often the rest of the problem is solved again, where not all trades could be carried out."""
_PARTS = 300
"""Partial swaps in which circles are gone round, in one of those rounds."""
_WORTHWHILE = 1e-10
"""What a round must add to be kept, as a part of the basket's value."""
_MARGIN = 1e-7
"""How far inside the limits the solver stays, as a part of each: rounding must not carry a plan across."""
_WORTHLESS = 1e-60
"""Dollars per raw unit of a token that nothing leads to: a pool full of it is worth nothing."""
_SATED = 1e-6
"""A dollar of an asset that is worth less than this is not wanted."""
_HARDLY = 1e-3
"""Nor may one of an asset that is worth less than this be: barriers keep prices that far from zero."""
_HALVINGS = 12
"""How often another answer is tried to how much more a dollar must be worth for nothing to be thrown away."""
_STILL = 1e-8
"""An asset that changes by less than this part of the basket's value, or comes so near to a bound, is to be there."""
_MATERIAL = 1e-7
"""What must be missing to be named, and for a way to start circles to be sought, as a part of the basket's value."""
_CORRECTIONS = 6
"""Times that trades are carried out with other amounts, where what is lost on the way leads an asset astray."""
_DUST = 1e-12
"""A trade below this part of the basket's value is rounding of the solver."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What to optimise: gain at ``gains``, less ``tracking_penalty / (2 NAV)`` times squared distance, less gas.

    ``pools`` are those to route through. ``gains`` says what a dollar (by the oracle) of an asset is worth, 1 if
    absent. ``covariance`` weighs the distances by index of the basket, shape (assets, assets); None for the identity.
    ``gas_price`` is in wei per unit of gas; ``limits`` are to be used to the full, but for ``reserve`` USD of each,
    which is for what rounding loses. ``aims`` are values to come near to in place of the targets, USD WAD by index of
    the basket, each between what is held and the target. NAV must not be zero. Where the plan is not to be
    ``thorough``, pools that do not earn their gas are left out one by one and no better set is sought: for estimates.
    """

    snapshot: Snapshot
    pools: tuple[BasePool, ...]
    tracking_penalty: float
    gas_units: GasUnits
    gas_price: int
    limits: Limits | None = None
    reserve: float = 0.0
    covariance: Floats | None = None
    gains: Mapping[str, float] | None = None
    aims: tuple[int, ...] | None = None
    thorough: bool = True

    def but(self, **changes: Any) -> Problem:
        """The same with other numbers, not other facts or pools: what the solver sees of those is made only once."""
        other = replace(self, **changes)
        made = ("nav_usd", "unit_values", "market", "routable", "unreached")
        vars(other).update({name: vars(self)[name] for name in made if name in vars(self)})
        return other

    @cached_property
    def excess(self) -> tuple[int, ...]:
        """Value above the target or aim (negative: below) in USD WAD by index of the basket, both rounded down."""
        snapshot = self.snapshot
        if self.aims is not None:
            return tuple(value - aim for value, aim in zip(snapshot.values, self.aims, strict=True))
        return tuple(
            value - mul_div(snapshot.nav, asset.target_weight, WAD)
            for asset, value in zip(snapshot.vault.assets, snapshot.values, strict=True)
        )

    @cached_property
    def nav_usd(self) -> float:
        """Value of the basket, USD."""
        return to_float(self.snapshot.nav)

    @cached_property
    def penalty(self) -> Floats:
        """Q by index of the basket: distances d (USD) from the targets cost d Q d / 2 USD. One row if diagonal."""
        count = len(self.snapshot.vault.assets)
        if self.covariance is None:
            return np.full((1, count), self.tracking_penalty / self.nav_usd)
        return self.covariance * (self.tracking_penalty / self.nav_usd)

    @cached_property
    def hold(self) -> float:
        """What doing nothing is worth, USD: less than nothing by the tracking penalty."""
        return -self.tracking(self.excess)

    def tracking(self, excess: tuple[int, ...]) -> float:
        """Tracking penalty of these distances (USD WAD by index of the basket), USD."""
        distance = np.array([to_float(value) for value in excess])
        return float(distance @ slope(self.penalty, distance) / 2)

    def gas_usd(self, units: int) -> float:
        """What ``units`` of gas cost, USD."""
        return to_float(units * self.gas_price) * to_float(self.snapshot.native_price)

    def gain(self, token: str) -> float:
        """What a dollar (by the oracle) more of an asset is worth."""
        return 1.0 if self.gains is None else self.gains.get(token, 1.0)

    @cached_property
    def unit_values(self) -> dict[str, float]:
        """Dollars per raw unit of each asset."""
        snapshot = self.snapshot
        return {
            asset.token: to_float(asset.price) / 10 ** snapshot.token[asset.token].decimals
            for asset in snapshot.vault.assets
        }

    @cached_property
    def market(self) -> Market:
        """The pools as the solver sees them."""
        return Market.of(self.pools, self.unit_values)

    @cached_property
    def toll(self) -> Floats:
        """What the gas of each curve costs, USD."""
        market = self.market
        return np.array([self.gas_usd(self.gas_units.of(market.pools[place].kind)) for place in market.pool])

    @cached_property
    def routable(self) -> Ints:
        """1 for each curve that some way from the basket to the basket can lead through, else 0.

        Without effect on the optimum are what cannot be reached, and a token that is no asset and that only one curve
        trades.
        """
        market, assets = self.market, len(self.snapshot.vault.assets)
        reached = np.arange(len(market.tokens)) < assets
        while True:
            joined = reached[market.curves.a] | reached[market.curves.b]
            wider = reached.copy()
            wider[market.curves.a[joined]] = wider[market.curves.b[joined]] = True
            if (wider == reached).all():
                break
            reached = wider
        on = (reached[market.curves.a] & reached[market.curves.b]).astype(np.int64)
        while True:
            degree = np.zeros(len(market.tokens), dtype=np.int64)
            np.add.at(degree, market.curves.a, on)
            np.add.at(degree, market.curves.b, on)
            dead = (degree == 1) & (np.arange(len(market.tokens)) >= assets)
            pruned = on & ~(dead[market.curves.a] | dead[market.curves.b])
            if (pruned == on).all():
                return on
            on = pruned

    @cached_property
    def unreached(self) -> tuple[str, ...]:
        """Assets that no route leads to or from; they stay as they are."""
        market = self.market
        on = self.routable == 1
        touched = {int(place) for place in (*market.curves.a[on], *market.curves.b[on])}
        return tuple(asset.token for place, asset in enumerate(self.snapshot.vault.assets) if place not in touched)

    def goal(self, margin: float = _MARGIN) -> Goal:
        """The problem as the solver takes it, by a part ``margin`` inside the limits; with 0 as the vault judges it."""
        market, vault = self.market, self.snapshot.vault
        n, count = len(market.tokens), len(vault.assets)
        gain, excess, low, high = np.ones(n), np.zeros(n), np.zeros(n), np.zeros(n)
        # What is no asset does not count, since it may not change.
        penalty = np.ones((1, n)) if len(self.penalty) == 1 else np.zeros((n, n))
        penalty[: len(self.penalty), :count] = self.penalty
        unreached = set(self.unreached)
        for i, (asset, value) in enumerate(zip(vault.assets, self.excess, strict=True)):
            gain[i] = self.gain(asset.token)
            excess[i] = to_float(value)
            if asset.token in unreached:
                continue
            held = asset.balance * self.unit_values[asset.token]
            if self.limits is None:
                low[i], high[i] = -held, np.inf
            else:
                # Two raw units short of the target, so that rounding does not pass it.
                short = 2 * self.unit_values[asset.token] if margin else 0.0
                room = max(abs(excess[i]) * (1 - margin) - short, 0.0)
                low[i], high[i] = (-min(room, held), 0.0) if value > 0 else (0.0, room)
        rows, bounds = self.limit_rows(low, high, margin)
        return Goal(self.nav_usd, gain, excess, low, high, penalty, rows, bounds)

    def limit_rows(self, low: Floats, high: Floats, margin: float = _MARGIN) -> tuple[Floats, Floats]:
        """The vault's limits on trades (nominal dollars) between ``low`` and ``high``, as in `Goal`; shape (n,) each.

        They are linear while no asset can both rise and fall.
        """
        limits = self.limits
        if limits is None:
            return np.zeros((0, len(low))), np.zeros(0)
        sold, bought = (low < 0).astype(float), (high > 0).astype(float)
        fair = -bought - sold * (1 - to_float(limits.max_slippage) * (1 - margin))
        loss = to_float(min(limits.max_batch_loss, limits.loss_headroom)) * (1 - margin)
        turnover = to_float(limits.turnover_headroom) * (1 - margin)
        progress = to_float(limits.min_progress) * (1 + margin)
        rows = np.array([fair, -sold - bought, bought - sold, sold - bought])
        return rows, np.array([0.0, loss, turnover, -progress]) * self.nav_usd - self.reserve


@dataclass(frozen=True, eq=False)
class Certificate:
    """Why no plan can be much better.

    ``objective`` and ``bound`` in USD; ``dual`` the shadow price of each token over its oracle price (USD for one whole
    token, where the oracle has none); ``multipliers`` those of the vault's limits: value for value, loss, turnover,
    progress. ``structural`` is the part of the gap that comes from using only one pair of a pool with many,
    ``unwanted`` the part that comes from assets that are worth nothing at the optimum: the bound counts it as a gain to
    be rid of more of them than the pools take.
    """

    objective: float
    bound: float
    dual: dict[str, float]
    multipliers: tuple[float, ...]
    structural: float
    unwanted: float

    @property
    def gap(self) -> float:
        """How much better another plan could be at most, USD."""
        return max(self.bound - self.objective, 0.0)


@dataclass(frozen=True, eq=False)
class Plan:
    """Swaps in execution order, exactly simulated.

    ``sent`` is what the vault sends out first, ``change`` the net change of each token, raw units. ``dropped`` names
    pools whose trades could not be carried out, or only in part.
    """

    problem: Problem
    swaps: tuple[Swap, ...] = ()
    sent: Mapping[str, int] | None = None
    change: Mapping[str, int] | None = None
    dropped: tuple[str, ...] = ()
    certificate: Certificate | None = None

    @cached_property
    def changes(self) -> tuple[int, ...]:
        """Net change of each asset, raw units, by index of the basket."""
        change = self.change or {}
        return tuple(change.get(asset.token, 0) for asset in self.problem.snapshot.vault.assets)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Net change of each asset in USD WAD by index of the basket; sales are rounded up, purchases down."""
        snapshot = self.problem.snapshot
        return tuple(
            value_of(change, price, decimals) if change > 0 else -value_of_up(-change, price, decimals)
            for change, price, decimals in zip(self.changes, snapshot.prices, snapshot.decimals, strict=True)
        )

    @property
    def cost(self) -> int:
        """Value lost by the oracle's prices, USD WAD; negative if the pools pay more than the oracle says."""
        return -sum(self.values)

    @property
    def excess(self) -> tuple[int, ...]:
        """Value above the target after the plan, USD WAD by index of the basket."""
        return tuple(before + value for before, value in zip(self.problem.excess, self.values, strict=True))

    @cached_property
    def tracking(self) -> float:
        """Tracking penalty after the plan, USD."""
        return self.problem.tracking(self.excess)

    @property
    def overrun(self) -> float:
        """How far the plan goes beyond the limits of its problem, USD; 0 if it does not."""
        psi = np.array([to_float(value) for value in self.values])
        # What rounding moves the wrong way counts too.
        rows, bounds = self.problem.limit_rows(np.minimum(psi, 0), np.maximum(psi, 0))
        return float((rows @ psi - bounds).max(initial=0.0))

    @cached_property
    def astray(self) -> tuple[float, ...]:
        """How far each asset is past its target, or from where it was on the other side, USD by index of the basket.

        Below zero if there is too little of it then.
        """
        moves = zip(self.problem.excess, self.values, strict=True)
        return tuple(to_float(value - min(max(value, min(-excess, 0)), max(-excess, 0))) for excess, value in moves)

    @property
    def strays(self) -> bool:
        """Whether assets go astray by more than the vault's dust, if it has limits."""
        limits = self.problem.limits
        return limits is not None and 2 * sum(map(abs, self.astray)) > to_float(limits.dust) * self.problem.nav_usd

    @property
    def gas_units(self) -> int:
        """Units of gas for the whole batch; none without swaps."""
        if not self.swaps:
            return 0
        kinds = {pool.name: pool.kind for pool in self.problem.pools}
        units = self.problem.gas_units
        return units.base + sum(units.of(kinds[swap.pool]) for swap in self.swaps)

    @property
    def gas_usd(self) -> float:
        """What the batch's gas costs, USD."""
        return self.problem.gas_usd(self.gas_units)

    @property
    def worth(self) -> float:
        """As `objective`, and what holding is worth if there are no swaps."""
        return self.objective if self.swaps else self.problem.hold

    @cached_property
    def objective(self) -> float:
        """What the plan is worth, USD."""
        assets = self.problem.snapshot.vault.assets
        gained = sum(
            to_float(value) * self.problem.gain(asset.token) for value, asset in zip(self.values, assets, strict=True)
        )
        return gained - self.tracking - self.gas_usd


def optimise(problem: Problem) -> Plan:
    """The best plan for ``problem``; one without swaps if the solver finds nothing better than to hold.

    Trades that would have to spend what only they bring in are carried out as far as the vault's balances reach, and
    the rest of the problem is solved again from there. The plan is only as exact about the limits as floats are: see
    `keeper.policy`.
    """
    goal = problem.goal()
    first = select(problem.market, goal, problem.routable, problem.toll, thorough=problem.thorough)
    best = _carried_out(problem, goal, first)
    if _worthless(problem, first):
        best = max(best, _thrifty(problem), key=lambda plan: plan.worth)
    return replace(best, certificate=_certificate(best, first))


def _worthless(problem: Problem, selection: Selection) -> bool:
    """Whether the shadow prices are too near zero to tell what to trade for what."""
    return _sated(problem, selection) or not selection.solution.settled


def _thrifty(problem: Problem) -> Plan:
    """The plan where a dollar more is worth just as much as it takes for every asset to be worth something.

    Where all assets that routes lead to are worth nothing, their prices do not tell what to trade for what.
    """
    market, allowed, toll = problem.market, problem.routable, problem.toll
    found: tuple[Goal, Selection] | None = None
    too_little, more = 0.0, 1.0
    for _ in range(_HALVINGS):
        goal = problem.goal().wanting(more)
        selection = select(market, goal, allowed, toll, thorough=problem.thorough)
        if _worthless(problem, selection):
            too_little = more
        else:
            found, enough = (goal, selection), more
        more = 4 * more if found is None else (too_little + enough) / 2
    return Plan(problem) if found is None else _carried_out(problem, *found)


def _carried_out(problem: Problem, goal: Goal, selection: Selection) -> Plan:
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
            for start in starts(market, stuck, ledger, trades, undone, missing):
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
            allowed = _allowed(problem, market, ledger)
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


def _allowed(problem: Problem, market: Market, ledger: Ledger) -> Ints:
    """1 for each curve that may be used after the swaps of ``ledger``, else 0: of a pool, the pair that they traded."""
    on = problem.routable.copy()
    if market.shared:
        pairs = {swap.pool: {swap.token_in, swap.token_out} for swap in ledger.swaps}
        for e, (place, a, b) in enumerate(zip(market.pool, market.curves.a, market.curves.b, strict=True)):
            pair = {market.tokens[a], market.tokens[b]}
            on[e] *= pairs.get(market.pools[place].name, pair) == pair
    return on


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


def _certificate(plan: Plan, selection: Selection) -> Certificate:
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


def _sated(problem: Problem, selection: Selection) -> bool:
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
