"""How wide a band is that follows from cost and variance, and where its edge lies."""

import numpy as np
import pytest
from builders import NOW, POOLS, USDC, WBTC, WETH, at, policy, snapshot
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain import InputError, load_policy
from keeper.policy import decide, remember
from keeper.policy.bands import edge_values, half_widths, optimal_width, volatility_widths
from keeper.policy.forecasts import outlook
from keeper.policy.guard import Basket, check_outcome
from keeper.policy.penalty import expected_wait, penalty_of
from keeper.policy.risk import covariance_of, targets_of
from keeper.units import WAD

DAY = 86_400
WEEK = 7 * DAY
BASKET = {USDC: (0.6, 0.5), WETH: (0.2, 0.25), WBTC: (0.2, 0.25)}
rates = st.floats(1e-10, 1e-4)
variances = st.floats(1e-12, 1e-6)
costs = st.floats(1e-5, 0.05)


def running_cost(b, inner, rate, variance, cost, fixed):  # noqa: PLR0917  as `optimal_width`
    """What waiting and trading cost per second, as a fraction of NAV."""
    trades = variance * (cost / (b + inner) + (fixed / (b * b - inner * inner) if fixed else 0))
    return rate * (b * b + inner * inner) / 12 + trades


def test_one_risky_asset_beside_cash_has_the_width_of_the_literature():
    """Rogers (2004): (3 cost / (2 risk aversion) * w**2 (1 - w)**2) ** (1/3), whatever the volatility."""
    weight, cost, aversion = 0.4, 0.003, 5.0
    for volatility in (0.2, 0.8):
        variance = volatility**2
        width = optimal_width(aversion * variance, weight**2 * (1 - weight) ** 2 * variance, cost, 0.0, inner=None)
        assert width == pytest.approx((1.5 * cost / aversion * weight**2 * (1 - weight) ** 2) ** (1 / 3))


@given(rate=rates, variance=variances, cost=costs, fixed=st.one_of(st.just(0.0), st.floats(1e-7, 1e-3)))
def test_no_other_width_costs_less(rate, variance, cost, fixed):
    width = optimal_width(rate, variance, cost, fixed, inner=0.0)
    least = running_cost(width, 0.0, rate, variance, cost, fixed)
    for other in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        assert least <= running_cost(other * width, 0.0, rate, variance, cost, fixed) * (1 + 1e-9)


@given(
    rate=rates, variance=variances, cost=costs, fixed=st.floats(1e-7, 1e-3), inner=st.floats(1e-4, 0.2)
)  # fmt: skip
def test_where_a_trade_stops_before_the_target_no_other_width_costs_less(rate, variance, cost, fixed, inner):
    width = optimal_width(rate, variance, cost, fixed, inner=inner)
    assert width > inner
    least = running_cost(width, inner, rate, variance, cost, fixed)
    for other in (0.5, 0.9, 1.1, 2.0):
        assert least <= running_cost(inner + other * (width - inner), inner, rate, variance, cost, fixed) * (1 + 1e-6)


@given(rate=rates, variance=variances, cost=costs)
def test_without_fixed_cost_the_width_is_the_cube_root(rate, variance, cost):
    assert optimal_width(rate, variance, cost, 0.0, inner=0.0) == pytest.approx((6 * cost * variance / rate) ** (1 / 3))


@given(rate=rates, variance=variances, fixed=st.floats(1e-7, 1e-3))
def test_with_only_fixed_cost_the_width_is_the_fourth_root(rate, variance, fixed):
    assert optimal_width(rate, variance, 0.0, fixed, inner=0.0) == pytest.approx((12 * fixed * variance / rate) ** 0.25)


@given(rate=rates, variance=variances, cost=costs, inner=st.floats(0.0, 0.3))
def test_the_width_is_never_less_than_where_a_trade_stops(rate, variance, cost, inner):
    assert optimal_width(rate, variance, cost, 0.0, inner=inner) >= inner


def test_the_mean_time_to_the_edge_is_that_of_a_random_walk():
    generator = np.random.default_rng(3)
    width, step = 1.0, 0.05
    steps = []
    for _ in range(400):
        x, count = 0.0, 0
        while abs(x) < width:
            x += step * (1 if generator.random() < 0.5 else -1)
            count += 1
        steps.append(count)
    assert np.mean(steps) == pytest.approx(width**2 / step**2, rel=0.15)


