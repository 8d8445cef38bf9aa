"""The portfolio problem over all pools at once, and its dual.

Maximise  sum(gain_i psi_i) - (excess + psi) Q (excess + psi) / 2  over the net trades psi (dollars by the oracle) that
the pools allow. With a price nu_i per token the problem falls apart into one for the tokens and one for each pool:

    g(nu) = max over psi of [sum((gain_i - nu_i) psi_i) - (excess + psi) Q (excess + psi) / 2] + sum of arb(nu)

Every g(nu) is an upper bound, and the least one is the optimum, since what the pools allow is convex. Where it is
taken, the pools' own answers to nu are the optimal trades.
(Angeris, Evans, Chitra, Boyd: Optimal Routing for Constant Function Market Makers, 2022; Diamandis, Resnick, Chitra,
Angeris: An Efficient Algorithm for Optimal Routing Through Constant Function Market Makers, 2023.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from scipy.optimize import minimize

from keeper.routing import kernels
from keeper.routing.jit import Floats, Ints
from keeper.routing.market import Market

_TOLERANCE = 1e-11
"""Imbalance at which the dual has converged, as a part of the basket's value."""
_GOOD_ENOUGH = 1e-8
"""Imbalance, as a part of the basket's value, above which the other method has a try."""
_STEPS = 200
_FEW_STEPS = 40
_FIRST_MULTIPLIER = 0.1
_BLURS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)
"""Barriers at the limits, in turn, as parts of the basket's value."""


def slope(penalty: Floats, distance: Floats) -> Floats:
    """Q d, the slope of d Q d / 2, for distances d, shape (n,). ``penalty`` is Q: (1, n) if diagonal, or (n, n)."""
    return penalty[0] * distance if len(penalty) == 1 else penalty @ distance


@dataclass(frozen=True, eq=False)
class Goal:
    """What is wanted of the net trades, in nominal dollars by place in the market's tokens; shape (n,) each.

    ``gain`` is what a nominal dollar more is worth; ``excess`` is value less target value; ``low`` and ``high`` bound
    the trade; ``penalty`` is Q, as one row (1, n) if it is diagonal, else (n, n). ``rows @ psi <= bounds`` are further
    limits; shapes (m, n) and (m,). ``nav`` is the basket's value.
    """

    nav: float
    gain: Floats
    excess: Floats
    low: Floats
    high: Floats
    penalty: Floats
    rows: Floats
    bounds: Floats

    def after(self, done: Floats) -> Goal:
        """What is left to want when net trades ``done`` have been made."""
        return replace(
            self,
            excess=self.excess + done,
            low=self.low - done,
            high=self.high - done,
            bounds=self.bounds - self.rows @ done,
        )

    def unsated(self) -> Goal:
        """The same where no distance from the targets is so large that more value would count as a loss.

        What a dollar is worth is raised by what the furthest asset loses by one, so nothing is thrown away.
        """
        steepest = float(slope(self.penalty, self.excess)[self.low < self.high].max(initial=0.0))
        return replace(self, gain=self.gain + steepest)

    def worth(self, psi: Floats) -> float:
        """The objective of net trades ``psi``, gas aside."""
        distance = self.excess + psi
        return float(self.gain @ psi - distance @ slope(self.penalty, distance) / 2)


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the dual is least for a set of curves.

    ``value`` is the dual there; ``nu`` and ``multipliers`` are where that is, ``psi`` the net trades wanted. The rest
    is what each curve would do there (see `kernels.trades`), nominal dollars, whether it is ``on`` or not.
    """

    value: float
    nu: Floats
    multipliers: Floats
    psi: Floats
    on: Ints
    ways: Ints
    amounts_in: Floats
    amounts_out: Floats
    earned: Floats
    steps: int
    imbalance: float

    @property
    def used(self) -> Ints:
        """The curves that trade, as places."""
        return np.flatnonzero(self.on * self.ways)

    @property
    def of_tokens(self) -> float:
        """The part of the dual that is not the curves' own."""
        return self.value - float(self.earned[self.on == 1].sum())


def solve(
    market: Market,
    goal: Goal,
    on: Ints,
    start: Solution | None = None,
    *,
    toll: Floats | None = None,
    softness: float = 0.0,
) -> Solution:
    """Least dual over the curves that are ``on`` (shape (curves,), 0 or 1), from the prices of ``start`` if given.

    With ``toll`` (dollars to use each curve) and ``softness`` the dual is the smoothed one of `kernels.dual`.
    """
    n, m = len(market.tokens), len(goal.bounds)
    nu = np.ones(n) if start is None else start.nu.copy()
    multipliers = np.zeros(m) if start is None else start.multipliers.copy()
    psi = np.zeros(n) if start is None else start.psi.copy()
    tolls = np.zeros(market.size) if toll is None else toll
    # A set of curves that is worth less than doing nothing need not be solved to the end.
    floor = goal.worth(np.zeros(n)) if softness == 0 else -inf

    def newton(most_steps: int, blur: float = 0.0) -> tuple[float, int, float]:
        return kernels.minimise(
            nu, multipliers, market.kinds, market.a, market.b, market.params, market.segments, on,
            goal.gain, goal.excess, goal.low, goal.high, goal.penalty, goal.rows, goal.bounds, tolls, softness,
            blur * goal.nav, psi, max(_TOLERANCE, blur / 10) * goal.nav, -inf if blur else floor, most_steps,
        )  # fmt: skip

    value, steps, imbalance = newton(_FEW_STEPS if m else _STEPS)
    if imbalance > _GOOD_ENOUGH * goal.nav and m and value >= floor:
        # Kinks of limits that meet are too much for it: round them, and less and less so.
        nu[:], multipliers[:] = 1.0, _FIRST_MULTIPLIER
        for blur in _BLURS:
            _, more, imbalance = newton(_STEPS, blur)
            steps += more
            value, _, _ = newton(0)
            if value < floor:
                break
    if imbalance > _GOOD_ENOUGH * goal.nav and softness == 0 and value >= floor:
        _quasi_newton(market, goal, on, nu, multipliers, psi)
        value, more, imbalance = newton(_STEPS)
        steps += more
    return Solution(value, nu, multipliers, psi, on, *market.trades(nu), steps, imbalance)


def _quasi_newton(  # noqa: PLR0917  the kernels' arguments
    market: Market, goal: Goal, on: Ints, nu: Floats, multipliers: Floats, psi: Floats
) -> None:
    """L-BFGS-B in the logarithms of the prices, for where Newton got stuck between kinks."""
    n, m = len(nu), len(multipliers)
    slope, hessian, gradient = np.empty((n, n)), np.empty((n + m, n + m)), np.empty(n + m)
    no_toll = np.zeros(market.size)

    def of(point: Floats) -> tuple[float, Floats]:
        prices = np.exp(point[:n])
        value = kernels.dual(
            prices, np.ascontiguousarray(point[n:]), market.kinds, market.a, market.b, market.params, market.segments,
            on, goal.gain, goal.excess, goal.low, goal.high, goal.penalty, goal.rows, goal.bounds, no_toll, 0.0,
            0.0, psi, slope, gradient, hessian, False,
        )  # fmt: skip
        return value / goal.nav, np.concatenate([gradient[:n] * prices, gradient[n:]]) / goal.nav

    limits = [(float(np.log(kernels.LEAST_PRICE)), 50.0)] * n + [(0.0, inf)] * m
    found = minimize(
        of,
        np.concatenate([np.log(nu), multipliers]),
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"maxiter": 2000, "maxcor": 30},
    )
    nu[:] = np.exp(found.x[:n])
    multipliers[:] = found.x[n:]
