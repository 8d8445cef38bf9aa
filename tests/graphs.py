"""Random markets for the router: many tokens and pools, a basket that is off its targets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

import numpy as np
from builders import NOW, address, pool_id

from keeper.domain import AssetState, Block, Decision, Limits, Policy, Snapshot, Token, VaultState
from keeper.pools import BalancerWeightedPool, BasePool, Tick, UniswapV2Pool, UniswapV3Pool, WeightedHolding
from keeper.pools.tick_math import tick_at_sqrt_price
from keeper.units import WAD

KINDS = ("uniswap_v2", "uniswap_v3", "balancer_weighted")
SPACINGS = {500: 10, 3000: 60, 10_000: 200}
LARGEST = 2**111


@dataclass(frozen=True)
class Coins:
    """Tokens by place: addresses, USD for one whole token, decimals."""

    addresses: tuple[str, ...]
    prices: tuple[int, ...]
    decimals: tuple[int, ...]

    def amount(self, place: int, usd: float) -> int:
        """Raw units worth this many dollars."""
        return int(usd * 1e6) * 10 ** (12 + self.decimals[place]) // self.prices[place]


def graph(
    seed: int,
    *,
    tokens: int | None = None,
    pools: int | None = None,
    assets: int | None = None,
    kinds: tuple[str, ...] = KINDS,
    noise: float = 0.0005,
    penalty: float | None = None,
    nav: float | None = None,
    depth: tuple[float, float] = (1e4, 1e8),
    limits: Limits | None = None,
) -> tuple[Snapshot, Policy]:
    """A snapshot and a policy without filters, breakers or gas.

    4 to 40 tokens at 1e-2 to 1e5 USD with 6, 8 or 18 decimals, 12 to 1,000 pools between them whose prices scatter by
    ``noise`` about the oracle's, NAV 3e4 to 3e8 USD, tracking penalty 1e-3 to 10. One token in ten has no pool at all.
    """
    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    count = tokens or int(rng.integers(4, 41))
    size = pools or round(between(12, 1000))
    held = assets or int(rng.integers(2, count + 1))
    coins = Coins(
        tuple(address(place + 1) for place in range(count)),
        tuple(int(between(1e-2, 1e5) * 1e6) * 10**12 for _ in range(count)),
        tuple(int(decimals) for decimals in rng.choice([6, 8, 18], count)),
    )
    traded = [place for place in range(count) if rng.random() > 0.1]
    if len(traded) < 3:
        traded = [0, 1, 2]
    found = []
    while len(found) < size:
        i, j = (int(place) for place in sorted(rng.choice(traded, 2, replace=False)))
        usd, off = between(*depth), float(np.exp(rng.normal(0, noise)))
        kind = kinds[int(rng.integers(len(kinds)))]
        if max(coins.amount(i, usd), coins.amount(j, usd * off)) < LARGEST:
            found.append(_pool(rng, kind, 1000 + len(found), coins, i, j, usd, off))
    value = nav or between(3e4, 3e8)
    policy = Policy.model_validate(
        {
            "trigger": {"kind": "always"},
            "tracking_penalty": penalty or between(1e-3, 10),
            "gas_price_wei": "0",
        }
    )
    return _snapshot(rng, coins, held, value, tuple(found), limits), policy


def _pool(  # noqa: PLR0917  one draw needs all of these
    rng: np.random.Generator, kind: str, number: int, coins: Coins, i: int, j: int, usd: float, off: float
) -> BasePool:
    a, b = max(coins.amount(i, usd), 10**4), max(coins.amount(j, usd * off), 10**4)
    token0, token1 = coins.addresses[i], coins.addresses[j]
    fee = int(rng.choice(list(SPACINGS)))
    if kind == "balancer_weighted":
        weight = int(rng.choice([20, 50, 80])) * WAD // 100
        # Equal weights hold equal value; the price is value over weight.
        holdings = (
            WeightedHolding(token=token0, balance=2 * a * weight // WAD, weight=weight),
            WeightedHolding(token=token1, balance=2 * b * (WAD - weight) // WAD, weight=WAD - weight),
        )
        return BalancerWeightedPool(
            address=address(number), id=pool_id(number), swap_fee=fee * WAD // 10**6, tokens=holdings
        )
    if kind == "uniswap_v2":
        return UniswapV2Pool(
            address=address(number), token0=token0, token1=token1, fee_pips=fee, reserve0=a, reserve1=b
        )
    spacing, price = SPACINGS[fee], isqrt((b << 192) // a)
    tick = tick_at_sqrt_price(price)
    nets: dict[int, int] = {}
    liquidity = 0
    # The first position is wide and around the price, the others are anywhere near it.
    for width, shift in [(300, 0), *((int(rng.integers(1, 200)), int(rng.integers(-150, 150))) for _ in range(5))]:
        lower, upper = ((tick // spacing + shift + side) * spacing for side in (-width, width))
        share = int(isqrt(a * b) * rng.uniform(0.1, 0.5))
        if share and -800_000 < lower < upper < 800_000:
            nets[lower] = nets.get(lower, 0) + share
            nets[upper] = nets.get(upper, 0) - share
            liquidity += share if lower <= tick < upper else 0
    return UniswapV3Pool(
        address=address(number),
        token0=token0,
        token1=token1,
        fee_pips=fee,
        tick_spacing=spacing,
        sqrt_price_x96=price,
        liquidity=liquidity,
        tick=tick,
        ticks=tuple(Tick(index=index, liquidity_net=net) for index, net in nets.items()),
    )


def _snapshot(  # noqa: PLR0917  as above
    rng: np.random.Generator, coins: Coins, held: int, nav: float, pools: tuple[BasePool, ...], limits: Limits | None
) -> Snapshot:
    targets = [int(share * WAD) for share in rng.dirichlet(np.ones(held))]
    targets[0] += WAD - sum(targets)
    shares = rng.dirichlet(np.ones(held))
    listed = tuple(
        Token(address=token, symbol=f"T{place}", decimals=decimals)
        for place, (token, decimals) in enumerate(zip(coins.addresses, coins.decimals, strict=True))
    )
    by_address = {token.address.lower(): token for token in listed}
    return Snapshot(
        version=1,
        chain_id=1,
        block=Block(
            number=1, hash="0x" + "ab" * 32, timestamp=NOW, base_fee_per_gas=10 * 10**9, priority_fee_per_gas=10**9
        ),
        native_price=2500 * WAD,
        tokens=listed,
        vault=VaultState(
            address=address(99_999),
            nonce=0,
            total_supply=10**18,
            assets=tuple(
                AssetState(
                    token=coins.addresses[place],
                    balance=coins.amount(place, float(share) * nav),
                    target_weight=target,
                    price=coins.prices[place],
                    price_updated_at=NOW,
                )
                for place, (share, target) in enumerate(zip(shares, targets, strict=True))
            ),
            limits=limits,
        ),
        pools=tuple(pool.listed(by_address) for pool in pools),
    )


def net_changes(decision: Decision) -> Counter[str]:
    """Net change of each token, raw units, by what a decision says it sells and buys."""
    net: Counter[str] = Counter()
    net.subtract({sell.token: sell.amount for sell in decision.sells})
    net.update({buy.token: buy.amount for buy in decision.buys})
    return net


def raw_units_usd(snapshot: Snapshot) -> float:
    """Dollars of one raw unit of each asset together."""
    return sum(asset.price / 1e18 / 10 ** snapshot.token[asset.token].decimals for asset in snapshot.vault.assets)


def objective_usd(snapshot: Snapshot, policy: Policy, change: Mapping[str, int], gas_usd: float = 0.0) -> float:
    """What net changes of the balances are worth, by the formula of the design, in rationals until the end."""
    nav = Fraction(snapshot.nav, WAD)
    gained = penalty = Fraction(0)
    for asset in snapshot.vault.assets:
        unit = Fraction(asset.price, WAD * 10 ** snapshot.token[asset.token].decimals)
        traded = change.get(asset.token, 0) * unit
        gained += traded
        penalty += (asset.balance * unit + traded - nav * Fraction(asset.target_weight, WAD)) ** 2
    return float(gained) - policy.tracking_penalty / 2 * float(penalty / nav) - gas_usd
