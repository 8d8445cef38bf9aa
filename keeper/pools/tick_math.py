"""Ticks and square-root prices of Uniswap V3 and V4: the price at tick i is 1.0001**i.

Square-root prices are Q64.96 fixed point, ``sqrt(token1 / token0) * 2**96``, and equal ``TickMath`` to the last bit.
"""

from decimal import Decimal, localcontext
from functools import lru_cache
from math import floor, log

MIN_TICK = -887272
MAX_TICK = 887272
MIN_SQRT_PRICE = 4295128739
"""Price at `MIN_TICK`; a swap's limit must stay above it."""
MAX_SQRT_PRICE = 1461446703485210103287273052203988822378723970342
"""Price at `MAX_TICK`; a swap's limit must stay below it."""

Q96 = 2**96
_LOG_Q96, _LOG_BASE = log(Q96), log(1.0001)
_NEAR = 1e-3
"""Part of a tick within which a float does not tell on which side of the tick a price is."""


def _powers() -> tuple[int, ...]:
    """``2**128 / sqrt(1.0001)**(2**k)`` to the nearest integer: the factors that the contract multiplies."""
    with localcontext(prec=80):
        root = Decimal("1.0001").sqrt()
        return tuple(int((Decimal(2) ** 128 / root ** (2**k)).to_integral_value()) for k in range(20))


_POWERS = _powers()


@lru_cache(maxsize=2**16)
def sqrt_price_at_tick(tick: int) -> int:
    """Square-root price at ``tick``, rounded up as the contract does.

    Raises:
        ValueError: the tick lies outside [`MIN_TICK`, `MAX_TICK`].
    """
    size = abs(tick)
    if size > MAX_TICK:
        raise ValueError(f"tick {tick} is outside [{MIN_TICK}, {MAX_TICK}]")
    ratio = 1 << 128
    for k, power in enumerate(_POWERS):
        if size >> k & 1:
            ratio = ratio * power >> 128
    if tick > 0:
        ratio = (2**256 - 1) // ratio
    return -(-ratio >> 32)


def tick_at_sqrt_price(sqrt_price_x96: int) -> int:
    """The greatest tick whose price is at or below ``sqrt_price_x96``.

    Raises:
        ValueError: the price lies outside [`MIN_SQRT_PRICE`, `MAX_SQRT_PRICE`).
    """
    if not MIN_SQRT_PRICE <= sqrt_price_x96 < MAX_SQRT_PRICE:
        raise ValueError(f"sqrt price {sqrt_price_x96} is outside [{MIN_SQRT_PRICE}, {MAX_SQRT_PRICE})")
    # The logarithm is good to a millionth of a tick, and rounding up moves the lowest prices by no more than five of
    # them: only near a tick does the estimate need to be checked.
    estimate = 2 * (log(sqrt_price_x96) - _LOG_Q96) / _LOG_BASE
    tick = floor(estimate)
    if _NEAR < estimate - tick < 1 - _NEAR:
        return tick
    tick = min(max(tick, MIN_TICK), MAX_TICK - 1)
    if sqrt_price_at_tick(tick) > sqrt_price_x96:
        return tick - 1
    if sqrt_price_at_tick(tick + 1) <= sqrt_price_x96:
        return tick + 1
    return tick
