"""Simulated paths have the moments that they are said to have, and depend on their seed alone."""

from itertools import islice
from operator import length_hint

import numpy as np
import pytest
from pydantic import ValidationError

from keeper.domain.errors import InputError
from keeper.market import Asset, PricePath, Window
from keeper.market.paths import YEAR, Jumps, Spell
from keeper.market.source import last_closes

DAY = 86_400
PAIR = ("A", "B")


def logs(path):
    return np.log(np.array([prices for _, prices in path]))


def moved(path):
    return np.diff(logs(path), axis=0)


def test_rows_are_evenly_spaced_and_begin_with_the_given_prices():
    path = PricePath(symbols=("WETH", "X"), steps=5, step=60, start=1_000, assets={"X": Asset(price=7.0)})
    rows = list(path)
    assert [time for time, _ in rows] == [1_000, 1_060, 1_120, 1_180, 1_240]
    assert rows[0][1] == pytest.approx([2_000.0, 7.0], rel=1e-12)
    assert length_hint(path) == 5


def test_gbm_has_its_volatility_drift_and_correlation():
    assets = {"A": Asset(volatility=0.5, drift=0.3), "B": Asset(volatility=1.2)}
    n = 100_000
    path = PricePath(symbols=PAIR, steps=n + 1, assets=assets, correlation=0.4, seed=3)
    steps, dt = moved(path), 3600 / YEAR
    # Five standard errors of each.
    assert steps.std(0) / np.sqrt(dt) == pytest.approx([0.5, 1.2], rel=5 / np.sqrt(2 * n))
    for column, (mu, sigma) in enumerate([(0.3, 0.5), (0.0, 1.2)]):
        assert abs(steps[:, column].mean() - (mu - sigma**2 / 2) * dt) < 5 * sigma * np.sqrt(dt / n)
    assert np.corrcoef(steps.T)[0, 1] == pytest.approx(0.4, abs=5 / np.sqrt(n))


@pytest.mark.parametrize("regime", ["gbm", "jumps", "regimes"])
def test_expected_growth_is_the_drift_whatever_the_regime(regime):
    ends = []
    for seed in range(400):
        path = PricePath(
            regime=regime,
            symbols=("A",),
            seed=seed,
            steps=53,
            step=7 * DAY,
            assets={"A": Asset(price=1.0, volatility=0.4, drift=0.2)},
        )
        *_, (_, last) = path
        ends.append(last[0])
    expected = np.exp(0.2 * 52 * 7 * DAY / YEAR)
    assert abs(np.mean(ends) - expected) < 4 * np.std(ends) / np.sqrt(len(ends))


def test_jumps_come_as_often_and_as_large_as_said():
    jumps = Jumps(common_a_year=0.0, own_a_year=50.0, mean=-2.0, deviation=0.5)
    path = PricePath(
        regime="jumps", symbols=PAIR, steps=100_001, jumps=jumps, assets={s: Asset(volatility=0.2) for s in PAIR}
    )
    steps = moved(path)
    large = steps < -0.2  # the diffusion of an hour is 0.2%; a jump is -40%, give or take 10%
    assert large.mean(0) == pytest.approx([50 * 3600 / YEAR] * 2, rel=5 / np.sqrt(570))
    assert steps[large].mean() == pytest.approx(-0.4, abs=0.02)
    assert steps[large].std() == pytest.approx(0.1, rel=0.15)
    assert (large.all(1)).sum() <= 8  # 3.3 expected of each asset's own jumps that fall together


def test_common_jumps_hit_every_asset_at_once():
    jumps = Jumps(common_a_year=50.0, own_a_year=0.0, mean=-2.0, deviation=0.5)
    steps = moved(
        PricePath(
            regime="jumps", symbols=PAIR, steps=50_001, jumps=jumps, assets={s: Asset(volatility=0.2) for s in PAIR}
        )
    )
    large = steps < -0.2
    assert large.any()
    # The one or two that are small by chance of the size are small for both.
    assert (large[:, 0] != large[:, 1]).sum() <= 2


def test_regimes_switch_between_calm_and_turbulent():
    spells = (Spell(mean_days=50.0, volatility=0.5), Spell(mean_days=10.0, volatility=3.0, correlation=0.95))
    path = PricePath(regime="regimes", symbols=PAIR, steps=24 * 365 * 8, correlation=0.1, spells=spells)
    days = moved(path)[: 24 * 2900].reshape(2900, 24, 2)
    turbulent = days.std(1)[:, 0] > 1.5 * np.sqrt(3600 / YEAR)
    assert turbulent.mean() == pytest.approx(1 / 6, abs=0.06)  # 10 of 60 days, some fifty spells of each
    assert np.corrcoef(days[turbulent].reshape(-1, 2).T)[0, 1] > 0.9
    assert np.corrcoef(days[~turbulent].reshape(-1, 2).T)[0, 1] < 0.2


