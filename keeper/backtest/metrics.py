"""What a run came to, in the terms of the field, taken in step by step.

Notation: V is the value of the basket at market prices less all gas spent so far (a strategy must not look better for
letting its operator pay), H that of the first basket held and never traded, I that of the first basket brought back to
its targets at every step for nothing. A return r is of a period: a day, or a step where steps are longer. Everything
"a year" is for 365 days. No risk-free rate is taken off.
"""

from __future__ import annotations

from array import array
from math import ceil, log, sqrt
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keeper.backtest.engine import Step
from keeper.pools.base import Model
from keeper.units import BPS, WAD

Floats = NDArray[np.float64]

DAY = 86_400
YEAR = 365 * DAY
TAIL = 0.05
"""The part of the periods whose mean is the CVaR."""

Share = Annotated[float, Field(ge=0, le=1)]


class Performance(Model):
    """How a value went. Where there are less than two periods, or nothing moved, what needs them is None."""

    start_usd: float
    end_usd: float
    growth: float = Field(description="end over start, less 1")
    return_a_year: float | None = Field(description="(end / start)^(1 / years) - 1")
    volatility: float | None = Field(description="standard deviation of r, times the root of the periods in a year")
    sharpe: float | None = Field(
        description="mean r over its standard deviation, times the root of the periods in a year"
    )
    sortino: float | None = Field(
        description="mean r over its downside deviation, the root of the mean of min(r, 0)^2; times the same root"
    )
    max_drawdown: float = Field(
        description="largest fall below the highest value before it, over all steps; part of that"
    )
    cvar: float | None = Field(
        description="expected shortfall: mean loss, -r, of the worst 5% of periods, the last of them counted in part"
    )


class Costs(Model):
    """What trading cost, each batch over the basket's value then, in basis points a year."""

    fees: float = Field(description="kept by the pools")
    impact: float = Field(description="own effect on the pools' prices")
    off_market: float = Field(
        description="pools' prices off the market's when the batch met them; below 0: in our favour"
    )
    gas: float = Field(description="at the market's price of the native token, reverted batches included")
    total: float = Field(description="sum of the four: what the market's prices say was lost, and gas")
    off_oracle: float = Field(
        description="pools' prices off the oracle's, instead of the market's: with fees and impact what the vault sees"
    )


class Metrics(Model):
    """Definitions of what is reported about a run; V, H, I and r as above."""

    start: int = Field(description="unix seconds of the first step")
    end: int = Field(description="unix seconds of the last step")
    steps: int
    years: float
    value: Performance = Field(description="of V")
    hold: Performance = Field(description="of H")
    ideal: Performance = Field(description="of I")
    tracking_error: float | None = Field(
        description="standard deviation of r(V) - r(I), times the root of the periods in a year: how far it strays from"
        " the frictionless rebalanced portfolio"
    )
    tracking_difference_bp: float | None = Field(description="ln of V's growth less ln of I's, a year, bp")
    gain_over_hold_bp: float | None = Field(
        description="rebalancing gain: ln of V's growth less ln of H's, a year, bp; after all costs"
    )
    turnover: float | None = Field(
        description="one way: half of what was sold and bought, over the value then, summed, a year"
    )
    cost_bp: Costs | None
    trades: int = Field(description="batches that were executed")
    reverted: int = Field(description="batches that failed and cost their gas")
    refused: int = Field(description="steps at which a breaker refused")
    band: float = Field(description="for the next: |weight - target| of an asset above this is outside")
    time_outside_band: Share = Field(description="part of the steps at whose end an asset was outside")
    mean_drift: float = Field(description="mean of the sum of |weight - target|")
    max_drift: float


