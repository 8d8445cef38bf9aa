from itertools import pairwise

import pytest
from builders import LINK, UNI, USDC, WBTC, WETH, snapshot, v2_pool, v3_pool

from keeper.domain import GasUnits
from keeper.pools import BasePool
from keeper.routing import Market, Path, Plan, Problem, best_path, plan_move
from keeper.units import WAD

GAS = GasUnits()


def path(
    *pools: BasePool, amount_in: int = LINK.amount(1000), max_hops: int = 3, usd_per_gas: float = 0
) -> Path | None:
    """The best path from LINK to WETH."""
    return best_path(
        Market.of(pools),
        LINK.address,
        WETH.address,
        amount_in,
        max_hops=max_hops,
        gas_of=GAS.of,
        worth=lambda amount, gas: amount / 10**18 * 2500 - gas * usd_per_gas,
    )


def pools_of(path: Path | None) -> list[str]:
    assert path is not None
    return [swap.pool for swap in path.swaps]


SHALLOW = v2_pool(1, WETH, LINK, 1e5)
DEEP = v2_pool(2, WETH, LINK, 1e6)
TO_USDC = v2_pool(3, USDC, LINK, 1e8, fee_pips=100)
FROM_USDC = v3_pool(4, USDC, WETH, 1e8, fee_pips=100, spacing=1)
TO_UNI = v2_pool(5, LINK, UNI, 1e9, fee_pips=1)
UNI_TO_USDC = v2_pool(6, USDC, UNI, 1e9, fee_pips=1)


def test_the_pool_that_pays_most_is_taken():
    assert pools_of(path(SHALLOW, DEEP)) == [DEEP.name]


def test_a_longer_path_is_taken_where_it_pays_more():
    assert pools_of(path(SHALLOW, TO_USDC, FROM_USDC)) == [TO_USDC.name, FROM_USDC.name]
    assert pools_of(path(SHALLOW, TO_USDC, FROM_USDC, TO_UNI, UNI_TO_USDC)) == [
        TO_UNI.name,
        UNI_TO_USDC.name,
        FROM_USDC.name,
    ]


def test_no_path_has_more_swaps_than_allowed():
    assert pools_of(path(SHALLOW, TO_USDC, FROM_USDC, TO_UNI, UNI_TO_USDC, max_hops=2)) == [
        TO_USDC.name,
        FROM_USDC.name,
    ]
    assert pools_of(path(SHALLOW, TO_USDC, FROM_USDC, max_hops=1)) == [SHALLOW.name]


def test_a_longer_path_is_not_taken_where_its_gas_costs_more_than_it_brings():
    assert pools_of(path(DEEP, TO_USDC, FROM_USDC, usd_per_gas=0)) == [TO_USDC.name, FROM_USDC.name]
    assert pools_of(path(DEEP, TO_USDC, FROM_USDC, usd_per_gas=1e-3)) == [DEEP.name]


def test_of_two_ways_to_the_same_stop_the_one_that_is_best_net_of_gas_is_kept():
    cheap = v2_pool(7, USDC, LINK, 1e8, fee_pips=101)
    dear = v3_pool(8, USDC, LINK, 1e8, fee_pips=100)
    assert pools_of(path(dear, cheap, FROM_USDC, usd_per_gas=0))[0] == dear.name
    assert pools_of(path(dear, cheap, FROM_USDC, usd_per_gas=1e-3))[0] == cheap.name


def test_each_swap_spends_the_whole_output_of_the_one_before():
    found = path(TO_USDC, FROM_USDC)
    assert found is not None
    assert found.swaps[0].amount_in == LINK.amount(1000)
    for before, after in pairwise(found.swaps):
        assert (before.token_out, before.amount_out) == (after.token_in, after.amount_in)
    assert found.swaps[-1].amount_out == found.amount_out


def test_no_path_comes_back_to_where_it_started():
    # Round LINK, UNI, LINK there is a profit, but the second visit would need pools that the first has moved.
    generous = v2_pool(7, LINK, UNI, 1e9, fee_pips=1)
    generous = generous.model_copy(update={"reserve1": generous.reserve1 * 2})
    assert pools_of(path(DEEP, generous, TO_UNI)) == [DEEP.name]


def test_there_is_no_path_where_no_pool_joins_the_tokens():
    assert path(FROM_USDC) is None
    assert path() is None


def test_there_is_no_path_where_no_pool_can_take_the_amount():
    thin = v3_pool(7, WETH, LINK, 1e3, widths=(1,))
    assert path(thin, amount_in=LINK.amount(1)) is not None
    assert path(thin, amount_in=LINK.amount(1e6)) is None
    assert path(DEEP, amount_in=1) is None


def problem(basket, *pools: BasePool, tracking_penalty: float = 1.0, gas_price: int = 0) -> Problem:
    facts = snapshot(basket, pools)
    return Problem(
        snapshot=facts,
        market=Market.of(facts.pools),
        tracking_penalty=tracking_penalty,
        gas_units=GAS,
        gas_price=gas_price,
        max_hops=3,
    )


TWO = {USDC: (0.6, 0.5), WETH: (0.4, 0.5)}
USDC_WETH = v2_pool(1, USDC, WETH, 1e7)