def test_a_crash_takes_everything_down_together_and_leaves_a_peg_nearly_where_it_was():
    path = PricePath(regime="crash", symbols=("BTC", "ETH", "LINK", "USDC"), steps=24 * 365 * 4, seed=5)
    x = logs(path)
    falls = x[48:] - x[:-48]
    worst = falls[:, 1].argmin()
    assert (falls[worst, :3] < -0.3).all()
    assert abs(falls[worst, 3]) < 0.05


def test_a_peg_stays_at_its_price():
    path = PricePath(symbols=("USDC",), steps=24 * 365 * 3)
    x = logs(path)[:, 0]
    # Stationary deviation of an Ornstein-Uhlenbeck process: volatility / sqrt(2 reversion).
    assert x.std() == pytest.approx(0.02 / np.sqrt(200), rel=0.25)
    assert abs(x).max() < 0.01


def test_another_seed_is_another_path():
    first, second = (PricePath(symbols=("A",), seed=seed, steps=10) for seed in (1, 2))
    assert (logs(first)[1:] != logs(second)[1:]).all()


def test_an_added_asset_changes_no_regime():
    """The common stream of states is not shifted by how many assets draw."""
    spells = (Spell(mean_days=1.0, volatility=0.0), Spell(mean_days=1.0, volatility=1.0))

    def still(symbols):
        return (moved(PricePath(symbols=symbols, steps=500, spells=spells)) == 0).all(1)

    assert (still(("A",)) == still(PAIR)).all()
    assert 0 < still(PAIR).sum() < 499


def test_a_path_is_a_file_too():
    path = PricePath(regime="crash", symbols=PAIR, seed=9, steps=4)
    assert PricePath.model_validate_json(path.model_dump_json()) == path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"symbols": ("A", "A")}, "listed twice"),
        ({"symbols": ("A",), "assets": {"B": Asset()}}, "B, which is not among the symbols"),
        ({"symbols": ("A",), "spells": ()}, "spells is empty"),
        ({"symbols": ("A",), "steps": 0}, "greater than or equal to 1"),
        ({"symbols": ("A",), "correlation": 1.5}, "less than or equal to 1"),
    ],
)
def test_nonsense_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        PricePath(**fields)


def test_a_window_is_the_rows_from_start_until_before_stop():
    path = PricePath(symbols=("A",), steps=100, step=10, start=0)
    window = Window(path, 200, 300)
    assert [time for time, _ in window] == list(range(200, 300, 10))
    assert length_hint(window) == 10
    assert length_hint(Window(window.prices, window.start)) == length_hint(window.prices)
    assert (window.symbols, window.step) == (("A",), 10)
    assert [time for time, _ in Window(path, stop=25)] == [0, 10, 20]
    assert next(iter(Window(path, start=955)))[0] == 960


def test_a_window_that_is_empty_is_refused():
    with pytest.raises(InputError, match="empty"):
        Window(PricePath(symbols=("A",)), 10, 10)


def test_a_path_is_drawn_as_it_is_read():
    """A million years of hours: only what is asked for is drawn."""
    endless = PricePath(symbols=PAIR, steps=24 * 365 * 1_000_000)
    assert len(list(islice(endless, 3))) == 3


def test_last_closes_are_the_given_distance_apart_and_end_with_the_last_row():
    path = PricePath(symbols=PAIR, steps=50, step=3_600, start=0)
    rows = list(path)
    until, closes = last_closes(path, 3, 7_200)
    assert until == 49 * 3_600
    assert (closes == np.array([rows[k][1] for k in (45, 47, 49)])).all()
    assert len(last_closes(path, 100, 36_000)[1]) == 5  # rows 9, 19, … 49


def test_closes_nearer_than_the_rows_are_refused():
    with pytest.raises(InputError, match="give finer ones"):
        last_closes(PricePath(symbols=("A",), step=7_200), 3, 3_600)


def test_closes_of_no_rows_are_refused():
    with pytest.raises(InputError, match="there are no prices at all"):
        last_closes(Window(PricePath(symbols=("A",), start=0), start=10**12), 3, 3_600)
