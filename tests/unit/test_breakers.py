"""Each breaker by itself: just inside its limit it lets a trade pass, just beyond it refuses, and says why."""

from dataclasses import replace
from decimal import Decimal

import pytest
from builders import NOW, USDC, WETH, policy, snapshot, v2_pool

from keeper.domain import Snapshot
from keeper.policy.breakers import DAY, Batch, Breakers, History, dear_gas, diverging_price, stale_price, tripped
from keeper.units import WAD

DONE = Batch(
    at=NOW - 600,
    resumed=False,
    executed=True,
    drift_fell=True,
    nav=1_000_000 * WAD,
    cost=500 * WAD,
    predicted_cost=500 * WAD,
    turnover=WAD // 10,
)
MISSED = replace(DONE, executed=False, drift_fell=False)
FUTILE = replace(DONE, drift_fell=False)
NOW_FACTS = snapshot({USDC: (0.5, 0.5), WETH: (0.5, 0.5)}, (v2_pool(1, USDC, WETH, 10_000_000),))


def at_price(cents: int) -> Snapshot:
    """The same facts with another price of WETH."""
    assets = tuple(
        asset.model_copy(update={"price": cents * WAD // 100}) if asset.token == WETH.address else asset
        for asset in NOW_FACTS.vault.assets
    )
    return NOW_FACTS.model_copy(update={"vault": NOW_FACTS.vault.model_copy(update={"assets": assets})})


def verdict(*batches: Batch, previous: Snapshot | None = None, balance: int | None = None, **limits) -> str | None:
    off = {"max_failures_in_a_row": None, "max_futile_in_a_row": None}
    return tripped(History(batches, previous, balance), NOW_FACTS, Breakers(**(off | limits)))


def test_without_limits_nothing_is_refused():
    assert verdict(*[MISSED, FUTILE] * 50, previous=at_price(1), balance=0) is None


def test_a_price_may_move_by_the_limit_and_no_more():
    jump = Decimal("0.25")  # from 2000 to 2500 dollars
    assert verdict(previous=at_price(200_000), max_price_jump=jump) is None
    reason = verdict(previous=at_price(199_999), max_price_jump=jump)
    assert reason is not None
    assert reason.startswith("the price of WETH went from $1,999.99 to $2,500.00 in one tick")


def test_a_price_that_falls_jumps_too():
    assert verdict(previous=at_price(312_500), max_price_jump=Decimal("0.2")) is None
    assert verdict(previous=at_price(312_501), max_price_jump=Decimal("0.2")) is not None


def test_the_first_tick_knows_no_jump():
    assert verdict(previous=None, max_price_jump=Decimal("0.001")) is None


def test_a_batch_may_lose_the_excess_and_no_more():
    limit = Decimal("0.001")  # of a million
    assert verdict(replace(DONE, cost=1_500 * WAD), max_excess_loss=limit) is None
    reason = verdict(replace(DONE, cost=1_501 * WAD), max_excess_loss=limit)
    assert reason is not None
    assert "the last batch cost $1,501.00, $500.00 was simulated" in reason


def test_a_loss_that_was_simulated_is_no_excess():
    batch = replace(DONE, cost=9_000 * WAD, predicted_cost=9_000 * WAD)
    assert verdict(batch, max_excess_loss=Decimal("0.001")) is None


def test_an_excess_is_forgotten_after_resume_and_only_then():
    lossy = replace(DONE, cost=9_000 * WAD)
    assert verdict(lossy, MISSED, max_excess_loss=Decimal("0.001")) is not None
    assert verdict(replace(lossy, resumed=True), max_excess_loss=Decimal("0.001")) is None


def test_so_many_batches_in_24_hours_and_no_more():
    old = replace(DONE, at=NOW - DAY)
    assert verdict(old, DONE, DONE, max_transactions_per_day=3) is None
    reason = verdict(replace(old, at=NOW - DAY + 1), DONE, MISSED, max_transactions_per_day=3)
    assert reason == "3 batches in 24 hours, at most 3 are allowed"


def test_so_much_turnover_in_24_hours_and_no_more():
    limit = Decimal("0.3")
    assert verdict(DONE, DONE, max_turnover_per_day=limit) is None
    assert verdict(DONE, DONE, replace(DONE, at=NOW - DAY), max_turnover_per_day=limit) is None
    assert verdict(DONE, DONE, MISSED, max_turnover_per_day=limit) is None
    reason = verdict(DONE, DONE, DONE, max_turnover_per_day=limit)
    assert reason == "30% of NAV turned over in 24 hours, at most 30% is allowed"


def test_failures_in_a_row_refuse_until_one_batch_is_executed():
    assert verdict(MISSED, MISSED, max_failures_in_a_row=3) is None
    assert verdict(MISSED, MISSED, DONE, MISSED, max_failures_in_a_row=3) is None
    reason = verdict(DONE, MISSED, MISSED, MISSED, max_failures_in_a_row=3)
    assert reason == "3 batches in a row were not executed: see `keeper history`, then `keeper resume`"


def test_failures_from_before_a_resume_do_not_count():
    seen = replace(MISSED, resumed=True)
    assert verdict(seen, MISSED, MISSED, max_failures_in_a_row=3) is None


def test_futile_batches_in_a_row_refuse_until_one_reduces_drift():
    assert verdict(FUTILE, max_futile_in_a_row=2) is None
    assert verdict(FUTILE, DONE, FUTILE, max_futile_in_a_row=2) is None
    reason = verdict(FUTILE, FUTILE, max_futile_in_a_row=2)
    assert reason == "2 batches in a row did not reduce drift: see `keeper history`, then `keeper resume`"


def test_a_batch_that_was_not_executed_does_not_end_a_row_of_futile_ones():
    assert verdict(FUTILE, MISSED, FUTILE, max_futile_in_a_row=2) is not None


def test_rows_are_limited_unless_somebody_takes_the_limit_away():
    assert tripped(History((MISSED,) * 3, None, None), NOW_FACTS, Breakers()) is not None
    assert tripped(History((FUTILE,) * 2, None, None), NOW_FACTS, Breakers()) is not None


def test_a_signer_must_hold_the_least_balance():
    assert verdict(balance=10**17, min_signer_balance_wei=10**17) is None
    reason = verdict(balance=10**17 - 1, min_signer_balance_wei=10**17)
    assert reason is not None
    assert reason.startswith("the signer holds 0.099999999999999999 of the native token, less than 0.1")


def test_a_keeper_that_does_not_sign_needs_no_balance():
    assert verdict(balance=None, min_signer_balance_wei=10**18) is None


@pytest.mark.parametrize(("limit", "refused"), [(59, True), (60, False)])
def test_a_price_may_be_as_old_as_the_limit(limit, refused):
    reason = stale_price(NOW_FACTS, policy(max_price_age=limit))
    assert reason == (f"the price of USDC is 60 s old, at most {limit} s is allowed" if refused else None)


@pytest.mark.parametrize(("limit", "refused"), [(Decimal("0.05"), True), (Decimal("0.5"), False)])
def test_pools_and_oracle_may_disagree_by_the_limit(limit, refused):
    reason = diverging_price(at_price(200_000), policy(max_oracle_divergence=limit))
    assert (reason is not None) == refused
    assert reason is None or "-20.00% off the oracle, at most 5% is allowed" in reason


@pytest.mark.parametrize(("price", "refused"), [(100, False), (101, True)])
def test_gas_may_cost_the_ceiling(price, refused):
    assert (dear_gas(price, policy(max_gas_price_wei=100)) is not None) == refused
