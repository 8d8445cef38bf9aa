"""Every parameter of a policy, a setup and a market has its bounds: what lies beyond one is refused by its name."""

from decimal import Decimal

import pytest
from models import DRIFT, HAR
from pydantic import BaseModel, TypeAdapter, ValidationError

from keeper.backtest.curator import Curation
from keeper.backtest.setup import Setup
from keeper.backtest.sweep import FromFile, SeedRange, Simulated, Strategy, Sweep
from keeper.domain import DriftModel, GasUnits, HarModel
from keeper.domain.forecast import Ewma
from keeper.domain.limits import LimitsConfig
from keeper.domain.past import Closes, Past, Programme
from keeper.domain.policy import Benefit, Memory, Policy, Risk, Twap
from keeper.domain.stress import DearGas, Fall, OracleError, Stress, ThinPools
from keeper.domain.trigger import AllOf, AnyOf, Band, Calendar, DriftForecast, Part, Score, VolatilityBand
from keeper.market.feeds import FeedTerms
from keeper.market.gas import GasFile
from keeper.market.paths import Asset, Jumps, PricePath, Spell
from keeper.market.venues import Frictions, Venue
from keeper.policy.breakers import Breakers
from keeper.policy.targets import MAX_GLIDE

DAY = 86_400
TINY = Decimal("1e-18")
POLICY = {"trigger": {"kind": "always"}, "tracking_penalty": 1.0}
TWAP = {"interval_seconds": 60, "slices": 4}
AUTO = {"interval_seconds": 60, "slices": "auto", "refill_half_life_seconds": 60}
SWEEP = {"policy": {}, "markets": [{"kind": "simulated"}], "seeds": [1]}
VENUE = {"kind": "uniswap_v2", "tokens": ("A", "B"), "usd": 1e6}
PROGRAMME = {"slices": 2, "done": 0, "interval": 60, "next_at": 0, "deadline": 0, "goal_drift": 0}
PAST = {"since": 0, "interval": 60, "sampled_at": 0, "closes": ()}
TOKEN = "0x" + "11" * 20
PART = {"scale": 1.0}

