from dataclasses import replace

import pytest
from builders import LINK, USDC, WBTC, WETH

from keeper.chain.errors import OracleRefused, Refused
from keeper.chain.lens import AuctionTerms, Reading, TokenFacts, VaultFacts
from keeper.domain import Block, InputError, Token
from keeper.domain.limits import VaultLimits
from keeper.submit.auction import build_fill_order, elapsed_until, obstacle, plan_fill, slippage_after
from keeper.submit.order import Order
from keeper.units import WAD

COINS = (USDC, WBTC, WETH, LINK)
NOW = 1_760_000_000
FILLER = "0x" + "f1" * 20
PERCENT = WAD // 100

LIMITS = VaultLimits(
    max_slippage=PERCENT,
    max_batch_loss=PERCENT,
    loss_budget=PERCENT,
    turnover_budget=WAD,
    dead_band=0,
    min_progress=WAD // 1000,
    dust=WAD // 10_000,
    window=86_400,
    cooldown=600,
)
TERMS = AuctionTerms(open_band=10 * PERCENT, premium=2 * PERCENT, min_fill=10 * PERCENT, keeper_grace=3600, length=1000)


def reading(*dollars: float, **changes: object) -> Reading:
    """A vault of four assets worth so much, equal targets, in an auction that was opened just now."""
    facts = VaultFacts(
        address="0x" + "aa" * 20,
        assets=tuple(coin.address for coin in COINS),
        nonce=7,
        total_supply=WAD,
        epoch=2,
        settled_at=NOW - 10_000,
        paused=False,
        keeper=FILLER,
        owner=FILLER,
        oracle=FILLER,
        executor=FILLER,
        balances=tuple(coin.amount(usd) for coin, usd in zip(COINS, dollars, strict=True)),
        targets=(WAD // 4,) * 4,
        quarantined=(False,) * 4,
        limits=LIMITS,
        loss_headroom=PERCENT,
        turnover_headroom=WAD,
        open_nonce=4,
        calm_at=NOW - 10_000,
        auction_opened_at=NOW,
        auction=TERMS,
    )
    return Reading(
        chain_id=1,
        block=Block(number=1, hash="0x" + "00" * 32, timestamp=NOW, base_fee_per_gas=1, priority_fee_per_gas=1),
        native_token=WETH.address,
        vault=replace(facts, **changes),
        tokens=tuple(
            TokenFacts(Token(address=c.address, symbol=c.symbol, decimals=c.decimals), c.price, NOW, b"") for c in COINS
        ),
        pools=(),
    )


OFF = (400_000, 300_000, 200_000, 100_000)
"""Two assets above their targets, by 150,000 and 50,000 dollars, and two below by as much."""


def test_the_line_runs_from_the_premium_to_the_slippage():
    vault = reading(*OFF).vault
    assert [slippage_after(vault, t) for t in (0, 500, 1000)] == [-2 * PERCENT, -PERCENT // 2, PERCENT]


def test_the_line_is_rounded_against_the_filler():
    vault = reading(*OFF, auction=TERMS._replace(length=7)).vault
    assert slippage_after(vault, 1) == -2 * PERCENT + 3 * PERCENT // 7


@pytest.mark.parametrize("wanted", [-2 * PERCENT, -PERCENT - 1, 0, 1, PERCENT - 1, PERCENT])
def test_the_first_second_at_which_a_margin_is_reached(wanted):
    vault = reading(*OFF).vault
    elapsed = elapsed_until(vault, wanted)
    assert elapsed is not None
    assert slippage_after(vault, elapsed) >= wanted
    assert elapsed == 0 or slippage_after(vault, elapsed - 1) < wanted


def test_a_margin_that_the_line_never_reaches():
    assert elapsed_until(reading(*OFF).vault, PERCENT + 1) is None


def test_a_margin_below_the_premium_is_there_at_once():
    assert elapsed_until(reading(*OFF).vault, -WAD) == 0


@pytest.mark.parametrize("slippage", [-2 * PERCENT, 0, PERCENT])
def test_a_fill_is_fair_to_the_wei_and_comes_all_the_way(slippage):
    found = reading(*OFF)
    fill = plan_fill(found, slippage)
    assert [leg.index for leg in fill.sells] == [0, 1]
    assert [leg.index for leg in fill.buys] == [2, 3]
    assert fill.bought * WAD >= fill.sold * (WAD - slippage)
    # Rounded against the filler, but by less than a raw unit of each asset.
    assert fill.bought <= fill.sold * (WAD - slippage) // WAD + WETH.price // 10**18 + LINK.price // 10**18 + 4
    assert fill.drift_before == 40 * PERCENT
    assert fill.drift_after < PERCENT


def test_a_fraction_of_a_fill():
    found = reading(*OFF)
    whole, half = plan_fill(found, 0), plan_fill(found, 0, WAD // 2)
    assert half.sold == pytest.approx(whole.sold / 2, rel=1e-6)


def test_a_fill_stays_within_the_turnover_headroom():
    fill = plan_fill(reading(*OFF, turnover_headroom=20 * PERCENT), 0)
    assert 199_999 * WAD < fill.sold + fill.bought <= 200_000 * WAD


@pytest.mark.parametrize("limits", [{"loss_headroom": WAD // 1000}, {"limits": LIMITS._replace(max_batch_loss=10**15)}])
def test_a_fill_stays_within_the_loss_that_is_left(limits):
    fill = plan_fill(reading(*OFF, **limits), PERCENT)
    assert 999 * WAD < fill.margin <= 1000 * WAD


def test_a_spent_turnover_budget_refuses():
    with pytest.raises(Refused, match="no such fill can stand"):
        plan_fill(reading(*OFF, turnover_headroom=0), 0)


def test_a_fill_below_the_least_part_of_the_gap_is_refused():
    assert plan_fill(reading(*OFF), 0, 11 * PERCENT)
    with pytest.raises(Refused, match="by less than"):
        plan_fill(reading(*OFF), 0, 9 * PERCENT)


def test_a_quarantined_asset_neither_moves_nor_counts():
    found = reading(*OFF, quarantined=(True, False, False, False), targets=(0, WAD // 2, WAD // 4, WAD // 4))
    fill = plan_fill(found, 0)
    assert [leg.index for leg in fill.sells] == [2]
    assert [leg.index for leg in fill.buys] == [3]


def test_a_missing_price_refuses():
    found = reading(*OFF)
    tokens = (replace(found.tokens[0], price=0, price_error=b"\x01"), *found.tokens[1:])
    with pytest.raises(OracleRefused, match="USDC"):
        plan_fill(replace(found, tokens=tokens), 0)


@pytest.mark.parametrize("fraction", [0, -1, WAD + 1])
def test_a_fraction_out_of_range_is_bad_input(fraction):
    with pytest.raises(InputError, match="the fraction of a fill"):
        plan_fill(reading(*OFF), 0, fraction)


def test_an_order_goes_through_the_filler_and_back():
    found = reading(*OFF)
    fill = plan_fill(found, -2 * PERCENT)
    order = Order.decode(build_fill_order(found, fill, FILLER, deadline=NOW + 1).encode())
    assert (order.nonce, order.epoch, order.deadline) == (5, 2, NOW + 1)
    assert [(sell.index, sell.amount, sell.to) for sell in order.sells] == [
        (leg.index, leg.amount, FILLER) for leg in fill.sells
    ]
    assert [(buy.index, buy.min_amount) for buy in order.buys] == [(leg.index, leg.amount) for leg in fill.buys]
    sells_token0 = fill.sells[0].token < fill.buys[0].token
    op = bytes([0 | sells_token0 << 3 | 2 << 4 | 1 << 6])
    assert order.route == bytes(2) + op + bytes.fromhex(FILLER[2:]) + bytes(3) + fill.sells[0].amount.to_bytes(16)


def test_nothing_stands_in_the_way_of_a_silent_keepers_auction():
    assert obstacle(reading(*OFF)) is None


@pytest.mark.parametrize(
    ("dollars", "changes", "reason"),
    [
        (OFF, {"paused": True}, "rebalancing is paused"),
        (OFF, {"calm_at": NOW - 3599}, "the keeper counts as silent in another 1 s only"),
        ((250_000,) * 4, {}, "is not above the auction's band 10%"),
        ((0,) * 4, {}, "drift none"),
    ],
)
def test_what_stands_in_the_way_of_an_auction(dollars, changes, reason):
    assert reason in (obstacle(reading(*dollars, **changes)) or "")
