"""Metrics against hand calculation, and against skfolio and pandas."""

import numpy as np
import pandas as pd
import pytest
from simulated import made_fill, made_step
from skfolio import measures

from keeper.backtest.metrics import Meter
from keeper.domain import Decision, Estimate

DAY = 86_400
YEAR = 365 * DAY


def metered(steps, band=0.05):
    meter = Meter(band)
    for step in steps:
        meter.add(step)
    return meter.metrics()


def daily(values, **changes):
    """One step a day; ``changes`` are sequences, one item for each."""
    return [
        made_step(DAY * k, value, **{name: found[k] for name, found in changes.items()})
        for k, value in enumerate(values)
    ]


VALUES = [100.0, 110.0, 99.0, 99.0, 108.9]  # +10%, -10%, 0, +10%
RANDOM = 1_000 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.03, 701)))
OTHER = RANDOM * np.exp(np.random.default_rng(6).normal(0, 0.004, 701))
RETURNS = RANDOM[1:] / RANDOM[:-1] - 1


def test_growth_volatility_and_ratios_by_hand():
    found = metered(daily(VALUES)).value
    assert (found.start_usd, found.end_usd) == (100.0, 108.9)
    assert found.growth == pytest.approx(0.089)
    assert found.return_a_year == pytest.approx(1.089 ** (365 / 4) - 1)
    # Returns 0.1, -0.1, 0, 0.1: mean 0.025, squares about it sum to 0.0275.
    deviation = (0.0275 / 3) ** 0.5
    assert found.volatility == pytest.approx(deviation * 365**0.5)
    assert found.sharpe == pytest.approx(0.025 / deviation * 365**0.5)
    assert found.sortino == pytest.approx(0.025 / 0.05 * 365**0.5)  # root of 0.01 / 4
    assert found.max_drawdown == pytest.approx(0.1)
    assert found.cvar == pytest.approx(0.1)  # a twentieth of four is a part of the worst


def test_performance_is_what_skfolio_and_pandas_say():
    found = metered(daily(RANDOM)).value
    assert found.cvar == pytest.approx(measures.cvar(RETURNS, 0.95))
    assert found.sharpe == pytest.approx(RETURNS.mean() / measures.standard_deviation(RETURNS) * 365**0.5)
    downside = measures.semi_deviation(RETURNS, min_acceptable_return=0.0, biased=True)
    assert found.sortino == pytest.approx(RETURNS.mean() / downside * 365**0.5)
    series = pd.Series(RANDOM)
    assert found.volatility == pytest.approx(series.pct_change().std() * 365**0.5)
    assert found.max_drawdown == pytest.approx((1 - series / series.cummax()).max())


def test_tracking_is_measured_against_the_frictionless_portfolio():
    found = metered(daily(RANDOM, ideal_value_usd=OTHER))
    strayed = pd.Series(RANDOM).pct_change() - pd.Series(OTHER).pct_change()
    assert found.tracking_error == pytest.approx(strayed.std() * 365**0.5)
    years = 700 / 365
    lead = np.log(RANDOM[-1] / RANDOM[0]) - np.log(OTHER[-1] / OTHER[0])
    assert found.tracking_difference_bp == pytest.approx(lead / years * 1e4)


def test_a_portfolio_that_is_the_frictionless_one_has_no_tracking_error():
    found = metered(daily(RANDOM))
    assert found.tracking_error == 0
    assert found.tracking_difference_bp == 0


def test_the_rebalancing_gain_is_over_holding():
    found = metered(daily([100.0] * 366, hold_value_usd=np.linspace(100.0, 90.0, 366)))
    assert found.gain_over_hold_bp == pytest.approx(np.log(1 / 0.9) * 1e4)
    assert found.hold.growth == pytest.approx(-0.1)


