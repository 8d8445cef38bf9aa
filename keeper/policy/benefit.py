"""Cost against benefit: whether a plan pays as a whole, and how much more drift it would take until it does."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from keeper.domain import Benefit
from keeper.policy.costs import split
from keeper.routing import Plan
from keeper.units import WAD, percent, to_float, usd


@dataclass(frozen=True)
class Balance:
    """What a plan brings and costs, USD, by the way it changes with the size of the drift.

    ``taken`` off the tracking penalty and ``impact`` grow with its square; ``proportional`` (what pools keep, what
    their prices are off, and the MEV allowance) with the drift; ``gas`` not at all.
    """

    taken: float
    proportional: float
    impact: float
    gas: float

    @classmethod
    def of(cls, plan: Plan, benefit: Benefit) -> Balance:
        """That of a plan, trading counted as the policy counts it (see `keeper.policy.lag`)."""
        problem = plan.problem
        usd_of = dict(zip(problem.market.tokens, map(float, problem.market.scale), strict=True))
        _, _, impact = split(plan.swaps, {pool.name: pool for pool in problem.pools}, usd_of)
        taken = -problem.hold - plan.tracking
        trading = taken - plan.gas_usd - (plan.objective - problem.hold)
        sold = -sum(to_float(value) for value in plan.values if value < 0)
        return cls(taken, trading - impact + float(benefit.mev_allowance) * sold, impact, plan.gas_usd)

    @property
    def cost(self) -> float:
        """All of it, USD."""
        return self.proportional + self.impact + self.gas

    def scale_that_pays(self, ratio: float) -> float | None:
        """By how much the drift would have to be larger for the whole way to bring ``ratio`` times what it costs.

        None if no drift is large enough, since impact grows as fast as the benefit.
        """
        curve = self.taken - ratio * self.impact
        if curve <= 0:
            return None
        slope, constant = ratio * self.proportional, ratio * self.gas
        return (slope + sqrt(slope**2 + 4 * curve * constant)) / (2 * curve)

    def scale_that_moves(self) -> float | None:
        """By how much the drift would have to be larger for some part of the way to pay.

        A part x of the way at s times the drift brings ``s**2 taken (1 - (1 - x)**2) - s x proportional
        - (s x)**2 impact - gas``, whose greatest value over x is zero at the s given here.
        """
        if self.taken <= 0:
            return None
        needed = self.proportional + 2 * sqrt(max(self.taken + self.impact, 0.0) * self.gas)
        return needed / (2 * self.taken)


def does_not_pay(plan: Plan, benefit: Benefit, drift: int | None) -> str | None:
    """Why a plan is not worth its whole cost, with the number that is missing; None if it is.

    ``plan`` is of the policy's own problem; ``drift`` in WAD, as it is now, if the plan grows in proportion to it.
    """
    balance = Balance.of(plan, benefit)
    needed = benefit.min_ratio * balance.cost
    if balance.taken >= needed:
        return None
    allowance = f", MEV allowance {dollars(_mev(plan, benefit))}" if benefit.mev_allowance else ""
    ratio = "" if benefit.min_ratio == 1 else f"{benefit.min_ratio:.4g} times "
    return (
        f"rebalancing does not pay: it takes {dollars(balance.taken)} off a tracking penalty of"
        f" {dollars(-plan.problem.hold)}, less than {ratio}what it costs, {dollars(balance.cost)} (trading"
        f" {usd(plan.cost)}, gas {dollars(plan.gas_usd)}{allowance}): {dollars(needed - balance.taken)} is missing"
        + ("" if drift is None else more_drift(balance.scale_that_pays(benefit.min_ratio), drift))
    )


def more_drift(scale: float | None, drift: int) -> str:
    """What the drift would have to be, for a reason; empty where it would not have to be more."""
    if scale is None or scale * drift > 2 * WAD:
        return ", and no drift would be large enough"
    if scale <= 1:
        return ""
    return f", or a drift of about {percent(int(scale * drift))} instead of {percent(drift)}"


def dollars(amount: float) -> str:
    """USD for people."""
    return usd(round(amount * WAD))


def _mev(plan: Plan, benefit: Benefit) -> float:
    return float(benefit.mev_allowance) * -sum(to_float(value) for value in plan.values if value < 0)
