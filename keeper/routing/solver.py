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

from dataclasses import dataclass
from math import inf

import numpy as np

from keeper.routing import kernels
from keeper.routing.goal import Goal
from keeper.routing.jit import Floats, Ints
from keeper.routing.market import Market

_SETTLED = 1e-6
"""Imbalance, as a part of the basket's value, above which the curves' answers are no plan."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the dual is least for a set of curves.

    ``value`` is the dual there; ``nu`` and ``multipliers`` are where that is, ``psi`` the net trades wanted. The rest
    is what each curve would do there (see `Market.trades`), nominal dollars, whether it is ``on`` or not.
    ``imbalance`` is the largest difference between the two, as a part of the basket's value.
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
    def hopeless(self) -> bool:
        """Whether it is worth less than what was asked for, and so was not sought any further."""
        return self.imbalance == inf

    @property
    def settled(self) -> bool:
        """Whether the curves do what is wanted. If not, this is only a bound."""
        return self.imbalance <= _SETTLED

    @property
    def used(self) -> Ints:
        """The curves that trade, as places; none if it is only a bound."""
        return np.flatnonzero(self.on * self.ways) if self.settled else np.zeros(0, dtype=np.int64)

    def brought(self, market: Market) -> Floats:
        """What the curves that trade bring, net, nominal dollars by token of ``market``; shape (tokens,)."""
        net, used, curves = np.zeros(len(market.tokens)), self.used, market.curves
        forwards = self.ways[used] > 0
        np.subtract.at(net, np.where(forwards, curves.a[used], curves.b[used]), self.amounts_in[used])
        np.add.at(net, np.where(forwards, curves.b[used], curves.a[used]), self.amounts_out[used])
        return net

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
    floor: float = -inf,
) -> Solution:
    """Least dual over the curves that are ``on`` (shape (curves,), 0 or 1), from the prices of ``start`` if given.

    With ``toll`` (dollars to use each curve) and ``softness`` the dual is the smoothed one of `kernels.dual`. Where it
    falls below ``floor``, it is not solved to the end and does not settle.
    """
    n, m = len(market.tokens), len(goal.bounds)
    nu = np.ones(n) if start is None else start.nu.copy()
    multipliers = np.zeros(m) if start is None else start.multipliers.copy()
    psi = np.zeros(n) if start is None else start.psi.copy()
    tolls = np.zeros(market.size) if toll is None else toll
    answers = market.answers()
    value, steps, imbalance = kernels.solve(
        nu, multipliers, market.curves, on, goal, tolls, softness, psi, False, floor, answers
    )
    return Solution(value, nu, multipliers, psi, on, *answers, steps, imbalance / goal.nav)


def wanted_at(goal: Goal, nu: Floats, multipliers: Floats) -> tuple[float, Floats]:
    """The part of the dual at ``nu`` and ``multipliers`` that is not the curves' own, and the net trades wanted."""
    n = len(nu)
    psi = np.zeros(n)
    most = kernels.respond(goal.priced(nu, multipliers).gain, goal, 0.0, psi, np.zeros((n, n)))
    return most + float(multipliers @ goal.bounds), psi


def tokens_part(market: Market, goal: Goal, nu: Floats) -> float:
    """The part of the dual at ``nu`` that is not the curves' own, at the best multipliers for these prices."""
    multipliers, psi, tolls = np.zeros(len(goal.bounds)), np.zeros(len(nu)), np.zeros(market.size)
    on = np.zeros(market.size, dtype=np.int64)
    value, _, _ = kernels.solve(
        nu.copy(), multipliers, market.curves, on, goal, tolls, 0.0, psi, True, -inf, market.answers()
    )
    return value
