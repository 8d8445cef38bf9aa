"""Pool arithmetic against recorded answers of the deployed contracts."""

import json
import os
from pathlib import Path

import pytest
from builders import USDC, WETH, address

from keeper.pools import SwapError, Tick, UniswapV2Pool, UniswapV3Pool
from keeper.pools.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE, sqrt_price_at_tick, tick_at_sqrt_price

DATA = Path(os.environ.get("BALLAST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not (DATA / "vectors").is_dir(), reason="needs the public data set (BALLAST_DATA)"),
]


def read(name: str):
    return json.loads((DATA / name).read_text())


def golden(pool_file: str):
    entries = read("vectors/degenbot_golden_train.json")["entries"]
    return [entry for entry in entries if entry["pool_file"].endswith(pool_file)]


def swaps_pool(setup) -> UniswapV3Pool:
    return UniswapV3Pool(
        address=address(1000),
        token0=USDC.address,
        token1=WETH.address,
        fee_pips=setup["fee_pips"],
        tick_spacing=setup["tickSpacing"],
        sqrt_price_x96=int(setup["startingSqrtPriceX96"]),
        liquidity=int(setup["activeLiquidity"]),
        tick=setup["startingTick"],
        ticks=tuple(Tick(index=tick["tick"], liquidity_net=int(tick["liquidityNet"])) for tick in setup["ticks"]),
    )


def outcome(pool: UniswapV3Pool, swap):
    try:
        amount0, amount1, after = pool.swap_exact(
            swap["zeroForOne"], int(swap["amountSpecified"]), int(swap["sqrtPriceLimitX96"])
        )
    except SwapError as error:
        return str(error).rpartition("(")[2].rstrip(")")
    return amount0, amount1, after.tick, after.sqrt_price_x96, after.liquidity


def recorded(swap):
    if "reverts" in swap:
        return swap["reverts"]
    after = swap["derived"]
    return (
        int(swap["amount0Delta"]),
        int(swap["amount1Delta"]),
        swap["tickAfter"],
        int(after["sqrtPriceX96After"]),
        int(after["liquidityAfter"]),
    )


def test_v3_swaps_give_the_amounts_and_states_recorded_by_the_contracts_own_suite():
    setups = read("vectors/uniswap_v3_swaps_train.json")["pools"]
    for setup in setups:
        for swap in setup["swaps"]:
            assert outcome(swaps_pool(setup), swap) == recorded(swap), (setup["description"], swap["description"])
    assert sum(len(setup["swaps"]) for setup in setups) >= 100


def test_ticks_and_prices_are_those_recorded_by_the_contracts_own_suite():
    vectors = read("vectors/uniswap_v3_tickmath_train.json")
    for entry in vectors["sqrt_ratio_at_tick"]:
        assert sqrt_price_at_tick(entry["tick"]) == int(entry["sqrtPriceX96"])
    for entry in vectors["tick_at_sqrt_ratio"]:
        assert tick_at_sqrt_price(int(entry["sqrtPriceX96"])) == entry["tick"]


def test_v2_outputs_are_the_maximal_ones_recorded_by_the_contracts_own_suite():
    cases = read("vectors/uniswap_v2_pair_cases.json")["get_input_price"]
    for case in cases:
        pool = UniswapV2Pool(
            address=address(1000),
            token0=USDC.address,
            token1=WETH.address,
            fee_pips=3000,
            reserve0=int(case["reserve0"]),
            reserve1=int(case["reserve1"]),
        )
        assert pool.swap(USDC.address, WETH.address, int(case["amount0In"])).amount_out == int(case["amount1Out"])
    assert cases


def test_a_mainnet_v3_pool_of_458_ticks_quotes_as_the_deployed_quoter_did():
    file = "degenbot_chain_data/1/uniswap_v3_wbtc_weth_block_24407242.json"
    state = read(f"pools/{file}")
    scalars = state["scalars"]
    pool = UniswapV3Pool(
        address=state["pool"],
        token0=state["token0"]["address"],
        token1=state["token1"]["address"],
        fee_pips=scalars["fee"],
        tick_spacing=scalars["tick_spacing"],
        sqrt_price_x96=scalars["sqrt_price_x96"],
        liquidity=scalars["liquidity"],
        tick=scalars["tick"],
        ticks=tuple(Tick(index=int(index), liquidity_net=net) for index, (_, net, _) in state["tick_data"].items()),
    )
    entries = golden(file)
    for entry in entries:
        zero_for_one = entry["token_in"] == state["token0"]["symbol"]
        exact_in = entry["function"] == "quoteExactInputSingle"
        amount, limit = int(entry["amount"]), MIN_SQRT_PRICE + 1 if zero_for_one else MAX_SQRT_PRICE - 1
        amounts = pool.swap_exact(zero_for_one, amount if exact_in else -amount, limit)[:2]
        assert abs(amounts[zero_for_one == exact_in]) == int(entry["value"]), entry
    assert entries


def test_a_fork_of_v2_with_its_own_fee_quotes_as_deployed():
    file = "degenbot_chain_data/8453/pancakeswap_v2_weth_usdbc_block_46875151.json"
    state = read(f"pools/{file}")
    symbols = {state[side]["symbol"]: state[side]["address"] for side in ("token0", "token1")}
    pool = UniswapV2Pool(
        address=state["pool"],
        token0=state["token0"]["address"],
        token1=state["token1"]["address"],
        fee_pips=1_000_000 * state["fee_numer"] // state["fee_denom"],
        reserve0=int(state["reserves_token0"]),
        reserve1=int(state["reserves_token1"]),
    )
    entries = golden(file)
    for entry in entries:
        try:
            tokens = symbols[entry["token_in"]], symbols[entry["token_out"]]
            amount_out = pool.swap(*tokens, int(entry["amount"])).amount_out
        except SwapError:
            amount_out = 0  # the router quotes nothing where the pair would revert
        assert amount_out == int(entry["value"]), entry
    assert entries
