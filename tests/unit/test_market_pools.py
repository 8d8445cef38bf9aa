"""Pools that follow a market."""

from math import cosh, log, sqrt

import numpy as np
import pytest

from keeper.domain import InputError
from keeper.market.venues import DAY, Frictions, Venue, Venues, open_pool
from keeper.pools import UniswapV2Pool

TOKENS = {"WETH": (f"0x{1:040x}", 18), "USDC": (f"0x{2:040x}", 6)}
PLACES = {TOKENS["WETH"][0]: (0, 18), TOKENS["USDC"][0]: (1, 6)}
START = np.log([2000.0, 1.0])
QUIET = {"noise_volume_per_day": 0.0}
PAIR = Venue(kind="uniswap_v2", tokens=("WETH", "USDC"), fee_pips=3000, usd=10e6)
POOL = Venue(kind="uniswap_v3", tokens=("WETH", "USDC"), fee_pips=500, usd=10e6)


def market(*venues: Venue, seed: int = 1, **frictions) -> Venues:
    pools = [open_pool(venue, number, TOKENS, {"WETH": 2000.0, "USDC": 1.0}) for number, venue in enumerate(venues)]
    return Venues(
        pools,
        PLACES,
        START,
        frictions=Frictions(**frictions),
        seed=np.random.SeedSequence(seed),
        venues=venues,
    )


def to(move: float) -> np.ndarray:
    """Log prices once WETH has moved by so much in logarithm."""
    return START + np.array([move, 0.0])


def go(venues: Venues, seconds: int, log_prices: np.ndarray, gas_usd: float) -> None:
    """In one leg."""
    venues.move(np.array([seconds]), log_prices[None, :], gas_usd)


@pytest.mark.parametrize("venue", [PAIR, POOL])
def test_a_pool_opens_at_the_market_with_the_depth_it_was_given(venue):
    venues = market(venue)
    assert venues.off_market() == pytest.approx([0.0], abs=1e-9)
    if venue is PAIR:
        assert venues.depth() == pytest.approx([5e6], rel=1e-6)
    else:
        assert venues.depth()[0] > 25e6  # concentrated: deeper here than what it holds


@pytest.mark.parametrize("venue", [PAIR, POOL])
@pytest.mark.parametrize("sign", [1, -1])
def test_arbitrage_without_gas_leaves_a_pool_at_the_edge_of_its_fee_band(venue, sign):
    venues = market(venue, refill_half_life_seconds=None, **QUIET)
    go(venues, 60, to(sign * 0.02), 0.0)
    (flow,) = venues.settle()
    assert flow.arbitrage
    assert venues.off_market() == pytest.approx([sign * log(1 - venue.fee_pips / 1e6)], abs=1e-8)


def test_inside_the_fee_band_nothing_is_traded_for_arbitrage():
    venues = market(PAIR, refill_half_life_seconds=None, **QUIET)
    before = venues.all
    go(venues, 60, to(0.0029), 0.0)
    assert venues.settle() == []
    assert venues.all is before


def test_arbitrage_waits_until_it_pays_for_its_gas():
    """From y beyond the edge a constant product pays 2 R (cosh(y / 2) - 1) / sqrt(1 - f)."""
    edge, beyond, depth = -log(0.997), 0.004, 5e6
    profit = 2 * depth * (cosh(beyond / 2) - 1) / sqrt(0.997)
    for gas, trades in ((profit * 1.01, 0), (profit * 0.99, 1)):
        venues = market(PAIR, refill_half_life_seconds=None, **QUIET)
        go(venues, 60, to(edge + beyond), gas)
        assert len(venues.settle()) == trades


def test_the_profit_that_arbitrage_is_judged_by_is_that_of_its_swap():
    venues = market(PAIR, refill_half_life_seconds=None, **QUIET)
    edge, beyond, depth = -log(0.997), 0.01, 5e6
    pool = venues.pools[0]
    go(venues, 60, to(edge + beyond), 0.0)
    (flow,) = venues.settle()
    token_in = pool.tokens[0 if flow.zero_for_one else 1]
    out = pool.swap(token_in, pool.other(token_in), flow.amount_in).amount_out
    usd = {TOKENS["WETH"][0]: 2000 * np.exp(edge + beyond) / 1e18, TOKENS["USDC"][0]: 1e-6}
    gained = out * usd[pool.other(token_in)] - flow.amount_in * usd[token_in]
    # The depth of a pool that stands still is worth a little more at the new price.
    formula = 2 * depth * np.exp((edge + beyond) / 2) * (cosh(beyond / 2) - 1) / sqrt(0.997)
    assert gained == pytest.approx(formula, rel=1e-3)


