"""What pools of two to eight tokens have in common, whatever their formula."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from keeper.pools.base import Address, BasePool, Listed, Model, SwapError
from keeper.units import WAD, Uint, Wad

MAX_BALANCE = 2**112 - 1
"""What Balancer's Vault can keep of a token; far more than any Curve pool holds."""

MAX_DECIMALS = 18
"""Neither Balancer nor Curve takes a token with more decimals."""

FeeWad = Annotated[Wad, Field(lt=WAD)]
"""A fee, WAD fraction below one."""


class Holding(Model):
    """One token of a pool and the raw amount that the pool holds of it."""

    token: Address
    balance: Annotated[Uint, Field(gt=0, le=MAX_BALANCE)]

    def listed(self, token: Listed) -> Self:
        """This holding with its token as the snapshot lists it."""
        if token.decimals > MAX_DECIMALS:
            raise ValueError(f"{token.address} has {token.decimals} decimals, its pools take at most {MAX_DECIMALS}")
        return self.model_copy(update={"token": token.address})


class MultiTokenPool(BasePool):
    """A pool that trades each of its tokens for any other."""

    holdings: tuple[Holding, ...] = Field(alias="tokens", min_length=2, max_length=8)

    @model_validator(mode="after")
    def _tokens_are_distinct(self) -> Self:
        token, count = Counter(holding.token.lower() for holding in self.holdings).most_common(1)[0]
        if count > 1:
            raise ValueError(f"token {token} is listed {count} times")
        return self

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(holding.token for holding in self.holdings)

    def listed(self, tokens: Mapping[str, Listed]) -> Self:
        holdings = tuple(holding.listed(tokens[holding.token.lower()]) for holding in self.holdings)
        return self.model_copy(update={"holdings": holdings})

    def _places(self, token_in: str, token_out: str, amount_in: int) -> tuple[int, int]:
        """Places of the two tokens, once it is clear that the pool can take the amount."""
        self._refuse_pair(token_in, token_out)
        if amount_in <= 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        tokens = self.tokens
        place_in, place_out = tokens.index(token_in), tokens.index(token_out)
        if self.holdings[place_in].balance + amount_in > MAX_BALANCE:
            raise SwapError(f"pool {self.name}: its balance would pass 2**112 with {amount_in} more")
        return place_in, place_out

    def _after(self, place_in: int, amount_in: int, place_out: int, amount_out: int) -> Self:
        """The pool after these raw amounts came in and went out."""
        changes = {place_in: amount_in, place_out: -amount_out}
        holdings = tuple(
            holding.model_copy(update={"balance": holding.balance + changes[place]}) if place in changes else holding
            for place, holding in enumerate(self.holdings)
        )
        return self.model_copy(update={"holdings": holdings})
