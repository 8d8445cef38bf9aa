"""The study of strategies: its judge finds what is there and nothing else, and its page says what was measured."""

import json

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import strategies as study
from benchmarks.judge import Sample, level_of, read_off, verdict
from keeper.chain.artifacts import ROOT

RANDOM = np.random.default_rng(7)


def frontier(count, saved=0.0, noise=2.0, common=None):
    """Three settings of a strategy on so many paths: the wider, the cheaper; ``saved`` bp off every cost."""
    chance = RANDOM.normal(0, 20, count) if common is None else common
    costs = np.array([60.0, 40.0, 25.0]) - saved + chance[:, None] + RANDOM.normal(0, noise, (count, 3))
    squares = np.array([0.01, 0.015, 0.025]) ** 2 * RANDOM.uniform(0.8, 1.2, (count, 1))
    return costs, squares


def sample(saved, count=200, days=False):
    """The default, and others that save so much; all of them suffer from the same chance."""
    common = RANDOM.normal(0, 20, count)
    found = {name: frontier(count, by, common=common) for name, by in {"default": 0.0, **saved}.items()}
    return Sample({n: c for n, (c, _) in found.items()}, {n: v for n, (_, v) in found.items()}, days)


@pytest.mark.parametrize("days", [False, True])
def test_what_saves_something_is_found_among_others_that_do_not(days):
    judged = verdict({"market": sample({"cheaper": 3.0, "same": 0.0, "dearer": -3.0}, days=days)}, "default")["market"]
    assert judged["beaten_by"] == ["cheaper"]
    assert judged["strategies"]["cheaper"]["saves_bp"] == pytest.approx(3, abs=1)
    assert judged["strategies"]["dearer"]["p"] > 0.9
    assert judged["reality_check_p"] < 0.01


def test_chance_is_not_taken_for_a_saving():
    beaten = [
        verdict({"market": sample(dict.fromkeys("abcdef", 0.0), count=60)}, "default")["market"]["beaten_by"]
        for _ in range(6)
    ]
    assert sum(map(len, beaten)) <= 1


def test_common_luck_cancels_because_draws_are_paired():
    judged = verdict({"market": sample({"other": 0.0})}, "default")["market"]["strategies"]
    # One path has an error of some 20 bp, the mean of 200 of 1.4; the difference must know nothing of it.
    assert judged["default"]["error_bp"] > 1
    assert judged["other"]["detectable_bp"] < 1.5


def test_a_correction_for_many_makes_it_harder():
    one = verdict({"market": sample({"other": 0.3})}, "default")["market"]["strategies"]["other"]
    many = verdict({"market": sample({"other": 0.3} | dict.fromkeys("abcdef", 0.0))}, "default")["market"]["strategies"]
    assert one["p_holm"] == one["p"]
    assert many["other"]["p_holm"] >= many["other"]["p"]
    assert many["other"]["detectable_bp"] > one["detectable_bp"]


def test_markets_may_list_their_strategies_in_any_order():
    first, second = sample({"x": 5.0, "y": 0.0}), sample({"x": 5.0, "y": 0.0})
    turned = Sample(dict(reversed(second.costs.items())), dict(reversed(second.squares.items())), False)
    together = verdict({"a": first, "b": turned}, "default")["all regimes"]["strategies"]
    assert together["x"]["saves_bp"] == pytest.approx(5, abs=1)
    assert together["y"]["saves_bp"] == pytest.approx(0, abs=1)


def test_regimes_are_also_judged_together_and_history_is_not_among_them():
    found = verdict(
        {"a": sample({"x": 1.0}), "b": sample({"x": 3.0}), "past": sample({"x": 9.0}, days=True)}, "default"
    )
    assert list(found) == ["a", "b", "past", "all regimes"]
    assert found["all regimes"]["strategies"]["x"]["saves_bp"] == pytest.approx(2, abs=0.7)


