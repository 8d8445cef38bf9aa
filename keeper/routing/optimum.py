"""The best plan for a whole rebalance, in integers, with the bound that shows how good it is."""

from __future__ import annotations

from dataclasses import replace

from keeper.routing.carrying import carried_out
from keeper.routing.certificate import certified, sated
from keeper.routing.goal import Goal
from keeper.routing.plan import Plan
from keeper.routing.problem import Problem
from keeper.routing.selection import Selection, select

_HALVINGS = 12
"""How often another answer is tried to how much more a dollar must be worth for nothing to be thrown away."""


def optimise(problem: Problem) -> Plan:
    """The best plan for ``problem``; one without swaps if the solver finds nothing better than to hold.

    Trades that would have to spend what only they bring in are carried out as far as the vault's balances reach, and
    the rest of the problem is solved again from there. The plan is only as exact about the limits as floats are: see
    `keeper.policy`.
    """
    goal = problem.goal()
    first = select(problem.market, goal, problem.routable, problem.toll, thorough=problem.thorough)
    best = carried_out(problem, goal, first)
    if _worthless(problem, first):
        best = max(best, _thrifty(problem), key=lambda plan: plan.worth)
    return replace(best, certificate=certified(best, first))


def _worthless(problem: Problem, selection: Selection) -> bool:
    """Whether the shadow prices are too near zero to tell what to trade for what."""
    return sated(problem, selection) or not selection.solution.settled


def _thrifty(problem: Problem) -> Plan:
    """The plan where a dollar more is worth just as much as it takes for every asset to be worth something.

    Where all assets that routes lead to are worth nothing, their prices do not tell what to trade for what.
    """
    market, allowed, toll = problem.market, problem.routable, problem.toll
    found: tuple[Goal, Selection] | None = None
    too_little, more = 0.0, 1.0
    for _ in range(_HALVINGS):
        goal = problem.goal().wanting(more)
        selection = select(market, goal, allowed, toll, thorough=problem.thorough)
        if _worthless(problem, selection):
            too_little = more
        else:
            found, enough = (goal, selection), more
        more = 4 * more if found is None else (too_little + enough) / 2
    return Plan(problem) if found is None else carried_out(problem, *found)
