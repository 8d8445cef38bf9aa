import json
from decimal import Decimal, localcontext

import pytest
from builders import LINK, USDC, WBTC, WETH, address, as_file, pool_id, snapshot, weighted_pool
from pydantic import ValidationError

from keeper.domain import InputError, load_snapshot
from keeper.pools import BalancerWeightedPool, SwapError, WeightedHolding
from keeper.pools.log_exp_math import power, power_up
from keeper.units import WAD

HALF = weighted_pool(1, {USDC: 0.5, WETH: 0.5}, 1e6)
UNEVEN = weighted_pool(2, {WETH: 0.8, USDC: 0.2}, 1e6)
THREE = weighted_pool(3, {WBTC: 0.3334, WETH: 0.3333, USDC: 0.3333}, 1e6)


@pytest.mark.parametrize("pool", [HALF, UNEVEN, THREE])
def test_a_swap_pays_by_the_weighted_product_after_the_fee(pool):
    for token_in in pool.holdings:
        for token_out in pool.holdings:
            if token_in is token_out:
                continue
            amount = token_in.balance // 50
            with localcontext(prec=60):
                base = token_in.balance / (token_in.balance + amount * (1 - Decimal(pool.swap_fee) / WAD))
                exact = token_out.balance * (1 - base ** (Decimal(token_in.weight) / token_out.weight))
            paid = pool.swap(token_in.token, token_out.token, amount).amount_out
            assert exact * (1 - Decimal("1e-9")) - 1 < paid <= exact


def test_the_whole_input_fee_included_stays_in_the_pool():
    paid, after = THREE.swap(USDC.address, WBTC.address, 10**9)
    assert [holding.balance for holding in after.holdings] == [
        THREE.holdings[0].balance - paid,
        THREE.holdings[1].balance,
        THREE.holdings[2].balance + 10**9,
    ]


def test_a_chain_of_swaps_knows_the_decimals_all_along():
    first = HALF.swap(USDC.address, WETH.address, 10**9)
    second = first.pool.swap(WETH.address, USDC.address, first.amount_out)
    assert 0.99 * 10**9 < second.amount_out < 10**9


def test_exponents_of_old_pools_go_through_logarithms():
    old = weighted_pool(1, {USDC: 0.5, WETH: 0.5}, 1e6, pow_version=1)
    paid, more = (pool.swap(USDC.address, WETH.address, 10**9).amount_out for pool in (old, HALF))
    assert more * (1 - 1e-9) < paid < more


@pytest.mark.parametrize(("y", "expected"), [(1, 15), (2, 225), (4, 50625)])
def test_whole_exponents_are_multiplied_out(y, expected):
    x = 15 * WAD // 10
    assert power_up(x, y * WAD) * 10**y == expected * WAD
    assert power_up(x, y * WAD, shortcuts=False) > power_up(x, y * WAD)


