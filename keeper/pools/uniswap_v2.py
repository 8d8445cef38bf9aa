"""Uniswap V2 pairs and their forks: constant product, the fee taken from the input.

Formula: ``UniswapV2Pair.swap`` accepts any output that keeps the product of the fee-adjusted balances; the largest such
output is ``floor(r_out * in * (1 - fee) / (r_in + in * (1 - fee)))``.
"""

from math import sqrt
from typing import Annotated, Literal, Self

from pydantic import Field

from keeper.pools.base import PIPS, FeePips, SwapError, Swapped, TwoTokenPool
from keeper.pools.curves import ConstantProduct
from keeper.units import Uint, mul_div_up

_MAX_RESERVE = 2**112 - 1  # the pair stores reserves as uint112 and reverts with OVERFLOW beyond

Reserve = Annotated[Uint, Field(gt=0, le=_MAX_RESERVE)]


class UniswapV2Pool(TwoTokenPool):
    """A constant-product pair."""

    kind: Literal["uniswap_v2"] = "uniswap_v2"
    fee_pips: FeePips
    reserve0: Reserve
    reserve1: Reserve

    @property
    def fee_fraction(self) -> float:
        return self.fee_pips / PIPS

    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        zero_for_one = self._zero_for_one(token_in, token_out)
        reserve_in, reserve_out = (self.reserve0, self.reserve1) if zero_for_one else (self.reserve1, self.reserve0)
        if reserve_in + amount_in > _MAX_RESERVE:
            raise SwapError(f"pool {self.name}: reserve would pass 2**112 with {amount_in} more")
        after_fee = amount_in * (PIPS - self.fee_pips)
        amount_out = reserve_out * after_fee // (reserve_in * PIPS + after_fee)
        if amount_out <= 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        after = (reserve_in + amount_in, reserve_out - amount_out)
        reserve0, reserve1 = after if zero_for_one else after[::-1]
        return Swapped(amount_out, self._with(reserve0=reserve0, reserve1=reserve1))

    def scaled(self, factor: float) -> Self:
        """The pair with so much more or less liquidity at the same price, which rounding leaves as it is."""
        reserve0, reserve1 = (max(int(reserve * factor), 1) for reserve in (self.reserve0, self.reserve1))
        return self._with(reserve0=reserve0, reserve1=reserve1)

    def marginal_price(self, token_in: str, token_out: str) -> float:
        price = (
            self.reserve1 / self.reserve0 if self._zero_for_one(token_in, token_out) else self.reserve0 / self.reserve1
        )
        return price * (1 - self.fee_fraction)

    def virtual_reserves(self, token_in: str, token_out: str) -> tuple[float, float]:
        reserves = float(self.reserve0), float(self.reserve1)
        return reserves if self._zero_for_one(token_in, token_out) else reserves[::-1]

    def curve(self, token_a: str, token_b: str) -> ConstantProduct:
        reserve_a, reserve_b = self.virtual_reserves(token_a, token_b)
        return ConstantProduct(sqrt(reserve_a * reserve_b), sqrt(reserve_b / reserve_a), 1 - self.fee_fraction)

    def least_input(self, token_in: str, token_out: str, amount_out: int, amount_in: int) -> int:
        reserve_in, reserve_out = (
            (self.reserve0, self.reserve1)
            if self._zero_for_one(token_in, token_out)
            else (self.reserve1, self.reserve0)
        )
        kept = PIPS - self.fee_pips
        return min(amount_in, mul_div_up(reserve_in * amount_out, PIPS, (reserve_out - amount_out) * kept))
