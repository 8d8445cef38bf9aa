"""What the solver believes of a pool is what the pool does."""

from math import isclose

import numpy as np
import pytest
from builders import COINS, LINK, USDC, WBTC, WETH, curve_pool, stable_pool, v2_pool, v3_pool, v4_pool, weighted_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.pools import BasePool, SwapError
from keeper.routing import kernels
from keeper.routing.market import Market

POOLS = {
    "uniswap_v2": v2_pool(1, USDC, WETH, 1e7),
    "uniswap_v3": v3_pool(2, USDC, WETH, 1e7),
    "uniswap_v4": v4_pool(3, USDC, WBTC, 1e7),
    "balancer_weighted": weighted_pool(4, {WETH: 0.8, USDC: 0.1, WBTC: 0.1}, 1e7),
    "balancer_stable": stable_pool(5, {USDC: 3e6, WETH: 5e6, LINK: 2e6}),
    "curve_stableswap": curve_pool(6, {USDC: 3e6, LINK: 5e6}),
}


def priced(pool: BasePool) -> Market:
    """The market of one pool, all its tokens at their prices, or all at a dollar if the pool takes them for equal."""
    alike = "stable" in pool.kind
    coins = {coin.address: coin for coin in COINS}
    prices = {token: (1 if alike else coins[token].cents / 100) / 10 ** coins[token].decimals for token in pool.tokens}
    return Market.of((pool,), prices)


def best_trade(market: Market, curve: int, ratio: float) -> tuple[int, float, float, float]:
    return kernels.trade(market.curves.kinds[curve], market.curves.params[curve], market.curves.segments, ratio)


@pytest.mark.parametrize("kind", POOLS)
@settings(max_examples=60, deadline=None)
@given(log_ratio=st.floats(-0.2, 0.2), curve=st.integers(0, 2))
def test_the_trade_that_the_solver_wants_is_the_one_that_the_pool_makes(kind, log_ratio, curve):
    pool = POOLS[kind]
    market = priced(pool)
    curve %= market.size
    way, amount_in, amount_out, _ = best_trade(market, curve, float(np.exp(log_ratio)))
    if way == 0 or amount_in < 1:
        return
    a, b = market.curves.a[curve], market.curves.b[curve]
    i, j = (a, b) if way > 0 else (b, a)
    raw = int(amount_in / market.scale[i])
    try:
        paid, after = pool.swap(market.tokens[i], market.tokens[j], raw)
    except SwapError:  # the largest trade that a pool takes, and a rounding more
        paid, after = pool.swap(market.tokens[i], market.tokens[j], raw - raw // 10**10 - 1)
    # A unit of rounding, and what weighted pools round up a power by: about 1e-13 of the balance.
    assert isclose(paid * market.scale[j], amount_out, rel_tol=1e-9, abs_tol=2 * market.scale[j] + 2e-3)
    # Nothing is left to gain at the same price.
    again = priced(after)
    _, more, _, _ = best_trade(again, curve, float(np.exp(log_ratio)))
    assert more < 1e-2 * amount_in + 1


@pytest.mark.parametrize("kind", POOLS)
def test_a_pool_at_the_market_price_is_left_alone(kind):
    market = priced(POOLS[kind])
    for curve in range(market.size):
        i, j = market.curves.a[curve], market.curves.b[curve]
        pool = market.pools[0]
        there = pool.marginal_price(market.tokens[i], market.tokens[j]) / (1 - pool.fee_fraction)
        way, *_ = best_trade(market, curve, there * market.scale[j] / market.scale[i])
        assert way == 0


@pytest.mark.parametrize("kind", POOLS)
@settings(max_examples=60, deadline=None)
@given(log_ratio=st.floats(-0.1, 0.1), curve=st.integers(0, 2))
def test_the_curvature_is_the_slope_of_the_trade(kind, log_ratio, curve):
    market = priced(POOLS[kind])
    curve %= market.size
    step = 1e-6
    low, there, high = (best_trade(market, curve, float(np.exp(log_ratio + shift))) for shift in (-step, 0, step))
    if there[0] == 0 or low[0] != high[0]:
        return
    if not isclose(low[1] - there[1], there[1] - high[1], rel_tol=1e-2):  # a tick lies in between
        return
    # A higher price of a makes the pool take less a, or more b.
    slope = (low[1] - high[1]) / (2 * step) * there[0]
    assert isclose(slope, there[3], rel_tol=1e-2, abs_tol=1)
