"""Forecasts from the past, and the models that they rest on."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from builders import NOW, POOLS, USDC, WBTC, WETH, at, policy, snapshot
from hypothesis import given
from hypothesis import strategies as st
from models import DRIFT, GARCH, HAR

from keeper.backtest import training
from keeper.backtest.training import Closes, train
from keeper.config import read_policy
from keeper.domain import DriftModel, Ewma, Garch, GarchModel, Har, HarModel, InputError, Policy, load_policy
from keeper.policy import decide, remember
from keeper.policy.forecasts import (
    correlations,
    drift_features,
    drift_outlook,
    ewma,
    garch,
    har,
    next_variance,
    outlook,
)
from keeper.policy.triggers import signal_of

DAY = 86_400
BASKET = {USDC: (0.4, 0.4), WETH: (0.3, 0.3), WBTC: (0.3, 0.3)}
squares = st.lists(st.floats(1e-8, 0.1), min_size=30, max_size=60).map(np.array)


def remembered(prices, by, basket=BASKET):
    """A snapshot after these prices, one a day: tuples of WETH and WBTC."""
    past = None
    for day, (weth, wbtc) in enumerate(prices):
        seen = at(snapshot(basket, POOLS), NOW + day * DAY, {WETH: weth, WBTC: wbtc})
        past = remember(past, seen, by)
    return seen.model_copy(update={"past": past})


def walk(days=60, daily=0.03, seed=1, together=False):
    generator = np.random.default_rng(seed)
    moves = np.exp(generator.normal(0, daily, (days, 2)).cumsum(axis=0))
    if together:
        moves[:, 1] = moves[:, 0]
    return [(2500 * a, 60_000 * b) for a, b in moves]


# Variances


def test_ewma_is_the_weighted_mean_of_squares():
    assert ewma(np.array([4.0, 1.0, 9.0]), 0.5) == pytest.approx((4 * 0.25 + 1 * 0.5 + 9) / 1.75)


@given(squares)
def test_har_weighs_the_last_day_week_and_month_and_the_mean(found):
    parts = (found.mean(), found[-1], found[-7:].mean(), found[-30:].mean())
    expected = sum(weight * part for weight, part in zip((0.3, 0.1, 0.2, 0.4), parts, strict=True))
    assert har(found, (0.3, 0.1, 0.2, 0.4)) == pytest.approx(expected)


@given(squares)
def test_no_forecast_of_har_falls_below_a_tenth_of_the_mean(found):
    assert har(found, (0, 0, 0, 0)) == pytest.approx(found.mean() / 10)


@given(squares)
def test_garch_remembers_with_beta_and_reacts_with_alpha(found):
    variance = found.mean()
    for square in found:
        variance = 1e-5 + 0.1 * square + 0.85 * variance
    assert garch(found, (1e-5, 0.1, 0.85)) == pytest.approx(variance)


def test_of_garch_without_reaction_the_mean_is_forecast():
    assert garch(np.full(500, 1e-3), (1e-5, 0.0, 0.9)) == pytest.approx(1e-5 / 0.1, rel=1e-6)


@pytest.mark.parametrize("kind", ["ewma", "har", "garch"])
def test_a_forecast_of_a_steady_market_is_its_variance(kind):
    forecast = {
        "ewma": Ewma(decay=0.98),
        "har": Har(model=HarModel.model_validate(HAR)),
        "garch": Garch(model=GarchModel.model_validate(GARCH | {"coefficients": [[2.5e-5, 0.05, 0.925]] * 3})),
    }[kind]
    returns = np.random.default_rng(5).choice((-0.0316227766, 0.0316227766), 900)
    row = () if kind == "ewma" else forecast.model.coefficients[0]
    assert next_variance(returns, forecast, row) == pytest.approx(1e-3, rel=0.01)


def test_an_outlook_is_per_second_and_knows_what_moves_together():
    by = policy()
    expected = outlook(remembered(walk(together=True), by), Ewma(decay=0.98))
    assert expected.variances[1] * DAY == pytest.approx(0.03**2, rel=0.5)
    assert expected.covariance[1, 2] == pytest.approx(expected.variances[1], rel=1e-3)
    assert expected.variances[0] == 0


def test_what_moves_as_the_whole_basket_does_has_no_drift():
    expected = outlook(remembered(walk(together=True), policy()), Ewma())
    alone = expected.drift_variances(np.array([0.0, 0.5, 0.5]))
    beside_cash = expected.drift_variances(np.array([0.4, 0.3, 0.3]))
    assert alone[1] < 1e-6 * expected.variances[1]
    assert beside_cash[1] == pytest.approx(0.3**2 * 0.4**2 * expected.variances[1], rel=1e-3)


def test_correlations_are_at_most_one_and_positive_together():
    generator = np.random.default_rng(4)
    series = [generator.normal(0, 0.02, 50), generator.normal(0, 0.05, 40), np.zeros(60)]
    matrix = correlations(series, [True, True, True], 0.97)
    assert np.allclose(np.diagonal(matrix), 1)
    assert abs(matrix[0, 1]) < 1
    assert (matrix[2, :2] == 0).all()
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_an_asset_with_too_few_prices_has_the_fallback_volatility_and_is_named():
    expected = outlook(remembered(walk(10), policy()), Ewma(fallback_volatility=0.5))
    assert expected.assumed == ("USDC", "WETH", "WBTC")
    assert expected.variances * 365 * DAY == pytest.approx([0.25] * 3)
    assert outlook(snapshot(BASKET, POOLS), Ewma()).assumed == expected.assumed


def test_the_next_price_does_not_change_what_was_forecast_before_it():
    by = policy()
    prices = walk(40)
    first = outlook(remembered(prices[:30], by), Ewma()).covariance
    assert (outlook(remembered(prices, by), Ewma()).covariance != first).any()
    assert (outlook(remembered(prices[:30], by), Ewma()).covariance == first).all()


def test_snapshots_that_share_a_past_share_what_was_computed_of_it():
    by, forecast = policy(), Ewma()
    seen = remembered(walk(40), by)
    later = at(seen, seen.block.timestamp + 12, {})
    assert outlook(later, forecast) is outlook(seen, forecast)
    assert outlook(later, Ewma()) is not outlook(seen, forecast)


# Models in policies


def test_a_policy_names_its_model_by_a_file_beside_it(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "har.json").write_text(json.dumps(HAR))
    text = (
        "{trigger: {kind: volatility_band, forecast: {kind: har, model: models/har.json}}, tracking_penalty: 0.5,"
        " horizon_seconds: 86400}"
    )
    (tmp_path / "policy.yaml").write_text(text)
    by = read_policy(tmp_path / "policy.yaml")
    assert by.trigger.forecast.model == HarModel.model_validate(HAR)
    assert load_policy(by.model_dump_json()) == by
    with pytest.raises(InputError, match=r"the model models/har.json is a file, and this policy is not"):
        load_policy(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the model file"),
        ("{", "a model is JSON, as `keeper train` writes it"),
        (json.dumps(HAR | {"version": 2}), "the model is of version 2, this one reads version 1: train it again"),
        (json.dumps(HAR | {"features": ["a"]}), "the features of a har model are mean, last, week, month"),
        (json.dumps(HAR | {"coefficients": [[1, 0, 0, 0]]}), "one row for each symbol"),
        (json.dumps(GARCH), "model.kind"),
        (
            json.dumps(HAR | {"interval_seconds": 3600}),
            "a model was trained on prices every 3600 s, and memory.interval_",
        ),
    ],
    ids=["absent", "no JSON", "version", "features", "rows", "kind", "interval"],
)
def test_a_model_that_does_not_fit_the_policy_gives_one_clear_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "m.json").write_text(content)
    text = "{trigger: {kind: calendar, every_seconds: 86400}, tracking_penalty: {risk_aversion: 1, forecast: FORECAST}}"
    (tmp_path / "policy.yaml").write_text(text.replace("FORECAST", "{kind: har, model: m.json}"))
    with pytest.raises(InputError, match=message) as refused:
        read_policy(tmp_path / "policy.yaml")
    assert "\n" not in str(refused.value)


def test_garch_without_a_mean_variance_is_refused():
    with pytest.raises(ValueError, match="the variance of USDC has no mean"):
        GarchModel.model_validate(GARCH | {"coefficients": [[1e-5, 0.2, 0.8]] * 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coefficients": [1.0, 2.0, 3.0]}, "coefficients must have one number for each feature"),
        ({"symbols": ["USDC", "WETH", "LINK"]}, "its model of variance is of other symbols, or of another interval"),
        ({"interval_seconds": 3600}, "its model of variance is of other symbols, or of another interval"),
    ],
)
def test_a_drift_model_whose_parts_do_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        DriftModel.model_validate(DRIFT | changes)


def test_a_model_of_another_basket_is_refused_with_the_assets_it_lacks():
    other = HAR | {"symbols": ["USDC", "WETH", "LINK"]}
    by = policy(
        tracking_penalty={"risk_aversion": 1, "horizon_seconds": DAY, "forecast": {"kind": "har", "model": other}}
    )
    with pytest.raises(InputError, match="was trained for USDC, WETH, LINK and does not know WBTC"):
        decide(remembered(walk(40), by), by)


# The forecast of drift


def forecast_of_drift(weights, **changes) -> Policy:
    return policy(trigger={"kind": "forecast", "model": DRIFT | changes, "threshold": 0.5}), {
        coin: (weight, target) for (coin, (_, target)), weight in zip(BASKET.items(), weights, strict=True)
    }


def test_the_nearer_the_edge_the_likelier_is_a_drift_beyond_it():
    found = []
    for far in (0.0, 0.01, 0.025, 0.04):
        by, basket = forecast_of_drift((0.4 + far, 0.3 - far, 0.3))
        flat = [(2500.0 * (1.01 if day % 2 else 1), 60_000.0 * (1.01 if day % 3 else 1)) for day in range(60)]
        flat[-1] = (2500.0, 60_000.0)
        found.append(drift_outlook(remembered(flat, by, basket), by.trigger.model))
    assert found == sorted(found)
    assert found[-1] > 2 * found[0]


def test_the_trigger_says_the_probability_and_what_is_missing():
    by, basket = forecast_of_drift((0.4, 0.3, 0.3))
    reason = decide(remembered([(2500.0, 60_000.0 + day % 2) for day in range(60)], by, basket), by).reason
    assert reason.startswith("the probability of a drift beyond 3% of NAV within 86400 s is 0.")
    assert reason.endswith("is missing")


@pytest.mark.parametrize(("threshold", "fires"), [("below", True), ("at", False)])
def test_a_probability_above_the_threshold_fires(threshold, fires):
    by, basket = forecast_of_drift((0.4, 0.3, 0.3))
    seen = remembered([(2500.0, 60_000.0 + day % 2) for day in range(60)], by, basket)
    probability = drift_outlook(seen, by.trigger.model)
    limit = probability if threshold == "at" else 0.999 * probability
    found = signal_of(by.trigger.model_copy(update={"threshold": limit}), seen, by)
    assert found.fires == fires
    assert found.why.endswith(f"is {probability:.3f}" if fires else "0.000 is missing")


def test_of_a_basket_that_never_moved_there_is_a_probability():
    by, basket = forecast_of_drift((0.4, 0.3, 0.3))
    assert 0 <= drift_outlook(remembered([(2500.0, 60_000.0)] * 60, by, basket), by.trigger.model) <= 1


def test_a_variance_that_is_gone_is_a_feature_still():
    assert np.isfinite(drift_features(np.array([0.01]), 0.03, np.array([0.0]), 0.0)).all()


def test_with_too_few_prices_it_is_a_band_of_the_models_width():
    by, basket = forecast_of_drift((0.42, 0.28, 0.3))
    flat = [(2500.0, 60_000.0)] * 5
    reason = decide(remembered(flat, by, basket), by).reason
    assert reason.startswith("too few prices are known for a forecast: no asset is outside its band")
    by, basket = forecast_of_drift((0.44, 0.26, 0.3))
    assert (
        "too few prices are known for a forecast, and an asset is more than 3%"
        in decide(remembered(flat, by, basket), by).reason
    )


# Scores


PARTS = {
    "drift": {"weight": 1.0, "scale": 0.1},
    "deviation": {"weight": 0.5, "scale": 0.05},
    "age": {"weight": 0.2, "scale": 86_400.0},
    "gas": {"weight": -0.1, "scale": 2e9},
}


def scored(threshold, parts=PARTS, weights=(0.45, 0.25, 0.3)):
    by = policy(trigger={"kind": "score", "threshold": threshold, "parts": parts}, gas_price_wei="1000000000")
    basket = {coin: (weight, target) for (coin, (_, target)), weight in zip(BASKET.items(), weights, strict=True)}
    return decide(remembered([(2500.0, 60_000.0)] * 3, by, basket), by)


def test_a_score_is_the_weighted_sum_of_its_parts_each_in_its_scale():
    # 1 * 0.1 / 0.1 + 0.5 * 0.05 / 0.05 + 0.2 * 2 days - 0.1 * 0.5
    assert scored(2.0).reason == (
        "the score is 1.850 (drift 1.000, deviation 0.500, age 0.400, gas -0.050): 0.150 is missing"
    )
    assert "; the score is 1.850 (drift 1.000," in scored(1.8).reason


def test_parts_may_be_a_volatility_and_a_probability():
    parts = {"volatility": {"scale": 0.7}, "probability": {"weight": 2.0, "model": DRIFT}}
    reason = scored(5.0, parts).reason
    assert reason.startswith("the score is 0.")
    assert "too few prices are known for a forecast, which counts as 0" in reason
    assert "whose volatility is taken to be 0.7 a year" in reason


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "a score needs at least one of drift, deviation, age, gas, volatility, probability"),
        ({"luck": {"scale": 1}}, "luck: unknown field"),
        ({"drift": {"scale": 0}}, "drift.scale: "),
        ({"drift": {}}, "drift.scale: missing"),
    ],
)
def test_a_mistake_in_a_score_gives_one_clear_line(parts, message):
    text = json.dumps({"trigger": {"kind": "score", "parts": parts}, "tracking_penalty": 1})
    with pytest.raises(InputError, match=message):
        load_policy(text)


# Training


class Path:
    """Prices that are made up: two assets, GARCH-like spells of high and low variance."""

    symbols = ("WETH", "WBTC")
    step = DAY

    def __init__(self, rows=700, seed=7):
        generator = np.random.default_rng(seed)
        high = np.repeat(generator.random(rows // 20 + 1) < 0.3, 20)[:rows]
        moves = generator.normal(0, 1, (rows, 2)) * np.where(high, 0.06, 0.02)[:, None]
        self.prices = np.exp(moves.cumsum(axis=0)) * (2500, 60_000)

    def __iter__(self):
        for day, row in enumerate(self.prices):
            yield 1_600_000_000 // DAY * DAY + day * DAY, row


def closes(rows=700, until=2**40, **more):
    return Closes.of(Path(rows), DAY, until, **more)


@pytest.fixture(scope="module")
def fitted():
    return {
        "har": train("har", closes(), samples=90),
        "garch": train("garch", closes(), samples=90),
        "forecast": train("forecast", closes(cash=("USDC",)), samples=90, width=0.03),
    }


@pytest.mark.parametrize("kind", ["har", "garch"])
def test_on_a_market_with_spells_a_fitted_model_beats_the_mean_out_of_sample(fitted, kind):
    found = fitted[kind]
    assert found.validation["forecasts"] > 500
    # The mean variance as the forecast of every day.
    returns = np.diff(np.log(Path().prices), axis=0)[140:] ** 2
    flat = float((np.log(returns.mean()) + returns / returns.mean()).mean())
    assert found.validation["qlike"] < flat
    assert found.trained.rows == 700


def test_a_drift_model_beats_the_base_rate_and_no_change_out_of_sample(fitted):
    scores = fitted["forecast"].validation
    assert scores["brier"] < 0.5 * scores["brier_base"]
    assert scores["brier"] < scores["brier_today"]
    assert scores["log_loss"] < scores["log_loss_base"]


def test_a_trained_model_decides_in_a_policy(fitted):
    written = json.loads(fitted["forecast"].model_dump_json())
    by = policy(trigger={"kind": "forecast", "model": written})
    basket = {USDC: (0.4, 0.34), WETH: (0.3, 0.33), WBTC: (0.3, 0.33)}
    assert "probability of a drift beyond 3%" in decide(remembered(walk(), by, basket), by).reason


def test_what_comes_after_the_training_changes_nothing():
    until = 1_600_000_000 // DAY * DAY + 400 * DAY

    class Longer(Path):
        def __init__(self):
            super().__init__(700)
            self.prices[400:] *= 3

    again = train("har", Closes.of(Longer(), DAY, until), samples=60)
    assert again == train("har", closes(until=until), samples=60)
    assert again.trained.rows == 400


def test_the_score_of_a_fold_does_not_know_what_follows_its_fit(monkeypatch):
    seen = []
    fit = training.fit_har
    monkeypatch.setattr(training, "fit_har", lambda known, *rest: seen.append(len(known.prices)) or fit(known, *rest))
    training.train("har", closes(), samples=60)
    assert seen == [140, 280, 420, 560, 700]


def test_cash_takes_the_coefficients_of_the_rest_and_is_never_expected_to_move(fitted):
    found = fitted["forecast"].variance
    assert found.symbols == ("WETH", "WBTC", "USDC")
    assert har(np.full(60, 0.0), found.coefficients[2]) == 0


@dataclass
class Table:
    """Daily prices by hand, of two symbols."""

    prices: np.ndarray
    symbols = ("WETH", "WBTC")
    step = DAY

    def __iter__(self):
        yield from ((day * DAY, row) for day, row in enumerate(self.prices))


@pytest.mark.parametrize("kind", ["har", "garch"])
def test_prices_that_never_move_cannot_be_trained_on(kind):
    with pytest.raises(InputError, match="no price moves: there is no variance to fit"):
        train(kind, Closes.of(Table(np.full((400, 2), 100.0)), DAY, 2**40), samples=90)


def test_a_variance_without_a_mean_is_no_garch_model():
    """What swings ever more has alpha + beta of one."""
    swings = np.random.default_rng(1).normal(0, 1, (400, 2)) * 0.0005 * np.exp(np.arange(400) / 70)[:, None]
    with pytest.raises(InputError, match=r"GARCH does not fit WETH: alpha \+ beta is 1\.0000"):
        train("garch", Closes.of(Table(np.exp(swings.cumsum(axis=0))), DAY, 2**40), samples=90)


@pytest.mark.parametrize("kind", ["har", "garch", "forecast"])
@pytest.mark.parametrize(("samples", "enough"), [(161, True), (162, False)])
def test_a_model_that_looks_back_too_far_to_be_tried_is_refused(kind, samples, enough):
    more = {"width": 0.03} if kind == "forecast" else {}
    if enough:
        assert train(kind, closes(402), samples=samples, **more).validation["forecasts"] > 0
        return
    with pytest.raises(InputError, match="402 prices are too few to try a model on that looks back over 162 of them"):
        train(kind, closes(402), samples=samples, **more)


def test_training_samples_hourly_prices_as_a_keeper_remembers_them():
    class Hourly:
        symbols, step = ("WETH",), 3600

        def __iter__(self):
            for hour in range(24 * 400):
                yield hour * 3600, np.array([100.0 + hour])

    assert (Closes.of(Hourly(), DAY, 2**40).prices[:3, 0] == [100, 124, 148]).all()


@pytest.mark.parametrize(
    ("kind", "more", "rows", "message"),
    [
        ("har", {}, 200, "200 prices before the end of the training, at least 300 are needed"),
        ("har", {"samples": 20}, 400, "20 samples are too few"),
        ("forecast", {}, 400, "needs the width of the band"),
        ("forecast", {"width": 0.9}, 400, "the drift is never beyond 0.9"),
        ("forecast", {"width": 0.03, "targets": {"WETH": 0.5}}, 400, "of the same symbols: WBTC"),
        ("forecast", {"width": 0.03, "targets": {"WETH": 0.5, "WBTC": 0.6}}, 400, "sum to 1, they sum to 1.1"),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(kind, more, rows, message):
    with pytest.raises(InputError, match=message):
        train(kind, closes(rows), **{"samples": 90} | more)


def test_a_forecast_of_nothing_has_a_loss_still():
    assert np.isfinite(training._loss(0.0, 0.0))


def test_a_model_may_be_named_within_a_combination(tmp_path):
    (tmp_path / "har.json").write_text(json.dumps(HAR))
    band = "{kind: volatility_band, forecast: {kind: har, model: har.json}}"
    trigger = f"{{kind: any, of: [{band}, {{kind: all, of: [{band}]}}]}}"
    (tmp_path / "policy.yaml").write_text(f"{{trigger: {trigger}, tracking_penalty: 0.5, horizon_seconds: 60}}")
    both = read_policy(tmp_path / "policy.yaml").trigger.of
    assert both[0].forecast.model == both[1].of[0].forecast.model == HarModel.model_validate(HAR)
