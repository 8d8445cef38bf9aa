import pytest
from builders import USDC, WETH, as_file, pool_id, snapshot, v3_pool, v4_pool
from pydantic import ValidationError

from keeper.domain import load_snapshot
from keeper.pools import SwapError, UniswapV4Pool
from keeper.pools.tick_math import MAX_TICK, MIN_TICK, tick_at_sqrt_price
from keeper.pools.uniswap_v4 import swap_fee


def test_a_swap_pays_what_a_v3_pool_in_the_same_state_pays():
    v3, v4 = v3_pool(1, USDC, WETH, 1e6), v4_pool(1, USDC, WETH, 1e6)
    for amount in (10, 10**9, 10**11):
        paid, after = v4.swap(USDC.address, WETH.address, amount)
        expected = v3.swap(USDC.address, WETH.address, amount)
        assert paid == expected.amount_out
        assert isinstance(after, UniswapV4Pool)
        assert after.sqrt_price_x96 == expected.pool.sqrt_price_x96


def test_a_pool_is_named_by_its_id():
    assert v4_pool(7, USDC, WETH, 1e6).name == pool_id(7)


def test_pools_of_one_manager_stand_side_by_side_in_a_snapshot_and_survive_its_file():
    facts = snapshot({USDC: (1, 1)}, (v4_pool(1, USDC, WETH, 1e6), v4_pool(2, USDC, WETH, 1e6, fee_pips=500)))
    assert as_file(facts)["pools"][0]["id"] == pool_id(1)
    assert load_snapshot(facts.model_dump_json()) == facts


def test_the_wrapped_token_may_stand_for_ether_as_token0_although_its_address_is_greater():
    assert int(WETH.address, 16) > int(USDC.address, 16)
    pool = v4_pool(1, WETH, USDC, 1e6)
    assert pool.swap(WETH.address, USDC.address, 10**18).amount_out == pytest.approx(2500 * 10**6, rel=0.01)


def deep(price: int) -> UniswapV4Pool:
    """A pool without a fee at this sqrtPriceX96, with the same large liquidity at every price."""
    changes = {"sqrt_price_x96": price, "tick": tick_at_sqrt_price(price), "liquidity": 2**127, "fee_pips": 0}
    window = {"tick_spacing": 1, "ticks": (), "tick_range": (MIN_TICK, MAX_TICK)}
    return UniswapV4Pool.model_validate(v4_pool(1, USDC, WETH, 1e6).model_dump() | changes | window)


def test_an_input_that_does_not_fit_int128_is_refused():
    pool = deep(2**96)
    assert pool.swap(USDC.address, WETH.address, 2**127 - 1).amount_out < 2**127
    with pytest.raises(SwapError, match="int128"):
        pool.swap(USDC.address, WETH.address, 2**127)


def test_an_output_that_does_not_fit_int128_is_refused():
    pool = deep(2**154)
    assert pool.swap(USDC.address, WETH.address, 2**4).amount_out < 2**127
    with pytest.raises(SwapError, match="int128"):
        pool.swap(USDC.address, WETH.address, 2**60)


def test_the_whole_fee_takes_the_providers_part_of_what_the_protocol_leaves():
    assert swap_fee(3000, 0) == 3000
    assert swap_fee(3000, 1000) == 3997  # 0.1%, and 0.3% of 99.9%
    assert swap_fee(1, 1000) == 1001  # rounded up


@pytest.mark.parametrize("changes", [{"id": "0x12"}, {"tick_spacing": 2**15}])
def test_a_key_that_the_manager_cannot_hold_is_refused(changes):
    with pytest.raises(ValidationError):
        UniswapV4Pool.model_validate(v4_pool(1, USDC, WETH, 1e6).model_dump() | changes)