def test_flow_takes_half_of_a_displacement_away_in_a_half_life():
    venues = market(PAIR, refill_half_life_seconds=600, **QUIET)
    pool = venues.pools[0]
    venues.put(pool.swap(pool.token0, pool.token1, pool.reserve0 // 2000).pool)
    displaced = venues.off_market()[0]
    for _ in range(10):
        go(venues, 60, START, 1e9)
        venues.settle()
    assert displaced == pytest.approx(-0.001, rel=0.02)
    assert venues.off_market()[0] == pytest.approx(displaced / 2, abs=1e-4)


def test_without_refill_a_displacement_inside_the_band_stays():
    venues = market(PAIR, refill_half_life_seconds=None, **QUIET)
    pool = venues.pools[0]
    venues.put(pool.swap(pool.token0, pool.token1, pool.reserve0 // 2000).pool)
    displaced = venues.off_market()[0]
    go(venues, DAY, START, 0.0)
    venues.settle()
    assert venues.off_market()[0] == displaced


def test_many_short_steps_and_one_long_one_bring_a_pool_to_the_same_place():
    """What a step size does to the market is the resolution of prices, nothing else."""
    ends = []
    for count in (1, 60):
        venues = market(PAIR, refill_half_life_seconds=900, **QUIET)
        for k in range(1, count + 1):
            go(venues, 3600 // count, to(0.002 * k / count), 1e9)
        ends.append(venues.off_market()[0] + (venues._wanted - venues._log_pool)[0])
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)
    assert ends[0] == pytest.approx(-0.002 * (1 - 2**-4) / (4 * log(2)), rel=1e-9)


def test_legs_taken_at_once_bring_pools_to_where_they_bring_them_one_by_one():
    way, seconds = np.array([to(0.004), to(0.001), to(0.009)]), np.array([600, 60, 3600])
    one, other = market(PAIR, POOL, seed=3), market(PAIR, POOL, seed=3)
    one.move(seconds, way, 1.0)
    for leg in range(3):
        other.move(seconds[leg : leg + 1], way[leg : leg + 1], 1.0)
    assert one.settle() == other.settle()
    assert one.all == other.all


def test_a_pool_that_leaves_its_positions_is_the_one_that_a_swap_and_placing_leave():
    """The swap itself is left out there, since nothing of it but the price stays."""
    venues = market(POOL, refill_half_life_seconds=None, **QUIET)
    go(venues, 60, to(0.1), 0.0)
    (flow,) = venues.settle()
    swapped = market(POOL).pools[0].swap_to(flow.sqrt_price_x96)
    assert (venues.pools[0].sqrt_price_x96, venues.pools[0].tick) == (swapped.sqrt_price_x96, swapped.tick)
    fresh = market(POOL, refill_half_life_seconds=None, **QUIET)
    fresh.move(np.array([1]), to(0.1)[None, :], 1e9)  # the market alone
    fresh.put(swapped)
    fresh.scale(1.0)
    assert venues.pools[0] == fresh.pools[0]


def test_noise_has_the_variance_of_its_trades():
    """n trades a day that turn over v of the depth each move log price by 4 v / n, up or down."""
    venues = market(*[PAIR] * 400, refill_half_life_seconds=None, noise_volume_per_day=0.1, noise_trades_per_day=1000)
    go(venues, DAY, START, 1e9)
    venues.settle()
    assert np.std(venues.off_market()) == pytest.approx(sqrt(1000) * 4 * 0.1 / 1000, rel=0.1)


def test_noise_does_not_depend_on_how_it_is_drawn_nor_on_what_the_vault_does():
    one, other = market(PAIR, POOL, seed=3), market(PAIR, POOL, seed=3)
    pool = other.pools[0]
    other.put(pool.swap(pool.token0, pool.token1, pool.reserve0 // 100_000).pool)
    for _ in range(600):  # past what is drawn at a time
        assert (one._draw(1) == other._draw(1)).all()


def test_liquidity_comes_back_to_its_depth_in_dollars_and_leaves_the_price():
    venues = market(PAIR, POOL, **QUIET)
    first = venues.depth()
    for k in range(1, 31):
        go(venues, 3600, to(0.03 * k), 0.0)
        venues.settle()
    # A doubling of the price; without new liquidity a pair would be worth 57% more.
    assert venues.depth() == pytest.approx(first, rel=0.03)
    assert np.abs(venues.off_market()).max() < 0.0031
    concentrated = venues.pools[1]
    assert min(abs(tick.index - concentrated.tick) for tick in concentrated.ticks) < 600


def test_liquidity_stays_where_it_is_if_it_is_told_to():
    venues = market(PAIR, reanchor=False, **QUIET)
    for k in range(1, 31):
        go(venues, 3600, to(0.03 * k), 0.0)
        venues.settle()
    pair = venues.pools[0]
    assert isinstance(pair, UniswapV2Pool)
    assert venues.depth() == pytest.approx([5e6 * np.exp(0.45)], rel=0.01)


def test_depth_can_be_taken_away():
    venues = market(PAIR, POOL, **QUIET)
    before = venues.depth()
    venues.scale(0.05)
    assert venues.depth() == pytest.approx(before * 0.05, rel=1e-3)


@pytest.mark.parametrize(
    ("venue", "why"),
    [
        ({"kind": "uniswap_v2", "tokens": ("WETH", "WETH"), "usd": 1.0}, "against itself"),
        ({"kind": "uniswap_v3", "tokens": ("WETH", "USDC"), "fee_pips": 42, "usd": 1.0}, "no fee tier of 42"),
    ],
)
def test_a_venue_that_cannot_be_is_refused(venue, why):
    with pytest.raises(ValueError, match=why):
        Venue.model_validate(venue)


def test_a_market_that_leaves_the_ticks_that_were_read_is_refused():
    venues = market(POOL, reanchor=False, **QUIET)
    pool = venues.pools[0]
    near = [tick for tick in pool.ticks if abs(tick.index - pool.tick) < 900]
    window = pool.model_copy(update={"ticks": tuple(near), "tick_range": (pool.tick - 900, pool.tick + 900)})
    window.__dict__.pop("_indexes", None)
    window.__dict__.pop("_price_window", None)
    venues.pools[0] = window
    go(venues, 60, to(0.2), 0.0)
    with pytest.raises(InputError, match="more of its ticks"):
        venues.settle()


def test_depth_that_nobody_keeps_cannot_be_scaled():
    opened = market(PAIR)
    venues = Venues(opened.pools, PLACES, START, frictions=Frictions(), seed=np.random.SeedSequence(1))
    with pytest.raises(InputError, match="the depth of these pools is not known"):
        venues.scale(0.5)


@pytest.mark.parametrize("kind", ["uniswap_v2", "uniswap_v3", "uniswap_v4"])
def test_a_pool_is_of_its_venue_s_kind(kind):
    (pool,) = market(Venue(kind=kind, tokens=("WETH", "USDC"), fee_pips=3000, usd=1e6)).all
    assert pool.kind == kind


def test_more_legs_than_are_drawn_at_once_have_a_number_each():
    """A step of a fortnight is more than 256 legs of an hour."""
    venues = market(PAIR, POOL)
    legs = 400
    venues.move(np.full(legs, 3600), np.tile(to(0.001), (legs, 1)), 5.0)
    assert venues._draw(legs).shape == (legs, 2)


@pytest.mark.parametrize("venue", [PAIR, POOL])
def test_a_move_that_is_too_small_for_a_swap_is_none(venue):
    venues = market(venue)
    if venue is POOL:  # at a price that is a whole number as a float too
        price = int(float(venues.pools[0].sqrt_price_x96))
        venues.pools[0] = venues.pools[0].model_copy(update={"sqrt_price_x96": price})
    before = venues.pools[0]
    assert venues._trade(0, 1e-40, False, anew=False) is None
    assert venues.pools[0] is before


def test_a_pool_that_no_contract_could_hold_is_refused_by_its_tokens():
    tokens = TOKENS | {"USDC": (TOKENS["USDC"][0], 36)}
    with pytest.raises(
        InputError, match=r"a pool of WETH/USDC with \$10,000,000: reserve.: .*: change usd, or decimals"
    ):
        open_pool(PAIR, 0, tokens, {"WETH": 2000.0, "USDC": 1.0})
