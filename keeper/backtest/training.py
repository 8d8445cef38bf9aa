"""Fitting the models that forecasts rest on, and how well they do on what they have not seen.

Every number comes from the past of its moment: a model is scored on blocks that follow what it was fitted on (walking
forward, the fitted part growing), and only then fitted on everything. What it is scored by is the code that decides
with it: `keeper.policy.forecasts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from arch import arch_model
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

from keeper.domain import DriftModel, GarchModel, HarModel, InputError
from keeper.domain.forecast import FEATURES, MONTH, VERSION, FittedModel, Training
from keeper.market import Prices
from keeper.policy.forecasts import (
    CORRELATION_DECAY,
    Outlook,
    correlations,
    drift_features,
    drift_probability,
    ewma,
    garch,
    har,
    har_features,
    variance_ratio,
)

Floats = NDArray[np.float64]
Progress = Callable[[str], None]
_STILL = "no price moves: there is no variance to fit"
Kind = Literal["har", "garch", "forecast"]

FOLDS = 5
"""Blocks that the rows are cut into; the first is only fitted on."""
LEAST_ROWS = 300
"""With fewer, what is fitted is mostly noise."""
AGES = (1, 3, 7, 14, 30, 60)
"""Intervals since a rebalance, of which the drift model's examples are made at every moment."""
_PERCENT = 100.0
"""`arch` wants returns in percent: its optimiser is tuned to their size."""
_CASH_ROW = (1e-12, 0.05, 0.9)
"""GARCH of an asset that does not move."""


