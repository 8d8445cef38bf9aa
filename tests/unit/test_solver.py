"""The dual: each pool's best answer, the tokens' best answer, and the prices at which the two agree."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from builders import (
    LIMITS,
    LINK,
    USDC,
    WETH,
    curve_pool,
    policy,
    snapshot,
    stable_pool,
    v2_pool,
    v3_pool,
    weighted_pool,
)
from graphs import graph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize, minimize_scalar

from keeper.policy.decide import problem_of
from keeper.pools import BasePool, SwapError
from keeper.routing import kernels
from keeper.routing.goal import Goal, slope
from keeper.routing.market import Market
from keeper.routing.plan import Problem
from keeper.routing.solver import solve, tokens_part
from keeper.units import WAD

POOLS = {
    "uniswap_v2": v2_pool(1, USDC, WETH, 1e7),
    "uniswap_v3": v3_pool(2, USDC, WETH, 1e7),
    "balancer_weighted": weighted_pool(4, {WETH: 0.8, USDC: 0.2}, 1e7),
    "balancer_stable": stable_pool(5, {USDC: 3e6, LINK: 5e6}),
    "curve_stableswap": curve_pool(6, {USDC: 3e6, LINK: 5e6}),
}
COINS = {coin.address: coin for coin in (USDC, WETH, LINK)}


def python(kernel: object) -> Callable[..., Any]:
    """The function as it is written, before numba."""
    return cast(Callable[..., Any], kernel.py_func)  # type: ignore[attr-defined]


def market_of(pool: BasePool) -> Market:
    alike = "stable" in pool.kind
    return Market.of(
        (pool,),
        {token: (1 if alike else COINS[token].cents / 100) / 10 ** COINS[token].decimals for token in pool.tokens},
    )


def limited(seed: int, share: int) -> Problem:
    """A random market and a vault with a small part of the usual headroom."""
    limits = LIMITS.model_copy(update={"turnover_headroom": WAD // share, "loss_headroom": WAD // 50 // share})
    return problem_of(*graph(seed, limits=limits, penalty=0.3, pools=40))[0]


# What a pool answers


@pytest.mark.parametrize("kind", POOLS)
@settings(max_examples=25, deadline=None)
@given(log_ratio=st.floats(-0.05, 0.05))
def test_no_other_trade_with_a_pool_earns_more(kind, log_ratio):
    pool, market = POOLS[kind], market_of(POOLS[kind])
    curves, ratio = market.curves, float(np.exp(log_ratio))
    way, amount_in, amount_out, _ = kernels.trade(curves.kinds[0], curves.params[0], curves.segments, ratio)
    nu = np.array([ratio, 1.0])
    sold, bought = (0, 1) if way >= 0 else (1, 0)
    earned = nu[bought] * amount_out - nu[sold] * amount_in

    def loss(log_dollars: float, i: int, j: int) -> float:
        raw = int(np.exp(log_dollars) / market.scale[i])
        try:
            out, _ = pool.swap(market.tokens[i], market.tokens[j], raw)
        except SwapError:
            return 0.0
        return float(nu[i] * raw * market.scale[i] - nu[j] * out * market.scale[j])

    for i, j in ((0, 1), (1, 0)):
        found = minimize_scalar(loss, bounds=(0.0, np.log(5e6)), args=(i, j), method="bounded")
        assert -found.fun <= earned + 1e-9 * amount_in + 0.01
        if i == sold and earned > 1:
            assert -found.fun == pytest.approx(earned, rel=1e-4)


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("ratio", [0.9, 0.999, 1.0, 1.01, 1.2])
def test_a_compiled_kernel_is_the_function_as_written(kind, ratio):
    market = market_of(POOLS[kind])
    arguments = market.curves.kinds[0], market.curves.params[0], market.curves.segments, ratio
    assert kernels.trade(*arguments) == pytest.approx(python(kernels.trade)(*arguments), rel=1e-12)


# What the tokens answer


@st.composite
def responses(draw: st.DrawFn) -> Goal:
    n = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    root = rng.normal(size=(n, n))
    matrix = root @ root.T + 0.1 * np.eye(n)
    low, width = -rng.uniform(0, 2, n), rng.uniform(0, 3, n) * (rng.random(n) > 0.2)
    return Goal(
        nav=1.0,
        gain=rng.normal(size=n),
        excess=rng.normal(size=n),
        low=low,
        high=low + width,
        penalty=matrix if draw(st.booleans()) else np.diag(matrix)[None, :].copy(),
        rows=np.zeros((0, n)),
        bounds=np.zeros(0),
    )


@settings(max_examples=80, deadline=None)
@given(responses())
def test_the_tokens_answer_is_the_best_within_the_box(goal):
    n = len(goal.gain)
    psi, bend = np.zeros(n), np.empty((n, n))
    value = kernels.respond(goal.gain, goal, 0.0, psi, bend)
    box = list(zip(goal.low, goal.high, strict=True))
    best = minimize(lambda x: -goal.worth(x), goal.low, bounds=box, method="L-BFGS-B", options={"ftol": 1e-14})
    assert value == pytest.approx(goal.worth(psi), abs=1e-9)
    assert value >= -best.fun - 1e-7
    assert ((goal.low <= psi) & (psi <= goal.high)).all()


@pytest.mark.parametrize("seed", range(40))
def test_the_tokens_answer_is_the_best_where_assets_move_together(seed):
    """Newton's method with projection alone gets stuck at a tenth of these."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 20))
    root = np.hstack([np.ones((n, 1)), 0.003 * rng.normal(size=(n, n))])
    held, excess = rng.dirichlet(np.ones(n)), rng.normal(size=n) / n
    goal = Goal(
        nav=1.0,
        gain=rng.normal(size=n) * 10 ** rng.uniform(-4, -1),
        excess=excess,
        low=-held,
        high=np.full(n, 3.0) if seed % 2 else np.maximum(-excess, 0.0),
        penalty=root @ root.T / n,
        rows=np.zeros((0, n)),
        bounds=np.zeros(0),
    )
    psi = np.zeros(n)
    value = kernels.respond(goal.gain, goal, 0.0, psi, np.zeros((n, n)))
    # As least squares, whose active-set method (BVLS) is exact.
    factor = np.linalg.cholesky(goal.penalty)
    aim = np.linalg.solve(factor, goal.gain) - factor.T @ goal.excess
    best = lsq_linear(factor.T, aim, (goal.low, goal.high + 1e-15), method="bvls", tol=1e-14, max_iter=10_000).x
    assert value == pytest.approx(goal.worth(np.clip(best, goal.low, goal.high)), abs=1e-9)
    assert ((goal.low <= psi) & (psi <= goal.high)).all()