def moved(daily: float, days: int = 40, basket=BASKET, **asked):
    """A snapshot that remembers WETH and WBTC moving by about so much every day, and the policy."""
    by = policy(**asked)
    generator = np.random.default_rng(1)
    price, past, seen = {WETH: 2500.0, WBTC: 60_000.0}, None, None
    for day in range(days):
        seen = at(snapshot(basket, POOLS), NOW + day * DAY, price)
        past = remember(past, seen, by)
        price = {coin: value * float(np.exp(generator.normal(0, daily))) for coin, value in price.items()}
    seen = at(snapshot(basket, POOLS), NOW + (days - 1) * DAY, {})
    return seen.model_copy(update={"past": past}), by


VOLATILE = {"trigger": {"kind": "volatility_band", "max_width": 0.9, "max_relative": 9, "min_width": 0}}


def widths(daily, **asked):
    seen, by = moved(daily, **{"tracking_penalty": 0.5, "horizon_seconds": WEEK, "extent": "target"} | asked)
    return [width / seen.nav / WAD for width in volatility_widths(by.trigger, seen, by)]


def test_with_a_given_penalty_bands_widen_with_the_variance():
    calm, wild = widths(0.01, **VOLATILE), widths(0.04, **VOLATILE)
    assert wild[1] / calm[1] == pytest.approx(4 ** (2 / 3), rel=0.01)


def test_with_a_penalty_from_risk_the_variance_cancels():
    risk = {"tracking_penalty": {"risk_aversion": 5}, "horizon_seconds": None}
    calm, wild = widths(0.01, **VOLATILE, **risk), widths(0.04, **VOLATILE, **risk)
    assert wild == pytest.approx(calm, rel=0.01)


def test_dear_gas_widens_the_band():
    free = widths(0.02, **VOLATILE)
    dear = widths(0.02, **VOLATILE, gas_price_wei=str(500 * 10**9))
    assert all(wide > narrow for wide, narrow in zip(dear, free, strict=True))


def test_the_width_stays_between_its_bounds():
    tight = {"kind": "volatility_band", "min_width": 0.01, "max_width": 0.01}
    assert widths(0.04, trigger=tight) == pytest.approx([0.01, 0.01, 0.01])
    share = {"kind": "volatility_band", "min_width": 0, "max_width": 0.9, "max_relative": 0.04}
    assert widths(0.04, trigger=share) == pytest.approx([0.02, 0.01, 0.01])


def test_a_quiet_volatility_band_names_its_width_and_what_is_missing():
    seen, by = moved(0.05, tracking_penalty=0.01, horizon_seconds=WEEK, trigger={"kind": "volatility_band"})
    assert "is nearest to its edge (" in decide(seen, by).reason
    assert decide(seen, by).reason.endswith("of NAV is missing")


def test_what_fires_a_volatility_band_is_in_the_reason():
    tight = {"kind": "volatility_band", "min_width": 0.001, "max_width": 0.005}
    seen, by = moved(0.02, tracking_penalty=0.5, horizon_seconds=WEEK, trigger=tight)
    assert "; USDC is outside a band of 0.5% of NAV" in decide(seen, by).reason


def test_with_too_few_prices_the_volatility_is_assumed_and_the_assets_are_named():
    seen, by = moved(0.02, days=10, tracking_penalty=0.5, horizon_seconds=WEEK, trigger={"kind": "volatility_band"})
    reason = decide(seen, by).reason
    assert "; too little is known of USDC, WETH, WBTC, whose volatility is taken to be 0.7 a year" in reason


# The edge


def fractions(seen, values):
    return [value / seen.nav for value in values]


def banded(basket=BASKET, **band):
    seen = snapshot(basket, POOLS)
    by = policy(trigger={"kind": "band", **band}, extent="edge")
    return seen, half_widths(by.trigger, seen, by)


def test_at_the_edge_every_asset_is_inside_its_band_and_nothing_goes_further():
    seen, found = banded(absolute=0.04)
    assert fractions(seen, edge_values(seen, found)) == pytest.approx([0.54, 0.23, 0.23], abs=1e-6)


