"""What risk the targets and a forecast make of a distance: its rate, its covariance, its typical variance."""

from __future__ import annotations

import numpy as np

from keeper.domain import Covariance, Ewma, Policy, Risk, Snapshot
from keeper.domain.forecast import Forecast
from keeper.policy.forecasts import Floats, Outlook, outlook
from keeper.units import WAD

_PLAIN = Ewma()


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
