"""Random worlds of pools that look like a mainnet, and the real pool states of the public data set."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isqrt
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keeper.domain import AssetState, Block, GasUnits, Policy, Snapshot, Token, VaultState
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    BasePool,
    RatedHolding,
    Tick,
    UniswapV2Pool,
    UniswapV3Pool,
    WeightedHolding,
)
from keeper.pools.tick_math import MAX_TICK, tick_at_sqrt_price
from keeper.routing.goal import Goal
from keeper.routing.jit import Floats
from keeper.units import WAD

DATA = Path(os.environ.get("BALLAST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
"""The public data set, which is not part of the project."""

NOW = 1_760_000_000
NATIVE_PRICE = 2_500
HOP_GAS = 100_000
HOP_USD = 5.0
"""What a hop costs where gas counts."""

Kind = Literal["v2", "v3", "weighted", "stable"]

MIXES: dict[str, dict[Kind, float]] = {
    "V2": {"v2": 1.0},
    "V3": {"v3": 1.0},
    "mixed": {"v2": 0.4, "v3": 0.4, "weighted": 0.15, "stable": 0.05},
}
"""Shares of the kinds of pools."""

_FEES = {500: 10, 3000: 60, 10_000: 200}
_TICKS = 20
_KNOWN = ((1.0, 6), (2500.0, 18), (60_000.0, 8), (1.0, 18))
"""Prices and decimals of the first tokens, which most pools trade; one in five tokens is a dollar."""


@dataclass(frozen=True, eq=False)
class World:
    """Tokens, their prices in dollars for one whole token, and pools."""

    tokens: tuple[Token, ...]
    prices: tuple[float, ...]
    pools: tuple[BasePool, ...]

    def unit_value(self, place: int) -> float:
        """Dollars per raw unit of a token."""
        return self.prices[place] / 10.0 ** self.tokens[place].decimals

    def amount(self, place: int, dollars: float) -> int:
        """Raw units of a token that are worth so much."""
        return int(dollars / self.unit_value(place))


def world(rng: np.random.Generator, tokens: int, pools: int, mix: Mapping[Kind, float], *, torn: bool = False) -> World:
    """A random market: most pools hold a hub token, and depths are 1e5 to 5e7 dollars.

    Prices are within each pool's fee of the oracle's, so that there is next to no arbitrage; or, ``torn``, some 1% off,
    so that nearly every pool trades. Every V3 pool has at least 20 initialised ticks.
    """
    prices, decimals = _tokens(rng, tokens)
    listed = tuple(Token(address=_address(i + 1), symbol=f"T{i}", decimals=decimals[i]) for i in range(tokens))
    bare = World(listed, prices, ())
    kinds = rng.choice(list(mix), pools, p=list(mix.values()))
    return World(listed, prices, tuple(_pool(rng, bare, k, str(kind), torn) for k, kind in enumerate(kinds)))


def _tokens(rng: np.random.Generator, count: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
    prices = [float(price) for price in np.exp(rng.uniform(np.log(1e-2), np.log(1e5), count))]
    decimals = [int(places) for places in rng.choice([6, 8, 18], count)]
    for place in range(0, count, 5):
        prices[place] = 1.0
    for place, (price, places) in enumerate(_KNOWN[:count]):
        prices[place], decimals[place] = price, places
    return tuple(prices), tuple(decimals)


def _pair(rng: np.random.Generator, count: int) -> tuple[int, int]:
    hubs = min(4, max(2, count // 3))
    first = int(rng.integers(hubs)) if rng.random() < 0.7 else int(rng.integers(count))
    second = int(rng.integers(count - 1))
    second += second >= first
    return min(first, second), max(first, second)


def _pool(rng: np.random.Generator, among: World, number: int, kind: str, torn: bool) -> BasePool:
    count = len(among.tokens)
    i, j = _pair(rng, count)
    fee = int(rng.choice(list(_FEES))) if kind == "v3" else 3000
    off = float(np.exp(rng.normal(0, 0.01) if torn else rng.uniform(-fee, fee) / 1e6))
    dollars = float(np.exp(rng.uniform(np.log(1e5), np.log(5e7))))
    address = _address(100_000 + number)
    if kind == "stable":
        return _stable(rng, among, address, dollars, torn)
    if kind == "weighted":
        return _weighted(rng, among, address, ((i, dollars), (j, dollars * off)))
    token0, token1 = among.tokens[i].address, among.tokens[j].address
    amount0, amount1 = among.amount(i, dollars), among.amount(j, dollars * off)
    if kind == "v2":
        return UniswapV2Pool(
            address=address, token0=token0, token1=token1, fee_pips=fee, reserve0=amount0, reserve1=amount1
        )
    sqrt_price = isqrt((amount1 << 192) // amount0)
    tick, nets = _positions(rng, sqrt_price, isqrt(amount0 * amount1), _FEES[fee])
    return UniswapV3Pool(
        address=address,
        token0=token0,
        token1=token1,
        fee_pips=fee,
        tick_spacing=_FEES[fee],
        sqrt_price_x96=sqrt_price,
        liquidity=sum(net for index, net in nets.items() if index <= tick),
        tick=tick,
        ticks=tuple(Tick(index=index, liquidity_net=net) for index, net in sorted(nets.items()) if net),
    )


def _positions(rng: np.random.Generator, sqrt_price: int, depth: int, spacing: int) -> tuple[int, dict[int, int]]:
    """The tick of the price, and the net liquidity of overlapping positions around it by tick."""
    tick = tick_at_sqrt_price(sqrt_price)
    centre, limit = tick // spacing, MAX_TICK // spacing
    nets = {-limit * spacing: depth // 10, limit * spacing: -(depth // 10)}
    while sum(net != 0 for net in nets.values()) < _TICKS:
        width = int(rng.integers(2, max(3, 12_000 // spacing)))
        lower, upper = (
            max(-limit, min(limit, centre + end)) * spacing for end in (int(rng.integers(-width, 1)), width)
        )
        size = int(depth * rng.uniform(0.1, 1.0))
        nets[lower] = nets.get(lower, 0) + size
        nets[upper] = nets.get(upper, 0) - size
    return tick, nets


def _weighted(
    rng: np.random.Generator, among: World, address: str, sides: Sequence[tuple[int, float]]
) -> BalancerWeightedPool:
    share = int(rng.choice([50, 80]))
    pool = BalancerWeightedPool(
        address=address,
        id=_name(address),
        swap_fee=3 * WAD // 1000,
        tokens=tuple(
            WeightedHolding(
                token=among.tokens[place].address,
                balance=among.amount(place, dollars * weight / 50),
                weight=weight * WAD // 100,
            )
            for (place, dollars), weight in zip(sides, (share, 100 - share), strict=True)
        ),
    )
    return pool.listed({token.address.lower(): token for token in among.tokens})


def _stable(rng: np.random.Generator, among: World, address: str, dollars: float, torn: bool) -> BasePool:
    alike = [place for place, price in enumerate(among.prices) if price == 1.0]
    tilt = 0.3 if torn else 0.03
    members = sorted(int(k) for k in rng.choice(alike, 2, replace=False))
    return BalancerStablePool(
        address=address,
        id=_name(address),
        amplification=200_000,
        a_precision=1000,
        fee=WAD // 2500,
        tokens=tuple(
            RatedHolding(
                token=among.tokens[k].address,
                balance=among.amount(k, dollars * float(rng.uniform(1 - tilt, 1 + tilt))),
                rate=WAD * 10 ** (18 - among.tokens[k].decimals),
            )
            for k in members
        ),
    )


def distinct(found: World) -> World:
    """With one V2 pair per two tokens and one V3 pool per two tokens and fee, as their factories have it."""
    kept: dict[tuple[object, ...], BasePool] = {}
    for pool in found.pools:
        kept.setdefault((pool.kind, pool.tokens, pool.fee_fraction), pool)
    return World(found.tokens, found.prices, tuple(kept.values()))


# Baskets


def basket(rng: np.random.Generator, tokens: int, *, drift: float = 0.3) -> tuple[Floats, Floats]:
    """Random target weights, and the weights that are held: targets scaled by up to ``drift`` either way."""
    targets = rng.dirichlet(np.full(tokens, 5.0))
    held = targets * (1 + rng.uniform(-drift, drift, tokens))
    return held / held.sum(), targets


def goal(nav: float, penalty: float, held: Floats, targets: Floats) -> Goal:
    """What the solver is asked for when all tokens of a market are the basket, held in these weights."""
    count = len(held)
    return Goal(
        nav=nav,
        gain=np.ones(count),
        excess=(held - targets) * nav,
        low=-held * nav,
        high=np.full(count, np.inf),
        penalty=np.full((1, count), penalty / nav),
        rows=np.zeros((0, count)),
        bounds=np.zeros(0),
    )


def snapshot(of: World, places: Sequence[int], nav: float, held: Sequence[float], targets: Sequence[float]) -> Snapshot:
    """A vault of ``nav`` dollars that holds the tokens at ``places`` in these weights."""
    weights = [int(weight * WAD) for weight in targets]
    weights[0] += WAD - sum(weights)
    return Snapshot(
        version=1,
        chain_id=1,
        block=Block(number=1, hash="0x" + "ab" * 32, timestamp=NOW, base_fee_per_gas=0, priority_fee_per_gas=0),
        native_price=NATIVE_PRICE * WAD,
        tokens=of.tokens,
        vault=VaultState(
            address=_address(99_999),
            nonce=0,
            total_supply=WAD,
            assets=tuple(
                AssetState(
                    token=of.tokens[place].address,
                    balance=of.amount(place, nav * weight),
                    target_weight=target,
                    price=int(of.prices[place] * WAD),
                    price_updated_at=NOW,
                )
                for place, weight, target in zip(places, held, weights, strict=True)
            ),
        ),
        pools=of.pools,
    )


def gas_units() -> GasUnits:
    """The same for a hop through any pool, and nothing for the batch itself, which every peer pays too."""
    return GasUnits(base=0, **{kind: HOP_GAS for kind in GasUnits.model_fields if kind != "base"})


def gas_price(hop_usd: float) -> int:
    """Wei per unit of gas at which a hop costs so much."""
    return round(hop_usd / NATIVE_PRICE / HOP_GAS * WAD)


def policy(penalty: float, hop_usd: float) -> Policy:
    """Look always; a hop costs ``hop_usd``."""
    return Policy.model_validate(
        {
            "trigger": {"kind": "always"},
            "tracking_penalty": penalty,
            "gas_price_wei": str(gas_price(hop_usd)),
            "gas_units": gas_units().model_dump(),
        }
    )


# Real states


def real_worlds() -> dict[str, World]:
    """Worlds of real pool states by name; none without the public data set.

    "2026": Uniswap V2 and V3 pools of one moment, which form a tree around WETH: there is one way only between any two
    tokens. (The data set's other WBTC/WETH pool is a later state of one of them.) "2022": Uniswap, Sushiswap, Balancer
    and stable pools from an instance of a batch auction.
    """
    found = {}
    serialized = DATA / "pools/tycho_serialized_state/data_train.json"
    instance = DATA / "pools/cow_solver_instances/large_example_train.json"
    if serialized.is_file():
        found["2026"] = _world_of_2026(json.loads(serialized.read_text(encoding="utf-8")))
    if instance.is_file():
        found["2022"] = _world_of_2022(json.loads(instance.read_text(encoding="utf-8")))
    return found


def _world_of_2026(entries: list[dict[str, Any]]) -> World:
    tokens = {
        token["address"]: Token(address=token["address"], symbol=token["symbol"], decimals=token["decimals"])
        for entry in entries
        for token in entry["tokens"]
    }
    pools = [
        _serialized(number, [token["address"] for token in entry["tokens"]], entry["state"])
        for number, entry in enumerate(entries)
    ]
    prices = _prices(tokens, pools)
    known = [address for address in tokens if address in prices]
    return World(
        tuple(tokens[address] for address in known),
        tuple(prices[address] for address in known),
        tuple(pool for pool in pools if set(pool.tokens) <= set(known)),
    )


def _serialized(number: int, pair: list[str], state: dict[str, Any]) -> BasePool:
    address, inner = _address(200_000 + number), state["state"]
    if state["protocol"] == "UniswapV2State":
        reserves = [int(inner[name], 16) for name in ("reserve0", "reserve1")]
        return UniswapV2Pool(
            address=address, token0=pair[0], token1=pair[1], fee_pips=3000, reserve0=reserves[0], reserve1=reserves[1]
        )
    return UniswapV3Pool(
        address=address,
        token0=pair[0],
        token1=pair[1],
        fee_pips={"Lowest": 100, "Low": 500, "Medium": 3000, "High": 10_000}[inner["fee"]],
        tick_spacing=inner["ticks"]["tick_spacing"],
        sqrt_price_x96=int(inner["sqrt_price"], 16),
        liquidity=inner["liquidity"],
        tick=inner["tick"],
        ticks=tuple(Tick(index=tick["index"], liquidity_net=tick["net_liquidity"]) for tick in inner["ticks"]["ticks"]),
    )


def _prices(tokens: Mapping[str, Token], pools: Sequence[BasePool]) -> dict[str, float]:
    """Dollars for one whole token, from USDC outwards through the pools' mid prices."""
    prices = {address: 1.0 for address, token in tokens.items() if token.symbol == "USDC"}
    grown = True
    while grown:
        grown = False
        for pool in pools:
            for a, b in (pool.tokens, pool.tokens[::-1]):
                if a in prices and b not in prices:
                    fair = pool.marginal_price(b, a) / (1 - pool.fee_fraction)
                    prices[b] = prices[a] * fair * 10.0 ** (tokens[b].decimals - tokens[a].decimals)
                    grown = True
    return prices


def _world_of_2022(instance: dict[str, Any]) -> World:
    """Pools with at least a thousand dollars of each token, by the instance's own prices."""
    listed = {
        address: Token(address=address, symbol=entry["alias"] or address[:8], decimals=entry["decimals"])
        for address, entry in instance["tokens"].items()
        if entry["external_price"]
    }
    dollar = next(address for address, token in listed.items() if token.symbol == "USDC")
    quoted = {  # the file's prices are for a raw unit, up to a common factor
        address: instance["tokens"][address]["external_price"] * 10.0**token.decimals
        for address, token in listed.items()
    }
    prices = {address: price / quoted[dollar] for address, price in quoted.items()}
    pools = []
    for number, entry in instance["amms"].items():
        reserves = {
            token: int(held["balance"] if isinstance(held, dict) else held) for token, held in entry["reserves"].items()
        }
        if all(
            token in listed and held * prices[token] >= 1000 * 10 ** listed[token].decimals
            for token, held in reserves.items()
        ):
            pools.append(_instance_pool(_address(400_000 + int(number)), entry, reserves, listed))
    used = [address for address in listed if any(address in pool.tokens for pool in pools)]
    return World(tuple(listed[address] for address in used), tuple(prices[address] for address in used), tuple(pools))


def _instance_pool(address: str, entry: dict[str, Any], reserves: dict[str, int], listed: dict[str, Token]) -> BasePool:
    fee = round(float(entry["fee"]) * WAD)
    if entry["kind"] == "ConstantProduct":
        (token0, reserve0), (token1, reserve1) = sorted(reserves.items())
        return UniswapV2Pool(
            address=address,
            token0=token0,
            token1=token1,
            fee_pips=fee // 10**12,
            reserve0=reserve0,
            reserve1=reserve1,
        )
    if entry["kind"] == "WeightedProduct":
        weighted = BalancerWeightedPool(
            address=address,
            id=_name(address),
            swap_fee=fee,
            tokens=tuple(
                WeightedHolding(
                    token=token, balance=held, weight=int(Decimal(entry["reserves"][token]["weight"]) * WAD)
                )
                for token, held in reserves.items()
            ),
        )
        return weighted.listed({token.address.lower(): token for token in listed.values()})
    return BalancerStablePool(
        address=address,
        id=_name(address),
        amplification=round(float(entry["amplification_parameter"]) * 1000),
        a_precision=1000,
        fee=fee,
        tokens=tuple(
            RatedHolding(token=token, balance=held, rate=WAD * 10 ** (18 - listed[token].decimals))
            for token, held in reserves.items()
        ),
    )


def _address(number: int) -> str:
    return f"0x{number:040x}"


def _name(address: str) -> str:
    return "0x" + address[2:].zfill(64)