def test_who_is_inside_its_band_gives_way_only_as_far_as_it_must():
    basket = {USDC: (0.6, 0.5), WETH: (0.27, 0.25), WBTC: (0.13, 0.25)}
    seen, found = banded(basket, absolute=0.05)
    # WBTC must rise to 20% and USDC fall to 55%: WETH gives up the other 2%, to its target and no further.
    assert fractions(seen, edge_values(seen, found)) == pytest.approx([0.55, 0.25, 0.20], abs=1e-6)


@given(
    weights=st.lists(st.integers(1, 100), min_size=3, max_size=3),
    targets=st.lists(st.integers(1, 100), min_size=3, max_size=3),
    width=st.floats(0, 0.9),
)
def test_edge_values_lie_between_what_is_held_and_the_targets_and_sum_to_nav(weights, targets, width):
    coins = (USDC, WETH, WBTC)
    parts = [round(10_000 * part / sum(targets)) for part in targets]
    parts[0] += 10_000 - sum(parts)
    basket = {
        coin: (round(10_000 * weight / sum(weights)) / 10_000, part / 10_000)
        for coin, weight, part in zip(coins, weights, parts, strict=True)
    }
    seen = snapshot(basket, ())
    by = policy(trigger={"kind": "band", "absolute": f"{width:.6f}"})
    found = half_widths(by.trigger, seen, by)
    aims = edge_values(seen, found)
    for value, aim, target, room in zip(seen.values, aims, Basket.of(seen).target_values, found, strict=True):
        assert min(value, target) <= aim <= max(value, target)
        assert abs(aim - target) <= room // WAD + 1
    assert abs(sum(aims) - seen.nav) <= 10


def test_trading_to_the_edge_stops_there():
    seen = snapshot(BASKET, POOLS)
    asked = {"trigger": {"kind": "band", "absolute": 0.04}, "tracking_penalty": 50.0}
    to_edge, to_target = (decide(seen, policy(**asked, extent=extent)) for extent in ("edge", "target"))
    assert to_edge.estimate.drift_after == pytest.approx(0.08, abs=0.001)
    assert to_target.estimate.drift_after < 0.003


def test_an_extent_that_reaches_its_target_passes_the_vault_s_guard():
    seen = snapshot(BASKET, POOLS)
    decision = decide(seen, policy(tracking_penalty=50.0, extent="target"))
    change = {sell.token: -sell.amount for sell in decision.sells}
    for buy in decision.buys:
        change[buy.token] = change.get(buy.token, 0) + buy.amount
    after = [asset.balance + change.get(asset.token, 0) for asset in seen.vault.assets]
    basket = Basket.of(seen)
    assert check_outcome(basket, basket.measure(after), seen.vault.limits) is None


def test_inside_the_band_there_is_nothing_to_trade_to_the_edge():
    asked = {
        "trigger": {"kind": "any", "of": ({"kind": "always"}, {"kind": "band", "absolute": 0.3})},
        "extent": "edge",
    }
    assert decide(snapshot(BASKET, POOLS), policy(**asked)).reason.startswith("every asset is inside its band")


@pytest.mark.parametrize(("kind", "expected"), [("any", 0.02), ("all", 0.05)])
def test_of_several_bands_any_takes_the_narrowest_and_all_the_widest(kind, expected):
    parts = ({"kind": "band", "absolute": 0.05}, {"kind": "always"}, {"kind": "band", "absolute": 0.02})
    by = policy(trigger={"kind": kind, "of": parts}, extent="edge")
    seen = snapshot(BASKET, POOLS)
    assert {width / seen.nav / WAD for width in half_widths(by.trigger, seen, by)} == {expected}


# The penalty from risk


def test_the_penalty_is_risk_aversion_times_variance_times_time():
    seen, by = moved(0.03, tracking_penalty={"risk_aversion": 4, "horizon_seconds": DAY})
    found = penalty_of(seen, by)
    # Half of the basket moves by 3% a day.
    assert found.kappa == pytest.approx(4 * 0.5 * 0.03**2, rel=0.4)
    assert found.horizon == DAY
    assert f"; a distance counts {found.kappa:.4g} times" in decide(seen, by).reason


