"""How much prices will move, as far as the past tells: pure functions of the past and of fitted parameters.

Variances are those of log returns per second, so that they can be multiplied by any horizon; what is fitted on one
interval is taken to hold for every horizon in proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from keeper.domain import Past, Snapshot
from keeper.domain.forecast import (
    MONTH,
    WEEK,
    DriftModel,
    Ewma,
    Forecast,
    Garch,
    GarchModel,
    Har,
    HarModel,
    returns_needed,
)

YEAR = 365 * 86_400
CORRELATION_DECAY = 0.97
"""Of the correlations beside variances that come from a model."""
_LEAST = 0.1
"""No forecast is below this part of the mean of the squared returns: a linear model can give nothing, or less."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outlook:
    """Expected covariance of the assets' log returns per second, by index of the basket, shape (assets, assets).

    ``assumed`` are the symbols of the assets of which too little is known: they have the forecast's fallback volatility
    and no correlation.
    """

    covariance: Floats
    assumed: tuple[str, ...]

    @property
    def variances(self) -> Floats:
        """Of each asset's log return per second, shape (assets,)."""
        return np.diagonal(self.covariance)

    def drift_variances(self, targets: Floats) -> Floats:
        """Of each asset's weight per second, at its target: ``t**2 Var(r_i - sum of t r)``; shape (assets,)."""
        of_all = self.covariance @ targets
        spread = self.variances - 2 * of_all + targets @ of_all
        return np.asarray(targets**2 * np.maximum(spread, 0.0))

    def note(self, forecast: Forecast) -> str:
        """What was assumed, for a reason; empty if nothing was."""
        if not self.assumed:
            return ""
        volatility = f"{forecast.fallback_volatility:.4g}"
        return (
            f"; too little is known of {', '.join(self.assumed)}, whose volatility is taken to be {volatility} a year"
        )


def outlook(snapshot: Snapshot, forecast: Forecast) -> Outlook:
    """What ``forecast`` expects at this snapshot.

    Raises:
        InputError: its model does not know an asset of the basket.
    """
    past = snapshot.past
    if past is None:
        return _outlook(snapshot, forecast, None)
    # To compare a fitted model by value would take longer than the forecast; what is found keeps it alive.
    key = (id(forecast), tuple(asset.token for asset in snapshot.vault.assets))
    if key not in past.memo:
        past.memo[key] = (_outlook(snapshot, forecast, past), forecast)
    found: Outlook = past.memo[key][0]
    return found


def _outlook(snapshot: Snapshot, forecast: Forecast, past: Past | None) -> Outlook:
    symbols = [snapshot.symbol(asset.token) for asset in snapshot.vault.assets]
    rows = None if isinstance(forecast, Ewma) else _rows_of(forecast.model, snapshot)
    interval = 1 if past is None else past.interval
    returns = [
        np.zeros(0) if past is None else past.returns.get(asset.token.lower(), np.zeros(0))
        for asset in snapshot.vault.assets
    ]
    needed = returns_needed(forecast)
    known = [len(series) >= needed for series in returns]
    variances = np.full(len(symbols), forecast.fallback_volatility**2 / YEAR)
    for i, series in enumerate(returns):
        if known[i]:
            variances[i] = next_variance(series, forecast, () if rows is None else rows[i]) / interval
    decay = forecast.decay if isinstance(forecast, Ewma) else CORRELATION_DECAY
    correlation = correlations(returns, known, decay)
    deviation = np.sqrt(variances)
    assumed = tuple(symbol for symbol, enough in zip(symbols, known, strict=True) if not enough)
    return Outlook(correlation * np.outer(deviation, deviation), assumed)


def _rows_of(model: HarModel | GarchModel, snapshot: Snapshot) -> list[Sequence[float]]:
    """A model's coefficients for each asset. Raises `InputError` if it does not know one."""
    return [model.coefficients[place] for place in model.places(snapshot.names)]


def next_variance(returns: Floats, forecast: Forecast, row: Sequence[float]) -> float:
    """Expected squared log return of the next interval. ``row`` are the model's coefficients for the asset."""
    squares = returns**2
    match forecast:
        case Ewma():
            return ewma(squares, forecast.decay)
        case Har():
            return har(squares, row)
        case Garch():
            return garch(squares, row)


def ewma(squares: Floats, decay: float) -> float:
    """Mean of ``squares`` (oldest first) with weights that fall by ``decay`` into the past (RiskMetrics 1996)."""
    return float(squares @ _weights(len(squares), decay))


