import pytest
from builders import COINS, LINK, USDC, WETH, v3_pool
from pydantic import ValidationError

from keeper.pools import SwapError, Tick, UniswapV3Pool
from keeper.pools.tick_math import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    Q96,
    sqrt_price_at_tick,
    tick_at_sqrt_price,
)

LOW, HIGH = MIN_SQRT_PRICE + 1, MAX_SQRT_PRICE - 1


def pool(nets: dict[int, int], **changes) -> UniswapV3Pool:
    """A pool at price 1 with these net liquidities."""
    fields = {
        "address": COINS[2].address,
        "token0": USDC.address,
        "token1": WETH.address,
        "fee_pips": 3000,
        "tick_spacing": 60,
        "sqrt_price_x96": Q96,
        "liquidity": sum(net for index, net in nets.items() if index <= 0),
        "tick": 0,
        "ticks": tuple(Tick(index=index, liquidity_net=net) for index, net in nets.items()),
    }
    return UniswapV3Pool(**(fields | changes))


def test_the_ends_of_the_tick_range_have_the_prices_that_the_contract_names():
    assert (sqrt_price_at_tick(MIN_TICK), sqrt_price_at_tick(MAX_TICK)) == (MIN_SQRT_PRICE, MAX_SQRT_PRICE)
    assert sqrt_price_at_tick(0) == Q96


@pytest.mark.parametrize("tick", [MIN_TICK, -50_001, -1, 0, 1, 777, MAX_TICK - 1])
def test_the_tick_of_a_price_is_the_last_one_at_or_below_it(tick):
    assert tick_at_sqrt_price(sqrt_price_at_tick(tick)) == tick
    assert tick_at_sqrt_price(sqrt_price_at_tick(tick + 1) - 1) == tick


@pytest.mark.parametrize("tick", [MIN_TICK - 1, MAX_TICK + 1])
def test_a_tick_beyond_the_range_has_no_price(tick):
    with pytest.raises(ValueError, match="outside"):
        sqrt_price_at_tick(tick)


@pytest.mark.parametrize("price", [MIN_SQRT_PRICE - 1, MAX_SQRT_PRICE])
def test_a_price_beyond_the_range_has_no_tick(price):
    with pytest.raises(ValueError, match="outside"):
        tick_at_sqrt_price(price)


def test_a_swap_crosses_ticks_and_takes_up_the_liquidity_beyond():
    start = pool({-600: 10**18, -60: 10**18, 60: -(10**18), 600: -(10**18)})
    _, _, after = start.swap_exact(True, 10**30, sqrt_price_at_tick(-120))
    assert (start.liquidity, after.liquidity) == (2 * 10**18, 10**18)
    assert after.tick == -120


def test_a_swap_that_stops_on_a_tick_from_above_leaves_the_tick_below():
    start = pool({-60: 10**18, 60: -(10**18)})
    _, _, after = start.swap_exact(True, 10**30, sqrt_price_at_tick(-60))
    assert (after.tick, after.liquidity, after.sqrt_price_x96) == (-61, 0, sqrt_price_at_tick(-60))
    _, _, back = after.swap_exact(False, 10**30, Q96)
    assert (back.tick, back.liquidity) == (0, 10**18)


def test_an_exact_output_is_paid_exactly():
    amount0, amount1, _ = pool({-600: 10**18, 600: -(10**18)}).swap_exact(True, -(10**15), LOW)
    assert amount1 == -(10**15)
    assert amount0 > 10**15


def test_a_price_limit_ends_a_swap_although_some_is_left():
    amount0, _, after = pool({-600: 10**18, 600: -(10**18)}).swap_exact(True, 10**30, sqrt_price_at_tick(-77))
    assert amount0 < 10**30
    assert after.tick == -77


