"""What every pool kind has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Generic, NamedTuple, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from keeper.pools.curves import Curve

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
"""20 bytes in hex, in any spelling; compared without regard to case."""

FeePips = Annotated[int, Field(ge=0, lt=1_000_000)]
"""A fee on the input, in millionths."""

PoolId = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
"""What a contract of many pools calls one of them: 32 bytes in hex."""

PIPS = 1_000_000
"""Millionths in one."""


class SwapError(Exception):
    """The pool cannot do this swap: too small, beyond its liquidity, or beyond what is known of its ticks."""


class Model(BaseModel):
    """A frozen record that refuses unknown fields and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


ModelT = TypeVar("ModelT", bound=BaseModel)
_new, _put = object.__new__, object.__setattr__


def unchecked(model: type[ModelT], fields: dict[str, Any]) -> ModelT:
    """The record with these values in all of its fields, which nobody checks.

    As `model_construct`, which takes four times as long: a simulation builds a dozen records a step.
    """
    record = _new(model)
    _put(record, "__dict__", fields)
    _put(record, "__pydantic_fields_set__", _fields_of(model))
    _put(record, "__pydantic_extra__", None)
    _put(record, "__pydantic_private__", None)
    return record


@cache
def _fields_of(model: type[BaseModel]) -> set[str]:
    return set(model.model_fields)


PoolT_co = TypeVar("PoolT_co", bound="BasePool", covariant=True)


class Swapped(NamedTuple, Generic[PoolT_co]):
    """The outcome of an exact-input swap: raw units of the bought token, and the pool after it."""

    amount_out: int
    pool: PoolT_co


class Listed(Protocol):
    """What a pool learns about a token from the snapshot's list."""

    @property
    def address(self) -> str: ...
    @property
    def decimals(self) -> int: ...


class BasePool(Model):
    """A pool of two or more tokens at one block. Swaps return a new pool and leave this one as it is.

    Amounts are raw token units and equal the contract's to the wei.
    """

    kind: str
    address: Address

    @property
    def name(self) -> str:
        """What a swap calls this pool: its address as the file spells it."""
        return self.address

    @property
    @abstractmethod
    def tokens(self) -> tuple[str, ...]:
        """All tokens that the pool trades, in its own order."""

    @property
    @abstractmethod
    def fee_fraction(self) -> float:
        """The part of the input that the pool keeps, for people and estimates."""

    @abstractmethod
    def listed(self, tokens: Mapping[str, Listed]) -> Self:
        """This pool with its tokens spelt as listed and, where its arithmetic needs them, with their decimals.

        Args:
            tokens: by address in lower case.

        Raises:
            KeyError: a token is not listed.
        """

    @abstractmethod
    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        """Swap exactly ``amount_in`` raw units of ``token_in`` for ``token_out``.

        Raises:
            SwapError: the pool does not trade these two, cannot take the whole input, or would pay nothing for it.
        """

    @abstractmethod
    def marginal_price(self, token_in: str, token_out: str) -> float:
        """Raw units of ``token_out`` per raw unit of ``token_in`` for an infinitesimal swap, after the fee."""

    @abstractmethod
    def virtual_reserves(self, token_in: str, token_out: str) -> tuple[float, float]:
        """Raw reserves of the two in a constant-product pool that quotes this price and depth here, the fee aside."""

    def least_input(self, token_in: str, token_out: str, amount_out: int, amount_in: int) -> int:
        """The least input that pays what ``amount_in`` does; ``amount_in`` itself if that needs search."""
        del token_in, token_out, amount_out
        return amount_in

    @abstractmethod
    def curve(self, token_a: str, token_b: str) -> Curve:
        """How these two trade, in the form that the solver works with."""

    def _with(self, **state: object) -> Self:
        """This pool with other values in some fields, which are not checked; what was cached of the others stays.

        As `model_copy`, which takes three times as long: a simulation does little else.
        """
        other = unchecked(type(self), self.__dict__ | state)
        if self.__pydantic_private__ is not None:
            object.__setattr__(other, "__pydantic_private__", self.__pydantic_private__)
        return other

    def _refuse_pair(self, token_in: str, token_out: str) -> None:
        """Raises SwapError unless the pool trades these two against each other."""
        for token in (token_in, token_out):
            if token not in self.tokens:
                raise SwapError(f"pool {self.name} does not hold {token}")
        if token_in == token_out:
            raise SwapError(f"pool {self.name}: {token_in} cannot be swapped for itself")


class TwoTokenPool(BasePool):
    """A pool of exactly two tokens."""

    token0: Address
    token1: Address

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        if int(self.token0, 16) == int(self.token1, 16):
            raise ValueError(f"token0 and token1 are both {self.token0}")
        return self

    @property
    def tokens(self) -> tuple[str, str]:
        return self.token0, self.token1

    def other(self, token: str) -> str:
        """The token that ``token`` is traded against."""
        return self.token1 if token == self.token0 else self.token0

    def listed(self, tokens: Mapping[str, Listed]) -> Self:
        token0, token1 = (tokens[token.lower()].address for token in self.tokens)
        return self.model_copy(update={"token0": token0, "token1": token1})

    def _zero_for_one(self, token_in: str, token_out: str) -> bool:
        self._refuse_pair(token_in, token_out)
        return token_in == self.token0