@pytest.mark.parametrize(
    "x", [10**9, 10**15, WAD // 3, WAD - WAD // 10, WAD - 1, WAD, WAD + 1, 11 * WAD // 10, 7 * WAD, 10**40]
)
@pytest.mark.parametrize("y", [WAD // 99, WAD // 4, 3 * WAD // 2, 5 * WAD // 7])
def test_a_power_is_good_to_14_digits_and_rounded_up_never_below(x, y):
    with localcontext(prec=80):
        exact = (Decimal(x) / WAD) ** (Decimal(y) / WAD) * WAD
    assert abs(power(x, y) - exact) <= exact * Decimal("1e-14") + 1
    assert power_up(x, y) >= exact


def test_zero_to_a_power_is_zero_and_to_the_power_of_zero_one():
    assert power(0, WAD) == 0
    assert power(0, 0) == power(5, 0) == WAD


@pytest.mark.parametrize(("x", "y"), [(2**255, WAD), (WAD, 2**254 // 10**20), (1, WAD + WAD // 2), (10**57, 2 * WAD)])
def test_a_power_beyond_the_contracts_bounds_is_refused(x, y):
    with pytest.raises(ValueError, match="out of bounds"):
        power(x, y)


def test_an_input_above_30_percent_of_the_balance_is_refused():
    held = HALF.holdings[0].balance
    most = held * 3 // 10 * 1000 // 997
    HALF.swap(USDC.address, WETH.address, most)
    with pytest.raises(SwapError, match="30%"):
        HALF.swap(USDC.address, WETH.address, most + 3)


@pytest.mark.parametrize("amount", [0, -1, 1])
def test_an_input_too_small_to_buy_one_unit_is_refused(amount):
    with pytest.raises(SwapError, match="too small"):
        HALF.swap(WETH.address, USDC.address, amount)


def test_a_token_that_the_pool_does_not_hold_is_refused():
    with pytest.raises(SwapError, match="does not hold"):
        HALF.swap(LINK.address, USDC.address, 10)


def test_a_balance_may_fill_112_bits_and_no_more():
    pool = weighted_pool(1, {WETH: 0.5, LINK: 0.5}, 1e6)
    full = pool.holdings[0].model_copy(update={"balance": 2**112 - 10**30})
    pool = pool.model_copy(update={"holdings": (full, pool.holdings[1].model_copy(update={"balance": 2**111}))})
    assert pool.swap(WETH.address, LINK.address, 10**30 - 1).amount_out > 0
    with pytest.raises(SwapError, match=r"2\*\*112"):
        pool.swap(WETH.address, LINK.address, 10**30)


def test_a_pool_outside_a_snapshot_does_not_guess_decimals():
    with pytest.raises(ValueError, match="does not know the decimals"):
        BalancerWeightedPool(**HALF.model_dump()).swap(USDC.address, WETH.address, 10**9)


@pytest.mark.parametrize("pool", [HALF, UNEVEN, THREE])
def test_the_marginal_price_is_that_of_a_small_swap(pool):
    for token_in in pool.holdings:
        for token_out in pool.tokens:
            if token_out != token_in.token:
                amount = token_in.balance // 10**4
                paid = pool.swap(token_in.token, token_out, amount).amount_out
                assert pool.marginal_price(token_in.token, token_out) == pytest.approx(paid / amount, rel=5e-4)


def test_virtual_reserves_are_the_balances_where_both_weights_are_equal():
    assert HALF.virtual_reserves(USDC.address, WETH.address) == tuple(h.balance for h in HALF.holdings)


def test_virtual_reserves_quote_the_depth_of_uneven_weights():
    pool = weighted_pool(2, {WETH: 0.8, USDC: 0.2}, 1e6, swap_fee=0)
    reserve_in, reserve_out = pool.virtual_reserves(WETH.address, USDC.address)
    amount = int(reserve_in / 1000)
    paid = pool.swap(WETH.address, USDC.address, amount).amount_out
    assert paid == pytest.approx(reserve_out * amount / (reserve_in + amount), rel=1e-5)


def test_a_snapshot_survives_its_file_and_holds_the_fields_of_version_1():
    facts = snapshot({USDC: (1, 1)}, (THREE,))
    (pool,) = as_file(facts)["pools"]
    assert set(pool) == {"kind", "address", "id", "swap_fee", "tokens"}
    assert set(pool["tokens"][0]) == {"token", "balance", "weight"}
    assert load_snapshot(facts.model_dump_json()) == facts


def test_tokens_are_spelt_as_in_the_token_list():
    file = as_file(snapshot({USDC: (1, 1)}, (HALF,)))
    mixed = "0x" + "aB" * 20
    file["tokens"].append({"address": mixed, "symbol": "MIX", "decimals": 18})
    file["pools"][0]["tokens"][1]["token"] = mixed.lower()
    assert load_snapshot(json.dumps(file)).pools[0].tokens == (USDC.address, mixed)


def test_a_token_of_more_than_18_decimals_is_refused():
    file = as_file(snapshot({USDC: (1, 1)}, (HALF,)))
    file["tokens"].append({"address": address(777), "symbol": "FINE", "decimals": 19})
    file["pools"][0]["tokens"][1]["token"] = address(777)
    with pytest.raises(InputError, match="19 decimals"):
        load_snapshot(json.dumps(file))


def holding(token: str, weight: int, balance: int = 10**18) -> WeightedHolding:
    return WeightedHolding(token=token, balance=balance, weight=weight)


@pytest.mark.parametrize(
    ("holdings", "message"),
    [
        ([(WETH.address, WAD // 2), (LINK.address, WAD // 2 - 1)], "weights sum to"),
        ([(WETH.address, WAD // 2), (WETH.address.upper().replace("X", "x"), WAD // 2)], "listed 2 times"),
        ([(WETH.address, WAD - 1)], "at least 2"),
        ([(address(n), WAD // 10) for n in range(10)], "at most 8"),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused(holdings, message):
    with pytest.raises(ValidationError, match=message):
        BalancerWeightedPool(
            address=address(1), id=pool_id(1), swap_fee=0, tokens=tuple(holding(*each) for each in holdings)
        )


@pytest.mark.parametrize(("weight", "balance"), [(WAD // 100 - 1, 1), (WAD, 1), (WAD // 2, 0), (WAD // 2, 2**112)])
def test_a_holding_beyond_the_contracts_bounds_is_refused(weight, balance):
    with pytest.raises(ValidationError):
        holding(WETH.address, weight, balance)