@pytest.mark.parametrize(
    ("zero_for_one", "limit"), [(True, Q96), (True, MIN_SQRT_PRICE), (False, Q96), (False, HIGH + 1)]
)
def test_a_price_limit_on_the_wrong_side_is_refused(zero_for_one, limit):
    with pytest.raises(SwapError, match="SPL"):
        pool({-600: 10**18, 600: -(10**18)}).swap_exact(zero_for_one, 1, limit)


def test_a_swap_of_nothing_is_refused():
    with pytest.raises(SwapError, match="AS"):
        pool({-600: 10**18, 600: -(10**18)}).swap_exact(True, 0, LOW)


def test_a_swap_through_all_liquidity_is_refused():
    with pytest.raises(SwapError, match="not enough liquidity"):
        pool({-600: 10**18, 600: -(10**18)}).swap(USDC.address, WETH.address, 10**18)


def test_a_swap_for_less_than_one_unit_is_refused():
    with pytest.raises(SwapError, match="too small"):
        pool({-600: 10**18, 600: -(10**18)}).swap(USDC.address, WETH.address, 1)


def test_a_token_that_the_pool_does_not_hold_is_refused():
    with pytest.raises(SwapError, match="does not hold"):
        v3_pool(0, USDC, WETH, 1e6).swap(LINK.address, USDC.address, 10)


def test_a_swap_inside_the_tick_window_equals_one_that_knows_all_ticks():
    whole = pool({-6000: 10**18, -120: 10**18, 120: -(10**18), 6000: -(10**18)})
    window = pool({-120: 10**18, 120: -(10**18)}, liquidity=2 * 10**18, tick_range=(-500, 500))
    assert (
        window.swap(USDC.address, WETH.address, 10**16).amount_out
        == whole.swap(USDC.address, WETH.address, 10**16).amount_out
    )
    assert (
        window.swap(WETH.address, USDC.address, 10**16).amount_out
        == whole.swap(WETH.address, USDC.address, 10**16).amount_out
    )


@pytest.mark.parametrize("token", [USDC.address, WETH.address])
def test_a_swap_that_leaves_the_tick_window_is_refused(token):
    window = pool({}, liquidity=10**18, tick_range=(-60, 60))
    window.swap(token, window.other(token), 10**15)
    with pytest.raises(SwapError, match="leaves the ticks that are known"):
        window.swap(token, window.other(token), 10**16)


def test_the_marginal_price_is_that_of_a_small_swap():
    start = v3_pool(0, USDC, WETH, 1e8)
    for token, amount in ((USDC.address, 10**6), (WETH.address, 10**15)):
        assert start.marginal_price(token, start.other(token)) == pytest.approx(
            start.swap(token, start.other(token), amount).amount_out / amount, rel=1e-6
        )


def test_virtual_reserves_quote_the_same_price_and_depth():
    reserve0, reserve1 = v3_pool(0, USDC, WETH, 1e6).virtual_reserves(USDC.address, WETH.address)
    assert reserve0 == pytest.approx(USDC.amount(5e5), rel=1e-6)
    assert reserve1 == pytest.approx(WETH.amount(5e5), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"liquidity": 1}, "does not match the ticks"),
        ({"liquidity": 3 * 10**18}, "does not match the ticks"),
        ({"tick": 5}, "does not match sqrt_price_x96"),
        ({"tick_range": (60, 120)}, "lies outside tick_range"),
        ({"tick_range": (-120, 120)}, "tick -600 lies outside tick_range"),
        ({"tick_range": (120, -120)}, "is empty"),
        ({"tick_spacing": 7}, "not a multiple of tick_spacing"),
        ({"ticks": (Tick(index=60, liquidity_net=1), Tick(index=60, liquidity_net=-1))}, "listed twice"),
        ({"token0": WETH.address, "token1": WETH.address}, "token0 and token1 are both"),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        pool({-600: 10**18, 600: -(10**18)}, **changes)


def test_ticks_may_be_listed_in_any_order():
    assert pool({600: -5, -600: 5}) == pool({-600: 5, 600: -5})
