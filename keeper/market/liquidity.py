"""The arithmetic of a market maker: prices to pool prices, money to liquidity. Pure.

Prices are answers of USD feeds, all with the same number of decimals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from itertools import permutations
from math import isqrt
from typing import NamedTuple

from keeper.pools import MultiTokenPool, SwapError
from keeper.pools.tick_math import MAX_TICK, sqrt_price_at_tick, tick_at_sqrt_price

Q96 = 2**96
BPS = 10_000
_UNIT = 10**30


class Side(NamedTuple):
    """One token of a pool: its decimals and its USD price as its feed gives it."""

    decimals: int
    price: int


class Position(NamedTuple):
    """A tick range and its liquidity."""

    lower: int
    upper: int
    liquidity: int


# Half-widths in ticks (hundredths of a percent) and the share of the pool's money in each, the rest over all prices.
_VOLATILE = ((400, 2_000), (1_500, 3_500), (11_000, 3_000))
_STABLE = ((5, 4_000), (50, 3_500), (500, 1_500))


def price_ratio(side0: Side, side1: Side) -> tuple[int, int]:
    """Raw token1 that one raw token0 is worth, as a fraction."""
    return side0.price * 10**side1.decimals, side1.price * 10**side0.decimals


def sqrt_price(side0: Side, side1: Side) -> int:
    """The sqrtPriceX96 of a V3 pool that agrees with the feeds, rounded down."""
    numerator, denominator = price_ratio(side0, side1)
    return isqrt((numerator << 192) // denominator)


def pair_reserves(side0: Side, side1: Side, usd: int) -> tuple[int, int]:
    """Reserves of a V2 pair that holds about `usd` whole dollars at the feeds' prices (8 decimals)."""
    numerator, denominator = price_ratio(side0, side1)
    reserve0 = usd * 10**8 * 10**side0.decimals // (2 * side0.price)
    return reserve0, reserve0 * numerator // denominator


def pair_trade(reserve0: int, reserve1: int, side0: Side, side1: Side) -> tuple[bool, int]:
    """The input that brings a V2 pair to the feeds' ratio: (whether it is token0, raw amount); amount 0 for none.

    An input that would buy nothing is none: the pair refuses it.

    After an input x the constant-product rule leaves (r + x)(r + gx) = r s with g = 0.997, where r is the reserve of
    what comes in, s what the other reserve is worth in it at the new ratio; this solves it for x.
    """
    numerator, denominator = price_ratio(side0, side1)
    zero_for_one = reserve1 * denominator > reserve0 * numerator
    if zero_for_one:
        reserve, other, product = reserve0, reserve1, reserve0 * reserve1 * denominator // numerator
    else:
        reserve, other, product = reserve1, reserve0, reserve0 * reserve1 * numerator // denominator
    root = isqrt((1997 * reserve) ** 2 - 4 * 997 * 1000 * (reserve**2 - product))
    amount = max(0, (root - 1997 * reserve) // (2 * 997))
    bought = 997 * amount * other // (1000 * reserve + 997 * amount)
    return zero_for_one, amount if bought else 0


class Trade(NamedTuple):
    """An exact input, raw units."""

    token_in: str
    token_out: str
    amount_in: int


_CLOSE = 1e-7
"""A pool this near to the feeds, fee aside, is not traded."""
_STEP = 4
"""One trade puts in at most this part of what the pool holds; weighted pools refuse more than 30%."""


def vault_trades(pool: MultiTokenPool, sides: Mapping[str, Side]) -> list[Trade]:
    """The trades that bring a pool of several tokens to the feeds' ratios, the pair that is furthest off first."""
    worth = {token: sides[token].price / 10 ** sides[token].decimals for token in pool.tokens}
    trades: list[Trade] = []
    while True:
        gains = {pair: _gain(pool, pair, worth) for pair in permutations(pool.tokens, 2)}
        pair = max(gains, key=lambda pair: gains[pair])
        amount = _amount(pool, pair, worth) if gains[pair] >= 1 + _CLOSE else 0
        if amount == 0:
            return trades
        trades.append(Trade(*pair, amount))
        pool = pool.swap(*pair, amount).pool


def _amount(pool: MultiTokenPool, pair: tuple[str, str], worth: Mapping[str, float]) -> int:
    """The greatest input within one step that does not carry the pair past the feeds; 0 if none buys anything."""

    def past(amount: int) -> bool:
        try:
            return _gain(pool.swap(*pair, amount).pool, pair, worth) < 1
        except SwapError:
            return False  # too small to change anything

    enough, too_much = 0, pool.holdings[pool.tokens.index(pair[0])].balance // _STEP + 1
    while too_much - enough > max(1, too_much >> 40):
        middle = (enough + too_much) // 2
        enough, too_much = (enough, middle) if past(middle) else (middle, too_much)
    try:
        pool.swap(*pair, enough)
    except SwapError:
        return 0
    return enough


def _gain(pool: MultiTokenPool, pair: tuple[str, str], worth: Mapping[str, float]) -> float:
    """What the next unit put in brings, by the feeds and fee aside."""
    token_in, token_out = pair
    price = pool.marginal_price(token_in, token_out) / (1 - pool.fee_fraction)
    return price * worth[token_out] / worth[token_in]


def positions(
    side0: Side, side1: Side, spacing: int, usd: int, *, stable: bool, label: str, price: int | None = None
) -> list[Position]:
    """Overlapping positions around the feeds' price that hold about `usd` whole dollars: narrow to unlimited.

    `label` seeds how wide they are: no two pools and no two seeds have the same ranges. `price` is the pool's, as
    sqrtPriceX96, where it is not that of the feeds.
    """
    price = sqrt_price(side0, side1) if price is None else price
    tick = tick_at_sqrt_price(price)
    placed = []
    left = BPS
    for below, above, share in _widths(label, stable):
        placed.append(((tick - below) // spacing * spacing, -(-(tick + above + 1) // spacing) * spacing, share))
        left -= share
    limit = MAX_TICK // spacing * spacing
    placed.append((-limit, limit, left))
    unit0, unit1 = 10**side0.decimals, 10**side1.decimals
    found = []
    for lower, upper, share in placed:
        # What `_UNIT` of liquidity holds in this range, in the feeds' units of money.
        bottom, top = sqrt_price_at_tick(lower), sqrt_price_at_tick(upper)
        amount0, amount1 = _UNIT * Q96 * (top - price) // (top * price), _UNIT * (price - bottom) // Q96
        value = amount0 * side0.price // unit0 + amount1 * side1.price // unit1
        found.append(Position(lower, upper, usd * share // BPS * 10**8 * _UNIT // value))
    return found


@lru_cache(maxsize=4096)
def _widths(label: str, stable: bool) -> tuple[tuple[int, int, int], ...]:
    """How far each position reaches below and above, in ticks, and the share of the money in it."""
    return tuple(
        (width * jitter(f"{label}/{width}/below") // BPS, width * jitter(f"{label}/{width}/above") // BPS, share)
        for width, share in (_STABLE if stable else _VOLATILE)
    )


def jitter(label: str) -> int:
    """A factor between 0.8 and 1.2 in basis points, the same for the same label on every machine."""
    digest = hashlib.sha256(label.encode()).digest()
    return 8_000 + int.from_bytes(digest[:8]) % 4_001