def test_the_time_to_the_next_trade_is_that_to_the_edge_of_the_quickest_band():
    band = {"kind": "band", "absolute": 0.01}
    seen, by = moved(0.03, tracking_penalty={"risk_aversion": 4}, trigger=band)
    wide, by_wide = moved(0.03, tracking_penalty={"risk_aversion": 4}, trigger=band | {"absolute": 0.02})
    assert penalty_of(wide, by_wide).horizon == pytest.approx(4 * penalty_of(seen, by).horizon)


def test_the_time_to_the_next_trade_is_the_calendar_s_where_there_is_one():
    trigger = {"kind": "any", "of": ({"kind": "calendar", "every_seconds": WEEK}, {"kind": "band", "absolute": 0.05})}
    seen, by = moved(0.03, tracking_penalty={"risk_aversion": 4}, trigger=trigger)
    assert penalty_of(seen, by).horizon == WEEK


def test_a_basket_that_does_not_move_waits_for_the_longest_time_there_is():
    seen, by = moved(0.0, tracking_penalty={"risk_aversion": 4}, trigger={"kind": "band", "absolute": 0.05})
    assert expected_wait(seen, by, outlook(seen, by.tracking_penalty.forecast)) == 90 * DAY
    assert decide(seen, by).action == "hold"


def test_a_forecast_covariance_lets_what_moves_together_cancel():
    """WETH above and WBTC below their targets matter less if both move as one."""
    basket = {USDC: (0.5, 0.5), WETH: (0.3, 0.25), WBTC: (0.2, 0.25)}
    by = policy(tracking_penalty=0.5, covariance="forecast")
    past, price = None, {WETH: 2500.0, WBTC: 60_000.0}
    generator = np.random.default_rng(2)
    for day in range(40):
        past = remember(past, at(snapshot(basket, POOLS), NOW + day * DAY, price), by)
        move = float(np.exp(generator.normal(0, 0.03)))
        price = {coin: value * move for coin, value in price.items()}
    seen = at(snapshot(basket, POOLS), NOW + 39 * DAY, {}).model_copy(update={"past": past})
    assert decide(seen, policy(tracking_penalty=0.5)).action == "rebalance"
    assert decide(seen, by).action == "hold"


MISTAKES = [
    ("extent: edge", "extent: edge needs a band"),
    ("horizon_seconds: 3600", "horizon_seconds: nothing in this policy uses it"),
    ("trigger: {kind: volatility_band}", "horizon_seconds: missing: volatility_band needs"),
    ("tracking_penalty: {risk_aversion: 1}", "horizon_seconds is missing: without a band or a calendar"),
    ("tracking_penalty: {risk_aversion: 0}", "tracking_penalty: risk_aversion: Input should be greater than 0"),
    ("tracking_penalty: {risk_aversion: 1, horizon_seconds: 60, x: 1}", "tracking_penalty: x: unknown field"),
    ("tracking_penalty: {risk_aversion: 1, horizon_seconds: 60}\nhorizon_seconds: 60", "goes inside tracking_penalty"),
    ("trigger: {kind: volatility_band, min_width: 0.3}\nhorizon_seconds: 60", "min_width is 0.3, it must not be above"),
    ("covariance: forecasts", "covariance: "),
    (
        "trigger: {kind: volatility_band}\nhorizon_seconds: 60\nmemory: {samples: 20}",
        "memory.samples is 20, and a",
    ),
    ("memory: {samples: 1}", "memory.samples: Input should be greater than or equal to 2"),
    ("benefit: {min_ratio: 0}", "benefit.min_ratio: "),
    ("benefit: {mev_allowance: 1}", "benefit.mev_allowance: "),
    ("schedule: {kind: twap}", "schedule.twap.interval_seconds: missing"),
    ("schedule: {kind: twap, interval_seconds: 60}", "slices: auto needs refill_half_life_seconds"),
    ("schedule: {kind: twap, interval_seconds: 60, slices: 1}", "schedule.twap.slices"),
    ("schedule: {kind: twap, interval_seconds: 60, slices: 3, max_slices: 5}", "slices is 3: refill_half_life_seconds"),
    (
        "schedule: {kind: twap, interval_seconds: 60, slices: 3, deadline_seconds: 100}",
        "deadline_seconds is 100",
    ),
    (
        "schedule: {kind: twap, interval_seconds: 60, refill_half_life_seconds: 60}",
        "horizon_seconds: missing: slices: auto needs",
    ),
]


