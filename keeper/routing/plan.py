"""What the router answers: swaps in order, and the certificate that shows how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from keeper.domain import Swap
from keeper.routing.problem import Problem
from keeper.units import to_float, value_of, value_of_up


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
