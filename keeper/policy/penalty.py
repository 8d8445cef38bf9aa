"""What a distance from the targets costs, where the policy does not say it in one number; and for how long.

The tracking penalty of distances d (USD) is ``kappa / (2 NAV) d C d``. Where it follows from risk, that is
``risk_aversion / (2 NAV) d S d`` for each second that they last, S being the expected covariance of the log returns per
second: kappa is risk aversion times the typical variance times the time to the next trade, and C is S over the typical
variance (the identity unless the policy asks for the covariance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keeper.domain import Calendar, Covariance, Ewma, Policy, Risk, Snapshot
from keeper.domain.forecast import Forecast
from keeper.domain.trigger import leaves
from keeper.policy.forecasts import Floats, Outlook, outlook
from keeper.units import WAD

_PLAIN = Ewma()
_LEAST_WAIT, _LONGEST_WAIT = 600.0, 90 * 86_400.0
"""Seconds; estimates of the time to the next trade are kept between them."""


@dataclass(frozen=True, eq=False)
class Penalty:
    """``kappa``; C by index of the basket, None for the identity; the time that it is for, seconds, None if not said.

    ``note`` says for a reason what was derived and assumed; empty if nothing was.
    """

    kappa: float
    covariance: Floats | None
    horizon: float | None
    note: str = ""


def penalty_of(snapshot: Snapshot, policy: Policy) -> Penalty:
    """What the policy's tracking penalty is at this snapshot.

    Raises:
        InputError: the covariance, or a model, does not fit the basket.
    """
    risk = policy.tracking_penalty
    if not isinstance(risk, Risk):
        return Penalty(risk, covariance_of(snapshot, policy), policy.horizon_seconds)
    expected = outlook(snapshot, risk.forecast)
    variance = typical_variance(snapshot, expected)
    horizon = float(risk.horizon_seconds or expected_wait(snapshot, policy, expected))
    kappa = risk.risk_aversion * variance * horizon
    note = f"; a distance counts {kappa:.4g} times its square over 2 NAV, for {horizon:.0f} s"
    # A basket that does not move needs no rebalance, but the solver needs a number.
    return Penalty(max(kappa, 1e-12), covariance_of(snapshot, policy), horizon, note + expected.note(risk.forecast))


def rates(snapshot: Snapshot, policy: Policy) -> Floats:
    """What a distance of each asset costs: times ``d**2 / (2 NAV)`` USD per second; shape (assets,)."""
    risk = policy.tracking_penalty
    if isinstance(risk, Risk):
        rate = risk.risk_aversion * typical_variance(snapshot, outlook(snapshot, risk.forecast))
    else:
        assert policy.horizon_seconds is not None  # noqa: S101  the policy refuses a trigger that needs it without it
        rate = risk / policy.horizon_seconds
    covariance = covariance_of(snapshot, policy)
    diagonal = np.ones(len(snapshot.vault.assets)) if covariance is None else np.diagonal(covariance)
    return np.asarray(rate * diagonal)


def covariance_of(snapshot: Snapshot, policy: Policy) -> Floats | None:
    """C by index of the basket, shape (assets, assets); None for the identity.

    Raises:
        InputError: it does not list an asset, or a model does not know one.
    """
    if isinstance(policy.covariance, Covariance):
        return policy.covariance.of(snapshot.names)
    if policy.covariance is None:
        return None
    expected = outlook(snapshot, forecast_of(policy))
    relative = expected.covariance / typical_variance(snapshot, expected)
    # What has no variance at all would leave the solver without a unique answer.
    ridge = 1e-6 * max(float(np.trace(relative)) / len(relative), 1e-6)
    return np.asarray(relative + ridge * np.eye(len(relative)))


def forecast_of(policy: Policy) -> Forecast:
    """That of the tracking penalty, or else EWMA."""
    risk = policy.tracking_penalty
    return risk.forecast if isinstance(risk, Risk) else _PLAIN


def typical_variance(snapshot: Snapshot, expected: Outlook) -> float:
    """Mean of the assets' variances per second, weighted by the targets."""
    return max(float(targets_of(snapshot) @ expected.variances), 1e-18)


def targets_of(snapshot: Snapshot) -> Floats:
    """Target weights as fractions, by index of the basket."""
    return np.array(snapshot.targets, dtype=np.float64) / WAD


def expected_wait(snapshot: Snapshot, policy: Policy, expected: Outlook) -> float:
    """Seconds to the next trade: the shortest period of a calendar, or else the time to the edge of a band.

    A Brownian weight of variance s**2 per second that starts at its target needs ``width**2 / s**2`` on average to
    leave the band; of the assets the quickest counts.
    """
    from keeper.policy.bands import half_widths  # noqa: PLC0415  the width of a band may depend on `rates`

    periods = [trigger.every_seconds for trigger in leaves(policy.trigger) if isinstance(trigger, Calendar)]
    if periods:
        return float(min(periods))
    spread = expected.drift_variances(targets_of(snapshot))
    waits = [
        (width / (snapshot.nav * WAD)) ** 2 / variance
        for width, variance in zip(half_widths(policy.trigger, snapshot, policy), spread.tolist(), strict=True)
        if width is not None and variance > 0
    ]
    return min(max(min(waits, default=_LONGEST_WAIT), _LEAST_WAIT), _LONGEST_WAIT)
