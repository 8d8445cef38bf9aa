"""How far to go: what the router is to come near to, where that is not where another dollar pays no more."""

from __future__ import annotations

from keeper.domain import Policy
from keeper.policy.bands import edge_values, half_widths
from keeper.routing import Plan, Problem
from keeper.units import WAD, mul_div, to_float

_URGE = 0.5
"""What the first dollar towards an aim is worth beside its own value, where the aim is to be reached whatever it costs.

A route that costs c for each dollar stops c / _URGE of the way before the aim, and none that costs more is taken.
"""


def aimed(problem: Problem, policy: Policy) -> Problem:
    """The problem of getting as far as the policy says; ``problem`` itself where that is the optimum."""
    snapshot = problem.snapshot
    if policy.extent == "optimum":
        return problem
    if policy.extent == "edge":
        return towards(problem, edge_values(snapshot, half_widths(policy.trigger, snapshot, policy)))
    return towards(problem, tuple(mul_div(snapshot.nav, target, WAD) for target in snapshot.targets))


def part_of(problem: Problem, plan: Plan, parts: int) -> Problem:
    """The problem of getting one of ``parts`` equal parts of the way that ``plan`` goes."""
    # Rounded towards what is held, so that no aim lies beyond where the plan leads.
    aims = tuple(
        value + (change // parts if change >= 0 else -(-change // parts))
        for value, change in zip(problem.snapshot.values, plan.values, strict=True)
    )
    return towards(problem, aims)


def towards(problem: Problem, aims: tuple[int, ...]) -> Problem:
    """The problem of getting to ``aims`` (USD WAD by index of the basket) along the cheapest way."""
    furthest = max(abs(aim - value) for aim, value in zip(aims, problem.snapshot.values, strict=True))
    if furthest == 0:
        return problem.but(aims=aims)
    urgent = _URGE * problem.nav_usd / to_float(furthest)
    return problem.but(aims=aims, covariance=None, tracking_penalty=urgent)
