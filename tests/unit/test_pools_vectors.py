"""Pool arithmetic against recorded answers of the deployed contracts."""

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from builders import USDC, WETH, address

from keeper.domain import Token
from keeper.pools import (
    BalancerStablePool,
    BalancerWeightedPool,
    BasePool,
    CurveStableSwapPool,
    RatedHolding,
    SwapError,
    Tick,
    UniswapV2Pool,
    UniswapV3Pool,
    WeightedHolding,
)
from keeper.pools.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE, sqrt_price_at_tick, tick_at_sqrt_price
from keeper.units import WAD

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


def quoted(pool: BasePool, token_in: str, token_out: str, amount: int) -> int:
    """Output, or nothing where the pool refuses: a query answers 0 where a swap would be pointless."""
    try:
        return pool.swap(token_in, token_out, amount).amount_out
    except SwapError:
        return 0


def tokens_of(entry, state) -> tuple[str, str]:
    """The two tokens of a recorded answer, which names them by place or by symbol."""
    if "i" in entry:
        return state["tokens"][entry["i"]]["address"], state["tokens"][entry["j"]]["address"]
    address_of = {token["symbol"]: token["address"] for token in state["tokens"]}
    return address_of[entry["token_in"]], address_of[entry["token_out"]]


@pytest.mark.parametrize(
    "name",
    [
        "apu_pepe_spx_3_token",
        "dai_gp_weth_usdt_4_token",
        "gel_dexg_60_40",
        "sdvecrv_crv_90_10",
        "usdc_weth_50_50",
        "weth_rpl",
    ],
)
def test_a_mainnet_weighted_pool_quotes_as_deployed(name):
    file = f"degenbot_chain_data/1/balancer_weighted_{name}.json"
    state = read(f"pools/{file}")
    tokens = [Token(address=t["address"], symbol=t["symbol"], decimals=t["decimals"]) for t in state["tokens"]]
    pool = BalancerWeightedPool(
        address=state["address"],
        id=state["pool_id"],
        swap_fee=int(Fraction(state["fee"]) * WAD),
        pow_version=int(state["pow_version"].removeprefix("v")),
        tokens=tuple(
            WeightedHolding(token=token.address, balance=balance, weight=weight)
            for token, balance, weight in zip(tokens, state["balances"], state["weights"], strict=True)
        ),
    ).listed({token.address.lower(): token for token in tokens})
    entries = [entry for entry in golden(file) if entry["kind"] == "GIVEN_IN"]
    for entry in entries:
        assert quoted(pool, *tokens_of(entry, state), int(entry["amount"])) == int(entry["value"]), entry
    assert entries


@pytest.mark.parametrize("name", ["bb_s_usd", "tusd_bsp"])
def test_a_mainnet_composable_stable_pool_quotes_as_deployed(name):
    file = f"degenbot_chain_data/1/balancer_stable_{name}.json"
    state = read(f"pools/{file}")
    own = state["tokens"][state["bpt_idx"]]["address"]
    holdings = [
        RatedHolding(token=token["address"], balance=balance, rate=rate)
        for token, balance, rate in zip(
            state["tokens"], state["balances"], state["resolved_scaling_factors"], strict=True
        )
    ]
    pool = BalancerStablePool(
        address=state["address"],
        id=state["pool_id"],
        amplification=state["amp"],
        a_precision=1000,
        fee=int(Fraction(state["fee"]) * WAD),
        tokens=tuple(holding for holding in holdings if holding.token != own),
    )
    entries = [entry for entry in golden(file) if entry["kind"] == "GIVEN_IN" and own not in tokens_of(entry, state)]
    for entry in entries:
        assert quoted(pool, *tokens_of(entry, state), int(entry["amount"])) == int(entry["value"]), entry
    assert entries


def test_a_mainnet_curve_pool_with_rates_quotes_as_deployed():
    file = "degenbot_chain_data/1/curve_metapool_rai_3crv_block_25144000.json"
    state = read(f"pools/{file}")
    rates = (state["redemption_price"], state["base_virtual_price"])
    pool = CurveStableSwapPool(
        address=state["address"],
        amplification=state["a_coefficient"] * 100,
        a_precision=100,
        fee=state["fee"] * 10**8,
        admin_fee=state["admin_fee"] * 10**8,
        tokens=tuple(
            RatedHolding(token=token["address"], balance=balance, rate=rate)
            for token, balance, rate in zip(state["tokens"], state["balances"], rates, strict=True)
        ),
    )
    entries = [entry for entry in golden(file) if entry["function"] == "get_dy"]
    for entry in entries:
        assert quoted(pool, *tokens_of(entry, state), int(entry["amount"])) == int(entry["value"]), entry
    assert entries