def test_a_part_of_the_way_sells_that_part_of_the_excess():
    plan = plan_move(problem(TWO, USDC_WETH), WAD // 4, only_what_pays=False)
    assert plan.changes[USDC.address] == -USDC.amount(25_000)


def test_two_matches_see_the_pools_as_the_first_one_left_them():
    basket = {USDC: (0.6, 0.8), WETH: (0.2, 0.1), LINK: (0.2, 0.1)}
    to_weth = v2_pool(2, WETH, LINK, 1e9, fee_pips=0)
    plan = plan_move(problem(basket, USDC_WETH, to_weth), WAD, only_what_pays=False)
    through = [swap for swap in plan.swaps if swap.pool == USDC_WETH.name]
    first = USDC_WETH.swap(WETH.address, USDC.address, through[0].amount_in)
    assert through[0].amount_out == first.amount_out
    assert through[1].amount_out == first.pool.swap(WETH.address, USDC.address, through[1].amount_in).amount_out


def test_the_largest_match_goes_first():
    basket = {USDC: (0.5, 0.2), WETH: (0.3, 0.5), LINK: (0.2, 0.3)}
    pools = (USDC_WETH, v2_pool(2, USDC, LINK, 1e7))
    plan = plan_move(problem(basket, *pools), WAD, only_what_pays=False)
    assert [swap.token_out for swap in plan.swaps] == [WETH.address, LINK.address]


def test_what_is_only_passed_through_nets_to_zero():
    basket = {USDC: (0.2, 0.2), WETH: (0.5, 0.4), LINK: (0.3, 0.4)}
    pools = (USDC_WETH, v2_pool(2, USDC, LINK, 1e7))
    plan = plan_move(problem(basket, *pools), WAD, only_what_pays=False)
    assert len(plan.swaps) == 2
    assert plan.changes.keys() == {WETH.address, LINK.address}


def test_no_asset_passes_its_target_where_pools_pay_more_than_the_oracle_says():
    generous = USDC_WETH.model_copy(update={"reserve1": USDC_WETH.reserve1 * 11 // 10})
    plan = plan_move(problem(TWO, generous), WAD, only_what_pays=False)
    assert plan.excess(WETH.address) <= 0
    assert -plan.excess(WETH.address) < WAD // 1000
    assert plan.excess(USDC.address) > 0


def test_an_asset_that_no_pool_trades_stays_and_is_named():
    basket = {USDC: (0.5, 0.4), WETH: (0.2, 0.3), WBTC: (0.3, 0.3 - 0.05), LINK: (0.0, 0.05)}
    plan = plan_move(problem(basket, USDC_WETH), WAD, only_what_pays=False)
    assert plan.changes.keys() == {USDC.address, WETH.address}
    assert plan.without_path == {WBTC.address, LINK.address}


def test_a_match_that_costs_more_than_it_brings_is_left_out_on_request():
    basket = {USDC: (0.5, 0.3), WETH: (0.3, 0.4), LINK: (0.2, 0.3)}
    ruinous = v2_pool(2, USDC, LINK, 1e4)
    everything = plan_move(problem(basket, USDC_WETH, ruinous), WAD, only_what_pays=False)
    assert everything.changes[LINK.address] > 0
    what_pays = plan_move(problem(basket, USDC_WETH, ruinous), WAD, only_what_pays=True)
    assert what_pays.changes.keys() == {USDC.address, WETH.address}
    assert what_pays.objective > everything.objective


def test_rounding_residue_is_not_traded():
    basket = {USDC: (0.6, 0.5), WETH: (0.4, 0.4), LINK: (0.0, 0.1)}
    pools = (USDC_WETH, v2_pool(2, USDC, LINK, 1e7))
    assert len(plan_move(problem(basket, *pools), WAD // 3, only_what_pays=False).swaps) == 1


def test_gas_is_the_base_once_and_every_swap_by_its_kind():
    basket = {USDC: (0.2, 0.2), WETH: (0.5, 0.4), LINK: (0.3, 0.4)}
    pools = (USDC_WETH, v3_pool(2, USDC, LINK, 1e7))
    plan = plan_move(problem(basket, *pools, gas_price=10**9), WAD, only_what_pays=False)
    assert plan.gas_units == GAS.base + GAS.uniswap_v2 + GAS.uniswap_v3
    assert plan.gas_usd == pytest.approx(plan.gas_units * 1e-9 * 2500)


def test_a_plan_without_swaps_costs_no_gas():
    ask = problem(TWO, USDC_WETH, gas_price=10**9)
    assert Plan(ask, ask.market).gas_units == 0


def test_the_objective_is_value_gained_less_tracking_penalty_less_gas():
    plan = plan_move(problem(TWO, USDC_WETH, tracking_penalty=0.3, gas_price=10**9), WAD // 2, only_what_pays=False)
    sold = -plan.changes[USDC.address] / 10**6
    bought = plan.changes[WETH.address] / 10**18 * 2500
    penalty = 0.3 / 2e6 * ((100_000 - sold) ** 2 + (bought - 100_000) ** 2)
    assert plan.objective == pytest.approx(bought - sold - penalty - plan.gas_units * 1e-9 * 2500)
