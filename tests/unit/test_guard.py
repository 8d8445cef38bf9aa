"""Each step of the guard by itself; tests/e2e compares all of them with the contract's."""

from decimal import Decimal

from builders import LIMITS

from keeper.policy.guard import Basket, check_drift, check_outcome, tightened
from keeper.units import WAD

BASKET = Basket(balances=(700 * 10**6, 300 * 10**18), decimals=(6, 18), prices=(WAD, WAD), weights=(WAD // 2, WAD // 2))
GENEROUS = LIMITS.model_copy(
    update={
        "max_slippage": WAD // 10,
        "max_batch_loss": WAD // 10,
        "loss_headroom": WAD // 10,
        "turnover_headroom": 2 * WAD,
    }
)


def verdict(sold: int, bought: float, **changes) -> str | None:
    """The error for selling `sold` dollars of the first asset for `bought` dollars of the second."""
    outcome = BASKET.measure((BASKET.balances[0] - sold * 10**6, BASKET.balances[1] + int(bought * 10**6) * 10**12))
    violation = check_outcome(BASKET, outcome, GENEROUS.model_copy(update=changes))
    return violation and violation.error


def test_a_fair_trade_towards_the_target_passes():
    assert verdict(100, 99.9) is None


def test_value_for_value_allows_the_maximum_slippage_and_no_more():
    assert verdict(100, 99, max_slippage=WAD // 100) is None
    assert verdict(100, 98.999999, max_slippage=WAD // 100) == "UnfairTrade"


def test_a_batch_may_lose_the_maximum_and_no_more():
    assert verdict(100, 99, max_batch_loss=WAD // 1000) is None
    assert verdict(100, 98.999999, max_batch_loss=WAD // 1000) == "BatchLossTooLarge"


def test_a_batch_may_use_up_the_loss_headroom_and_no_more():
    assert verdict(100, 99, loss_headroom=WAD // 1000) is None
    assert verdict(100, 98.999999, loss_headroom=WAD // 1000) == "LossBudgetExceeded"


def test_both_legs_count_against_the_turnover_headroom():
    assert verdict(100, 99, turnover_headroom=199 * WAD // 1000) is None
    assert verdict(100, 99, turnover_headroom=199 * WAD // 1000 - 1) == "TurnoverBudgetExceeded"


def test_an_asset_may_pass_its_target_by_half_the_dust_and_no_more():
    assert verdict(200, 200, dust=0) is None
    assert verdict(201, 200, dust=2 * WAD // 1000) is None
    assert verdict(201, 200, dust=2 * WAD // 1000 - 1) == "NotTowardsTarget"


def test_a_trade_away_from_the_target_is_refused():
    assert verdict(-100, -100) == "NotTowardsTarget"


def test_a_batch_must_make_the_least_progress():
    assert verdict(50, 50, min_progress=WAD // 10) is None
    assert verdict(50, 49.999999, min_progress=WAD // 10) == "TooLittleProgress"


def test_a_gain_passes_and_is_not_a_loss():
    assert verdict(100, 101, loss_headroom=0, max_batch_loss=0) is None


def test_drift_must_be_above_the_dead_band():
    assert BASKET.drift == 4 * WAD // 10
    assert check_drift(BASKET, LIMITS.model_copy(update={"dead_band": BASKET.drift - 1})) is None
    at_the_band = check_drift(BASKET, LIMITS.model_copy(update={"dead_band": BASKET.drift}))
    assert at_the_band is not None
    assert at_the_band.error == "BelowDeadBand"


def test_a_worthless_basket_is_refused():
    empty = Basket(balances=(0, 0), decimals=(6, 18), prices=(WAD, WAD), weights=(WAD // 2, WAD // 2))
    violation = check_drift(empty, LIMITS)
    assert violation is not None
    assert violation.error == "WorthlessBasket"


def test_bought_value_is_rounded_down_and_sold_value_up():
    basket = Basket(balances=(10, 10), decimals=(18, 18), prices=(WAD + 1, WAD + 1), weights=(WAD, 0))
    outcome = basket.measure((11, 9))
    assert (outcome.bought, outcome.sold) == (1, 2)


def test_selling_everything_is_never_worth_less_than_nothing():
    basket = Basket(balances=(1,), decimals=(18,), prices=(WAD + 1,), weights=(WAD,))
    outcome = basket.measure((0,))
    assert (outcome.sold, outcome.nav, outcome.gap) == (2, 0, 1)


def test_a_violation_names_its_numbers():
    outcome = BASKET.measure((600 * 10**6, 390 * 10**18))
    violation = check_outcome(BASKET, outcome, LIMITS)
    assert violation is not None
    assert violation.message == "$90.00 bought for $100.00 sold is more than 2% short (maximum slippage)"


def test_limits_are_tightened_where_prices_can_move_before_inclusion():
    tight = tightened(LIMITS, Decimal("0.9"))
    for name in ("max_slippage", "max_batch_loss", "loss_headroom", "turnover_headroom"):
        assert getattr(tight, name) == getattr(LIMITS, name) * 9 // 10
    for name in ("dust", "min_progress", "dead_band"):
        assert getattr(tight, name) == getattr(LIMITS, name)
