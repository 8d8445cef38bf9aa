"""What is asked of the router, and how the solver sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from keeper.domain import GasUnits, Limits, Snapshot
from keeper.pools import BasePool
from keeper.routing.goal import Goal, slope
from keeper.routing.jit import Floats, Ints
from keeper.routing.market import Market
from keeper.units import WAD, mul_div, to_float

_MARGIN = 1e-7
"""How far inside the limits the solver stays, as a part of each: rounding must not carry a plan across."""


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
