"""From the facts to the best swaps: one convex problem over all pools and the whole basket, with a bound."""

from keeper.routing.plan import Certificate, Plan, Problem, optimise

__all__ = ["Certificate", "Plan", "Problem", "optimise"]
