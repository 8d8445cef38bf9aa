"""From the facts to the best swaps: one convex problem over all pools and the whole basket, with a bound."""

from keeper.routing.optimum import optimise
from keeper.routing.plan import Certificate, Plan
from keeper.routing.problem import Problem

__all__ = ["Certificate", "Plan", "Problem", "optimise"]
