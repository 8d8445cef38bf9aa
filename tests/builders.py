"""Small worlds for tests: tokens with prices, pools at those prices, snapshots and policies."""

import json
from math import isqrt
from typing import Any

from keeper.domain import AssetState, Block, Limits, Policy, Snapshot, Token, VaultState
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    BasePool,
    CurveStableSwapPool,
    RatedHolding,
    Tick,
    UniswapV2Pool,
    UniswapV3Pool,
    UniswapV4Pool,
    WeightedHolding,
)
from keeper.pools.tick_math import MAX_TICK, tick_at_sqrt_price
from keeper.units import WAD

NOW = 1_760_000_000


def address(number: int) -> str:
    """The address with this number."""
    return f"0x{number:040x}"


class Coin:
    """A token with its price in whole cents; its address, 1 and up, follows the order of creation in `COINS`."""

    def __init__(self, number: int, symbol: str, decimals: int, cents: int) -> None:
        self.address = address(number)
        self.symbol = symbol
        self.decimals = decimals
        self.cents = cents

    @property
    def price(self) -> int:
        """USD WAD."""
        return self.cents * WAD // 100

    def amount(self, usd: float) -> int:
        """Raw units worth this many dollars."""
        return int(usd * 100) * 10**self.decimals // self.cents


USDC = Coin(1, "USDC", 6, 100)
WETH = Coin(2, "WETH", 18, 250_000)
WBTC = Coin(3, "WBTC", 8, 6_000_000)
LINK = Coin(4, "LINK", 18, 1_500)
UNI = Coin(5, "UNI", 18, 800)
COINS = (USDC, WETH, WBTC, LINK, UNI)
LISTED = {
    coin.address.lower(): Token(address=coin.address, symbol=coin.symbol, decimals=coin.decimals) for coin in COINS
}
"""What a snapshot tells its pools about their tokens."""


def v2_pool(number: int, coin0: Coin, coin1: Coin, usd: float, *, fee_pips: int = 3000) -> UniswapV2Pool:
    """A pair that holds this many dollars at the coins' prices."""
    return UniswapV2Pool(
        address=address(1000 + number),
        token0=coin0.address,
        token1=coin1.address,
        fee_pips=fee_pips,
        reserve0=coin0.amount(usd / 2),
        reserve1=coin1.amount(usd / 2),
    )


