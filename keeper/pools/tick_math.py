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
    # The logarithm is good to far less than a tick, so the estimate is at most one off.
    tick = floor(2 * (log(sqrt_price_x96) - log(Q96)) / log(1.0001))
    tick = min(max(tick, MIN_TICK), MAX_TICK - 1)
    if sqrt_price_at_tick(tick) > sqrt_price_x96:
        return tick - 1
    if sqrt_price_at_tick(tick + 1) <= sqrt_price_x96:
        return tick + 1
    return tick
