"""Curve StableSwap pools: the plain ones, and any whose rates are known, such as metapools' own two tokens.

Formula: ``exchange``; the fee is taken from the output before it is brought back to the token's decimals. Pools of the
NG factory round their invariant in another order and raise the fee off the peg: they are not of this kind.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from keeper.pools.base import SwapError, Swapped
from keeper.pools.multi_token import FeeWad
from keeper.pools.stableswap import MAX_ROUNDS, StableSwapPool
from keeper.units import WAD, Wad, mul_div

_FEE_UNIT = 10**8
"""Curve keeps fees with 10 digits."""
_HALF = WAD // 2


class CurveStableSwapPool(StableSwapPool):
    """A pool whose swaps equal those of Curve's contract to the wei.

    ``admin_fee`` (WAD) is the part of each fee that leaves the pool's balances; half, as Curve's factories set it, if
    the file does not say.
    """

    kind: Literal["curve_stableswap"] = "curve_stableswap"
    id: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]+$")] | None = Field(
        default=None, exclude_if=lambda identifier: identifier is None
    )
    fee: FeeWad
    admin_fee: Annotated[Wad, Field(le=WAD)] = Field(default=_HALF, exclude_if=lambda part: part == _HALF)

    @model_validator(mode="after")
    def _fees_have_ten_digits(self) -> Self:
        for fee in (self.fee, self.admin_fee):
            if fee % _FEE_UNIT:
                raise ValueError(f"fee {fee} is not a multiple of {_FEE_UNIT}: Curve keeps fees with 10 digits")
        return self

    @property
    def name(self) -> str:
        """What a swap calls this pool: its id if the file gives one, else its address."""
        return self.id or self.address

    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        place_in, place_out = self._places(token_in, token_out, amount_in)
        rate_in, rate_out = self.holdings[place_in].rate, self.holdings[place_out].rate
        balances = self._scaled()
        invariant = self._invariant(balances)
        before = balances[place_out]
        balances[place_in] += mul_div(amount_in, rate_in, WAD)
        paid = max(before - self._balance(balances, place_out, invariant) - 1, 0)
        fee = mul_div(paid, self.fee, WAD)
        amount_out = mul_div(paid - fee, WAD, rate_out)
        if amount_out == 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        withheld = mul_div(mul_div(fee, self.admin_fee, WAD), WAD, rate_out)
        return Swapped(amount_out, self._after(place_in, amount_in, place_out, amount_out + withheld))

    def _balance(self, balances: list[int], place: int, invariant: int) -> int:
        """The scaled balance at ``place`` that gives ``invariant`` with the others."""
        n, precision = len(balances), self.a_precision
        ann = self.amplification * n
        c, total = invariant, 0
        for other, balance in enumerate(balances):
            if other != place:
                total += balance
                c = c * invariant // (balance * n)
        c = c * invariant * precision // (ann * n)
        b = total + invariant * precision // ann
        balance = invariant
        for _ in range(MAX_ROUNDS):
            before = balance
            balance = (balance * balance + c) // (2 * balance + b - invariant)
            if abs(balance - before) <= 1:
                return balance
        raise SwapError(f"pool {self.name}: its balance after the swap does not converge")

    @property
    def _kept_of_input(self) -> float:
        return 1.0

    @property
    def _paid_of_output(self) -> float:
        return 1 - self.fee_fraction
