"""Weights from estimated moments. Estimators and solvers are skfolio's (`import` takes a second: do it when needed)."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from skfolio import RiskMeasure
from skfolio.moments import LedoitWolf, ShrunkMu
from skfolio.optimization import InverseVolatility, MeanRisk, ObjectiveFunction, RiskBudgeting
from skfolio.prior import EmpiricalPrior

Floats = NDArray[np.float64]


class ShrunkCorrelation(LedoitWolf):  # type: ignore[misc]  # skfolio ships no types
    """Ledoit and Wolf's estimate of the correlations, with every asset's own variance left as it is.

    Shrunk towards a common variance, a stable coin would look like a tenth of Bitcoin.
    """

    def fit(self, X: Floats, y: None = None, **parameters: Any) -> Self:  # noqa: N803  scikit-learn's name for it
        X = np.asarray(X)  # noqa: N806
        deviation = X.std(axis=0, ddof=1)
        super().fit(X / deviation, y, **parameters)
        shrunk = self.covariance_
        unit = np.sqrt(np.diag(shrunk))
        self._set_covariance(shrunk / np.outer(unit, unit) * np.outer(deviation, deviation))
        return self


def by_volatility(returns: Floats) -> Floats:
    """Weights in proportion to one over the deviation. ``returns``: shape (days, assets)."""
    return _fitted(InverseVolatility(), returns)


def risk_parity(returns: Floats) -> Floats:
    """Weights with equal contributions to variance, shrunk correlations. ``returns``: shape (days, assets)."""
    prior = EmpiricalPrior(covariance_estimator=ShrunkCorrelation())
    return _fitted(RiskBudgeting(risk_measure=RiskMeasure.VARIANCE, prior_estimator=prior), returns)


def mean_variance(returns: Floats, risk_aversion: float | None, low: float, high: float) -> Floats:
    """Weights between ``low`` and ``high`` that maximise m'w - a/2 w'Sw, or of least variance if a is None.

    S has shrunk correlations, m is shrunk by James and Stein. ``returns``: shape (days, assets).
    """
    bounds = {"min_weights": low, "max_weights": high}
    if risk_aversion is None:
        return _fitted(
            MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=ShrunkCorrelation()), **bounds), returns
        )
    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_aversion=risk_aversion / 2,  # skfolio leaves out the half
        prior_estimator=EmpiricalPrior(mu_estimator=ShrunkMu(), covariance_estimator=ShrunkCorrelation()),
        **bounds,
    )
    return _fitted(model, returns)


def _fitted(model: Any, returns: Floats) -> Floats:
    weights: Floats = np.asarray(model.fit(returns).weights_, dtype=np.float64)
    # Solvers end a hair outside of their bounds.
    return np.maximum(weights, 0.0)
