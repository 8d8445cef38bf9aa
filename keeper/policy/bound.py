"""The published bound on what rebalancing can cost, in integers: docs/threat-model.md states and proves it."""

from dataclasses import dataclass

from keeper.units import WAD, mul_div_up


@dataclass(frozen=True, slots=True)
class Bound:
    """The theorem for one set of limits: budgets in WAD fractions of NAV, `window` in seconds."""

    loss_budget: int
    turnover_budget: int
    window: int

    def losses(self, span: int) -> int:
        """What the losses of all batches within `span` seconds sum to at most at oracle prices, WAD of NAV, rounded up.

        L = B (1 + T/W).
        """
        return mul_div_up(self.loss_budget, self.window + span, self.window)

    def turnover(self, span: int) -> int:
        """What all batches within `span` seconds turn over at most, both legs counted, WAD of NAV, rounded up."""
        return mul_div_up(self.turnover_budget, self.window + span, self.window)

    def shortfalls(self, span: int, delta: int) -> int:
        """The same at market prices within `delta` (WAD, below 1) of the oracle's: [L + tau (1 + T/W) d] / (1 - d).

        Raises ValueError if `delta` is 1 or more: then there is no bound.
        """
        if not 0 <= delta < WAD:
            raise ValueError(f"a market that is {delta / WAD:.4g} times the price away from the oracle has no bound")
        return mul_div_up(self.losses(span) + mul_div_up(self.turnover(span), delta, WAD), WAD, WAD - delta)
