"""The certificate, recomputed: from a plan's shadow prices alone to a bound on every plan."""

from collections.abc import Mapping

import numpy as np

from keeper.routing.problem import Problem
from keeper.routing.selection import upper_arbs
from keeper.routing.solver import tokens_part


def upper_bound(problem: Problem, dual: Mapping[str, float]) -> float:
    """No plan for ``problem`` is worth more than this, USD, whatever ``dual`` says: bad prices give a high bound.

    ``dual`` is laid out as in `keeper.routing.Certificate`. A token that it does not list counts at the oracle's price.
    The multipliers of the vault's limits, if there are any, are chosen anew.

    Raises:
        ValueError: a price is not above zero although the token can be traded.
    """
    market, goal = problem.market, problem.goal(margin=0)
    decimals = {token: problem.snapshot.token[token].decimals for token in market.tokens}
    unreached = set(problem.unreached)
    nu = np.ones(len(market.tokens))
    for i, token in enumerate(market.tokens):
        if token not in dual or token in unreached:
            continue
        priced = token in problem.unit_values
        nu[i] = dual[token] if priced else dual[token] / (market.scale[i] * 10 ** decimals[token])
        if not nu[i] > 0:
            raise ValueError(f"the dual price of {token} is {dual[token]}, it must be above 0")
    arbs = upper_arbs(market, problem.routable, problem.toll, market.trades(nu).earned)
    return max(problem.hold, tokens_part(market, goal, nu) + arbs - problem.gas_usd(problem.gas_units.base))
