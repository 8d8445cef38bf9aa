"""The vault's leaky buckets, mirrored (against the contract: tests/e2e/test_backtest_chain.py)."""

from keeper.domain.limits import LimitsConfig
from keeper.policy.guard import Outcome
from keeper.policy.tally import Tally
from keeper.units import WAD

LIMITS = LimitsConfig(loss_budget="0.01", turnover_budget="0.4", window=10_000, cooldown=60).encoded()
NAV = 10**6 * WAD


def test_a_full_bucket_is_empty_after_a_window_and_never_below():
    full = Tally(0, LIMITS.loss_budget, LIMITS.turnover_budget)
    assert full.drained(LIMITS, 2500).loss_level == LIMITS.loss_budget * 3 // 4
    assert full.drained(LIMITS, 10_000) == Tally(10_000, 0, 0)
    assert full.drained(LIMITS, 50_000) == Tally(50_000, 0, 0)


def test_a_batch_adds_its_loss_and_both_legs_of_its_turnover_rounded_up():
    outcome = Outcome(sold=3 * 10**4 * WAD + 1, bought=2 * 10**4 * WAD, nav=99 * 10**4 * WAD - 1, gap=0)
    after = Tally(0, 0, 0).after(NAV, outcome, LIMITS, 10)
    assert after == Tally(10, WAD // 100 + 1, WAD // 20 + 1)


def test_a_gain_is_never_credited():
    outcome = Outcome(sold=WAD, bought=2 * WAD, nav=NAV + WAD, gap=0)
    assert Tally(0, 5 * 10**15, 0).after(NAV, outcome, LIMITS, 0).loss_level == 5 * 10**15


def test_headroom_is_what_the_buckets_can_still_take():
    limits = Tally(0, LIMITS.loss_budget, LIMITS.turnover_budget // 2).limits(LIMITS, 5000)
    assert limits.loss_headroom == LIMITS.loss_budget // 2
    assert limits.turnover_headroom == LIMITS.turnover_budget


def test_a_budget_that_was_lowered_below_its_level_leaves_nothing():
    found = Tally(0, LIMITS.loss_budget + 1, LIMITS.turnover_budget + 1).limits(LIMITS, 0)
    assert (found.loss_headroom, found.turnover_headroom) == (0, 0)


def test_the_cooldown_counts_from_the_last_batch():
    assert Tally(100).ready_at(LIMITS) == 160