def har(squares: Floats, row: Sequence[float]) -> float:
    """``row`` times (mean of all, last, mean of the last week, mean of the last month) of ``squares``."""
    return max(float(har_features(squares) @ np.asarray(row)), _LEAST * float(squares.mean()))


def har_features(squares: Floats) -> Floats:
    """Mean of all ``squares`` (oldest first), the last, the mean of the last WEEK and of the last MONTH of them."""
    return np.array([squares.mean(), squares[-1], squares[-WEEK:].mean(), squares[-MONTH:].mean()])


def garch(squares: Floats, row: Sequence[float]) -> float:
    """``omega + alpha r**2 + beta s**2``, filtered through ``squares`` from their mean on."""
    omega, alpha, beta = row
    variance = float(squares.mean())
    for square in squares.tolist():
        variance = omega + alpha * square + beta * variance
    return variance


def correlations(returns: Sequence[Floats], known: Sequence[bool], decay: float) -> Floats:
    """Exponentially weighted correlations (mean zero) over what all ``known`` series have in common; else the identity.

    A series that does not move is correlated with nothing.
    """
    matrix = np.eye(len(returns))
    places = [i for i, enough in enumerate(known) if enough]
    if len(places) < 2:
        return matrix
    common = min(len(returns[i]) for i in places)
    joint = np.array([returns[i][-common:] for i in places])
    moments = (joint * _weights(common, decay)) @ joint.T
    deviation = np.sqrt(np.diagonal(moments))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    found = moments * np.outer(scale, scale)
    np.fill_diagonal(found, 1.0)
    matrix[np.ix_(places, places)] = found
    return matrix


def _weights(count: int, decay: float) -> Floats:
    weights = decay ** np.arange(count - 1, -1, -1, dtype=np.float64)
    return np.asarray(weights / weights.sum())


# Drift


def drift_features(deviations: Floats, width: float, drift_deviations: Floats, variance_ratio: float) -> Floats:
    """What the probability of a drift beyond ``width`` one interval on depends on; the order is `FEATURES["drift"]`.

    Args:
        deviations: ``|w - t|`` by asset.
        width: the band's.
        drift_deviations: standard deviation of each weight over the interval.
        variance_ratio: the next interval's expected variance over its long mean, of the basket.

    Returns:
        1; the greatest deviation over the width; the logarithm of the least distance to the edge (from inside or
        outside) in standard deviations, with the sign of its side: negative outside; the logarithm of the ratio.
    """
    distance = (width - deviations) / np.maximum(drift_deviations, 1e-9)
    nearest = float(distance.min())
    return np.array(
        [
            1.0,
            float(deviations.max()) / width,
            float(np.sign(nearest)) * log(1 + abs(nearest)),
            log(max(variance_ratio, 1e-6)),
        ]
    )


def drift_probability(features: Floats, coefficients: Sequence[float]) -> float:
    """The logistic function of ``coefficients`` times ``features``."""
    score = float(features @ np.asarray(coefficients))
    return 1 / (1 + exp(-score)) if score >= 0 else exp(score) / (1 + exp(score))


def drift_outlook(snapshot: Snapshot, model: DriftModel) -> float | None:
    """Probability that some asset is outside ``model.width`` one interval on; None while too little is known.

    Raises:
        InputError: the model does not know an asset of the basket.
    """
    past = snapshot.past
    expected = outlook(snapshot, model.forecast)
    if past is None or expected.assumed:
        return None
    nav = snapshot.nav
    targets = np.array([float(target) for target in snapshot.targets]) / 1e18
    weights = np.array([value / nav for value in snapshot.values])
    deviations = np.sqrt(expected.drift_variances(targets) * past.interval)
    mean = _mean_squares(past, tuple(asset.token.lower() for asset in snapshot.vault.assets))
    ratio = variance_ratio(expected.variances * past.interval, mean, targets)
    features = drift_features(np.abs(weights - targets), model.width, deviations, ratio)
    return drift_probability(features, model.coefficients)


def _mean_squares(past: Past, tokens: tuple[str, ...]) -> Floats:
    key = ("mean squares", tokens)
    if key not in past.memo:
        past.memo[key] = np.array([float((past.returns[token] ** 2).mean()) for token in tokens])
    found: Floats = past.memo[key]
    return found


def variance_ratio(expected: Floats, mean: Floats, targets: Floats) -> float:
    """Expected over mean variance of an interval, each weighted by the targets."""
    return float(targets @ expected) / max(float(targets @ mean), 1e-18)


def volatility(variance: float) -> float:
    """Standard deviation of a year's log return, from a variance per second."""
    return sqrt(variance * YEAR)
