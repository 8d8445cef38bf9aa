"""Which pools are used when each one costs gas, and which pair of a pool with many."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from builders import (
    LIMITS,
    LINK,
    NOW,
    UNI,
    USDC,
    WBTC,
    WETH,
    Coin,
    at,
    policy,
    snapshot,
    v2_pool,
    v3_pool,
    weighted_pool,
)
from graphs import graph

from keeper.domain import Swap
from keeper.policy.decide import problem_of
from keeper.pools import UniswapV2Pool
from keeper.routing import kernels
from keeper.routing.market import Market
from keeper.routing.plan import Plan, Problem, optimise
from keeper.routing.selection import select
from keeper.routing.solver import solve
from keeper.units import WAD

HALVES = {USDC: (0.7, 0.5), WETH: (0.3, 0.5)}


def problem(basket, pools, nav: float = 1e6, **asked) -> Problem:
    return problem_of(snapshot(basket, pools, limits=None, nav=nav), policy(**asked))[0]


def chosen(question: Problem, toll: float) -> set[str]:
    market = question.market
    best = select(market, question.goal(), question.routable, np.full(market.size, toll))
    return {market.pools[market.pool[e]].name for e in best.solution.used}


def test_without_tolls_every_pool_that_helps_is_used():
    twins = (v2_pool(1, USDC, WETH, 1e7), v2_pool(2, USDC, WETH, 1e7))
    assert chosen(problem(HALVES, twins), 0) == {pool.name for pool in twins}


def test_a_toll_above_what_a_second_pool_saves_leaves_it_out():
    deep, shallow = v2_pool(1, USDC, WETH, 1e8), v2_pool(2, USDC, WETH, 1e6)
    assert chosen(problem(HALVES, (deep, shallow)), 1) == {deep.name, shallow.name}
    assert chosen(problem(HALVES, (deep, shallow)), 100) == {deep.name}


def test_a_pool_that_is_idle_where_gas_is_free_is_found_where_it_is_not():
    around = (v2_pool(1, USDC, LINK, 1e9, fee_pips=100), v2_pool(2, WETH, LINK, 1e9, fee_pips=100))
    direct = v2_pool(3, USDC, WETH, 1e9, fee_pips=10_000)
    question = problem(HALVES, (*around, direct))
    assert chosen(question, 0) == {pool.name for pool in around}
    # Two hops at 0.01% and one at 1% differ by about $2,000.
    assert chosen(question, 1000) == {pool.name for pool in around}
    assert chosen(question, 3000) == {direct.name}


def test_a_toll_above_all_gain_leaves_nothing():
    assert chosen(problem(HALVES, (v2_pool(1, USDC, WETH, 1e7),)), 1e6) == set()


@pytest.mark.parametrize("seed", range(6))
def test_up_to_twelve_pools_the_best_set_is_found(seed):
    facts, asked = graph(seed, tokens=5, assets=4, pools=9, nav=1e6, penalty=0.3, depth=(1e5, 1e8), noise=0.002)
    question = problem_of(facts, asked)[0]
    market, goal, toll = question.market, question.goal(), np.full(9, 40.0)
    best = select(market, goal, question.routable, toll)
    values = [question.hold]
    for size in range(1, 10):
        for curves in combinations(range(9), size):
            on = np.zeros(9, dtype=np.int64)
            on[list(curves)] = 1
            found = solve(market, goal, on * question.routable)
            values.append(found.value - 40.0 * len(found.used))
    assert best.value == pytest.approx(max(values), abs=1e-8 * 1e6)
    assert best.bound >= max(values) - 1e-8 * 1e6


def test_a_plan_that_need_not_be_thorough_leaves_out_what_does_not_earn_its_gas_and_is_no_better():
    fewer = 0
    for seed in range(6):
        facts, asked = graph(seed, tokens=5, assets=4, pools=9, nav=1e6, penalty=0.3, depth=(1e5, 1e8), noise=0.002)
        question = problem_of(facts, asked.model_copy(update={"gas_price_wei": 200 * 10**9}))[0]
        rough, free = optimise(question.but(thorough=False)), optimise(question.but(gas_price=0))
        assert replace(free, problem=question).worth - 1e-3 <= rough.worth <= optimise(question).worth + 1e-3
        fewer += len(rough.swaps) < len(free.swaps)
    assert fewer >= 3


def test_a_problem_with_other_values_shares_its_market_and_nothing_that_changed():
    question = problem(HALVES, (v2_pool(1, USDC, WETH, 1e7),), gas_price_wei=str(10**9))
    assert question.routable.tolist() == [1]
    assert question.toll.sum() > 0
    assert question.hold < 0
    other = question.but(gas_price=0, tracking_penalty=2 * question.tracking_penalty)
    assert other.market is question.market
    assert (other.toll.sum(), other.hold) == (0, 2 * question.hold)


def test_no_set_of_pools_is_solved_twice(monkeypatch):
    solved = []

    def noted(market, goal, on, *start, **more):
        if "softness" not in more:
            solved.append(on.tobytes())
        return solve(market, goal, on, *start, **more)

    monkeypatch.setattr("keeper.routing.selection.solve", noted)
    for seed in range(6):
        solved.clear()
        facts, asked = graph(seed, tokens=5, assets=4, pools=9, nav=1e6, penalty=0.3, depth=(1e5, 1e8), noise=0.002)
        question = problem_of(facts, asked)[0]
        select(question.market, question.goal(), question.routable, np.full(9, 40.0))
        assert len(solved) == len(set(solved)) > 1


def test_of_a_pool_with_many_tokens_one_pair_is_used():
    pool = weighted_pool(1, {USDC: 0.4, WETH: 0.3, LINK: 0.3}, 1e7)
    plan = optimise(problem({USDC: (0.6, 0.4), WETH: (0.1, 0.25), LINK: (0.3, 0.35)}, (pool,)))
    # Of the two that are short, the one that is further off.
    assert [(swap.token_in, swap.token_out) for swap in plan.swaps] == [(USDC.address, WETH.address)]


def test_an_asset_without_a_route_stays_and_is_named():
    question = problem({USDC: (0.6, 0.4), WETH: (0.2, 0.3), UNI: (0.2, 0.3)}, (v2_pool(1, USDC, WETH, 1e8),))
    plan = optimise(question)
    assert question.unreached == (UNI.address,)
    assert (plan.changes[2], plan.changes[1] > 0) == (0, True)


def test_nothing_is_left_in_a_token_that_only_passes_through_where_the_way_on_pays_nothing():
    """$5,000 of an asset of which the smallest unit is $8,000; the rest of the plan is worth far more than that."""
    basket = {USDC: (0.7, 0.5), WETH: (0.3, 0.495), WBTC: (0.0, 0.005)}
    coarse = v2_pool(3, UNI, WBTC, 2e6).model_copy(update={"reserve1": 125})
    pools = (v2_pool(1, USDC, WETH, 1e8), v2_pool(2, USDC, UNI, 1e8), coarse)
    facts = at(snapshot(basket, pools, limits=None), NOW, {WBTC: 8e11})
    plan = optimise(problem_of(facts, policy(tracking_penalty=1))[0])
    assert [(swap.token_in, swap.token_out) for swap in plan.swaps] == [(USDC.address, WETH.address)]
    assert set(plan.change) == {USDC.address, WETH.address}


def test_a_trade_too_small_to_go_on_from_does_not_lose_the_rest(monkeypatch):
    """What comes in of UNI is worth making, and each of the two ways on is not."""
    monkeypatch.setattr("keeper.routing.plan._DUST", 0.03)
    ways_on = (v2_pool(3, UNI, WETH, 1e6), v2_pool(4, UNI, WETH, 1e6))
    pools = (v2_pool(1, USDC, WETH, 5e6, fee_pips=10_000), v2_pool(2, USDC, UNI, 1e9, fee_pips=500), *ways_on)
    plan = optimise(problem(HALVES, pools))
    assert {swap.pool for swap in plan.swaps} == {pools[0].name}
    monkeypatch.undo()
    assert {swap.pool for swap in optimise(problem(HALVES, pools)).swaps} == {pool.name for pool in pools}


@pytest.mark.parametrize("usd", [1.0e5, 1.1e5, 1.2e5, 1.3e5, 1.4e5, 1.5e5, 1.6e5, 1.7e5])
def test_a_pool_that_is_used_to_its_end_is_not_offered_more(usd):
    """What comes in for it is a whole number of raw units of $10 each: one too many would be left between the pools."""
    way_in, way_on = v2_pool(1, WBTC, UNI, 1e8), v3_pool(2, WETH, UNI, usd, widths=(1,))
    way_in = way_in.model_copy(update={"reserve0": 5 * 10**6})
    facts = at(snapshot({WBTC: (1.0, 0.5), WETH: (0.0, 0.5)}, (way_in, way_on), limits=None), NOW, {WBTC: 1e9})
    balances = [asset.model_copy(update={"balance": 10**5}) for asset in facts.vault.assets[:1]]
    vault = facts.vault.model_copy(update={"assets": (*balances, *facts.vault.assets[1:])})
    plan = optimise(problem_of(facts.model_copy(update={"vault": vault}), policy(tracking_penalty=1))[0])
    assert [swap.pool for swap in plan.swaps] == [way_in.name, way_on.name]
    assert plan.change[UNI.address] == 0


def test_value_is_not_thrown_away_where_a_large_penalty_counts_it_as_a_loss():
    basket = {USDC: (0.7, 0.2), WETH: (0.3, 0.2), UNI: (0.0, 0.6)}
    question = problem(basket, (v2_pool(1, USDC, WETH, 1e9), v2_pool(2, USDC, WETH, 1e4)), tracking_penalty=10)
    plan = optimise(question)
    assert plan.worth > question.hold
    # What lies beyond the targets could only be lost in the shallow pool; evening out the two costs 0.3% of a fifth.
    assert 0 < plan.cost < WAD // 500 * 10**6
    assert plan.certificate.gap > 0.01 * 1e6
    assert plan.certificate.unwanted == pytest.approx(plan.certificate.gap, abs=1e-6 * 1e6)


def test_what_is_far_too_much_is_sold_for_next_to_nothing_where_the_formula_says_so():
    """As much as one swap can; what is left costs its square, and the rest of the basket is as if it were not there."""
    basket = {WETH: (0.8, 0.2), USDC: (0.1, 0.15), LINK: (0.1, 0.65)}
    thin, thick = weighted_pool(1, {USDC: 0.5, WETH: 0.5}, 2e4), v2_pool(2, USDC, LINK, 1e5)
    question = problem(basket, (thin, thick), tracking_penalty=10)
    plan = optimise(question)
    sold = next(swap for swap in plan.swaps if swap.token_in == WETH.address)
    held = next(holding.balance for holding in thin.holdings if holding.token == WETH.address)
    # Balancer takes 30% of what the pool holds, after its fee of 0.3%.
    assert sold.amount_in == pytest.approx(0.3 * held / 0.997, rel=1e-6)
    beyond = plan.excess[0] / WAD - 1e6 / 10
    assert plan.certificate.gap == pytest.approx(10 / 2e6 * beyond**2, abs=1e-6 * 1e6)
    assert plan.certificate.unwanted == pytest.approx(plan.certificate.gap, abs=1e-6 * 1e6)


def test_what_the_limits_would_let_one_lose_counts_as_unwanted():
    """Whoever gets less back for what is sold may sell more of it, within a limit on both together."""
    basket = {WETH: (0.8, 0.2), USDC: (0.1, 0.4), LINK: (0.1, 0.4)}
    pools = (v2_pool(1, USDC, WETH, 1e8, fee_pips=500), v2_pool(2, LINK, WETH, 1e8, fee_pips=500))
    limits = LIMITS.model_copy(update={"turnover_headroom": WAD // 5})
    plan = optimise(problem_of(snapshot(basket, pools, limits=limits), policy(tracking_penalty=10))[0])
    assert plan.certificate.gap > 0.0001 * 1e6
    assert plan.certificate.unwanted == pytest.approx(plan.certificate.gap, abs=1e-6 * 1e6)


def test_without_an_asset_that_is_far_too_large_nothing_is_unwanted():
    assert optimise(problem(HALVES, (v2_pool(1, USDC, WETH, 1e7),), tracking_penalty=1)).certificate.unwanted == 0


def test_a_circle_that_costs_more_gas_in_parts_than_it_brings_is_left_alone():
    dear = v2_pool(3, UNI, USDC, 1e6)
    circle = (v2_pool(1, USDC, LINK, 1e6), v2_pool(2, LINK, UNI, 1e6))
    circle += (dear.model_copy(update={"reserve1": dear.reserve1 * 103 // 100}),)
    basket, way = {USDC: (0.6, 0.5), WETH: (0.4, 0.5)}, v2_pool(4, USDC, WETH, 1e7, fee_pips=100)
    units = dict.fromkeys(("base", "uniswap_v2"), 100_000)

    def plan(dollars: float, nav: float) -> Plan:
        gas = {"gas_price_wei": str(round(dollars * 4 * 10**9)), "gas_units": units}
        return optimise(problem(basket, (*circle, way), nav=nav, tracking_penalty=8, **gas))

    # At a tenth of a dollar a hop one lap of everything would pay, thirty laps do not.
    assert sum(swap.pool == dear.name for swap in plan(0, 100).swaps) > 10
    assert sum(swap.pool == dear.name for swap in plan(0.5, 1e6).swaps) == 1
    assert {swap.pool for swap in plan(0.5, 100).swaps} == {way.name}


def outside_circle(number: int, coin0: Coin, coin1: Coin) -> tuple[UniswapV2Pool, ...]:
    """Two pools between tokens that are in no basket, 3% apart, and a way there from USDC."""
    one, other = v2_pool(number, coin0, coin1, 1e6), v2_pool(number + 1, coin0, coin1, 1e6)
    other = other.model_copy(update={"reserve1": other.reserve1 * 103 // 100})
    return one, other, v2_pool(number + 2, USDC, coin0, 1e7)


def test_a_circle_of_which_nothing_is_held_is_started_with_a_little_that_is_bought_and_sold_again():
    pools = outside_circle(1, LINK, UNI)
    plan = optimise(problem({USDC: (1.0, 1.0)}, pools))
    ways = [(swap.token_in, swap.token_out) for swap in plan.swaps if swap.pool == pools[2].name]
    assert ways[0] == (USDC.address, LINK.address)
    # The gain comes back the same way.
    assert set(ways[1:]) == {(LINK.address, USDC.address)}
    assert {token for token, change in plan.change.items() if change} == {USDC.address}
    assert plan.worth > 0.9 * plan.certificate.bound > 0
    assert plan.dropped == ()


def test_two_circles_are_started_one_after_the_other():
    pools = outside_circle(1, LINK, UNI) + outside_circle(11, WETH, WBTC)
    plan = optimise(problem({USDC: (1.0, 1.0)}, pools))
    assert {swap.pool for swap in plan.swaps} == {pool.name for pool in pools}
    assert plan.worth > 0.9 * plan.certificate.bound > 0


def test_a_circle_that_brings_less_than_it_takes_to_start_it_is_left_alone():
    one, other, _ = outside_circle(1, LINK, UNI)
    ways = [v2_pool(3, USDC, LINK, 1e7, fee_pips=fee) for fee in (3000, 900_000)]
    plans = [optimise(problem({USDC: (1.0, 1.0)}, (one, other, way), nav=1e6)) for way in ways]
    assert [bool(plan.swaps) for plan in plans] == [True, False]


def test_a_circle_is_started_where_that_costs_least():
    one, other, _ = outside_circle(1, LINK, UNI)
    dear, cheap = (v2_pool(number, USDC, LINK, 1e7, fee_pips=fee) for number, fee in ((3, 10_000), (4, 500)))
    plan = optimise(problem({USDC: (1.0, 1.0)}, (one, other, dear, cheap)))
    assert {swap.pool for swap in plan.swaps} == {one.name, other.name, cheap.name}


def test_a_circle_that_is_two_pools_away_is_started():
    pools = (*outside_circle(1, LINK, UNI)[:2], v2_pool(3, USDC, WBTC, 1e7), v2_pool(4, WBTC, LINK, 1e7))
    plan = optimise(problem({USDC: (1.0, 1.0)}, pools))
    assert {swap.pool for swap in plan.swaps} == {pool.name for pool in pools}
    assert {token for token, change in plan.change.items() if change} == {USDC.address}
    assert plan.worth > 0.9 * plan.certificate.bound > 0


def test_a_circle_is_started_along_with_what_needs_no_start():
    way = v2_pool(11, USDC, WETH, 1e7)
    alone = optimise(problem(HALVES, (way,)))
    plan = optimise(problem(HALVES, (*outside_circle(1, LINK, UNI), way)))
    assert plan.dropped == ()
    assert plan.certificate.gap < 0.1 * (plan.worth - alone.worth)


def test_a_circle_that_is_not_started_is_named_also_where_other_trades_are_made():
    one, other, _ = outside_circle(1, LINK, UNI)
    pools = (one, other, v2_pool(3, USDC, LINK, 1e7, fee_pips=990_000), v2_pool(11, USDC, WETH, 1e7))
    plan = optimise(problem(HALVES, pools, nav=1e6))
    assert {swap.pool for swap in plan.swaps} == {pools[3].name}
    assert {one.name, other.name} <= set(plan.dropped)


def test_a_circle_that_brings_next_to_nothing_is_neither_started_nor_named():
    one, other = v2_pool(1, LINK, UNI, 20), v2_pool(2, LINK, UNI, 20)
    other = other.model_copy(update={"reserve1": other.reserve1 * 103 // 100})
    way = v2_pool(11, USDC, WETH, 1e7)
    plan = optimise(problem(HALVES, (one, other, v2_pool(3, USDC, LINK, 1e7), way), nav=1e6))
    assert [swap.pool for swap in plan.swaps] == [way.name]
    assert plan.dropped == ()


def test_what_starts_a_circle_is_not_sold_again_before_it_has_gone_round():
    """The gain leads to WETH by another way than the start came."""
    one, other, _ = outside_circle(1, LINK, UNI)
    pools = (one, other, v2_pool(3, USDC, LINK, 1e7, fee_pips=10_000), v2_pool(4, UNI, WETH, 1e6, fee_pips=100))
    plan = optimise(problem(HALVES, pools))
    assert plan.dropped == ()
    assert plan.worth > plan.problem.hold + 0.9 * (plan.certificate.bound - plan.problem.hold)


def pairs_used(plan: Plan, pool: str) -> set[frozenset[str]]:
    return {frozenset((swap.token_in, swap.token_out)) for swap in plan.swaps if swap.pool == pool}


def test_a_circle_is_not_started_through_a_second_pair_of_a_pool():
    thirds = weighted_pool(3, {USDC: 0.4, WETH: 0.4, LINK: 0.2}, 1e8)
    one, other, dear = outside_circle(1, LINK, UNI)
    plan = optimise(problem(HALVES, (one, other, dear, thirds)))
    assert pairs_used(plan, thirds.name) == {frozenset((USDC.address, WETH.address))}
    assert {swap.pool for swap in plan.swaps} == {one.name, other.name, dear.name, thirds.name}
    assert plan.worth <= plan.certificate.bound


def test_what_is_left_to_do_goes_through_the_pair_of_a_pool_that_was_used_before():
    """A circle that cannot be started has the rest solved again: there LINK would be bought in the same pool."""
    basket = {USDC: (0.8, 0.4), WETH: (0.1, 0.3), LINK: (0.1, 0.3)}
    thirds = weighted_pool(3, {USDC: 0.4, WETH: 0.3, LINK: 0.3}, 1e8)
    dear = v2_pool(4, USDC, UNI, 1e7, fee_pips=990_000)
    circle = outside_circle(1, UNI, WBTC)[:2]
    plan = optimise(problem(basket, (thirds, dear, *circle), nav=1e6))
    assert {pool.name for pool in circle} <= set(plan.dropped)
    assert len(pairs_used(plan, thirds.name)) == 1
    assert plan.worth <= plan.certificate.bound


def test_a_weighted_pool_takes_in_all_no_more_than_one_swap_may_bring():
    """The circle that cannot be started has the rest solved again, when a swap could bring 30% of what is there now."""
    shallow = weighted_pool(3, {USDC: 0.5, WETH: 0.5}, 1e6)
    one, other, _ = outside_circle(1, LINK, UNI)
    dear = v2_pool(4, USDC, LINK, 1e7, fee_pips=990_000)
    plan = optimise(problem(HALVES, (one, other, dear, shallow), nav=1e6, tracking_penalty=5))
    assert plan.dropped
    brought = sum(swap.amount_in for swap in plan.swaps if swap.pool == shallow.name)
    held = shallow.holdings[0].balance
    assert 0.29 * held < brought < 0.302 * held
    assert plan.worth <= plan.certificate.bound


def test_what_a_weighted_pool_may_still_take_counts_what_came_in_and_never_falls_below_nothing():
    pool = weighted_pool(3, {USDC: 0.5, WETH: 0.5}, 1e6)
    prices = {coin.address: coin.cents / 100 / 10**coin.decimals for coin in (USDC, WETH)}
    before = Market.of((pool,), prices)

    def may_take(*trades: tuple[Coin, float]) -> float:
        """Dollars that the next swap may bring, after some of these (and with no more than these on the books)."""
        after, swaps = pool, []
        for coin, usd in trades:
            other = WETH if coin is USDC else USDC
            paid, after = after.swap(coin.address, other.address, coin.amount(usd))
            amounts = {"amount_in": coin.amount(usd), "amount_out": paid}
            swaps.append(Swap(pool=pool.name, token_in=coin.address, token_out=other.address, **amounts))
        market = Market.of((after,), prices)
        market.keep_to_one_swap(before, swaps)
        most, balance = market.curves.params[0][[kernels.MOST, 0]]
        return most * balance

    whole = may_take()
    assert whole == pytest.approx(0.3 / 0.997 * 5e5)
    assert may_take((USDC, 1e5)) == pytest.approx(whole - 1e5, rel=1e-6)
    assert may_take((USDC, 1.4e5), (USDC, 1.4e5)) == 0
    # What went out makes the pool smaller, and the contract goes by what is there.
    assert may_take((USDC, 10), (WETH, 1e5)) < 0.9 * whole


def test_pools_that_no_route_leads_through_are_ignored():
    apart, dead_end = v2_pool(1, LINK, UNI, 1e8), v2_pool(2, USDC, WBTC, 1e8)
    way = v2_pool(3, USDC, WETH, 1e8)
    question = problem(HALVES, (apart, dead_end, way))
    assert question.routable.tolist() == [0, 0, 1]
    assert {swap.pool for swap in optimise(question).swaps} == {way.name}


def test_the_prices_of_ignored_pools_let_them_earn_nothing():
    apart, dead_end = v2_pool(1, LINK, UNI, 1e8), v2_pool(2, USDC, WBTC, 1e8)
    plan = optimise(problem(HALVES, (apart, dead_end, v2_pool(3, USDC, WETH, 1e8))))
    dual = plan.certificate.dual
    assert dual[WBTC.address] == pytest.approx(60_000 * dual[USDC.address], rel=1e-6)
    assert dual[LINK.address] < 1e-6
    assert dual[UNI.address] < 1e-6
