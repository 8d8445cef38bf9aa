import pytest
from builders import LINK, USDC, WETH, v2_pool
from pydantic import ValidationError

from keeper.pools import SwapError, UniswapV2Pool


def pair(reserve0: int, reserve1: int, fee_pips: int = 3000) -> UniswapV2Pool:
    return v2_pool(0, USDC, WETH, 1e6).model_copy(
        update={"reserve0": reserve0, "reserve1": reserve1, "fee_pips": fee_pips}
    )


def test_a_swap_pays_by_the_constant_product_after_the_fee():
    assert pair(5 * 10**18, 10 * 10**18).swap(USDC.address, WETH.address, 10**18).amount_out == 1662497915624478906


def test_the_whole_input_fee_included_stays_in_the_pool():
    amount_out, after = pair(1000, 1000).swap(WETH.address, USDC.address, 500)
    assert (after.reserve0, after.reserve1) == (1000 - amount_out, 1500)


def test_a_swap_leaves_the_pool_it_is_asked_of_as_it_is():
    pool = pair(1000, 1000)
    pool.swap(USDC.address, WETH.address, 500)
    assert pool == pair(1000, 1000)


def test_the_fee_of_a_fork_is_its_own():
    assert pair(10**9, 10**9, 2500).swap(USDC.address, WETH.address, 10**6) > pair(10**9, 10**9, 3000).swap(
        USDC.address, WETH.address, 10**6
    )


@pytest.mark.parametrize("amount", [0, -1, 1])
def test_an_input_too_small_to_buy_one_unit_is_refused(amount):
    with pytest.raises(SwapError, match="too small"):
        pair(10**18, 10**6).swap(USDC.address, WETH.address, amount)


def test_a_reserve_may_fill_112_bits_and_no_more():
    pool = pair(2**111, 2**111)
    assert pool.swap(USDC.address, WETH.address, 2**111 - 1).pool.reserve0 == 2**112 - 1
    with pytest.raises(SwapError, match=r"2\*\*112"):
        pool.swap(USDC.address, WETH.address, 2**111)


def test_the_last_unit_of_a_reserve_cannot_be_bought():
    with pytest.raises(SwapError, match="too small to buy"):
        pair(1, 1).swap(USDC.address, WETH.address, 10**30)


def test_a_token_that_the_pool_does_not_hold_is_refused():
    with pytest.raises(SwapError, match="does not hold"):
        pair(1000, 1000).swap(LINK.address, USDC.address, 10)
    with pytest.raises(SwapError, match="does not hold"):
        pair(1000, 1000).swap(USDC.address, LINK.address, 10)


def test_a_token_is_not_swapped_for_itself():
    with pytest.raises(SwapError, match="for itself"):
        pair(1000, 1000).swap(USDC.address, USDC.address, 10)


def test_the_marginal_price_is_that_of_a_small_swap():
    pool = pair(4 * 10**24, 10**24)
    assert pool.marginal_price(USDC.address, WETH.address) == pytest.approx(
        pool.swap(USDC.address, WETH.address, 10**12).amount_out / 10**12
    )
    assert pool.marginal_price(WETH.address, USDC.address) == pytest.approx(
        pool.swap(WETH.address, USDC.address, 10**12).amount_out / 10**12
    )


def test_empty_reserves_are_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        UniswapV2Pool.model_validate(pair(1, 1).model_dump() | {"reserve0": 0})
