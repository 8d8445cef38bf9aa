"""The vault's guard in integers, to the letter of ``contracts/libraries/Guard.sol``.

A plan that passes here passes there, at the same balances and prices: bought value is rounded down and sold value up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple

from keeper.domain import Limits, Snapshot
from keeper.units import WAD, mul_div, mul_div_up, percent, to_wad, usd, value_of, value_of_up


class Outcome(NamedTuple):
    """What a batch did, USD WAD. ``gap`` is the distance from the target values of before."""

    sold: int
    bought: int
    nav: int
    gap: int


class Violation(NamedTuple):
    """The contract's error, and the numbers in it for people."""

    error: str
    message: str


@dataclass(frozen=True)
class Basket:
    """The basket before a batch, in index order: raw balances, decimals, prices (USD WAD), target weights (WAD)."""

    balances: tuple[int, ...]
    decimals: tuple[int, ...]
    prices: tuple[int, ...]
    weights: tuple[int, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Basket":
        """The basket as the snapshot shows it."""
        return cls(snapshot.balances, snapshot.decimals, snapshot.prices, snapshot.targets)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """USD WAD per asset, rounded down."""
        return tuple(map(value_of, self.balances, self.prices, self.decimals))

    @cached_property
    def nav(self) -> int:
        """Sum of the values, USD WAD."""
        return sum(self.values)

    @cached_property
    def target_values(self) -> tuple[int, ...]:
        """Target weight times NAV, USD WAD, rounded down."""
        return tuple(mul_div(self.nav, weight, WAD) for weight in self.weights)

    @cached_property
    def gap(self) -> int:
        """Sum of the distances from the target values, USD WAD."""
        return sum(abs(value - target) for value, target in zip(self.values, self.target_values, strict=True))

    @property
    def drift(self) -> int:
        """The gap as a WAD fraction of NAV, rounded down. NAV must not be zero."""
        return mul_div(self.gap, WAD, self.nav)

    def measure(self, balances: Sequence[int]) -> Outcome:
        """Value the change of every balance. ``balances`` are the raw ones after the batch, in index order."""
        sold = bought = gap = 0
        for i, after in enumerate(balances):
            value, change = self.values[i], after - self.balances[i]
            if change > 0:
                gained = value_of(change, self.prices[i], self.decimals[i])
                bought += gained
                value += gained
            elif change < 0:
                lost = value_of_up(-change, self.prices[i], self.decimals[i])
                sold += lost
                # Selling everything can round to one wei more than it was worth.
                value = max(value - lost, 0)
            gap += abs(value - self.target_values[i])
        return Outcome(sold, bought, max(self.nav + bought - sold, 0), gap)


def check_drift(before: Basket, limits: Limits) -> Violation | None:
    """The first half of the guard: whether drift is above the dead band at all."""
    if before.nav == 0:
        return Violation("WorthlessBasket", "the basket is worth nothing")
    if before.drift <= limits.dead_band:
        return Violation(
            "BelowDeadBand", f"drift {percent(before.drift)} is not above the dead band {percent(limits.dead_band)}"
        )
    return None


def check_outcome(before: Basket, outcome: Outcome, limits: Limits) -> Violation | None:
    """The second half of the guard: the first limit, in the contract's order, that the outcome breaks; None if none."""
    return next(_violations(before, outcome, limits), None)


def _violations(before: Basket, outcome: Outcome, limits: Limits) -> Iterator[Violation]:
    if outcome.bought * WAD < outcome.sold * (WAD - limits.max_slippage):
        yield Violation(
            "UnfairTrade",
            f"{usd(outcome.bought)} bought for {usd(outcome.sold)} sold is more than"
            f" {percent(limits.max_slippage)} short (maximum slippage)",
        )
    if outcome.nav * WAD < before.nav * (WAD - limits.max_batch_loss):
        yield Violation(
            "BatchLossTooLarge",
            f"NAV falls from {usd(before.nav)} to {usd(outcome.nav)}, by more than {percent(limits.max_batch_loss)}",
        )
    loss = mul_div_up(max(before.nav - outcome.nav, 0), WAD, before.nav)
    if loss > limits.loss_headroom:
        yield Violation(
            "LossBudgetExceeded", f"a loss of {percent(loss)} is above the headroom {percent(limits.loss_headroom)}"
        )
    turnover = outcome.sold + outcome.bought
    turned = mul_div_up(turnover, WAD, before.nav)
    if turned > limits.turnover_headroom:
        yield Violation(
            "TurnoverBudgetExceeded",
            f"a turnover of {percent(turned)} is above the headroom {percent(limits.turnover_headroom)}",
        )
    allowance = mul_div(before.nav, limits.dust, WAD)
    if turnover + outcome.gap > before.gap + allowance:
        yield Violation(
            "NotTowardsTarget",
            f"{usd(turnover)} of turnover closes only {usd(max(before.gap - outcome.gap, 0))} of the gap"
            f" (allowance {usd(allowance)})",
        )
    needed = mul_div_up(before.nav, limits.min_progress, WAD)
    if outcome.gap + needed > before.gap:
        yield Violation(
            "TooLittleProgress",
            f"the gap closes from {usd(before.gap)} to {usd(outcome.gap)}, by less than {usd(needed)}",
        )


def tightened(limits: Limits, share: Decimal) -> Limits:
    """These limits with only ``share`` of each loss and turnover allowance, since prices move before inclusion."""
    part = to_wad(share)
    names = ("max_slippage", "max_batch_loss", "loss_headroom", "turnover_headroom")
    return limits.model_copy(update={name: mul_div(getattr(limits, name), part, WAD) for name in names})