def v3_pool(
    number: int,
    coin0: Coin,
    coin1: Coin,
    usd: float,
    *,
    fee_pips: int = 3000,
    spacing: int = 60,
    widths: tuple[int, ...] = (10, 100, 1000),
) -> UniswapV3Pool:
    """A pool at the coins' prices as deep there as a pair of this many dollars, with overlapping positions."""
    amount0, amount1 = coin0.amount(usd / 2), coin1.amount(usd / 2)
    price = isqrt((amount1 << 192) // amount0)
    centre = tick_at_sqrt_price(price) // spacing
    share = isqrt(amount0 * amount1) // len(widths)
    nets: dict[int, int] = {}
    for width in widths:
        limit = MAX_TICK // spacing
        lower, upper = max(centre - width, -limit) * spacing, min(centre + 1 + width, limit) * spacing
        nets[lower] = nets.get(lower, 0) + share
        nets[upper] = nets.get(upper, 0) - share
    return UniswapV3Pool(
        address=address(1000 + number),
        token0=coin0.address,
        token1=coin1.address,
        fee_pips=fee_pips,
        tick_spacing=spacing,
        sqrt_price_x96=price,
        liquidity=share * len(widths),
        tick=tick_at_sqrt_price(price),
        ticks=tuple(Tick(index=index, liquidity_net=net) for index, net in nets.items()),
    )


def v4_pool(number: int, coin0: Coin, coin1: Coin, usd: float, **changes: Any) -> UniswapV4Pool:
    """As `v3_pool`, in the PoolManager."""
    twin = v3_pool(number, coin0, coin1, usd, **changes)
    fields = {name: getattr(twin, name) for name in UniswapV3Pool.model_fields if name not in ("kind", "address")}
    return UniswapV4Pool(address=address(4), id=pool_id(number), **fields)


def weighted_pool(number: int, weights: dict[Coin, float], usd: float, *, swap_fee: int = 3 * WAD // 1000, **more: Any):
    """A Balancer pool that holds this many dollars at the coins' prices; weights in whole basis points."""
    holdings = tuple(
        WeightedHolding(token=coin.address, balance=coin.amount(usd * weight), weight=round(weight * 10_000) * 10**14)
        for coin, weight in weights.items()
    )
    pool = BalancerWeightedPool(
        address=address(1000 + number), id=pool_id(number), swap_fee=swap_fee, tokens=holdings, **more
    )
    return pool.listed(LISTED)


def stable_pool(number: int, amounts: dict[Coin, float], *, a: int = 200, fee: int = WAD // 2500) -> BalancerStablePool:
    """A Balancer pool of these whole amounts, the coins taken to be worth the same."""
    return BalancerStablePool(
        address=address(1000 + number),
        id=pool_id(number),
        amplification=a * 1000,
        a_precision=1000,
        fee=fee,
        tokens=_rated(amounts),
    )


def curve_pool(
    number: int, amounts: dict[Coin, float], *, a: int = 200, fee: int = WAD // 2500, **more: Any
) -> CurveStableSwapPool:
    """A Curve pool of these whole amounts, the coins taken to be worth the same."""
    return CurveStableSwapPool(
        address=address(1000 + number), amplification=a * 100, a_precision=100, fee=fee, tokens=_rated(amounts), **more
    )


def _rated(amounts: dict[Coin, float]) -> tuple[RatedHolding, ...]:
    return tuple(
        RatedHolding(token=coin.address, balance=int(amount * 10**coin.decimals), rate=WAD * 10 ** (18 - coin.decimals))
        for coin, amount in amounts.items()
    )


POOLS: tuple[BasePool, ...] = (
    v2_pool(1, USDC, WETH, 1e7),
    v3_pool(2, USDC, WETH, 3e7, fee_pips=500, spacing=10),
    v2_pool(3, USDC, LINK, 1e7),
    v3_pool(4, WETH, LINK, 1e7),
    v3_pool(5, USDC, WBTC, 3e7),
)
"""Enough to trade anything but UNI."""


def pool_id(number: int) -> str:
    return f"0x{number:064x}"


LIMITS = Limits(
    max_slippage=2 * WAD // 100,
    max_batch_loss=WAD // 100,
    dust=WAD // 100_000,
    min_progress=WAD // 1000,
    dead_band=WAD // 1000,
    loss_headroom=WAD // 50,
    turnover_headroom=WAD,
)


def snapshot(
    basket: dict[Coin, tuple[float, float]],
    pools: tuple[BasePool, ...],
    *,
    nav: float = 1_000_000,
    limits: Limits | None = LIMITS,
    native_price: int = 2500 * WAD,
    price_age: int = 60,
) -> Snapshot:
    """A vault of `nav` dollars; `basket` gives each coin's weight and its target weight, in whole basis points."""
    return Snapshot(
        version=1,
        chain_id=1,
        block=Block(
            number=1, hash="0x" + "ab" * 32, timestamp=NOW, base_fee_per_gas=10 * 10**9, priority_fee_per_gas=10**9
        ),
        native_price=native_price,
        tokens=tuple(LISTED.values()),
        vault=VaultState(
            address=address(99),
            nonce=0,
            total_supply=10**18,
            assets=tuple(
                AssetState(
                    token=coin.address,
                    balance=coin.amount(nav * weight),
                    target_weight=round(target * 10_000) * WAD // 10_000,
                    price=coin.price,
                    price_updated_at=NOW - price_age,
                )
                for coin, (weight, target) in basket.items()
            ),
            limits=limits,
        ),
        pools=pools,
    )


def at(snapshot: Snapshot, when: int, dollars: dict[Coin, float]) -> Snapshot:
    """The snapshot at another time, with these prices of whole coins."""
    prices = {coin.address: round(price * 100) * WAD // 100 for coin, price in dollars.items()}
    assets = tuple(
        asset.model_copy(update={"price": prices.get(asset.token, asset.price), "price_updated_at": when})
        for asset in snapshot.vault.assets
    )
    fields = {name: getattr(snapshot, name) for name in Snapshot.model_fields}
    vault = snapshot.vault.model_copy(update={"assets": assets})
    return Snapshot(**fields | {"block": snapshot.block.model_copy(update={"timestamp": when}), "vault": vault})


def policy(**changes: Any) -> Policy:
    """Always look, tracking penalty 1, free gas; with these changes."""
    return Policy.model_validate(
        {"trigger": {"kind": "always"}, "tracking_penalty": 1.0, "gas_price_wei": "0"} | changes
    )


def as_file(snapshot: Snapshot) -> Any:
    """The snapshot as the JSON of its file."""
    return json.loads(snapshot.model_dump_json())


class Clock:
    """Seconds since 1970, as told."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