@dataclass(frozen=True)
class Closes:
    """Prices at an even interval up to a day: shape (rows, symbols); ``since`` and ``until`` in unix seconds."""

    symbols: tuple[str, ...]
    interval: int
    prices: Floats
    since: int
    until: int

    @classmethod
    def of(cls, prices: Prices, interval: int, until: int, cash: Sequence[str] = ()) -> Closes:
        """The first price of each interval before ``until``; those of ``cash`` are one dollar.

        Raises:
            InputError: the prices are further apart than the interval, or there are too few.
        """
        if prices.step > interval:
            raise InputError(f"the prices are {prices.step} s apart, further than the interval of {interval} s")
        rows: list[Floats] = []
        slots: list[int] = []
        for time, row in prices:
            if time >= until:
                break
            # As `keeper.policy.remember` does it, so that a model meets in life what it was trained on.
            if not slots or time // interval > slots[-1]:
                slots.append(time // interval)
                rows.append(np.concatenate([row, np.ones(len(cash))]))
        if len(rows) < LEAST_ROWS:
            raise InputError(f"{len(rows)} prices before the end of the training, at least {LEAST_ROWS} are needed")
        symbols = (*prices.symbols, *cash)
        return cls(symbols, interval, np.array(rows), slots[0] * interval, min(until, (slots[-1] + 1) * interval))

    @property
    def returns(self) -> Floats:
        """Log returns, shape (rows - 1, symbols)."""
        return np.diff(np.log(self.prices), axis=0)

    def until_row(self, row: int) -> Closes:
        """Only the first ``row`` rows."""
        return Closes(self.symbols, self.interval, self.prices[:row], self.since, self.until)


def train(
    kind: Kind,
    closes: Closes,
    *,
    samples: int,
    width: float | None = None,
    targets: Mapping[str, float] | None = None,
    progress: Progress = lambda _: None,
) -> FittedModel:
    """Fit a model on ``closes`` and score it walking forward.

    Args:
        kind: ``har``, ``garch``, or ``forecast`` for a drift model.
        closes: what to fit on.
        samples: how many prices a decision will know (``memory.samples`` of the policy).
        width: of the drift model, a fraction of NAV.
        targets: weights of the drift model's basket by symbol; equal ones if absent.
        progress: is told what is being done.

    Raises:
        InputError: a parameter is missing, or the prices do not allow a fit.
    """
    if samples <= MONTH + 1:
        raise InputError(f"{samples} samples are too few: a model needs more than {MONTH + 1} prices")
    if kind == "forecast":
        if width is None:
            raise InputError("a forecast of drift needs the width of the band that it is about")
        return _train_drift(closes, samples, width, _weights(closes.symbols, targets), progress)
    fit = fit_har if kind == "har" else fit_garch
    scores = _score_variance(fit, closes, samples, progress)
    progress("fitting on everything")
    return fit(closes, samples, scores)


def _terms(closes: Closes, kind: str, scores: Mapping[str, float]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "interval_seconds": closes.interval,
        "trained": Training(since=day(closes.since), until=day(closes.until), rows=len(closes.prices)),
        "symbols": closes.symbols,
        "features": FEATURES[kind],
        "validation": dict(scores),
    }


def day(seconds: int) -> str:
    """The UTC day of unix seconds, as ISO 8601 has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


# Variance


def fit_har(closes: Closes, samples: int, scores: Mapping[str, float]) -> HarModel:
    """Least squares with coefficients of 0 or more, so that no forecast is below zero; all relative to the own mean."""
    lookback = samples - 1
    pairs = [_har_examples(series, lookback) for series in (closes.returns**2).T]
    moving = [(features, after) for features, after in pairs if len(after)]
    if not moving:
        raise InputError(_STILL)

    def fitted(features: Floats, after: Floats) -> tuple[float, ...]:
        found = LinearRegression(positive=True, fit_intercept=False).fit(features, after)
        return tuple(float(value) for value in found.coef_)

    # What does not move has no row of its own.
    pooled = fitted(np.concatenate([pair[0] for pair in moving]), np.concatenate([pair[1] for pair in moving]))
    rows = tuple(fitted(*pair) if len(pair[1]) else pooled for pair in pairs)
    return HarModel(**_terms(closes, "har", scores), coefficients=rows)


def _har_examples(squares: Floats, lookback: int) -> tuple[Floats, Floats]:
    features, after = [], []
    for row in range(lookback, len(squares)):
        known = squares[row - lookback : row]
        mean = known.mean()
        if mean > 0:
            features.append(har_features(known) / mean)
            after.append(squares[row] / mean)
    return np.array(features), np.array(after)


def fit_garch(closes: Closes, samples: int, scores: Mapping[str, float]) -> GarchModel:
    """Maximum likelihood with normal innovations, by `arch`. Raises `InputError` where it finds no mean variance."""
    del samples  # the likelihood takes all returns
    rows = []
    for symbol, series in zip(closes.symbols, closes.returns.T, strict=True):
        if not series.any():
            rows.append(_CASH_ROW)
            continue
        model = arch_model(_PERCENT * series, mean="Zero", vol="GARCH", p=1, q=1, rescale=False)
        found = model.fit(disp="off", show_warning=False).params
        omega, alpha, beta = (float(found[name]) for name in ("omega", "alpha[1]", "beta[1]"))
        if not (omega > 0 and alpha + beta < 1):
            raise InputError(
                f"GARCH does not fit {symbol}: alpha + beta is {alpha + beta:.4f}, its variance has no mean: take har"
            )
        rows.append((omega / _PERCENT**2, alpha, beta))
    return GarchModel(**_terms(closes, "garch", scores), coefficients=tuple(rows))


def _score_variance(
    fit: Callable[[Closes, int, Mapping[str, float]], HarModel | GarchModel],
    closes: Closes,
    samples: int,
    progress: Progress,
) -> dict[str, float]:
    """Mean quasi-likelihood loss, ``log f + r**2 / f`` (Patton 2011), of forecasts f; less is better."""
    squares, lookback = closes.returns**2, samples - 1
    losses: list[tuple[float, float]] = []
    for seen, stop in _folds(len(closes.prices), lookback, progress):
        model = fit(closes.until_row(seen), samples, {})
        for place, coefficients in enumerate(model.coefficients):
            for row in range(seen - 1, stop - 1):
                known, after = squares[row - lookback : row, place], float(squares[row, place])
                if known.mean() > 0:
                    ours = har(known, coefficients) if isinstance(model, HarModel) else garch(known, coefficients)
                    losses.append((_loss(ours, after), _loss(ewma(known, 0.94), after)))
    if not losses:
        raise InputError(_STILL)
    ours, plain = np.array(losses).mean(axis=0)
    return {"forecasts": float(len(losses)), "qlike": float(ours), "qlike_ewma": float(plain)}


def _loss(forecast: float, after: float) -> float:
    forecast = max(forecast, 1e-12)
    return float(np.log(forecast) + after / forecast)


def _folds(rows: int, lookback: int, progress: Progress) -> Iterator[tuple[int, int]]:
    """Rows that are fitted on, and the end of the block that follows them. Raises `InputError` if there are none."""
    edges = np.linspace(0, rows, FOLDS + 1).astype(int)
    if edges[-2] <= 2 * lookback:
        raise InputError(
            f"{rows} prices are too few to try a model on that looks back over {lookback + 1} of them: at least"
            f" {2 * lookback * FOLDS // (FOLDS - 1) + 2} are needed, or fewer samples"
        )
    for fold, (seen, stop) in enumerate(pairwise(edges[1:]), 1):
        if seen > 2 * lookback:
            progress(f"walking forward, {fold} of {FOLDS - 1}")
            yield int(seen), int(stop)


# Drift


def _train_drift(closes: Closes, samples: int, width: float, targets: Floats, progress: Progress) -> DriftModel:
    scored: list[tuple[float, float, float, float]] = []
    for seen, stop in _folds(len(closes.prices), samples - 1, progress):
        before = closes.until_row(seen)
        variance = fit_har(before, samples, {})
        features, wide = _drift_examples(before, variance, samples=samples, width=width, targets=targets)
        coefficients = _logistic(features, wide, width)
        base = float(wide.mean())
        features, wide = _drift_examples(
            closes.until_row(stop), variance, samples=samples, width=width, targets=targets, first=seen - 1
        )
        scored += [
            (drift_probability(row, coefficients), base, float(row[1] > 1), float(far))
            for row, far in zip(features, wide, strict=True)
        ]
    said, base, today, far = np.array(scored).T
    scores = {
        "forecasts": float(len(far)),
        "share": float(far.mean()),
        "brier": float(((said - far) ** 2).mean()),
        "brier_base": float(((base - far) ** 2).mean()),
        "brier_today": float(((today - far) ** 2).mean()),
        "log_loss": _log_loss(said, far),
        "log_loss_base": _log_loss(base, far),
    }
    progress("fitting on everything")
    variance = fit_har(closes, samples, _score_variance(fit_har, closes, samples, lambda _: None))
    features, wide = _drift_examples(closes, variance, samples=samples, width=width, targets=targets)
    return DriftModel(
        **_terms(closes, "drift", scores),
        width=width,
        coefficients=_logistic(features, wide, width),
        variance=variance,
    )


def _drift_examples(
    closes: Closes, variance: HarModel, *, samples: int, width: float, targets: Floats, first: int = 0
) -> tuple[Floats, NDArray[np.bool_]]:
    """Features at every moment from ``first`` on of baskets rebalanced `AGES` before; and whether they drifted wide."""
    returns, lookback = closes.returns, samples - 1
    features, wide = [], []
    for now in range(max(first, lookback, *AGES), len(closes.prices) - 1):
        known = returns[now - lookback : now]
        squares = known**2
        mean = squares.mean(axis=0)
        expected = np.array(
            [har(squares[:, place], row) if mean[place] > 0 else 0.0 for place, row in enumerate(variance.coefficients)]
        )
        deviation = np.sqrt(expected)
        correlation = correlations(list(known.T), [True] * known.shape[1], CORRELATION_DECAY)
        outlook = Outlook(correlation * np.outer(deviation, deviation), ())
        spread = np.sqrt(outlook.drift_variances(targets))
        ratio = variance_ratio(expected, mean, targets)
        for age in AGES:
            today, after = (_held(closes.prices, targets, now - age, row) for row in (now, now + 1))
            features.append(drift_features(np.abs(today - targets), width, spread, ratio))
            wide.append(bool(np.abs(after - targets).max() > width))
    return np.array(features), np.array(wide)


def _held(prices: Floats, targets: Floats, since: int, now: int) -> Floats:
    """Weights of a basket that was at its targets, and has been left alone."""
    values = targets * prices[now] / prices[since]
    return np.asarray(values / values.sum())


def _logistic(features: Floats, wide: NDArray[np.bool_], width: float) -> tuple[float, ...]:
    """Coefficients of the features as they are; the first is that of the constant."""
    if wide.all() or not wide.any():
        how = "always" if wide.all() else "never"
        raise InputError(f"the drift is {how} beyond {width:.4g} in what there is to fit on: take another width")
    scaler = StandardScaler().fit(features[:, 1:])
    found = LogisticRegression(C=100.0, max_iter=1000).fit(scaler.transform(features[:, 1:]), wide)
    slopes = found.coef_[0] / scaler.scale_
    constant = float(found.intercept_[0] - slopes @ scaler.mean_)
    return constant, *(float(slope) for slope in slopes)


def _log_loss(said: Floats, far: Floats) -> float:
    said = np.clip(said, 1e-6, 1 - 1e-6)
    return float(-(far * np.log(said) + (1 - far) * np.log(1 - said)).mean())


def _weights(symbols: Sequence[str], targets: Mapping[str, float] | None) -> Floats:
    if targets is None:
        return np.full(len(symbols), 1 / len(symbols))
    if unknown := targets.keys() ^ set(symbols):
        raise InputError(f"target weights and prices must be of the same symbols: {', '.join(sorted(unknown))}")
    total = sum(targets.values())
    if abs(total - 1) > 1e-6 or min(targets.values()) < 0:
        raise InputError(f"target weights must be 0 or more and sum to 1, they sum to {total:.6g}")
    return np.array([targets[symbol] for symbol in symbols])
