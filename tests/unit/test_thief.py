"""A stolen key takes what the guard lets it, to the edge, and nothing that would cost the thief."""

import pytest
from builders import LIMITS
from hypothesis import given
from hypothesis import strategies as st

from keeper.policy.guard import Basket, check_outcome
from keeper.stress.thief import best_theft
from keeper.units import WAD

PRICES = (WAD, 2_500 * WAD, 60_000 * WAD, 15 * WAD)
DECIMALS = (6, 18, 8, 18)
WEIGHTS = (WAD // 4,) * 4


def basket(*dollars: int) -> Basket:
    balances = tuple(
        usd * WAD * 10**decimals // price for usd, price, decimals in zip(dollars, PRICES, DECIMALS, strict=True)
    )
    return Basket(balances, DECIMALS, PRICES, WEIGHTS)


def lost(before: Basket, theft) -> int:
    return before.nav - before.measure(theft.after(before.balances)).nav


def test_the_theft_passes_the_guard_and_takes_all_of_the_tightest_limit():
    before = basket(400_000, 300_000, 200_000, 100_000)
    theft = best_theft(before, LIMITS, PRICES)
    assert check_outcome(before, before.measure(theft.after(before.balances)), LIMITS) is None
    # A fifth of NAV is sold: value for value would let 2% of that go, a batch 1% of NAV.
    assert lost(before, theft) == pytest.approx(0.02 * 200_000 * WAD, rel=1e-6)


def test_a_little_more_is_refused():
    before = basket(400_000, 300_000, 200_000, 100_000)
    greedy = best_theft(before, LIMITS, PRICES, WAD + WAD // 1000)
    violation = check_outcome(before, before.measure(greedy.after(before.balances)), LIMITS)
    assert violation is not None
    assert violation.error == "UnfairTrade"


def test_what_the_oracle_overprices_is_paid_in_first():
    before = basket(500_000, 250_000, 125_000, 125_000)
    small = LIMITS.model_copy(update={"turnover_headroom": WAD // 10})
    for wrong in (2, 3):
        worth = tuple(price // 2 if i == wrong else price for i, price in enumerate(PRICES))
        assert list(best_theft(before, small, worth).paid) == [wrong]


def test_a_basket_that_the_oracle_prices_in_the_vaults_favour_is_left_alone():
    before = basket(400_000, 250_000, 250_000, 100_000)
    # What would be taken is worth 5% less than its quote, and the guard gives away 2%.
    worth = (95 * WAD // 100, *PRICES[1:])
    assert best_theft(before, LIMITS, worth) is None


def test_inside_the_dead_band_there_is_nothing_to_take():
    assert best_theft(basket(250_000, 250_000, 250_000, 250_000), LIMITS, PRICES) is None


@given(
    st.tuples(*[st.integers(1_000, 1_000_000)] * 4),
    st.tuples(*[st.integers(50, 150)] * 4),
    st.integers(0, WAD // 20),
    st.integers(0, 2 * WAD),
)
def test_no_theft_breaks_the_guard(dollars, percents, loss, turnover):
    before = basket(*dollars)
    limits = LIMITS.model_copy(update={"loss_headroom": loss, "turnover_headroom": turnover})
    worth = tuple(price * percent // 100 for price, percent in zip(PRICES, percents, strict=True))
    theft = best_theft(before, limits, worth)
    if theft is not None:
        assert check_outcome(before, before.measure(theft.after(before.balances)), limits) is None


@pytest.mark.parametrize("greed", [WAD, WAD + WAD // 1000])
@pytest.mark.parametrize("changes", [{"dead_band": WAD // 2}, {"turnover_headroom": 0}], ids=["dead band", "turnover"])
def test_what_the_vault_would_refuse_whole_is_not_even_tried(greed, changes):
    limits = LIMITS.model_copy(update={"min_progress": 0} | changes)
    assert best_theft(basket(400_000, 300_000, 200_000, 100_000), limits, PRICES, greed) is None