def test_gas_is_taken_off_the_value_though_the_vault_does_not_pay_it():
    steps = daily([100.0] * 4)
    steps[1] = made_step(DAY, 100.0, executed=made_fill(gas=3.0))
    steps[2] = made_step(2 * DAY, 100.0, executed=made_fill(gas=2.0, failed="too late"))
    found = metered(steps)
    assert found.value.end_usd == 95.0
    assert found.ideal.end_usd == 100.0
    assert (found.trades, found.reverted) == (1, 1)


def test_costs_are_split_over_the_value_of_their_time_and_by_year():
    fill = made_fill(turnover=40.0, fees=1.0, impact=0.5, shortfall=2.5, gas=0.25, off_oracle=-0.75)
    steps = [
        made_step(0, 1_000.0),
        made_step(YEAR, 1_000.0, executed=fill),
        made_step(2 * YEAR, 500.0, executed=fill),
    ]
    found = metered(steps)
    scale = (1 / 1_000 + 1 / 500) / 2 * 1e4
    assert found.cost_bp.fees == pytest.approx(1.0 * scale)
    assert found.cost_bp.impact == pytest.approx(0.5 * scale)
    assert found.cost_bp.off_market == pytest.approx(1.0 * scale)
    assert found.cost_bp.gas == pytest.approx(0.25 * scale)
    assert found.cost_bp.total == pytest.approx(2.75 * scale)
    assert found.cost_bp.off_oracle == pytest.approx(-0.75 * scale)
    assert found.turnover == pytest.approx((20 / 1_000 + 20 / 500) / 2)


def test_an_asset_beyond_the_band_makes_the_step_count_as_outside():
    weights = [np.array(pair) for pair in ([0.5, 0.5], [0.55, 0.45], [0.56, 0.44], [0.4, 0.6])]
    steps = daily([100.0] * 4, weights=weights, drift=[0.0, 0.1, 0.12, 0.2])
    assert metered(steps, band=0.055).time_outside_band == 0.5
    assert metered(steps, band=0.2).time_outside_band == 0.0
    assert metered(steps).mean_drift == pytest.approx(0.105)
    assert metered(steps).max_drift == 0.2


def test_the_band_is_around_the_targets_of_the_step():
    moved = {"weights": np.array([0.7, 0.3]), "targets": (7 * 10**17, 3 * 10**17)}
    assert metered([made_step(0, 100.0, **moved)]).time_outside_band == 0.0


def test_finer_steps_give_the_same_daily_figures():
    """Hourly steps between the days change drawdown at most, and returns not at all."""
    fine = [
        made_step(DAY * day + 3_600 * hour, value * (0.5 if hour == 12 else 1.0))
        for day, value in enumerate(VALUES)
        for hour in range(24 if day < len(VALUES) - 1 else 1)
    ]
    coarse, found = metered(daily(VALUES)).value, metered(fine).value
    assert found.volatility == pytest.approx(coarse.volatility)
    assert found.cvar == pytest.approx(coarse.cvar)
    assert found.max_drawdown == pytest.approx(1 - 0.5 * 99 / 110)


def test_steps_longer_than_a_day_are_their_own_period():
    found = metered([made_step(7 * DAY * k, value) for k, value in enumerate(VALUES)]).value
    assert found.volatility == pytest.approx((0.0275 / 3) ** 0.5 * (365 / 7) ** 0.5)


def test_a_run_of_one_step_has_no_rates():
    found = metered([made_step(0, 100.0)])
    assert found.steps == 1
    assert found.years == 0
    assert (found.tracking_error, found.turnover, found.cost_bp, found.value.sharpe, found.value.cvar) == (None,) * 5


def test_a_value_that_never_falls_has_no_sortino_ratio():
    assert metered(daily([100.0, 101.0, 102.0])).value.sortino is None


def test_refusals_are_counted():
    estimate = Estimate(nav_usd=1, cost_usd=0, gas_usd=0, gas_units=0, drift_before=0, drift_after=0)
    held = Decision(
        action="hold", reason="stale", swaps=(), sells=(), buys=(), estimate=estimate, certificate=None, refused=True
    )
    assert metered(daily([1.0] * 3, decision=[held, None, held])).refused == 2
