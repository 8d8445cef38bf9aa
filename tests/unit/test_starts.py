"""With what a circle is started that the vault holds nothing of."""

import numpy as np
import pytest
from builders import LINK, UNI, USDC, WBTC, WETH, address, v2_pool

from keeper.pools import BasePool, UniswapV3Pool
from keeper.routing.integers import Ledger, Trade
from keeper.routing.market import Market
from keeper.routing.starts import starts, turning

ROUND = (v2_pool(1, LINK, UNI, 1e6), v2_pool(2, LINK, UNI, 1e6))
PRICES = {coin.address: coin.cents / 100 / 10**coin.decimals for coin in (USDC, WETH)}
UNDONE = [
    Trade(ROUND[0].name, LINK.address, UNI.address, LINK.amount(3000), 3000),
    Trade(ROUND[1].name, UNI.address, LINK.address, UNI.amount(2000), 2000),
]


def found(*pools: BasePool, most: float = 1e6, usdc: float = 1e6, weth: float = 1e6) -> list[list[Trade]]:
    ledger = Ledger(
        {pool.name: pool for pool in (*ROUND, *pools)},
        {USDC.address: USDC.amount(usdc), WETH.address: WETH.amount(weth)},
    )
    market = Market.of(tuple(ledger.pools.values()), PRICES)
    allowed = market.with_one_pair(np.ones(market.size, dtype=np.int64), UNDONE)
    return list(starts(market, allowed, ledger, UNDONE, most))


def ways(tries: list[list[Trade]]) -> set[tuple[str, ...]]:
    """The pools of each try, there and back."""
    return {tuple(trade.pool for trade in trades) for trades in tries}


def test_only_what_leads_back_to_itself_turns():
    out = Trade(ROUND[0].name, UNI.address, WETH.address, 1, 500)
    into = Trade(ROUND[0].name, USDC.address, LINK.address, 1, 400)
    assert turning([*UNDONE, out, into]) == {LINK.address: 3000, UNI.address: 2000}
    assert turning([UNDONE[0], out, into]) == {}


def test_what_is_bought_is_sold_again_the_same_way_once_the_circle_is_done():
    one, two = v2_pool(3, USDC, WBTC, 1e7), v2_pool(4, WBTC, LINK, 1e7)
    for trades in found(one, two):
        there, back = trades[: len(trades) // 2], trades[len(trades) // 2 :]
        assert [trade.pool for trade in back] == [trade.pool for trade in reversed(there)]
        assert [trade.token_in for trade in back] == [trade.token_out for trade in reversed(there)]
        assert [trade.closes for trade in trades] == [False] * len(there) + [True] * len(back)
        assert there[0].token_in == USDC.address


def test_a_start_is_a_third_of_the_circle_or_less():
    dollars = [trades[0].amount_in / 1e6 for trades in found(v2_pool(3, USDC, LINK, 1e7)) if len(trades) == 2]
    assert dollars == pytest.approx([1000, 300, 100, 30], rel=1e-6)


def test_of_two_ways_in_the_cheaper_one_is_taken():
    dear, cheap = v2_pool(3, USDC, LINK, 1e7, fee_pips=10_000), v2_pool(4, USDC, LINK, 1e7, fee_pips=500)
    assert {way[0] for way in ways(found(dear, cheap))} == {cheap.name}


def test_a_thin_pool_is_no_cheap_way_in():
    thin, deep = v2_pool(3, USDC, LINK, 100, fee_pips=100), v2_pool(4, USDC, LINK, 1e7, fee_pips=3000)
    assert {way[0] for way in ways(found(thin, deep))} == {deep.name}


def test_a_pool_without_liquidity_is_no_way_in():
    empty = UniswapV3Pool(
        address=address(9), token0=USDC.address, token1=LINK.address, fee_pips=500, tick_spacing=10,
        sqrt_price_x96=2**96, liquidity=0, tick=0, ticks=(),
    )  # fmt: skip
    deep = v2_pool(4, USDC, LINK, 1e7)
    assert {way[0] for way in ways(found(empty, deep))} == {deep.name}
    assert found(empty) == []


def test_an_asset_of_which_too_little_is_there_starts_nothing():
    by_usdc, by_weth = v2_pool(3, USDC, LINK, 1e7, fee_pips=500), v2_pool(4, WETH, LINK, 1e7, fee_pips=3000)
    assert {way[0] for way in ways(found(by_usdc, by_weth))} == {by_usdc.name}
    assert {way[0] for way in ways(found(by_usdc, by_weth, usdc=1))} == {by_weth.name}
    assert found(by_usdc, by_weth, usdc=1, weth=1) == []


def test_what_costs_more_than_it_can_bring_is_not_tried():
    dear = v2_pool(3, USDC, LINK, 1e7, fee_pips=500_000)
    assert len(found(dear)) == 8
    # There and back takes three quarters: of $1,000, $300, $100 and $30 by LINK, two thirds of that by UNI.
    assert len(found(dear, most=80)) == 4
    assert found(dear, most=1) == []
