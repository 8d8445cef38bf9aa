"""Where pools are far deeper than the basket, the solver does not chase what floats cannot tell."""

import numpy as np
from builders import USDC, WETH, v2_pool

from keeper.routing.goal import Goal
from keeper.routing.market import Market
from keeper.routing.solver import solve


def test_a_basket_far_smaller_than_its_pools_takes_few_steps():
    pools = [v2_pool(k, USDC, WETH, 3e10 * (1 + k / 1e7)) for k in range(3)]
    market = Market.of(pools, {coin.address: coin.cents / 100 / 10**coin.decimals for coin in (USDC, WETH)})
    nav = 1e4
    goal = Goal(
        nav=nav,
        gain=np.ones(2),
        excess=np.array([5e3, -5e3]),
        low=np.array([-1e4, 0.0]),
        high=np.full(2, np.inf),
        penalty=np.full((1, 2), 1 / nav),
        rows=np.zeros((0, 2)),
        bounds=np.zeros(0),
    )
    solution = solve(market, goal, np.ones(market.size, dtype=np.int64))
    assert 1e-11 < solution.imbalance < 1e-8
    assert solution.steps < 50
