"""StableSwap, the formula that Balancer's stable pools and Curve's plain pools share.

With n balances x brought to one unit by their rates, ``A*n*sum(x) + D = A*n*D + D**(n+1) / (n**n * prod(x))`` fixes the
invariant D. Both find D by the same iteration in integers; they differ in how they solve for one balance.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Annotated, Self

from pydantic import Field, model_validator

from keeper.pools.base import Listed, SwapError
from keeper.pools.curves import Stable
from keeper.pools.multi_token import MAX_DECIMALS, FeeWad, Holding, MultiTokenPool
from keeper.units import WAD, Uint, mul_div, to_float

MAX_ROUNDS = 255
"""Rounds after which the contracts give an iteration up."""


class RatedHolding(Holding):
    """One token of a stable pool; ``rate`` over 1e18 is what its raw balance is multiplied by, decimals included.

    1e30 for a token of 6 decimals, 1.1e18 for an 18-decimal share that is worth 1.1.
    """

    rate: Annotated[Uint, Field(gt=0, lt=2**128)]

    def listed(self, token: Listed) -> Self:
        known = super().listed(token)
        if known.rate**2 < WAD * 10 ** (2 * MAX_DECIMALS - token.decimals):
            return known.model_copy(update={"rate": known.rate * 10 ** (MAX_DECIMALS - token.decimals)})
        return known


class StableSwapPool(MultiTokenPool):
    """A pool of tokens that are worth the same once multiplied by their rates.

    ``amplification / a_precision`` is A. Some write rates without the decimals: the snapshot, which knows them, takes
    a rate that is nearer (in ratio) to 1e18 than to ``10**(36 - decimals)`` for one of these and adds the decimals.
    """

    amplification: Annotated[int, Field(gt=0, lt=2**53)]
    a_precision: Annotated[int, Field(gt=0, le=10**6)]
    fee: FeeWad
    holdings: tuple[RatedHolding, ...] = Field(alias="tokens", min_length=2, max_length=8)

    @model_validator(mode="after")
    def _amplification_is_one_or_more(self) -> Self:
        if self.amplification < self.a_precision:
            raise ValueError(f"amplification {self.amplification} is below a_precision {self.a_precision}")
        return self

    @property
    def fee_fraction(self) -> float:
        return to_float(self.fee)

    def _scaled(self) -> list[int]:
        """Balances in the common unit, 18 decimals."""
        balances = [mul_div(holding.balance, holding.rate, WAD) for holding in self.holdings]
        if 0 in balances:
            raise SwapError(f"pool {self.name}: a balance is nothing in the common unit")
        return balances

    def _invariant(self, balances: Sequence[int]) -> int:
        """D for these scaled balances, rounded as the contracts do."""
        n, precision = len(balances), self.a_precision
        ann, total = self.amplification * n, sum(balances)
        invariant = total
        for _ in range(MAX_ROUNDS):
            product = invariant
            for balance in balances:
                product = product * invariant // (balance * n)
            before = invariant
            invariant = (
                (ann * total // precision + product * n)
                * invariant
                // ((ann - precision) * invariant // precision + (n + 1) * product)
            )
            if abs(invariant - before) <= 1:
                return invariant
        raise SwapError(f"pool {self.name}: its invariant does not converge")

    def marginal_price(self, token_in: str, token_out: str) -> float:
        reserve_in, reserve_out = self.virtual_reserves(token_in, token_out)
        return reserve_out / reserve_in * (1 - self.fee_fraction)

    def virtual_reserves(self, token_in: str, token_out: str) -> tuple[float, float]:
        self._refuse_pair(token_in, token_out)
        balances = self._balances()
        ann = self.amplification / self.a_precision * len(balances)
        product = _product_term(balances, ann)
        place_in, place_out = (self.tokens.index(token) for token in (token_in, token_out))
        x, y = balances[place_in], balances[place_out]
        # Derivatives of A*n*sum(x) - D**(n+1) / (n**n * prod(x)) by the two balances.
        by_x, by_y = ann + product / x, ann + product / y
        price = by_x / by_y
        curvature = 2 * product * (1 / x**2 - price / (x * y) + (price / y) ** 2) / by_y
        reserve_in = 2 * price / curvature
        rate_in, rate_out = (self.holdings[place].rate / WAD for place in (place_in, place_out))
        return reserve_in / rate_in, reserve_in * price / rate_out

    def curve(self, token_a: str, token_b: str) -> Stable:
        self._refuse_pair(token_a, token_b)
        balances = self._balances()
        ann = self.amplification / self.a_precision * len(balances)
        product = _product_term(balances, ann)
        place_a, place_b = (self.tokens.index(token) for token in (token_a, token_b))
        x, y = balances[place_a], balances[place_b]
        # The invariant solved for D, given the product term that it goes with.
        invariant = (ann * sum(balances) - product) / (ann - 1)
        return Stable(
            balance_a=x,
            balance_b=y,
            scale_a=self.holdings[place_a].rate / WAD,
            scale_b=self.holdings[place_b].rate / WAD,
            kept=self._kept_of_input,
            paid=self._paid_of_output,
            invariant=invariant,
            share=invariant / ann,
            others=sum(balances) - x - y,
            product=product * x * y / ann,
        )

    def _balances(self) -> list[float]:
        """As `_scaled`, in floats."""
        return [holding.balance * (holding.rate / WAD) for holding in self.holdings]

    @property
    @abstractmethod
    def _kept_of_input(self) -> float:
        """The part of the input that is left after the fee."""

    @property
    @abstractmethod
    def _paid_of_output(self) -> float:
        """The part of the output that is left after the fee."""


def _product_term(balances: Sequence[float], ann: float) -> float:
    """``D**(n+1) / (n**n * prod(x))`` in floats. Newton's iteration falls towards D from the sum of the balances."""
    n, total = len(balances), sum(balances)
    invariant = total
    for _ in range(MAX_ROUNDS):
        product = invariant * prod(invariant / (balance * n) for balance in balances)
        lower = (ann * total + product * n) * invariant / ((ann - 1) * invariant + (n + 1) * product)
        if lower >= invariant * (1 - 1e-15):
            break
        invariant = lower
    return product
