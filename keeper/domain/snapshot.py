"""The facts that a decision needs, all at one block. The JSON form is the snapshot file, version 1."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from keeper.domain.past import Past, Seconds
from keeper.pools import Pool
from keeper.pools.base import Address, Model
from keeper.units import WAD, Uint, Wad, value_of


class Block(Model):
    """The block that every fact was read at."""

    number: Annotated[int, Field(ge=0)]
    hash: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{64}$")]
    timestamp: Seconds
    base_fee_per_gas: Uint
    priority_fee_per_gas: Uint

    @property
    def gas_price(self) -> int:
        """Wei per unit of gas for a transaction in the next block."""
        return self.base_fee_per_gas + self.priority_fee_per_gas


class Token(Model):
    """An ERC-20."""

    address: Address
    symbol: Annotated[str, Field(min_length=1)]
    decimals: Annotated[int, Field(ge=0, le=36)]


class AssetState(Model):
    """One asset of the basket: raw balance, target weight (WAD), oracle price (USD WAD for one whole token)."""

    token: Address
    balance: Uint
    target_weight: Annotated[Wad, Field(le=WAD)]
    price: Wad
    price_updated_at: Seconds

    @field_validator("price")
    @classmethod
    def _price_is_not_zero(cls, price: int) -> int:
        if price == 0:
            raise ValueError("the price is zero")
        return price


class Limits(Model):
    """What the vault lets one batch do, WAD fractions of NAV. Headroom is what its leaky buckets can still take."""

    max_slippage: Annotated[Wad, Field(le=WAD)]
    max_batch_loss: Annotated[Wad, Field(le=WAD)]
    dust: Wad
    min_progress: Wad
    dead_band: Wad
    loss_headroom: Wad
    turnover_headroom: Wad


class VaultState(Model):
    """The vault: basket in index order, nonce of its last order, raw share supply, and its limits if it has any."""

    address: Address
    nonce: Annotated[int, Field(ge=0)]
    total_supply: Uint
    assets: Annotated[tuple[AssetState, ...], Field(min_length=1)]
    limits: Limits | None = Field(default=None, exclude_if=lambda limits: limits is None)

    @model_validator(mode="after")
    def _basket_is_whole(self) -> Self:
        _refuse_duplicates((asset.token for asset in self.assets), "asset")
        total = sum(asset.target_weight for asset in self.assets)
        # While targets glide, the vault rounds each of them down.
        if not WAD - len(self.assets) < total <= WAD:
            raise ValueError(f"target weights sum to {total}, they must sum to {WAD}")
        return self


class Snapshot(Model):
    """Vault, prices and pools at one block, and the time before it if known. Tokens are spelt as in ``tokens``."""

    version: Literal[1]
    chain_id: Annotated[int, Field(gt=0)]
    block: Block
    native_price: Wad
    tokens: tuple[Token, ...]
    vault: VaultState
    pools: tuple[Pool, ...]
    past: Past | None = Field(default=None, exclude_if=lambda past: past is None)

    @field_validator("tokens")
    @classmethod
    def _tokens_are_distinct(cls, tokens: tuple[Token, ...]) -> tuple[Token, ...]:
        _refuse_duplicates((token.address for token in tokens), "token")
        return tokens

    @field_validator("vault")
    @classmethod
    def _assets_are_listed(cls, vault: VaultState, info: ValidationInfo) -> VaultState:
        listed = _listed(info)
        if listed is None:
            return vault
        for asset in vault.assets:
            if asset.token.lower() not in listed:
                raise ValueError(f"unknown token {asset.token} in the basket: add it to tokens")
        assets = tuple(
            asset.model_copy(update={"token": listed[asset.token.lower()].address}) for asset in vault.assets
        )
        return vault.model_copy(update={"assets": assets})

    @field_validator("pools")
    @classmethod
    def _pools_are_distinct_and_of_listed_tokens(
        cls, pools: tuple[Pool, ...], info: ValidationInfo
    ) -> tuple[Pool, ...]:
        listed = _listed(info)
        if listed is None:
            return pools
        _refuse_duplicates((pool.name for pool in pools), "pool")
        for pool in pools:
            for token in pool.tokens:
                if token.lower() not in listed:
                    raise ValueError(f"unknown token {token} in pool {pool.name}: add it to tokens")
        return tuple(pool.listed(listed) for pool in pools)

    @cached_property
    def token(self) -> dict[str, Token]:
        """Tokens by address."""
        return {token.address: token for token in self.tokens}

    @cached_property
    def asset(self) -> dict[str, AssetState]:
        """Assets of the basket by token address."""
        return {asset.token: asset for asset in self.vault.assets}

    @property
    def prices(self) -> tuple[int, ...]:
        """USD WAD for one whole token, by index of the basket."""
        return tuple(asset.price for asset in self.vault.assets)

    @property
    def decimals(self) -> tuple[int, ...]:
        """Decimals by index of the basket."""
        return tuple(self.token[asset.token].decimals for asset in self.vault.assets)

    @property
    def targets(self) -> tuple[int, ...]:
        """Target weights in WAD by index of the basket."""
        return tuple(asset.target_weight for asset in self.vault.assets)

    @property
    def balances(self) -> tuple[int, ...]:
        """Raw balances by index of the basket."""
        return tuple(asset.balance for asset in self.vault.assets)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """USD WAD by index of the basket, each rounded down as the vault does."""
        return tuple(map(value_of, self.balances, self.prices, self.decimals))

    @cached_property
    def nav(self) -> int:
        """Value of the basket, USD WAD."""
        return sum(self.values)

    def symbol(self, token: str) -> str:
        """What people call ``token``."""
        return self.token[token].symbol

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Symbol and address of each asset, by index of the basket."""
        return tuple((self.symbol(asset.token), asset.token) for asset in self.vault.assets)


def _listed(info: ValidationInfo) -> dict[str, Token] | None:
    """Tokens by address in lower case; None if the tokens themselves were refused."""
    tokens: Sequence[Token] | None = info.data.get("tokens")
    return None if tokens is None else {token.address.lower(): token for token in tokens}


def _refuse_duplicates(addresses: Iterable[str], what: str) -> None:
    for address, count in Counter(address.lower() for address in addresses).items():
        if count > 1:
            raise ValueError(f"duplicate {what} {address}: it is listed {count} times")