@pytest.mark.parametrize(("lines", "message"), MISTAKES, ids=[lines for lines, _ in MISTAKES])
def test_a_policy_that_contradicts_itself_gives_one_clear_line(lines, message):
    given = dict(line.split(": ", 1) for line in lines.split("\n"))
    whole = {"trigger": "{kind: always}", "tracking_penalty": "1"} | given
    with pytest.raises(InputError, match=message) as refused:
        load_policy("\n".join(f"{key}: {value}" for key, value in whole.items()))
    assert "\n" not in str(refused.value)


def test_a_coin_that_is_not_in_the_basket_cannot_have_an_edge():
    by = policy(trigger={"kind": "band", "absolute": 0.1, "assets": {"LINK": {"absolute": 0.1}}}, extent="edge")
    with pytest.raises(InputError, match="a band is for link"):
        half_widths(by.trigger, snapshot(BASKET, POOLS), by)


# At the edges of the formulas


@pytest.mark.parametrize(("rate", "variance"), [(1e-6, 0.0), (0.0, 1e-9), (0.0, 0.0)])
@pytest.mark.parametrize("inner", [None, 0.0, 0.1])
def test_what_costs_nothing_or_does_not_move_needs_no_band(rate, variance, inner):
    assert optimal_width(rate, variance, 0.003, 0.0, inner) == 1.0


def test_where_a_dollar_pays_no_more_the_band_ends_if_it_would_end_before():
    assert optimal_width(1e-4, 1e-12, 0.003, 0.0, 0.1) == 0.1


def test_a_band_whose_trades_stop_at_its_edge_has_the_cube_root_s_width():
    seen, by = moved(0.03, tracking_penalty=0.5, horizon_seconds=WEEK, extent="edge", **VOLATILE)
    spread = outlook(seen, by.trigger.forecast).drift_variances(targets_of(seen))
    found = [width / seen.nav / WAD for width in volatility_widths(by.trigger, seen, by)]
    assert found == pytest.approx(np.cbrt(1.5 * 0.003 * spread * WEEK / 0.5))


@pytest.mark.parametrize(("daily", "absolute", "seconds"), [(0.2, 0.0001, 600), (0.0001, 0.9, 90 * DAY)])
def test_the_time_to_the_next_trade_stays_between_ten_minutes_and_ninety_days(daily, absolute, seconds):
    band = {"kind": "band", "absolute": absolute}
    seen, by = moved(daily, tracking_penalty={"risk_aversion": 4}, trigger=band)
    assert penalty_of(seen, by).horizon == seconds


@pytest.mark.parametrize("more", [{}, {"covariance": "forecast"}], ids=["identity", "covariance"])
def test_a_basket_that_never_moved_is_decided_on(more):
    seen, by = moved(0.0, tracking_penalty={"risk_aversion": 4, "horizon_seconds": DAY}, **more)
    assert decide(seen, by).action == "hold"
    assert penalty_of(seen, by).kappa > 0


def test_a_covariance_of_what_never_moved_has_one_answer():
    seen, by = moved(0.0, tracking_penalty=0.5, covariance="forecast")
    assert np.linalg.eigvalsh(covariance_of(seen, by)).min() > 0


def test_a_covariance_that_is_given_is_what_distances_are_counted_by():
    rows = ((1.0, 0.0, 0.2), (0.0, 4.0, 0.0), (0.2, 0.0, 9.0))
    given_ = {"tokens": ("WETH", "USDC", "WBTC"), "matrix": rows}
    seen, by = moved(0.03, tracking_penalty=0.5, covariance=given_)
    assert penalty_of(seen, by).covariance == pytest.approx(np.array([[4, 0, 0], [0, 1, 0.2], [0, 0.2, 9]]), abs=1e-6)


def test_a_penalty_of_next_to_nothing_is_decided_on():
    seen, by = moved(0.03, tracking_penalty={"risk_aversion": 1e-30, "horizon_seconds": 60})
    assert decide(seen, by).action == "hold"
