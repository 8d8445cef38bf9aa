"""The same problem given to general convex solvers, through cvxpy."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import cvxpy as cp
import numpy as np

from benchmarks.routing import graphs
from benchmarks.routing.clock import Spread, repeated, timed
from benchmarks.routing.graphs import MIXES
from benchmarks.routing.timing import NAV, PENALTY, TOKENS
from keeper.routing.goal import Goal
from keeper.routing.market import Market
from keeper.routing.solver import solve

SOLVERS = ("CLARABEL", "SCS")


def table(sizes: Sequence[int], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """One row per number of V2 pools.

    ``behind_bp`` is by how much a solver's objective is below ours (negative: above it), in basis points of NAV; since
    its answers keep the constraints only up to its tolerance, it can lie on either side. ``ms`` is the solver alone,
    ``stated_ms`` what cvxpy takes to put the problem into its form.
    """
    rows = []
    for pools in sizes:
        found: dict[str, dict[str, list[float]]] = {
            solver: {"behind_bp": [], "ms": [], "stated_ms": []} for solver in SOLVERS
        }
        ours, gaps = [], []
        for seed in seeds:
            rng = np.random.default_rng([seed, pools])
            world = graphs.world(rng, TOKENS[pools], pools, MIXES["V2"], torn=True)
            held, targets = graphs.basket(rng, TOKENS[pools])
            prices = {token.address: world.unit_value(place) for place, token in enumerate(world.tokens)}
            market, goal = Market.of(world.pools, prices), graphs.goal(NAV, PENALTY, held, targets)
            on = np.ones(market.size, dtype=np.int64)
            solution = solve(market, goal, on)
            achieved = goal.worth(solution.brought(market))
            gaps.append((solution.value - achieved) / NAV * 1e4)
            ours += repeated(partial(solve, market, goal, on), 10, 0.2)
            for solver in SOLVERS:
                problem = _stated(market, goal)
                stated, (data, chain, inverse) = timed(partial(problem.get_problem_data, solver))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # "solution may be inaccurate": that is what is measured
                    milliseconds, raw = timed(partial(chain.solve_via_data, problem, data, solver_opts={}))
                    problem.unpack_results(raw, chain, inverse)
                found[solver]["behind_bp"].append((achieved / NAV - float(problem.value)) * 1e4)
                found[solver]["ms"].append(milliseconds)
                found[solver]["stated_ms"].append(stated)
        rows.append(
            {
                "pools": pools,
                "tokens": TOKENS[pools],
                "ours_ms": Spread.of(ours).as_json(),
                "ours_gap_bp": Spread.of(gaps).as_json(),
                **{
                    solver.lower(): {name: Spread.of(numbers).as_json() for name, numbers in measured.items()}
                    for solver, measured in found.items()
                },
            }
        )
    return rows


def _stated(market: Market, goal: Goal) -> cp.Problem:
    """The primal, in parts of NAV and of each pool's reserves, so that numbers are near one.

    A pool with reserves of one each takes x (of which a part g counts) and pays y: (1 + g x0 - y0)(1 + g x1 - y1) >= 1,
    as a second-order cone.
    """
    liquidity, sqrt_price, kept = market.curves.params[:, 0], market.curves.params[:, 1], market.curves.params[:, 2]
    reserve_a, reserve_b = liquidity / sqrt_price / goal.nav, liquidity * sqrt_price / goal.nav
    curves, tokens = market.size, len(market.tokens)
    into, out = cp.Variable((2, curves), nonneg=True), cp.Variable((2, curves), nonneg=True)
    after = 1 + cp.multiply(np.vstack([kept, kept]), into) - out
    at_a, at_b = np.zeros((tokens, curves)), np.zeros((tokens, curves))
    at_a[market.curves.a, np.arange(curves)] = reserve_a
    at_b[market.curves.b, np.arange(curves)] = reserve_b
    psi = at_a @ (out[0] - into[0]) + at_b @ (out[1] - into[1])
    distance = goal.excess / goal.nav + psi
    worth = goal.gain @ psi - cp.sum_squares(cp.multiply(np.sqrt(goal.penalty[0] * goal.nav), distance)) / 2
    cone = cp.SOC(after[0] + after[1], cp.vstack([np.full(curves, 2.0), after[0] - after[1]]), axis=0)
    return cp.Problem(cp.Maximize(worth), [cone, psi >= goal.low / goal.nav])
