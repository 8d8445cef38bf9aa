"""Balancer V2 weighted pools: the product of the balances, each to the power of its weight, stays or grows.

Formula: ``WeightedMath._calcOutGivenIn``, ``out = b_out * (1 - (b_in / (b_in + in)) ** (w_in / w_out))`` with the fee
taken from the input first, on amounts brought to 18 decimals, the power rounded up by its greatest error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from keeper.pools.base import Listed, PoolId, SwapError, Swapped
from keeper.pools.curves import Weighted
from keeper.pools.log_exp_math import power_up
from keeper.pools.multi_token import MAX_DECIMALS, FeeWad, Holding, MultiTokenPool
from keeper.units import WAD, Wad, mul_div, mul_div_up, to_float

_MAX_IN_RATIO = 3 * WAD // 10
_MIN_WEIGHT = WAD // 100


class WeightedHolding(Holding):
    """One token of a weighted pool; ``weight`` is its part of the pool's value, WAD."""

    weight: Annotated[Wad, Field(ge=_MIN_WEIGHT, lt=WAD)]


class BalancerWeightedPool(MultiTokenPool):
    """A pool whose swaps equal those of ``WeightedPool`` through the Vault to the wei.

    The arithmetic needs the tokens' decimals, which the snapshot's list of tokens knows: swap only what `listed` made.

    ``pow_version`` is 1 for pools of the two factories of April 2021. They take every power by logarithms, later ones
    multiply for the exponents 1, 2 and 4; the difference is about one part in 10**14.
    """

    kind: Literal["balancer_weighted"] = "balancer_weighted"
    id: PoolId
    swap_fee: FeeWad
    pow_version: Literal[1, 2] = Field(default=2, exclude_if=lambda version: version == 2)
    holdings: tuple[WeightedHolding, ...] = Field(alias="tokens", min_length=2, max_length=8)
    _scales: tuple[int, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _weights_sum_to_one(self) -> Self:
        total = sum(holding.weight for holding in self.holdings)
        if total != WAD:
            raise ValueError(f"weights sum to {total}, they must sum to {WAD}")
        return self

    @property
    def name(self) -> str:
        """What a swap calls this pool: its id as the file spells it."""
        return self.id

    @property
    def fee_fraction(self) -> float:
        return to_float(self.swap_fee)

    def listed(self, tokens: Mapping[str, Listed]) -> Self:
        pool = super().listed(tokens)
        pool._scales = tuple(10 ** (MAX_DECIMALS - tokens[token.lower()].decimals) for token in pool.tokens)
        return pool

    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        place_in, place_out = self._places(token_in, token_out, amount_in)
        held_in, held_out = self.holdings[place_in], self.holdings[place_out]
        if not self._scales:
            raise ValueError(f"pool {self.name} does not know the decimals of its tokens: use it from a snapshot")
        scale_in, scale_out = self._scales[place_in], self._scales[place_out]
        balance_in = held_in.balance * scale_in
        taken = (amount_in - mul_div_up(amount_in, self.swap_fee, WAD)) * scale_in
        if taken > mul_div(balance_in, _MAX_IN_RATIO, WAD):
            raise SwapError(f"pool {self.name}: {amount_in} is more than 30% of what it holds")
        left = power_up(
            mul_div_up(balance_in, WAD, balance_in + taken),
            mul_div(held_in.weight, WAD, held_out.weight),
            shortcuts=self.pow_version > 1,
        )
        amount_out = mul_div(held_out.balance * scale_out, max(WAD - left, 0), WAD) // scale_out
        if amount_out == 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        return Swapped(amount_out, self._after(place_in, amount_in, place_out, amount_out))

    def marginal_price(self, token_in: str, token_out: str) -> float:
        reserve_in, reserve_out = self.virtual_reserves(token_in, token_out)
        return reserve_out / reserve_in * (1 - self.fee_fraction)

    def virtual_reserves(self, token_in: str, token_out: str) -> tuple[float, float]:
        self._refuse_pair(token_in, token_out)
        held_in, held_out = (self.holdings[self.tokens.index(token)] for token in (token_in, token_out))
        # Slope and curvature at zero are those of a constant product with each side weighted by the other's share.
        both = held_in.weight + held_out.weight
        return 2 * held_in.balance * (held_out.weight / both), 2 * held_out.balance * (held_in.weight / both)

    def curve(self, token_a: str, token_b: str) -> Weighted:
        self._refuse_pair(token_a, token_b)
        a, b = (self.holdings[self.tokens.index(token)] for token in (token_a, token_b))
        return Weighted(
            float(a.balance),
            float(b.balance),
            to_float(a.weight),
            to_float(b.weight),
            1 - self.fee_fraction,
            to_float(_MAX_IN_RATIO) / (1 - self.fee_fraction),
        )