@settings(max_examples=80, deadline=None)
@given(responses(), st.sampled_from([1.0, 1e-3, 1e-9]))
def test_with_a_barrier_the_answer_is_where_all_forces_cancel(goal, blur):
    n = len(goal.gain)
    psi, bend = np.zeros(n), np.empty((n, n))
    kernels.respond(goal.gain, goal, blur, psi, bend)
    free = goal.low < goal.high
    assert (psi[~free] == goal.low[~free]).all()
    force = goal.gain - slope(goal.penalty, goal.excess + psi)
    under, over = (psi - goal.low)[free], (goal.high - psi)[free]
    assert (under > 0).all()
    assert (over > 0).all()
    left = force[free] + blur / under - blur / over
    assert np.abs(left) == pytest.approx(
        0, abs=1e-5 * (1 + (blur / under).max(initial=0) + (blur / over).max(initial=0))
    )


# The dual


@pytest.mark.parametrize("blur", [0.0, 1e4])
@pytest.mark.parametrize("softness", [0.0, 50.0])
def test_slope_and_curvature_of_the_dual_are_its_differences(blur, softness):
    question = limited(4, 4)
    market, goal = question.market, question.goal()
    n, m = len(market.tokens), len(goal.bounds)
    rng = np.random.default_rng(1)
    at = np.concatenate([rng.uniform(0.995, 1.005, n), rng.uniform(0.05, 0.1, m)])
    toll = np.full(market.size, 30.0)

    def of(point: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
        kernels.dual(
            point[:n].copy(), point[n:].copy(), market.curves, question.routable, goal, toll, softness, blur,
            np.zeros(n), np.empty((n, n)), gradient, hessian, True,
        )  # fmt: skip

    def gradient(point: np.ndarray) -> np.ndarray:
        found, unused = np.empty(n + m), np.empty((n + m, n + m))
        of(point, found, unused)
        return found

    hessian = np.empty((n + m, n + m))
    of(at, np.empty(n + m), hessian)
    compared = 0
    for k in range(n + m):
        step = np.zeros(n + m)
        step[k] = 1e-9
        ahead, behind = (gradient(at + step) - gradient(at)) / 1e-9, (gradient(at) - gradient(at - step)) / 1e-9
        scale = 1 + np.abs(hessian[k]).max()
        if np.abs(ahead - behind).max() < 1e-2 * scale:  # no kink in between
            compared += 1
            assert np.abs(ahead - hessian[k]).max() < 2e-2 * scale
    assert compared > n // 2


@pytest.mark.parametrize("seed", range(6))
def test_where_it_is_least_the_curves_do_what_the_tokens_want_and_nothing_is_left_between(seed):
    question = problem_of(*graph(seed))[0]
    market, goal = question.market, question.goal()
    solution = solve(market, goal, question.routable)
    assert solution.settled
    assert goal.worth(solution.brought(market)) == pytest.approx(solution.value, abs=1e-9 * goal.nav)


@pytest.mark.parametrize("seed", range(4))
def test_from_other_prices_the_optimum_is_the_same(seed):
    question = problem_of(*graph(seed))[0]
    market, goal = question.market, question.goal()
    cold = solve(market, goal, question.routable)
    rng = np.random.default_rng(seed)
    elsewhere = replace(cold, nu=cold.nu * np.exp(rng.normal(0, 0.05, len(cold.nu))), psi=cold.psi * 0.5)
    for start in (cold, elsewhere):
        warm = solve(market, goal, question.routable, start)
        assert warm.value == pytest.approx(cold.value, abs=1e-10 * goal.nav)
        assert warm.settled
    assert solve(market, goal, question.routable, cold).steps <= 2


STUCK = ((2, 20), (6, 20), (8, 1), (14, 20))
"""Limited graphs in which Newton's method gets nowhere by itself."""


@pytest.mark.parametrize(("seed", "share"), STUCK)
def test_where_newton_gets_stuck_between_limits_the_barriers_find_the_optimum(seed, share):
    question = limited(seed, share)
    market, goal = question.market, question.goal()
    n, m = len(market.tokens), len(goal.bounds)
    _, steps, imbalance = kernels.minimise(
        np.ones(n), np.zeros(m), market.curves, question.routable, goal, np.zeros(market.size), 0.0, 0.0, np.zeros(n),
        False, 1e-11 * goal.nav, -np.inf, 200,
    )  # fmt: skip
    assert (steps, imbalance > 1e-6 * goal.nav) == (200, True)
    solution = solve(market, goal, question.routable)
    done = solution.brought(market)
    assert solution.settled
    assert goal.worth(done) == pytest.approx(solution.value, abs=1e-8 * goal.nav)
    assert (goal.rows @ done <= goal.bounds + 1e-8 * goal.nav).all()
    assert ((goal.low - 1e-8 * goal.nav <= done) & (done <= goal.high + 1e-8 * goal.nav)).all()


def test_what_cannot_reach_the_floor_is_not_solved_to_the_end():
    question = problem_of(*graph(3))[0]
    market, goal = question.market, question.goal()
    whole = solve(market, goal, question.routable)
    early = solve(market, goal, question.routable, floor=whole.value + 1e-3 * goal.nav)
    assert (early.hopeless, early.settled, len(early.used)) == (True, False, 0)
    assert whole.value <= early.value < whole.value + 1e-3 * goal.nav
    assert early.steps < whole.steps


def test_limits_that_nothing_can_meet_are_seen_to_be_hopeless():
    question = limited(6, 20)
    goal = question.goal()
    # More progress than the turnover allows.
    goal = goal._replace(bounds=np.array([0.0, 1.0, 0.001, -0.002]) * goal.nav)
    found = solve(question.market, goal, question.routable, floor=goal.worth(np.zeros(len(goal.gain))))
    assert found.hopeless


@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_the_value_is_the_sum_of_both_sides_at_the_prices_found_whatever_is_off(seed):
    question = problem_of(*graph(seed, limits=LIMITS, pools=30))[0]
    market, goal = question.market, question.goal()
    on = question.routable.copy()
    on[::2] = 0
    solution = solve(market, goal, on)
    assert solution.settled
    sides = tokens_part(market, goal, solution.nu) + float(solution.earned[on == 1].sum())
    assert solution.value == pytest.approx(sides, abs=1e-9 * goal.nav)
    assert solution.of_tokens == pytest.approx(tokens_part(market, goal, solution.nu), abs=1e-9 * goal.nav)


def test_an_asset_that_no_curve_in_use_trades_stays_as_it_is_at_a_price_that_fits():
    basket = {USDC: (0.6, 0.4), WETH: (0.2, 0.3), LINK: (0.2, 0.3)}
    pools = (v2_pool(1, USDC, WETH, 1e8), v2_pool(2, USDC, LINK, 1e8))
    question = problem_of(snapshot(basket, pools), policy())[0]
    market, goal = question.market, question.goal()
    both, one = (solve(market, goal, np.array(on)) for on in ([1, 1], [1, 0]))
    place = market.tokens.index(LINK.address)
    assert both.psi[place] > 1e4
    assert one.psi[place] == 0
    # Being far below its target, it would be bought at any price below this.
    assert one.nu[place] == pytest.approx(
        1 - goal.penalty[0, place] * goal.excess[place] - one.multipliers @ goal.rows[:, place]
    )
