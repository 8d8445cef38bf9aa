"""Bad days: what is true, what feeds say, and that the same seed gives the same day."""

from decimal import Decimal

import pytest

from keeper.stress.scripts import Cast, depeg, everything, frozen_feed, swings, unseen_depeg, wrong_feed

CAST = Cast(
    start={"WETH": Decimal(4000), "WBTC": Decimal(100_000), "USDC": Decimal(1)},
    victim="WETH",
    stable="USDC",
    delta=Decimal("0.1"),
    seed=3,
)
SCRIPTS = (frozen_feed, wrong_feed, depeg, unseen_depeg, swings, everything)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_day_can_be_lived_again(script):
    assert list(script(CAST)) == list(script(CAST))


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_price_is_one_that_a_feed_can_say(script):
    for moment in script(CAST):
        assert moment.seconds > 0
        assert moment.true.keys() == CAST.start.keys()
        for price in (*moment.true.values(), *moment.feeds.values()):
            assert price > 0
            assert price == round(price, 8)


def test_a_frozen_feed_is_silent_while_its_market_falls_and_the_others_speak():
    _, *frozen, thawed = frozen_feed(CAST)
    assert all(moment.feeds.keys() == {"WBTC", "USDC"} for moment in frozen)
    assert frozen[-1].true["WETH"] < Decimal("0.7") * frozen[0].true["WETH"]
    assert thawed.feeds == thawed.true


def test_a_wrong_feed_is_wrong_by_delta_and_no_other_is():
    *wrong, healed = wrong_feed(CAST)
    ratios = {moment.feeds["WETH"] / moment.true["WETH"] for moment in wrong}
    assert ratios == {Decimal("1.1"), Decimal("0.9")}
    assert all(moment.feeds["WBTC"] == moment.true["WBTC"] for moment in wrong)
    assert healed.feeds == healed.true


def test_a_depeg_that_is_not_seen_is_quoted_at_the_peg():
    for moment in unseen_depeg(CAST):
        assert (moment.true["USDC"], moment.feeds["USDC"]) == (Decimal("0.5"), Decimal(1))


def test_another_seed_swings_otherwise():
    assert list(swings(CAST)) != list(swings(Cast(CAST.start, "WETH", "USDC", CAST.delta, 4)))
