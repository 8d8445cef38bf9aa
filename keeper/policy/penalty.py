"""What a distance from the targets costs, where the policy does not say it in one number; and for how long.

The tracking penalty of distances d (USD) is ``kappa / (2 NAV) d C d``. Where it follows from risk, that is
``risk_aversion / (2 NAV) d S d`` for each second that they last, S being the expected covariance of the log returns per
second: kappa is risk aversion times the typical variance times the time to the next trade, and C is S over the typical
variance (the identity unless the policy asks for the covariance).
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.domain import Calendar, Policy, Risk, Snapshot
from keeper.domain.trigger import leaves
from keeper.policy.bands import half_widths
from keeper.policy.forecasts import Floats, Outlook, outlook
from keeper.policy.risk import covariance_of, targets_of, typical_variance
from keeper.units import WAD

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
    return Penalty(kappa, covariance_of(snapshot, policy), horizon, note + expected.note(risk.forecast))


def expected_wait(snapshot: Snapshot, policy: Policy, expected: Outlook) -> float:
    """Seconds to the next trade: the shortest period of a calendar, or else the time to the edge of a band.

    A Brownian weight of variance s**2 per second that starts at its target needs ``width**2 / s**2`` on average to
    leave the band; of the assets the quickest counts.
    """
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
