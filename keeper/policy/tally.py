"""The vault's memory of its batches, in integers, to the letter of ``VaultBase._drain`` and ``Guard.check``."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.domain import Limits
from keeper.domain.limits import VaultLimits
from keeper.policy.guard import Outcome
from keeper.units import WAD, mul_div_up


@dataclass(frozen=True, slots=True)
class Tally:
    """What the last batch left: its time, and how full the two leaky buckets were then, WAD fractions of NAV."""

    settled_at: int
    loss_level: int = 0
    turnover_level: int = 0

    def drained(self, limits: VaultLimits, now: int) -> Tally:
        """The buckets at ``now``: each drains linearly, a full one in a window; the drain is rounded down."""
        elapsed = min(now - self.settled_at, limits.window)

        def level(filled: int, capacity: int) -> int:
            return max(filled - capacity * elapsed // limits.window, 0)

        return Tally(
            now, level(self.loss_level, limits.loss_budget), level(self.turnover_level, limits.turnover_budget)
        )

    def after(self, nav: int, outcome: Outcome, limits: VaultLimits, now: int) -> Tally:
        """The tally once a batch has done this to a vault that was worth ``nav`` (USD WAD)."""
        drained = self.drained(limits, now)
        return Tally(
            now,
            drained.loss_level + mul_div_up(max(nav - outcome.nav, 0), WAD, nav),
            drained.turnover_level + mul_div_up(outcome.sold + outcome.bought, WAD, nav),
        )

    def ready_at(self, limits: VaultLimits) -> int:
        """The first timestamp at which the cooldown is over."""
        return self.settled_at + limits.cooldown

    def limits(self, limits: VaultLimits, now: int) -> Limits:
        """What one batch may do now."""
        drained = self.drained(limits, now)
        return Limits.model_construct(
            max_slippage=limits.max_slippage,
            max_batch_loss=limits.max_batch_loss,
            dust=limits.dust,
            min_progress=limits.min_progress,
            dead_band=limits.dead_band,
            loss_headroom=max(limits.loss_budget - drained.loss_level, 0),
            turnover_headroom=max(limits.turnover_budget - drained.turnover_level, 0),
        )
