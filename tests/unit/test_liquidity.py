"""The arithmetic behind the offline mainnet's pools."""

from itertools import permutations
from math import isqrt

import pytest
from builders import COINS, LINK, UNI, USDC, WBTC, WETH, curve_pool, stable_pool, weighted_pool
from hypothesis import given
from hypothesis import strategies as st

from keeper.market.liquidity import BPS, Side, jitter, pair_reserves, pair_trade, positions, sqrt_price, vault_trades
from keeper.pools import MultiTokenPool
from keeper.pools.tick_math import sqrt_price_at_tick

ETHER = Side(18, 4350_00000000)
DOLLAR = Side(6, 1_00000000)

sides = st.builds(Side, st.sampled_from((6, 8, 18)), st.integers(10**6, 10**13))


def after(reserve0: int, reserve1: int, zero_for_one: bool, amount: int) -> tuple[int, int]:
    """The pair's reserves after an input, by the constant-product rule with 0.3%."""
    if zero_for_one:
        return reserve0 + amount, reserve1 - 997 * amount * reserve1 // (1000 * reserve0 + 997 * amount)
    return reserve0 - 997 * amount * reserve0 // (1000 * reserve1 + 997 * amount), reserve1 + amount


def test_the_price_of_a_pool_is_the_ratio_of_the_feeds_in_raw_units() -> None:
    # One raw USDC (1e-6 dollars) buys 1e12 / 4350 wei.
    assert sqrt_price(DOLLAR, ETHER) == isqrt(10**12 * 2**192 // 4350)


@given(sides, sides)
def test_new_reserves_agree_with_the_feeds(side0: Side, side1: Side) -> None:
    reserve0, reserve1 = pair_reserves(side0, side1, 10_000_000)

    value0 = reserve0 * side0.price / 10**side0.decimals
    value1 = reserve1 * side1.price / 10**side1.decimals

    assert value0 == pytest.approx(5_000_000e8, rel=1e-4)
    assert value1 == pytest.approx(value0, rel=1e-4)


@given(sides, sides, st.integers(-90, 900))
def test_the_trade_of_a_pair_ends_at_the_feeds_ratio(side0: Side, side1: Side, percent: int) -> None:
    reserves = pair_reserves(side0, side1, 10_000_000)
    moved = side0._replace(price=side0.price * (100 + percent) // 100)

    reserve0, reserve1 = after(*reserves, *pair_trade(*reserves, moved, side1))

    value0 = reserve0 * moved.price / 10**side0.decimals
    assert reserve1 * side1.price / 10**side1.decimals == pytest.approx(value0, rel=1e-3)


def test_a_pair_at_the_feeds_ratio_is_not_traded() -> None:
    assert pair_trade(10**10, 10**10, DOLLAR, DOLLAR)[1] == 0


@given(st.integers(-5_000, 5_000))
def test_a_trade_of_a_pair_buys_something_or_is_none(step: int) -> None:
    bitcoin = Side(8, 121_500 * 10**8)  # a unit of it is worth a thousand of the other's
    reserve0, reserve1 = pair_reserves(bitcoin, DOLLAR, 1_000_000)

    moved = bitcoin._replace(price=bitcoin.price + step)
    zero_for_one, amount = pair_trade(reserve0, reserve1, moved, DOLLAR)

    after0, after1 = after(reserve0, reserve1, zero_for_one, amount)
    assert amount == 0 or (after1 < reserve1 if zero_for_one else after0 < reserve0)


@pytest.mark.parametrize("spacing", [1, 10, 60, 200])
def test_every_position_holds_the_price_and_sits_on_the_tick_grid(spacing: int) -> None:
    price = sqrt_price(DOLLAR, ETHER)
    for position in positions(DOLLAR, ETHER, spacing, 1_000_000, stable=False, label="a"):
        assert sqrt_price_at_tick(position.lower) <= price < sqrt_price_at_tick(position.upper)
        assert position.lower % spacing == position.upper % spacing == 0
        assert position.liquidity > 0


def test_positions_hold_the_money_they_were_given() -> None:
    price = sqrt_price(DOLLAR, ETHER)
    dollars = 0.0
    for lower, upper, liquidity in positions(DOLLAR, ETHER, 60, 1_000_000, stable=False, label="a"):
        low, high = sqrt_price_at_tick(lower), sqrt_price_at_tick(upper)
        dollars += liquidity * 2**96 * (high - price) / (high * price) / 10**6
        dollars += liquidity * (price - low) / 2**96 / 10**18 * 4350

    assert dollars == pytest.approx(1_000_000, rel=1e-6)


def test_the_label_decides_how_wide_positions_are() -> None:
    first, again, other = (
        positions(DOLLAR, ETHER, 10, 1_000_000, stable=False, label=label) for label in ("a", "a", "b")
    )

    assert first == again
    assert first != other


@given(st.text())
def test_the_jitter_stays_within_a_fifth(label: str) -> None:
    assert BPS * 8 // 10 <= jitter(label) <= BPS * 12 // 10


FEEDS = {coin.address: Side(coin.decimals, coin.cents * 10**6) for coin in COINS}
WEIGHTED = weighted_pool(1, {WBTC: 0.4, WETH: 0.4, USDC: 0.2}, 9_000_000)


def gains(pool: MultiTokenPool, sides: dict[str, Side]) -> list[float]:
    """What a dollar put into the pool brings, fee aside, for every pair of its tokens."""
    return [
        pool.marginal_price(sold, bought)
        / (1 - pool.fee_fraction)
        * (sides[bought].price / 10 ** sides[bought].decimals)
        / (sides[sold].price / 10 ** sides[sold].decimals)
        for sold, bought in permutations(pool.tokens, 2)
    ]


def moved(**percent: int) -> dict[str, Side]:
    """The coins' prices times these percentages."""
    sides = dict(FEEDS)
    for coin in COINS:
        side = sides[coin.address]
        sides[coin.address] = side._replace(price=side.price * percent.get(coin.symbol, 100) // 100)
    return sides


@pytest.mark.parametrize("percent", [{"WETH": 101}, {"WETH": 80, "USDC": 101}, {"WBTC": 900, "WETH": 12}])
def test_the_trades_of_a_weighted_pool_end_at_the_feeds_ratios(percent: dict[str, int]) -> None:
    pool, sides = WEIGHTED, moved(**percent)
    for trade in vault_trades(pool, sides):
        pool = pool.swap(*trade).pool
    assert gains(pool, sides) == pytest.approx([1] * 6, abs=1e-6)


@pytest.mark.parametrize("build", [stable_pool, curve_pool])
@pytest.mark.parametrize("percent", [{"UNI": 101}, {"UNI": 97, "USDC": 102}, {"UNI": 900, "LINK": 12}])
def test_the_trades_of_a_stable_pool_end_at_the_feeds_ratios(build, percent: dict[str, int]) -> None:
    pool: MultiTokenPool = build(1, {USDC: 3e6, UNI: 3e6, LINK: 3e6})
    price = 10**8
    sides = {coin.address: Side(coin.decimals, price * percent.get(coin.symbol, 100)) for coin in (USDC, UNI, LINK)}
    for trade in vault_trades(pool, sides):
        pool = pool.swap(*trade).pool
    assert gains(pool, sides) == pytest.approx([1] * 6, abs=1e-6)


def test_a_weighted_pool_at_the_feeds_ratios_is_not_traded() -> None:
    assert vault_trades(WEIGHTED, FEEDS) == []


def test_a_pool_whose_tokens_are_too_coarse_to_come_closer_is_left_alone() -> None:
    pool = weighted_pool(1, {USDC: 0.5, WBTC: 0.5}, 0.5)
    sides = FEEDS | {USDC.address: FEEDS[USDC.address]._replace(price=10**8 + 100)}
    assert max(gains(pool, sides)) > 1 + 5e-7
    assert vault_trades(pool, sides) == []
