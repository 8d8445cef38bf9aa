"""What a stolen keeper key is worth: the batch that takes most of a vault within its guard. Pure.

The thief needs no pool. The vault sends what is sold to any address that the order names, and what comes back may have
lain in the executor before: so the thief pays in exactly what the guard asks for, and keeps the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain import Limits
from keeper.policy.guard import Basket, check_drift, check_outcome
from keeper.units import WAD, amount_of, amount_of_up, mul_div

_SHRINK = (0, 1, 10**3, 10**6, 10**9, 10**12)
"""WAD parts by which the theft is made smaller until rounding passes the guard."""


@dataclass(frozen=True, slots=True)
class Theft:
    """Raw amounts by index of the basket: what the thief is sent, and what he pays for it."""

    taken: dict[int, int]
    paid: dict[int, int]

    def after(self, balances: Sequence[int]) -> tuple[int, ...]:
        """Raw balances after the batch."""
        return tuple(balance - self.taken.get(i, 0) + self.paid.get(i, 0) for i, balance in enumerate(balances))


def best_theft(basket: Basket, limits: Limits, worth: Sequence[int], greed: int = WAD) -> Theft | None:
    """The theft that takes most at true prices; None if the guard allows none, or none that pays.

    It sells what is above its target and buys what is below, as much of both as the turnover budget allows, first what
    the oracle prices most in the thief's favour and nothing that it prices against him, and pays as little as value for
    value, the batch's and the budget's loss allow.

    Args:
        basket: at the oracle's prices.
        worth: true prices by index of the basket, USD WAD.
        greed: WAD; above one, the part by which the loss is to exceed what is allowed (such a batch reverts).
    """
    if check_drift(basket, limits) is not None:
        return None
    for less in _SHRINK:
        theft = _theft(basket, limits, worth, greed - less)
        if theft is None:
            return None
        if greed > WAD or check_outcome(basket, basket.measure(theft.after(basket.balances)), limits) is None:
            return theft
    return None


def _theft(basket: Basket, limits: Limits, worth: Sequence[int], greed: int) -> Theft | None:
    nav = basket.nav
    excess = [value - target for value, target in zip(basket.values, basket.target_values, strict=True)]
    bargain = [mul_div(true, WAD, price) for true, price in zip(worth, basket.prices, strict=True)]
    above = sorted((i for i, e in enumerate(excess) if e > 0), key=lambda i: -bargain[i])
    below = sorted((i for i, e in enumerate(excess) if e < 0), key=lambda i: bargain[i])
    # Both legs count, and the second is at most as large as the first.
    most = min(
        _worthwhile(above, below, excess, bargain, WAD - limits.max_slippage),
        mul_div(limits.turnover_headroom, nav, 2 * WAD),
    )
    if most <= 0:
        return None
    loss = min(
        mul_div(most, limits.max_slippage, WAD),
        mul_div(nav, min(limits.max_batch_loss, limits.loss_headroom), WAD),
    )
    taken = {
        i: amount_of(value, basket.prices[i], basket.decimals[i]) for i, value in _fill(above, excess, most).items()
    }
    owed = most - mul_div(loss, greed, WAD)
    paid = {
        i: amount_of_up(value, basket.prices[i], basket.decimals[i]) for i, value in _fill(below, excess, owed).items()
    }
    return Theft({i: amount for i, amount in taken.items() if amount}, {i: a for i, a in paid.items() if a})


def _worthwhile(
    above: Sequence[int], below: Sequence[int], excess: Sequence[int], bargain: Sequence[int], fair: int
) -> int:
    """Up to which value, USD WAD, what is taken is worth more than what is paid for it, the best pairs first."""
    value, sells, buys = 0, list(above), list(below)
    left = {i: abs(excess[i]) for i in (*above, *below)}
    while sells and buys and bargain[sells[0]] * WAD > bargain[buys[0]] * fair:
        part = min(left[sells[0]], left[buys[0]])
        value += part
        for queue in (sells, buys):
            left[queue[0]] -= part
            if not left[queue[0]]:
                queue.pop(0)
    return value


def _fill(order: Sequence[int], excess: Sequence[int], value: int) -> dict[int, int]:
    """Spreads `value` (USD WAD) over assets in this order, each up to its distance from the target."""
    filled = {}
    for i in order:
        part = min(abs(excess[i]), value)
        if part > 0:
            filled[i] = part
        value -= part
    return filled
