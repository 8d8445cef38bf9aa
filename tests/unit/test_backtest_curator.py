"""Targets that a curator moves: when, how far, and from what."""

from decimal import Decimal

import numpy as np
import pytest

from keeper.backtest import load_setup
from keeper.backtest.curator import Curation, Curator
from keeper.domain import InputError
from keeper.market import PricePath
from keeper.policy.targets import Cppi, Fixed, InverseVolatility, propose

DAY = 86_400
PAIR = ("A", "B")
HALVES = (5 * 10**17, 5 * 10**17)
ROWS = list(PricePath(symbols=PAIR, steps=24 * 60, step=3_600, start=0, seed=2))


def run(curation, rows=ROWS, targets=HALVES):
    """Targets in force after each row."""
    curator = Curator(curation, PAIR, targets)
    found = []
    for time, prices in rows:
        curator.look(time, prices)
        found.append(curator.at(time))
    return found


def test_targets_stay_until_there_is_enough_history_and_the_timelock_is_over():
    found = run(Curation(method=InverseVolatility(days=10), timelock_seconds=2 * DAY))
    hours = next(k for k, targets in enumerate(found) if targets != HALVES)
    assert hours == 24 * (10 + 2) + 1  # the glide begins after twelve days


def test_a_glide_is_linear_takes_the_vaults_least_time_and_ends_on_what_was_proposed():
    method = Fixed(weights={"A": Decimal("0.75"), "B": Decimal("0.25")})
    found = run(Curation(method=method, timelock_seconds=0))
    # A change of 0.25 up and 0.25 down: half of seven days.
    half, end = 24 * 7 // 4, 24 * 7 // 2
    assert found[half] == (625 * 10**15, 375 * 10**15)
    assert found[end - 1] != (75 * 10**16, 25 * 10**16)
    assert found[end] == (75 * 10**16, 25 * 10**16)
    assert all(10**18 - 2 < sum(targets) <= 10**18 for targets in found)


def test_the_vault_takes_a_change_once_and_then_glides_between_rows_as_well():
    curator = Curator(Curation(method=Fixed(weights={"A": 0.75, "B": 0.25}), timelock_seconds=DAY), PAIR, HALVES)
    taken = [time for time, prices in ROWS[:30] if curator.look(time, prices)]
    assert taken == [DAY]
    first, second = curator.at(DAY + 1800)
    assert HALVES[0] < first < curator.at(DAY + 3600)[0]
    assert second < HALVES[1]


def test_a_longer_glide_may_be_asked_for():
    method = Fixed(weights={"A": Decimal("0.75"), "B": Decimal("0.25")})
    found = run(Curation(method=method, timelock_seconds=0, glide_seconds=20 * DAY))
    assert found[24 * 10] == (625 * 10**15, 375 * 10**15)


def test_proposals_come_every_so_many_days_from_daily_closes():
    curation = Curation(method=InverseVolatility(days=5), every_days=20, timelock_seconds=0)
    found = run(curation)
    closes = np.array([prices for _, prices in ROWS[::24]])
    settled = [found[24 * day] for day in (24, 44)]  # each glide is over by then
    assert settled == [propose(InverseVolatility(days=5), PAIR, closes[day - 5 : day + 1]) for day in (5, 25)]


@pytest.mark.parametrize("cut", [24 * 12, 24 * 25 + 7])
def test_nothing_depends_on_later_prices(cut):
    curation = Curation(method=InverseVolatility(days=5), every_days=7)
    assert run(curation, ROWS[:cut]) == run(curation)[:cut]


def test_insurance_cuts_risk_after_a_fall():
    """A falls by 60% and half of it is held: worth 0.7, below a floor of 0.8, so nothing may be at risk."""
    rows = [(DAY * day, np.array([1.0 if day < 3 else 0.4, 1.0])) for day in range(30)]
    method = Cppi(safe="B", floor=Decimal("0.8"), multiplier=2.5)
    found = run(Curation(method=method, every_days=4, timelock_seconds=0), rows)
    assert found[3] == HALVES  # 2.5 times a cushion of 0.2
    assert found[-1] == (0, 10**18)


def test_a_setup_file_may_have_a_curator():
    setup = load_setup("basket: {WETH: 0.5, USDC: 0.5}\ntargets: {method: {kind: cppi, safe: USDC}, every_days: 7}\n")
    assert setup.curation == Curation(method=Cppi(safe="USDC"), every_days=7)
    assert load_setup(setup.model_dump_json()) == setup


def test_a_method_that_does_not_fit_the_basket_is_refused_with_the_setup():
    with pytest.raises(InputError, match="the safe asset DAI of cppi is not in the basket: WETH, USDC"):
        load_setup("basket: {WETH: 0.5, USDC: 0.5}\ntargets: {method: {kind: cppi, safe: DAI}}\n")