# Of each parameter: what it stands in, the rest of that, what is still allowed, and what is not any more.
BOUNDS: list[tuple[type[BaseModel], dict[str, object], str, list[object], list[object]]] = [
    *((GasUnits, {}, kind, [0], [-1]) for kind in GasUnits.model_fields),
    (Memory, {}, "interval_seconds", [60, 30 * DAY], [59, 30 * DAY + 1]),
    (Memory, {}, "samples", [2, 1000], [1, 1001]),
    (Risk, {}, "risk_aversion", [1e-9, 1000.0], [0.0, 1000.1]),
    (Risk, {"risk_aversion": 1.0}, "horizon_seconds", [60], [59]),
    (Benefit, {}, "min_ratio", [1e-9, 1000.0], [0.0, 1000.1]),
    (Benefit, {}, "mev_allowance", [0, "0.99"], ["-0.01", 1]),
    (Twap, {"interval_seconds": 60}, "slices", [2, 100], [1, 101]),
    (Twap, TWAP, "interval_seconds", [12, 7 * DAY], [11, 7 * DAY + 1]),
    (Twap, AUTO, "refill_half_life_seconds", [1], [0]),
    (Twap, AUTO, "max_slices", [2, 100], [1, 101]),
    (Twap, TWAP, "deadline_seconds", [180], [0, 179]),
    (Policy, POLICY, "tracking_penalty", [1e-9], [0.0]),
    (Policy, POLICY | {"trigger": {"kind": "volatility_band"}}, "horizon_seconds", [60], [59]),
    (Policy, POLICY, "slippage", [0, "0.99"], [-1, 1]),
    (Policy, POLICY, "headroom_share", [TINY, 1], [0, "1.01"]),
    (Policy, POLICY, "feed_deviation", [TINY, "0.99"], [0, 1]),
    (Policy, POLICY, "max_price_age", [1], [0]),
    (Policy, POLICY, "max_oracle_divergence", [TINY], [0]),
    (Policy, POLICY, "min_pool_liquidity_usd", [1e-9], [0.0]),
    (Policy, POLICY, "oracle_band", [TINY], [0]),
    (Band, {}, "absolute", [0, "0.99"], [-1, 1]),
    (Band, {}, "relative", [0, 5], [-1]),
    (Calendar, {}, "every_seconds", [60, 366 * DAY], [59, 366 * DAY + 1]),
    (Calendar, {"every_seconds": 60}, "offset_seconds", [0, 59], [-1, 60]),
    (VolatilityBand, {}, "cost", [TINY, "0.49"], [0, "0.5"]),
    (VolatilityBand, {}, "min_width", [0, "0.2"], [-1, "0.21", 1]),
    (VolatilityBand, {"min_width": 0}, "max_width", [TINY, "0.99"], [0, 1]),
    (VolatilityBand, {}, "max_relative", [TINY], [0]),
    (DriftForecast, {"model": DRIFT}, "threshold", [0.01, 0.99], [0.0, 1.0]),
    (Part, {}, "scale", [1e-9], [0.0]),
    (Score, {"parts": {"drift": PART}}, "threshold", [1e-9], [0.0]),
    (AnyOf, {}, "of", [[{"kind": "always"}]], [[]]),
    (AllOf, {}, "of", [[{"kind": "always"}]], [[]]),
    (HarModel, HAR, "symbols", [], [[]]),
    (HarModel, HAR, "features", [], [[]]),
    (DriftModel, DRIFT, "symbols", [], [[]]),
    (DriftModel, DRIFT, "features", [], [[]]),
    (DriftModel, DRIFT, "interval_seconds", [], [59]),
    (HarModel, HAR, "interval_seconds", [60], [59]),
    (HarModel, HAR, "trained", [], [{"since": "2020-01-01", "until": "2021-01-01", "rows": 0}]),
    (Ewma, {}, "fallback_volatility", [0.01, 10.0], [0.0, 10.1]),
    (Ewma, {}, "decay", [0.01, 0.99], [0.0, 1.0]),
    (Ewma, {}, "min_returns", [2, 999], [1, 1000]),
    (DriftModel, DRIFT, "width", [0.01, 0.99], [0.0, 1.0]),
    (OracleError, {"max_loss": 1}, "delta", [TINY, "0.99"], [0, 1]),
    (OracleError, {"delta": "0.1"}, "max_loss", [TINY, 1], [0, "1.01"]),
    (Fall, {"fall": 1}, "max_loss", [TINY, 1], [0, "1.01"]),
    (ThinPools, {"gone": "0.5"}, "max_loss", [TINY, 1], [0, "1.01"]),
    (DearGas, {"times": 1.0}, "max_loss", [TINY, 1], [0, "1.01"]),
    (Fall, {"max_loss": 1}, "fall", [TINY, 1], [0, "1.01"]),
    (ThinPools, {"max_loss": 1}, "gone", [TINY, "0.99"], [0, 1]),
    (DearGas, {"max_loss": 1}, "times", [1.0], [0.99]),
    (Stress, {}, "before_trade", [[{"kind": "sandwich", "max_loss": 1}]], [[]]),
    (Past, PAST, "since", [0], [-1]),
    (Past, PAST, "sampled_at", [0], [-1]),
    (Past, PAST, "interval", [1], [0]),
    (Closes, {"token": TOKEN}, "prices", [("1",)], [(), ("0",)]),
    (Programme, PROGRAMME, "slices", [2], [1]),
    (Programme, PROGRAMME, "done", [0, 1], [-1, 2]),
    (Programme, PROGRAMME, "next_at", [0], [-1]),
    (Programme, PROGRAMME, "deadline", [0], [-1]),
    (Programme, PROGRAMME, "goal_drift", ["0"], ["-1"]),
    (Programme, PROGRAMME, "interval", [1], [0]),
    (LimitsConfig, {"max_batch_loss": "0.05", "loss_budget": "0.1"}, "max_slippage", [0, "0.05"], [-1, "0.051"]),
    (LimitsConfig, {"loss_budget": "0.1"}, "max_batch_loss", ["0.05"], ["0.051"]),
    (LimitsConfig, {}, "loss_budget", ["0.1"], ["0.11"]),
    (LimitsConfig, {}, "turnover_budget", [10], ["10.1"]),
    (LimitsConfig, {}, "dead_band", ["0.5"], ["0.51"]),
    (LimitsConfig, {}, "min_progress", ["0.000001", "0.1"], ["0.0000009", "0.11"]),
    (LimitsConfig, {}, "dust", ["0.0001"], ["0.00011"]),
    (LimitsConfig, {}, "window", [3600, 90 * DAY], [3599, 90 * DAY + 1]),
    (LimitsConfig, {}, "cooldown", [12, 30 * DAY], [11, 30 * DAY + 1]),
    (Venue, VENUE, "usd", [1e-9, 1e12], [0.0, 1.1e12]),
    (Venue, VENUE, "fee_pips", [0, 999_999], [-1, 1_000_000]),
    (Frictions, {}, "arbitrage_gas_units", [0], [-1]),
    (Frictions, {}, "noise_volume_per_day", [0.0], [-0.1]),
    (Frictions, {}, "noise_trades_per_day", [0.1], [0.0]),
    (Frictions, {}, "refill_half_life_seconds", [0.1], [0.0]),
    (FeedTerms, {}, "deviation", [TINY, "0.99"], [0, 1]),
    (FeedTerms, {}, "heartbeat", [1], [0]),
    (GasFile, {}, "file", ["gas.csv"], [""]),
    (GasFile, {"file": "gas.csv"}, "priority_fee_wei", ["0"], ["-1"]),
    (Asset, {}, "price", [1e-9], [0.0]),
    (Asset, {}, "volatility", [0.0], [-0.1]),
    (Asset, {}, "reversion", [0.0], [-0.1]),
    (Spell, {}, "mean_days", [0.1], [0.0]),
    (Spell, {"mean_days": 1.0}, "volatility", [0.0], [-0.1]),
    (Spell, {"mean_days": 1.0}, "correlation", [0.0, 1.0], [-0.1, 1.1]),
    (Jumps, {}, "common_a_year", [0.0], [-0.1]),
    (Jumps, {}, "own_a_year", [0.0], [-0.1]),
    (Jumps, {}, "deviation", [0.0], [-0.1]),
    (PricePath, {}, "symbols", [("A",)], [()]),
    (PricePath, {"symbols": ("A",)}, "seed", [0], [-1]),
    (PricePath, {"symbols": ("A",)}, "steps", [1], [0]),
    (PricePath, {"symbols": ("A",)}, "step", [1], [0]),
    (PricePath, {"symbols": ("A",)}, "start", [0], [-1]),
    (PricePath, {"symbols": ("A",)}, "correlation", [0.0, 1.0], [-0.1, 1.1]),
    (Setup, {}, "basket", [{"WETH": 1}], [{}, {"WETH": "0.9"}]),
    (Setup, {}, "decimals", [{"WETH": 0}, {"WETH": 36}], [{"WETH": -1}, {"WETH": 37}]),
    (Setup, {}, "capital_usd", [1.0, 1e12], [0.9, 1.1e12]),
    (Setup, {}, "depth_scale", [1e-9, 1e6], [0.0, 1.1e6]),
    (Setup, {}, "latency_steps", [0], [-1]),
    (Setup, {}, "latency_seconds", [1], [0]),
    (Setup, {}, "seed", [0], [-1]),
    (Curation, {"method": {"kind": "equal"}}, "every_days", [1], [0]),
    (Curation, {"method": {"kind": "equal"}}, "timelock_seconds", [0], [-1]),
    (Curation, {"method": {"kind": "equal"}}, "glide_seconds", [0, MAX_GLIDE], [-1, MAX_GLIDE + 1]),
    (Simulated, {}, "days", [1], [0]),
    (Simulated, {}, "step_seconds", [1], [0]),
    (Simulated, {}, "correlation", [0.0, 1.0], [-0.1, 1.1]),
    (FromFile, {"prices_file": "x.csv"}, "start", [0], [-1]),
    (FromFile, {"prices_file": "x.csv"}, "stop", [0], [-1]),
    (FromFile, {"prices_file": "x.csv"}, "fill_gaps", [0], [-1]),
    (Strategy, {}, "grid", [{"a": [1]}], [{"a": []}]),
    (SeedRange, {}, "count", [1], [0]),
    (SeedRange, {"count": 1}, "first", [0], [-1]),
    (Sweep, SWEEP, "grid", [{"a": [1]}], [{"a": []}]),
    (Sweep, SWEEP | {"markets": None}, "markets", [[{"kind": "simulated"}]], [[]]),
    (Sweep, SWEEP, "seeds", [[0]], [[], [-1]]),
    (Breakers, {}, "max_price_jump", [TINY], [0]),
    (Breakers, {}, "max_excess_loss", [TINY], [0]),
    (Breakers, {}, "max_transactions_per_day", [1], [0]),
    (Breakers, {}, "max_turnover_per_day", [TINY], [0]),
    (Breakers, {}, "max_failures_in_a_row", [1], [0]),
    (Breakers, {}, "max_futile_in_a_row", [1], [0]),
]


def spelt(bound) -> str:
    return f"{bound[0].__name__}.{bound[2]}"


@pytest.mark.parametrize("bound", BOUNDS, ids=spelt)
def test_a_parameter_is_allowed_up_to_its_bounds_and_refused_beyond_by_its_name(bound):
    model, rest, name, allowed, refused = bound
    adapter = TypeAdapter(model)
    for value in allowed:
        adapter.validate_python(rest | {name: value}, strict=False)
    for value in refused:
        with pytest.raises(ValidationError) as found:
            adapter.validate_python(rest | {name: value}, strict=False)
        assert name in str(found.value), (value, str(found.value))


def test_no_parameter_of_these_with_a_bound_is_left_out():
    listed = {(model, name) for model, _, name, _, _ in BOUNDS}
    for model in {model for model, _ in listed}:
        for name, field in model.model_fields.items():
            if any(type(rule).__name__ in ("Ge", "Gt", "Le", "Lt", "MinLen") for rule in field.metadata):
                assert (model, name) in listed, f"{model.__name__}.{name}"
