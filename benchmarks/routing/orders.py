"""One order, one pair of tokens: beside Uniswap's smart-order-router."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.routing import graphs
from benchmarks.routing.clock import Spread, timed
from benchmarks.routing.graphs import HOP_USD, World
from keeper.pools import UniswapV2Pool, UniswapV3Pool
from keeper.routing import Plan, Problem, optimise

PEERS = Path(__file__).parents[1] / "peers"
SIZES = (10_000, 100_000, 500_000)
"""Dollars."""
_LINEAR = 1e-6
"""A tracking penalty so small that only what is bought counts; the solver needs some curvature."""

_FLOATS = 1e-12
"""A part of the order that the solver's floats may miss."""


@dataclass(frozen=True)
class Order:
    """Sell ``dollars`` worth of a token for another one; places in the world's tokens."""

    world: World
    sold: int
    bought: int
    dollars: float
    hop_usd: float

    @property
    def amount(self) -> int:
        """Raw units that are sold."""
        return self.world.amount(self.sold, self.dollars)


@dataclass(frozen=True)
class Filled:
    """Dollars' worth bought, swaps, milliseconds of CPU time, and (of the peer) how many routes were quoted.

    ``rounding`` is what one raw unit of both tokens of each swap is worth.
    """

    usd: float
    hops: int
    milliseconds: float
    rounding: float
    routes: int = 0

    def net(self, hop_usd: float) -> float:
        """Dollars after gas."""
        return self.usd - self.hops * hop_usd


@dataclass(frozen=True)
class Compared:
    """Ours and the peer's answer to one order, and the most that is possible by our certificate, net of gas."""

    order: Order
    ours: Filled
    peer: Filled
    bound: float

    @property
    def gained(self) -> float:
        """Basis points of the order by which ours is better, gas counted at the order's price."""
        return self._bp(self.ours.net(self.order.hop_usd) - self.peer.net(self.order.hop_usd))

    @property
    def missed(self) -> float:
        """Basis points of the order by which anything could be better than ours."""
        return self._bp(max(self.bound - self.ours.net(self.order.hop_usd), 0.0))

    @property
    def unit(self) -> float:
        """Basis points of the order that one raw unit of each token per swap is worth."""
        return self._bp(self.ours.rounding + self.peer.rounding)

    def _bp(self, dollars: float) -> float:
        return dollars / self.order.dollars * 1e4


def compare(orders: Sequence[Order]) -> list[Compared]:
    """Every order by both."""
    found = []
    for order, peer in zip(orders, _peer(orders), strict=True):
        milliseconds, plan = timed(partial(ours, order))
        filled = _planned(order, plan, milliseconds)
        certificate = plan.certificate
        found.append(Compared(order, filled, peer, float("inf") if certificate is None else certificate.bound))
    return found


def _planned(order: Order, plan: Plan, milliseconds: float) -> Filled:
    """What a plan buys, and the few raw units of input that no pool pays anything for.

    Raises:
        RuntimeError: more of the input than that is left over.
    """
    values = _unit_values(order.world)
    sold, bought = (order.world.tokens[place].address for place in (order.sold, order.bought))
    change = plan.change or {}
    rounding = sum(values[swap.token_in] + values[swap.token_out] for swap in plan.swaps)
    left = (order.amount + change.get(sold, 0)) * values[sold]
    if left > rounding + _FLOATS * order.dollars:
        raise RuntimeError(f"of an order of {order.dollars} dollars {left} are left over")
    return Filled(change.get(bought, 0) * values[bought] + left, len(plan.swaps), milliseconds, rounding)


def _unit_values(world: World) -> dict[str, float]:
    return {token.address: world.unit_value(place) for place, token in enumerate(world.tokens)}


def ours(order: Order) -> Plan:
    """A basket of the two that holds all of one, which is worth nothing to it, and wants the other."""
    snapshot = graphs.snapshot(order.world, (order.sold, order.bought), order.dollars, (1.0, 0.0), (0.0, 1.0))
    return optimise(
        Problem(
            snapshot=snapshot,
            pools=order.world.pools,
            tracking_penalty=_LINEAR,
            gas_units=graphs.gas_units(),
            gas_price=graphs.gas_price(order.hop_usd),
            gains={order.world.tokens[order.sold].address: 0.0},
        )
    )


def installed() -> bool:
    """Whether the peer is there; `make bench-routing` installs it."""
    return (PEERS / "node_modules" / "@uniswap" / "smart-order-router").is_dir()


