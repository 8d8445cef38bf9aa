"""Where pools are looked for, and what the lens says of them: a pool is admitted by who made it, or by its code.

Each venue has its counterpart in `contracts/periphery/lens/`. `number` is the fragment's in `Lens.sol`, `terms` is what
the fragment is told, and `pool` reads one of its answers.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.address import to_checksum_address
from pydantic import Field

from keeper.chain.fields import Address, Hash, Strict
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    CurveStableSwapPool,
    Pool,
    RatedHolding,
    Tick,
    UniswapV2Pool,
    UniswapV3Pool,
    UniswapV4Pool,
    WeightedHolding,
)

BALANCER_VAULT: Final = "0xBA12222222228d8Ba445958a75a0704d566BF2C8"
"""The same on every chain."""

_CONCENTRATED: Final = (
    "(bytes32,address,address,uint24,int24,uint160,uint128,int24,int24,int24,(int24,int128)[])"  # `ConcentratedState`
)
_CURVE_FEE: Final = 10**8
"""Curve keeps fractions with 10 digits, WAD has 18."""

_T = TypeVar("_T")

FeePips = Annotated[int, Field(ge=0, lt=1_000_000)]


class UniswapV2Venue(Strict):
    """Uniswap V2 or a fork of it. The fee in millionths is the fork's, for no pair can be asked."""

    number: ClassVar[int] = 0

    kind: Literal["uniswap_v2"]
    factory: Address
    fee_pips: FeePips = 3000

    def looks(self, pairs: int) -> int:
        """How many pools there can be, where tokens form so many pairs."""
        return pairs

    def split(self, pairs: int, most: int) -> list[UniswapV2Venue]:
        """Venues that together are this one and each look for no more than ``most`` pools, as far as that goes."""
        del pairs, most
        return [self]

    @property
    def terms(self) -> bytes:
        """What the fragment is told."""
        return abi_encode(["address"], [self.factory])

    def pool(self, state: bytes) -> Pool:
        """The pool in one answer of the fragment."""
        pair, token0, token1, reserve0, reserve1 = abi_decode(
            ["address", "address", "address", "uint256", "uint256"], state
        )
        return UniswapV2Pool(
            address=to_checksum_address(pair),
            token0=to_checksum_address(token0),
            token1=to_checksum_address(token1),
            fee_pips=self.fee_pips,
            reserve0=reserve0,
            reserve1=reserve1,
        )