class Meter:
    """Takes in steps, oldest first; memory is a number for each day.

    Args:
        band: absolute, what counts as outside for `Metrics.time_outside_band`.
    """

    def __init__(self, band: float = 0.05) -> None:
        self.band = band
        self.steps = self.outside = self.trades = self.reverted = self.refused = 0
        self._start = self._end = self._step = 0
        self._value, self._hold, self._ideal = _Course(), _Course(), _Course()
        self._gas_usd = self._drift = self._max_drift = self._turnover = 0.0
        self._costs: Floats = np.zeros(5)  # fees, impact, shortfall, gas, off the oracle; over the value then
        self._period_end = 0

    def add(self, step: Step) -> None:
        """One step more."""
        if self.steps == 0:
            self._start = self._period_end = step.time
        elif self.steps == 1:
            self._step = step.time - self._start
        self._end = step.time
        self.steps += 1
        if (fill := step.executed) is not None:
            costs = fill.costs
            self._gas_usd += costs.gas
            self.trades += fill.failed is None
            self.reverted += fill.failed is not None
            self._turnover += fill.turnover_usd / 2 / step.nav_usd
            found = (costs.fees, costs.impact, costs.shortfall, costs.gas, costs.off_oracle)
            self._costs += np.array(found) / step.nav_usd
        self.refused += step.decision is not None and step.decision.refused
        away = max(abs(w - t / WAD) for w, t in zip(step.weights.tolist(), step.targets, strict=True))
        self.outside += away > self.band
        self._drift += step.drift
        self._max_drift = max(self._max_drift, step.drift)
        over = step.time - self._period_end >= DAY or self.steps == 1
        if over:
            self._period_end = step.time
        self._value.add(step.nav_usd - self._gas_usd, over)
        self._hold.add(step.hold_value_usd, over)
        self._ideal.add(step.ideal_value_usd, over)

    def metrics(self) -> Metrics:
        """What it came to so far; at least one step must have been added."""
        years = (self._end - self._start) / YEAR
        period = max(DAY, self._step)
        value, hold, ideal = (
            course.performance(years, YEAR / period) for course in (self._value, self._hold, self._ideal)
        )
        fees, impact, shortfall, gas, off_oracle = self._costs.tolist()
        costs = None
        if years:
            costs = Costs(
                **{
                    name: cost * BPS / years
                    for name, cost in (
                        ("fees", fees),
                        ("impact", impact),
                        ("off_market", shortfall - fees - impact),
                        ("gas", gas),
                        ("total", shortfall + gas),
                        ("off_oracle", off_oracle),
                    )
                }
            )
        strayed = np.array(self._value.returns) - np.array(self._ideal.returns)
        return Metrics(
            start=self._start,
            end=self._end,
            steps=self.steps,
            years=years,
            value=value,
            hold=hold,
            ideal=ideal,
            tracking_error=_deviation(strayed, YEAR / period),
            tracking_difference_bp=_lead(value, ideal, years),
            gain_over_hold_bp=_lead(value, hold, years),
            turnover=self._turnover / years if years else None,
            cost_bp=costs,
            trades=self.trades,
            reverted=self.reverted,
            refused=self.refused,
            band=self.band,
            time_outside_band=self.outside / self.steps,
            mean_drift=self._drift / self.steps,
            max_drift=self._max_drift,
        )


class _Course:
    """A value over time."""

    def __init__(self) -> None:
        self.returns = array("d")
        self._first = self._last = self._before = self._highest = self._drawdown = 0.0

    def add(self, value: float, period_over: bool) -> None:
        if not self._first:
            self._first = self._before = value
        elif period_over:
            self.returns.append(value / self._before - 1)
            self._before = value
        self._last = value
        self._highest = max(self._highest, value)
        self._drawdown = max(self._drawdown, 1 - value / self._highest)

    def performance(self, years: float, periods_a_year: float) -> Performance:
        returns = np.array(self.returns)
        deviation = _deviation(returns, periods_a_year)
        mean = float(returns.mean()) * periods_a_year if len(returns) else 0.0
        downside = sqrt(float((np.minimum(returns, 0) ** 2).mean()) * periods_a_year) if len(returns) > 1 else 0.0
        return Performance(
            start_usd=self._first,
            end_usd=self._last,
            growth=self._last / self._first - 1,
            return_a_year=(self._last / self._first) ** (1 / years) - 1 if years and self._last > 0 else None,
            volatility=deviation,
            sharpe=mean / deviation if deviation else None,
            sortino=mean / downside if downside else None,
            max_drawdown=self._drawdown,
            cvar=_expected_shortfall(returns) if len(returns) > 1 else None,
        )


def _deviation(returns: Floats, periods_a_year: float) -> float | None:
    return float(returns.std(ddof=1)) * sqrt(periods_a_year) if len(returns) > 1 else None


def _lead(value: Performance, other: Performance, years: float) -> float | None:
    """By how many basis points a year the one grew faster, continuously compounded."""
    if not years or value.end_usd <= 0:
        return None
    return (log(value.end_usd / value.start_usd) - log(other.end_usd / other.start_usd)) / years * BPS


def _expected_shortfall(returns: Floats) -> float:
    """Mean of the worst ``TAIL`` of the losses (Rockafellar and Uryasev, 2002, proposition 8)."""
    count = TAIL * len(returns)
    whole = ceil(count) - 1
    worst = np.sort(returns)[: whole + 1]
    return -float(worst[:whole].sum() + (count - whole) * worst[whole]) / count
