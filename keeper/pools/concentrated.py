"""Concentrated liquidity, as in Uniswap V3 and V4: every swap equal to the contract's to the wei.

The contract stops, and rounds, at every initialised tick and at every 256th usable tick (the end of a word of its tick
bitmap) even where no tick is initialised. Both kinds of stop are reproduced, else long swaps are off by a few wei.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from math import exp, log1p
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from keeper.pools.base import PIPS, FeePips, Model, SwapError, Swapped, TwoTokenPool, unchecked
from keeper.pools.curves import Concentrated, Stretch
from keeper.pools.sqrt_price_math import swap_step
from keeper.pools.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    Q96,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)
from keeper.units import Int, Uint

_HALF_LOG = log1p(1e-4) / 2  # a tick is a factor of 1.0001 in the price

TickIndex = Annotated[int, Field(ge=MIN_TICK, le=MAX_TICK)]
Liquidity = Annotated[Uint, Field(lt=2**128)]


class Tick(Model):
    """An initialised tick; ``liquidity_net`` joins when the price crosses it upwards, and may be zero."""

    index: TickIndex
    liquidity_net: Int


class ConcentratedPool(TwoTokenPool):
    """A concentrated-liquidity pool.

    ``ticks`` holds every initialised tick inside ``tick_range`` (both ends included), or all there are if it is None.
    A swap may not leave that window.
    """

    fee_pips: FeePips
    tick_spacing: Annotated[int, Field(gt=0, lt=2**15)]
    sqrt_price_x96: Annotated[Uint, Field(ge=MIN_SQRT_PRICE, lt=MAX_SQRT_PRICE)]
    liquidity: Liquidity
    tick: TickIndex
    ticks: tuple[Tick, ...]
    tick_range: tuple[int, int] | None = Field(default=None, exclude_if=lambda window: window is None)

    @field_validator("ticks")
    @classmethod
    def _ascending(cls, ticks: tuple[Tick, ...]) -> tuple[Tick, ...]:
        return tuple(sorted(ticks, key=lambda tick: tick.index))

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._check_price()
        self._check_tick_indexes()
        self._check_liquidity()
        return self

    def _check_price(self) -> None:
        lower, upper = sqrt_price_at_tick(self.tick), sqrt_price_at_tick(min(self.tick + 1, MAX_TICK))
        # A downward swap that stops on a tick leaves the price there and `tick` one below, hence both ends.
        if not lower <= self.sqrt_price_x96 <= upper:
            raise ValueError(f"tick {self.tick} does not match sqrt_price_x96 {self.sqrt_price_x96}")
        if self.tick_range is not None:
            if self.tick_range[0] >= self.tick_range[1]:
                raise ValueError(f"tick_range {list(self.tick_range)} is empty")
            bottom, top = self._price_window
            if not bottom <= self.sqrt_price_x96 <= top:
                raise ValueError(f"tick {self.tick} lies outside tick_range {list(self.tick_range)}")

    def _check_tick_indexes(self) -> None:
        bottom, top = self.tick_range or (MIN_TICK, MAX_TICK)
        previous = None
        for index in self._indexes:
            if index == previous:
                raise ValueError(f"tick {index} is listed twice")
            if index % self.tick_spacing:
                raise ValueError(f"tick {index} is not a multiple of tick_spacing {self.tick_spacing}")
            if not bottom <= index <= top:
                raise ValueError(f"tick {index} lies outside tick_range {[bottom, top]}")
            previous = index

    def _check_liquidity(self) -> None:
        place = bisect_right(self._indexes, self.tick)
        above = self._walk(tick.liquidity_net for tick in self.ticks[place:])
        below = self._walk(-tick.liquidity_net for tick in reversed(self.ticks[:place]))
        if self.tick_range is None and (above or below):
            raise ValueError(
                f"liquidity {self.liquidity} does not match the ticks: {below} is left below them and {above} above, "
                "where there can be none (give tick_range if the list is a window)"
            )

    def _walk(self, nets: Iterable[int]) -> int:
        """Liquidity after crossing ticks with these net changes."""
        liquidity = self.liquidity
        for net in nets:
            liquidity += net
            if liquidity < 0:
                raise ValueError(f"liquidity {self.liquidity} does not match the ticks: it would fall to {liquidity}")
        return liquidity

    @cached_property
    def _indexes(self) -> tuple[int, ...]:
        return tuple(tick.index for tick in self.ticks)

    @cached_property
    def _price_window(self) -> tuple[int, int]:
        """Lowest and highest price at which all ticks are known."""
        bottom, top = self.tick_range or (MIN_TICK, MAX_TICK)
        return sqrt_price_at_tick(max(bottom, MIN_TICK)), sqrt_price_at_tick(min(top, MAX_TICK))

    @property
    def fee_fraction(self) -> float:
        return self.fee_pips / PIPS

    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        zero_for_one = self._zero_for_one(token_in, token_out)
        if amount_in <= 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        limit = MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
        amount0, amount1, after = self.swap_exact(zero_for_one, amount_in, limit)
        taken, paid = (amount0, -amount1) if zero_for_one else (amount1, -amount0)
        if taken < amount_in:
            raise SwapError(f"pool {self.name}: not enough liquidity, it takes {taken} of {amount_in}")
        if paid <= 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        return Swapped(paid, after)

    def swap_exact(self, zero_for_one: bool, amount_specified: int, sqrt_price_limit_x96: int) -> tuple[int, int, Self]:
        """What the contract's ``swap`` does.

        Args:
            zero_for_one: whether token0 is sold; the price falls then.
            amount_specified: raw units; positive to spend, negative to obtain.
            sqrt_price_limit_x96: price at which the swap stops although some is left.

        Returns:
            Signed changes of the pool's two balances (positive is paid in), and the pool after.

        Raises:
            SwapError: the contract would revert (``AS``, ``SPL``), or the swap leaves ``tick_range``.
        """
        self._check_arguments(zero_for_one, amount_specified, sqrt_price_limit_x96)
        price, tick, liquidity = self.sqrt_price_x96, self.tick, self.liquidity
        place = bisect_right(self._indexes, tick)  # ticks[:place] are at or below the price
        remaining, calculated = amount_specified, 0
        while remaining != 0 and price != sqrt_price_limit_x96:
            if liquidity == 0:
                stop, initialised = self._stop_across_nothing(place, zero_for_one, sqrt_price_limit_x96)
            else:
                stop, initialised = self._next_stop(tick, place, zero_for_one)
            stop_price = sqrt_price_at_tick(stop)
            target = (max if zero_for_one else min)(stop_price, sqrt_price_limit_x96)
            start = price
            price, amount_in, amount_out, fee = swap_step(price, target, liquidity, remaining, self.fee_pips)
            self._check_window(price)
            if amount_specified > 0:
                remaining -= amount_in + fee
                calculated -= amount_out
            else:
                remaining += amount_out
                calculated += amount_in + fee
            if price == stop_price:
                if initialised:
                    place += -1 if zero_for_one else 1
                    net = self.ticks[place if zero_for_one else place - 1].liquidity_net
                    liquidity += -net if zero_for_one else net
                tick = stop - 1 if zero_for_one else stop
            elif price != start:
                tick = tick_at_sqrt_price(price)
        used = amount_specified - remaining
        amount0, amount1 = (used, calculated) if zero_for_one == (amount_specified > 0) else (calculated, used)
        return amount0, amount1, self._with(sqrt_price_x96=price, tick=tick, liquidity=liquidity)

    def swap_to(self, sqrt_price_x96: int) -> Self:
        """The pool after a swap of whatever size it takes to bring it to a price: that of `swap_exact` with this limit.

        Raises:
            SwapError: the price is out of bounds (``SPL``) or leaves ``tick_range``, or the pool stands there.
        """
        zero_for_one = sqrt_price_x96 < self.sqrt_price_x96
        self._check_arguments(zero_for_one, 1, sqrt_price_x96)
        self._check_window(sqrt_price_x96)
        tick = tick_at_sqrt_price(sqrt_price_x96)
        if tick % self.tick_spacing == 0 and sqrt_price_at_tick(tick) == sqrt_price_x96:
            # On a tick where the contract may stop it matters whether it does, and from where the price came.
            return self.swap_exact(zero_for_one, 2**255 - 1, sqrt_price_x96)[2]
        before, after = bisect_right(self._indexes, self.tick), bisect_right(self._indexes, tick)
        liquidity = self.liquidity
        if after > before:
            liquidity += sum(crossed.liquidity_net for crossed in self.ticks[before:after])
        elif after < before:
            liquidity -= sum(crossed.liquidity_net for crossed in self.ticks[after:before])
        return self._with(sqrt_price_x96=sqrt_price_x96, tick=tick, liquidity=liquidity)

    def placed(self, liquidity: Mapping[int, int], sqrt_price_x96: int) -> Self:
        """The pool at a price with other positions: the liquidity that joins at each tick, upwards, in order."""
        tick = tick_at_sqrt_price(sqrt_price_x96)
        other = self._with(
            sqrt_price_x96=sqrt_price_x96,
            tick=tick,
            liquidity=sum(net for index, net in liquidity.items() if index <= tick),
            ticks=tuple([unchecked(Tick, {"index": index, "liquidity_net": net}) for index, net in liquidity.items()]),
            tick_range=None,
        )
        for cached in ("_indexes", "_price_window"):
            other.__dict__.pop(cached, None)
        return other

    def _check_arguments(self, zero_for_one: bool, amount_specified: int, limit: int) -> None:
        if amount_specified == 0:
            raise SwapError(f"pool {self.name}: the amount is zero (AS)")
        bottom, top = (MIN_SQRT_PRICE, self.sqrt_price_x96) if zero_for_one else (self.sqrt_price_x96, MAX_SQRT_PRICE)
        if not bottom < limit < top:
            raise SwapError(f"pool {self.name}: price limit {limit} is not between {bottom} and {top} (SPL)")

    def _check_window(self, price: int) -> None:
        bottom, top = self._price_window
        if not bottom <= price <= top:
            raise SwapError(
                f"pool {self.name}: the swap leaves the ticks that are known, {list(self.tick_range or ())}"
            )

    def _next_stop(self, tick: int, place: int, zero_for_one: bool) -> tuple[int, bool]:
        """The next tick at which the contract stops, and whether it is initialised."""
        usable = tick // self.tick_spacing
        if zero_for_one:
            word_end = (usable & ~0xFF) * self.tick_spacing
            if place > 0 and self._indexes[place - 1] >= word_end:
                return self._indexes[place - 1], True
            return max(word_end, MIN_TICK), False
        word_end = (usable + 1 | 0xFF) * self.tick_spacing
        if place < len(self.ticks) and self._indexes[place] <= word_end:
            return self._indexes[place], True
        return min(word_end, MAX_TICK), False

    def _stop_across_nothing(self, place: int, zero_for_one: bool, limit: int) -> tuple[int, bool]:
        """As `_next_stop` without liquidity: nothing is rounded on the way, so only the last stop counts."""
        inside = place > 0 if zero_for_one else place < len(self.ticks)
        if inside:
            index = self._indexes[place - 1 if zero_for_one else place]
            if sqrt_price_at_tick(index) >= limit if zero_for_one else sqrt_price_at_tick(index) <= limit:
                return index, True
        # The limit comes first. Downwards it matters whether it stands on a stop: `tick` then ends one below.
        return self._next_stop(tick_at_sqrt_price(limit), 0 if zero_for_one else len(self.ticks), zero_for_one)

    def marginal_price(self, token_in: str, token_out: str) -> float:
        price = (self.sqrt_price_x96 / Q96) ** 2
        return (price if self._zero_for_one(token_in, token_out) else 1 / price) * (1 - self.fee_fraction)

    def virtual_reserves(self, token_in: str, token_out: str) -> tuple[float, float]:
        root = self.sqrt_price_x96 / Q96
        reserves = self.liquidity / root, self.liquidity * root
        return reserves if self._zero_for_one(token_in, token_out) else reserves[::-1]

    def least_input(self, token_in: str, token_out: str, amount_out: int, amount_in: int) -> int:
        zero_for_one = self._zero_for_one(token_in, token_out)
        limit = MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
        amount0, amount1, _ = self.swap_exact(zero_for_one, -amount_out, limit)
        least = amount0 if zero_for_one else amount1
        # The contract rounds exact outputs its own way: only what pays the same counts.
        if least < amount_in and self.swap(token_in, token_out, least).amount_out == amount_out:
            return least
        return amount_in

    def curve(self, token_a: str, token_b: str) -> Concentrated:
        place = bisect_right(self._indexes, self.tick)
        bottom, top = self.tick_range or (MIN_TICK, MAX_TICK)
        down = self._stretches(
            [(tick.index, -tick.liquidity_net) for tick in reversed(self.ticks[:place])], max(bottom, MIN_TICK)
        )
        up = self._stretches([(tick.index, tick.liquidity_net) for tick in self.ticks[place:]], min(top, MAX_TICK))
        root, kept = self.sqrt_price_x96 / Q96, 1 - self.fee_fraction
        if self._zero_for_one(token_a, token_b):
            return Concentrated(root, kept, down, up)
        inverted = [tuple(Stretch(1 / end, liquidity) for end, liquidity in way) for way in (up, down)]
        return Concentrated(1 / root, kept, *inverted)

    def _stretches(self, ticks: list[tuple[int, int]], last: int) -> tuple[Stretch, ...]:
        """Constant liquidity between the current price, ``ticks`` (with what crossing them adds), and ``last``."""
        found = []
        liquidity = self.liquidity
        for index, change in ticks:
            found.append(Stretch(_root(index), float(liquidity)))
            liquidity += change
        if liquidity:
            found.append(Stretch(_root(last), float(liquidity)))
        return tuple(found)


def _root(tick: int) -> float:
    """Square root of the price at a tick."""
    return exp(tick * _HALF_LOG)