def _peer(orders: Sequence[Order]) -> Iterator[Filled]:
    """What the peer does with each order, resimulated here.

    Raises:
        RuntimeError: its swaps do not pay what it says.
    """
    worlds = list({id(order.world): order.world for order in orders}.values())
    document = [
        {
            "tokens": [token.model_dump() for token in world.tokens],
            "pools": [json.loads(pool.model_dump_json()) for pool in world.pools],
            "orders": [_asked(order) for order in orders if order.world is world],
        }
        for world in worlds
    ]
    done = subprocess.run(  # noqa: S603  a file of this repository
        ["node", str(PEERS / "sor.cjs")],  # noqa: S607  node is wherever the user has it
        input=json.dumps(document),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = {id(world): iter(found) for world, found in zip(worlds, json.loads(done.stdout), strict=True)}
    for order in orders:
        yield _filled(order, next(answers[id(order.world)]))


def _asked(order: Order) -> dict[str, Any]:
    cost = str(order.world.amount(order.bought, order.hop_usd))
    return {
        "token_in": order.world.tokens[order.sold].address,
        "token_out": order.world.tokens[order.bought].address,
        "amount": str(order.amount),
        "hop_cost": {"uniswap_v2": cost, "uniswap_v3": cost},
    }


def _filled(order: Order, answer: dict[str, Any]) -> Filled:
    pools = {pool.name: pool for pool in order.world.pools}
    values = _unit_values(order.world)
    rounding = 0.0
    bought = hops = sold = 0
    for route in answer["routes"]:
        token, amount = order.world.tokens[order.sold].address, int(route["amount"])
        sold += amount
        for name in route["pools"]:
            pool = pools[name]
            if not isinstance(pool, UniswapV2Pool | UniswapV3Pool):
                raise TypeError(f"pool {name} is of no kind that the peer knows")
            other = pool.other(token)
            amount, pools[name] = pool.swap(token, other, amount)
            rounding += values[token] + values[other]
            token = other
        hops += len(route["pools"])
        bought += amount
        # What percentages leave over is added to the last route after it was quoted.
        if route is not answer["routes"][-1] and amount != int(route["quote"]):
            raise RuntimeError(f"a route pays {amount} raw units where the peer says {route['quote']}")
    if sold != order.amount:
        raise RuntimeError(f"the peer sells {sold} raw units of {order.amount}")
    usd = bought * order.world.unit_value(order.bought)
    return Filled(usd, hops, answer["total_ms"], rounding, answer["routes_tried"])


# What is compared


def random_orders(seeds: Sequence[int], shape: tuple[int, int], sizes: Sequence[float], hop_usd: float) -> list[Order]:
    """For each seed a world of so many tokens and at most so many pools (V2 and V3), in it one pair at each size."""
    orders = []
    for seed in seeds:
        rng = np.random.default_rng([seed, *shape])
        world = graphs.distinct(graphs.world(rng, *shape, {"v2": 0.4, "v3": 0.6}))
        sold, bought = (int(place) for place in rng.choice(shape[0], 2, replace=False))
        orders += [Order(world, sold, bought, size, hop_usd) for size in sizes]
    return orders


def real_orders(world: World, sizes: Sequence[float], hop_usd: float) -> list[Order]:
    """Between the deepest tokens of the real states."""
    place = {token.symbol: k for k, token in enumerate(world.tokens)}
    pairs = (("USDC", "WBTC"), ("WETH", "WBTC"), ("USDC", "WETH"), ("LINK", "USDT"))
    return [Order(world, place[sold], place[bought], size, hop_usd) for sold, bought in pairs for size in sizes]


def table(seeds: Sequence[int], shapes: Sequence[tuple[int, int]], sizes: Sequence[float]) -> list[dict[str, Any]]:
    """One row per world, size and price of gas; numbers are medians and spreads over the orders."""
    real = graphs.real_worlds().get("2026")
    rows = []
    for hop_usd in (0.0, HOP_USD):
        named = [(f"{n} tokens, at most {p} pools", random_orders(seeds, (n, p), sizes, hop_usd)) for n, p in shapes]
        if real is not None:
            named.append(("real states", real_orders(real, sizes, hop_usd)))
        for name, orders in named:
            found = compare(orders)
            rows += [
                _row(name, hop_usd, size, [entry for entry in found if entry.order.dollars == size]) for size in sizes
            ]
    return rows


def _row(name: str, hop_usd: float, size: float, found: Sequence[Compared]) -> dict[str, Any]:
    return {
        "world": name,
        "hop_usd": hop_usd,
        "size_usd": size,
        "orders": len(found),
        "gained_bp": Spread.of([entry.gained for entry in found]).as_json(),
        "never_worse": all(entry.gained >= -entry.unit for entry in found),
        "missed_bp": Spread.of([entry.missed for entry in found]).as_json(),
        "hops": Spread.of([entry.ours.hops for entry in found]).as_json(),
        "peer_hops": Spread.of([entry.peer.hops for entry in found]).as_json(),
        "ms": Spread.of([entry.ours.milliseconds for entry in found]).as_json(),
        "peer_ms": Spread.of([entry.peer.milliseconds for entry in found]).as_json(),
        "peer_routes": Spread.of([entry.peer.routes for entry in found]).as_json(),
    }