def test_a_cost_is_read_off_between_settings_straight_in_logarithms():
    variance, cost = np.array([4.0, 1.0]), np.array([10.0, 40.0])
    assert read_off(variance, cost, 1.0) == pytest.approx(40)
    assert read_off(variance, cost, 4.0) == pytest.approx(10)
    assert read_off(variance, cost, 2.0) == pytest.approx(20)
    assert read_off(variance, cost, 8.0) == pytest.approx(5)


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=5, unique=True), st.floats(0.05, 20))
def test_the_order_of_the_settings_does_not_matter(variances, level):
    variance = np.array(variances)
    cost = 30 / variance
    back = np.arange(len(variances))[::-1]
    assert read_off(variance, cost, level) == pytest.approx(read_off(variance[back], cost[back], level))


def spread(*variances):
    return np.array(variances), np.ones(len(variances))


def test_the_level_is_in_the_middle_of_what_all_reach():
    level, names = level_of({"a": spread(1.0, 4.0), "b": spread(2.0, 8.0)}, "a")
    assert level == pytest.approx(8**0.5)
    assert names == ["a", "b"]


@pytest.mark.parametrize("default", ["a", "b"])
def test_a_strategy_that_reaches_no_common_level_is_left_out_and_never_the_default(default):
    found = {"a": spread(1.0, 2.0), "b": spread(1.5, 3.0), "far": spread(5.0, 6.0)}
    level, names = level_of(found, default)
    assert names == ["a", "b"]
    assert level == pytest.approx(3**0.5)
    assert level_of({"near": spread(0.1, 0.2), "a": spread(1.0, 2.0)}, "a")[1] == ["a"]


def test_who_is_out_of_reach_is_told():
    near = sample({"x": 0.0, "y": 0.0})
    far = Sample(near.costs, near.squares | {"y": near.squares["y"] * 100}, False)
    market = verdict({"m": far}, "default")["m"]
    assert market["out_of_reach"] == ["y"]
    assert market["strategies"].keys() == {"default", "x"}


def entry(strategy, point, seed, cost, error, *, daily=None):
    found = {"market": "m", "strategy": strategy, "point": point, "seed": seed}
    found["metrics"] = {"cost_bp": {"total": cost}, "tracking_error": error}
    return found | ({} if daily is None else {"daily": daily})


def test_only_seeds_that_every_setting_has_are_compared():
    found = [entry("band", "x", seed, 10.0 + seed, 0.1) for seed in (1, 2, 3)]
    found += [entry("forecast 0.015", "", seed, 5.0, 0.2) for seed in (1, 3)]
    (market,) = study.samples_of(found).values()
    assert market.count == 2
    assert market.costs["band"].tolist() == [[11.0], [13.0]]
    assert market.squares["forecast"].tolist() == [[pytest.approx(0.04)]] * 2


def test_days_are_a_year_s_cost_and_squared_active_return():
    daily = {"active": [0.01, -0.01], "cost_bp": [2.0, 0.0]}
    (market,) = study.samples_of([entry("band", "x", 1, 0.0, 0.0, daily=daily)]).values()
    assert market.days
    assert market.costs["band"].ravel().tolist() == [730.0, 0.0]
    assert market.squares["band"].ravel().tolist() == [pytest.approx(0.0365)] * 2


@pytest.fixture
def measured():
    return json.loads(study.RESULT.read_text())


def test_the_page_says_what_the_run_measured(measured):
    text = study.DOC.read_text()
    assert text.count(study.BEGIN) == text.count(study.END) == 1
    shown = text.partition(study.BEGIN)[2].partition(study.END)[0]
    assert shown.strip() == study.tables(measured).strip()


def test_the_default_was_not_beaten_and_is_the_one_that_is_shipped(measured):
    assert measured["beaten_by"] == []
    assert measured["default"] == study.DEFAULT == "relative band"
    shipped = yaml.safe_load((ROOT / "examples" / "keeper.yaml").read_text())["policy"]
    assert shipped["trigger"].keys() == {"kind", "relative"}
    assert shipped["trigger"]["kind"] == "band"
    assert shipped["feed_deviation"] == study.POLICY["feed_deviation"]


def test_the_study_was_as_large_as_it_says(measured):
    markets = measured["markets"]
    assert {*study.REGIMES, *study.PERIODS} <= markets.keys()
    assert all(markets[regime]["observations"] >= 200 for regime in study.REGIMES)
    assert measured["runs"] >= 4 * 200 * 20