class UniswapV3Venue(Strict):
    """Uniswap V3 or a fork of it. `fees` are the tiers to look for, in millionths."""

    number: ClassVar[int] = 1

    kind: Literal["uniswap_v3"]
    factory: Address
    fees: tuple[FeePips, ...] = Field(default=(100, 500, 3000, 10000), min_length=1)

    def looks(self, pairs: int) -> int:
        """As `UniswapV2Venue.looks`."""
        return len(self.fees) * pairs

    def split(self, pairs: int, most: int) -> list[UniswapV3Venue]:
        """As `UniswapV2Venue.split`."""
        each = max(most // max(pairs, 1), 1)
        return [self.model_copy(update={"fees": part}) for part in batched(self.fees, each)]

    @property
    def terms(self) -> bytes:
        """What the fragment is told."""
        return abi_encode(["address", "uint24[]"], [self.factory, self.fees])

    def pool(self, state: bytes) -> Pool:
        """The pool in one answer of the fragment."""
        identifier, fields = _concentrated(state)
        return UniswapV3Pool(address=to_checksum_address(identifier[-20:]), **fields)


class Tier(Strict):
    """A fee in millionths and a tick spacing that V4 pools are opened with."""

    fee_pips: FeePips
    tick_spacing: Annotated[int, Field(ge=1, le=32_767)]


class UniswapV4Venue(Strict):
    """Uniswap V4: pools of a static fee and without hooks, at the `tiers` to look for. Ether counts as WETH."""

    number: ClassVar[int] = 2

    kind: Literal["uniswap_v4"]
    manager: Address
    tiers: tuple[Tier, ...] = Field(
        default=tuple(
            Tier(fee_pips=fee, tick_spacing=spacing) for fee, spacing in ((100, 1), (500, 10), (3000, 60), (10000, 200))
        ),
        min_length=1,
    )

    def looks(self, pairs: int) -> int:
        """As `UniswapV2Venue.looks`."""
        return len(self.tiers) * pairs

    def split(self, pairs: int, most: int) -> list[UniswapV4Venue]:
        """As `UniswapV2Venue.split`."""
        each = max(most // max(pairs, 1), 1)
        return [self.model_copy(update={"tiers": part}) for part in batched(self.tiers, each)]

    @property
    def terms(self) -> bytes:
        """What the fragment is told."""
        tiers = [(tier.fee_pips, tier.tick_spacing) for tier in self.tiers]
        return abi_encode(["address", "(uint24,int24)[]"], [self.manager, tiers])

    def pool(self, state: bytes) -> Pool:
        """The pool in one answer of the fragment."""
        identifier, fields = _concentrated(state)
        return UniswapV4Pool(address=self.manager, id="0x" + identifier.hex(), **fields)


class BalancerFactory(Strict):
    """A factory and what it makes: weighted pools, those of the two factories of April 2021, composable stable ones."""

    address: Address
    makes: Literal["weighted", "weighted_2021", "stable"]


class BalancerVenue(Strict):
    """Balancer V2: the pools of these ids, if one of the factories made them. A paused one is left out."""

    number: ClassVar[int] = 3

    kind: Literal["balancer_v2"]
    factories: tuple[BalancerFactory, ...] = Field(min_length=1)
    pools: tuple[Hash, ...] = Field(min_length=1)

    def looks(self, pairs: int) -> int:
        """As `UniswapV2Venue.looks`."""
        del pairs
        return len(self.pools)

    def split(self, pairs: int, most: int) -> list[BalancerVenue]:
        """As `UniswapV2Venue.split`."""
        del pairs
        return [self.model_copy(update={"pools": part}) for part in batched(self.pools, most)]

    @property
    def terms(self) -> bytes:
        """What the fragment is told."""
        factories = [(factory.address, factory.makes == "stable") for factory in self.factories]
        ids = [bytes.fromhex(identifier[2:]) for identifier in self.pools]
        return abi_encode(["address", "(address,bool)[]", "bytes32[]"], [BALANCER_VAULT, factories, ids])

    def pool(self, state: bytes) -> Pool:
        """The pool in one answer of the fragment."""
        maker, identifier, tokens, balances, factors, fee, amplification, precision = abi_decode(
            ["(uint256,bytes32,address[],uint256[],uint256[],uint256,uint256,uint256)"], state
        )[0]
        common = {"address": to_checksum_address(identifier[:20]), "id": "0x" + identifier.hex()}
        holdings = zip(map(to_checksum_address, tokens), balances, factors, strict=True)
        makes = self.factories[maker].makes
        if makes == "stable":
            return BalancerStablePool.model_validate(
                common
                | {
                    "amplification": amplification,
                    "a_precision": precision,
                    "fee": fee,
                    "tokens": tuple(
                        RatedHolding(token=token, balance=held, rate=rate) for token, held, rate in holdings
                    ),
                }
            )
        return BalancerWeightedPool.model_validate(
            common
            | {
                "swap_fee": fee,
                "pow_version": 1 if makes == "weighted_2021" else 2,
                "tokens": tuple(
                    WeightedHolding(token=token, balance=held, weight=weight) for token, held, weight in holdings
                ),
            }
        )


class CurvePool(Strict):
    """A plain StableSwap pool and the hash of the code that must stand at its address."""

    address: Address
    code_hash: Hash


class CurveVenue(Strict):
    """Curve: these plain StableSwap pools."""

    number: ClassVar[int] = 4

    kind: Literal["curve"]
    pools: tuple[CurvePool, ...] = Field(min_length=1)

    def looks(self, pairs: int) -> int:
        """As `UniswapV2Venue.looks`."""
        del pairs
        return len(self.pools)

    def split(self, pairs: int, most: int) -> list[CurveVenue]:
        """As `UniswapV2Venue.split`."""
        del pairs
        return [self.model_copy(update={"pools": part}) for part in batched(self.pools, most)]

    @property
    def terms(self) -> bytes:
        """What the fragment is told."""
        pools = [(pool.address, bytes.fromhex(pool.code_hash[2:])) for pool in self.pools]
        return abi_encode(["(address,bytes32)[]"], [pools])

    def pool(self, state: bytes) -> Pool:
        """The pool in one answer of the fragment."""
        address, coins, balances, rates, amplification, precision, fee, admin_fee = abi_decode(
            ["(address,address[],uint256[],uint256[],uint256,uint256,uint256,uint256)"], state
        )[0]
        return CurveStableSwapPool.model_validate(
            {
                "address": to_checksum_address(address),
                "amplification": amplification,
                "a_precision": precision,
                "fee": fee * _CURVE_FEE,
                "admin_fee": admin_fee * _CURVE_FEE,
                "tokens": tuple(
                    RatedHolding(token=to_checksum_address(coin), balance=held, rate=rate)
                    for coin, held, rate in zip(coins, balances, rates, strict=True)
                ),
            }
        )


Venue = Annotated[
    UniswapV2Venue | UniswapV3Venue | UniswapV4Venue | BalancerVenue | CurveVenue, Field(discriminator="kind")
]


def batched(items: tuple[_T, ...], size: int) -> list[tuple[_T, ...]]:
    """Parts of at most ``size`` items each, in order."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _concentrated(state: bytes) -> tuple[bytes, dict[str, Any]]:
    """What identifies a V3 or V4 pool, and the fields that both kinds have."""
    identifier, token0, token1, fee, spacing, sqrt_price, liquidity, tick, lower, upper, ticks = abi_decode(
        [_CONCENTRATED], state
    )[0]
    return identifier, {
        "token0": to_checksum_address(token0),
        "token1": to_checksum_address(token1),
        "fee_pips": fee,
        "tick_spacing": spacing,
        "sqrt_price_x96": sqrt_price,
        "liquidity": liquidity,
        "tick": tick,
        "ticks": tuple(Tick(index=index, liquidity_net=net) for index, net in ticks),
        "tick_range": (lower, upper),
    }
