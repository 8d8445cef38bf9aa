"""How to start circles of which nothing is there: a little of one token is bought, goes round, and is sold again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from heapq import heappop, heappush, nlargest
from itertools import count
from typing import NamedTuple

import numpy as np

from keeper.pools import SwapError
from keeper.routing.integers import Ledger, Trade
from keeper.routing.jit import Ints
from keeper.routing.market import Market

_TOKENS = 3
"""Tokens that are tried to start a circle with."""
_LAPS = (3, 10, 30, 100)
"""How often what starts a circle goes round in it: the more, the less of it is bought and sold again."""
_WAYS = 3
"""Assets that are tried to buy it with."""


def starts(
    market: Market, allowed: Ints, ledger: Ledger, undone: Sequence[Trade], most: float
) -> Iterator[list[Trade]]:
    """Trades that buy some of a token which ``undone`` ones turn in a circle, with an asset, and that sell it again.

    Only through curves of ``market`` that are ``allowed`` (shape (curves,), 0 or 1). Nothing that loses more than
    ``most`` USD on the way there and back.
    """
    spent = turning(undone)
    doors = _doors(market, allowed)
    usd = dict(zip(market.tokens, map(float, market.scale), strict=True))
    for token in nlargest(_TOKENS, spent, key=spent.__getitem__):
        for laps in _LAPS:
            value = spent[token] / laps
            payable = {asset for asset in ledger.balances if ledger.here(asset) * usd[asset] >= value} - {token}
            for way in _ways_in(doors, token, payable, value):
                bought = _there_and_back(ledger, way, int(value / usd[way[0].token_in]), value)
                if bought is not None and bought.lost * usd[way[0].token_in] <= most:
                    yield bought.trades
                    break


def turning(trades: Sequence[Trade]) -> dict[str, float]:
    """The tokens that ``trades`` lead from and back to, and what of each is spent on the way round, USD."""
    tokens = dict.fromkeys(token for trade in trades for token in (trade.token_in, trade.token_out))
    places = {token: place for place, token in enumerate(tokens)}
    reached = np.eye(len(places), dtype=bool)
    for trade in trades:
        reached[places[trade.token_in], places[trade.token_out]] = True
    for _ in range(len(places).bit_length()):
        reached @= reached
    spent: dict[str, float] = defaultdict(float)
    for trade in trades:
        if reached[places[trade.token_out], places[trade.token_in]]:
            spent[trade.token_in] += trade.usd
    return spent


class _Door(NamedTuple):
    """A pool through which ``token_in`` leads to another token: its fee, a fraction, and its depth, USD."""

    pool: str
    token_in: str
    token_out: str
    fee: float
    depth: float


def _doors(market: Market, allowed: Ints) -> dict[str, list[_Door]]:
    """The doors to each token."""
    doors: dict[str, list[_Door]] = defaultdict(list)
    for e in np.flatnonzero(allowed):
        pool, a, b = market.pools[market.pool[e]], market.tokens[market.curves.a[e]], market.tokens[market.curves.b[e]]
        depth = pool.virtual_reserves(a, b)[0] * float(market.scale[market.curves.a[e]])
        if depth > 0:
            doors[b].append(_Door(pool.name, a, b, pool.fee_fraction, depth))
            doors[a].append(_Door(pool.name, b, a, pool.fee_fraction, depth))
    return doors


def _ways_in(doors: Mapping[str, list[_Door]], token: str, payable: set[str], usd: float) -> Iterator[list[_Door]]:
    """Ways from some assets that are ``payable`` to ``token``, the cheapest first: by fees, and by how thin pools are.

    (Dijkstra's algorithm, from the end.)
    """
    order, done, found = count(), set[str](), 0
    queue: list[tuple[float, int, str, list[_Door]]] = [(0.0, next(order), token, [])]
    while queue and found < _WAYS:
        cost, _, here, way = heappop(queue)
        if here in done:
            continue
        done.add(here)
        if here in payable:
            found += 1
            yield way
        for door in doors.get(here, ()):
            if door.token_in not in done:
                heappush(queue, (cost + door.fee + usd / door.depth, next(order), door.token_in, [door, *way]))


class _Bought(NamedTuple):
    """Trades that lead there and back, and what that loses of the first token, raw units."""

    trades: list[Trade]
    lost: int


def _there_and_back(ledger: Ledger, way: Sequence[_Door], amount_in: int, usd: float) -> _Bought | None:
    """What comes of going along ``way`` with so much (``usd`` dollars) and back with all it buys; None if it fails."""
    pools, amount = dict(ledger.pools), amount_in
    trades = []
    back = [_Door(door.pool, door.token_out, door.token_in, door.fee, door.depth) for door in reversed(way)]
    for place, door in enumerate((*way, *back)):
        trades.append(Trade(door.pool, door.token_in, door.token_out, amount, usd, closes=place >= len(way)))
        try:
            amount, pools[door.pool] = pools[door.pool].swap(door.token_in, door.token_out, amount)
        except SwapError:
            return None
    return _Bought(trades, amount_in - amount)
