import json
from collections.abc import Callable
from typing import Any

import pytest
from builders import COINS, LINK, USDC, WETH, address, as_file, snapshot, v2_pool, v3_pool

from keeper.domain import InputError, load_snapshot
from keeper.units import WAD

FACTS = snapshot({USDC: (0.5, 0.5), WETH: (0.5, 0.5)}, (v2_pool(1, USDC, WETH, 1e6), v3_pool(2, USDC, WETH, 1e6)))


def test_a_snapshot_survives_its_file():
    assert load_snapshot(FACTS.model_dump_json()) == FACTS


def test_a_file_holds_exactly_the_fields_of_version_1():
    file = as_file(FACTS)
    assert list(file) == ["version", "chain_id", "block", "native_price", "tokens", "vault", "pools"]
    assert list(file["block"]) == ["number", "hash", "timestamp", "base_fee_per_gas", "priority_fee_per_gas"]
    assert list(file["tokens"][0]) == ["address", "symbol", "decimals"]
    assert list(file["vault"]) == ["address", "nonce", "total_supply", "assets", "limits"]
    assert list(file["vault"]["assets"][0]) == ["token", "balance", "target_weight", "price", "price_updated_at"]
    assert set(file["vault"]["limits"]) == {
        "max_slippage",
        "max_batch_loss",
        "dust",
        "min_progress",
        "dead_band",
        "loss_headroom",
        "turnover_headroom",
    }
    assert list(file["pools"][0]) == ["kind", "address", "token0", "token1", "fee_pips", "reserve0", "reserve1"]
    assert list(file["pools"][1]) == [
        "kind",
        "address",
        "token0",
        "token1",
        "fee_pips",
        "tick_spacing",
        "sqrt_price_x96",
        "liquidity",
        "tick",
        "ticks",
    ]


def test_large_integers_are_decimal_strings_in_the_file():
    file = as_file(FACTS)
    assert file["native_price"] == str(2500 * WAD)
    assert file["vault"]["assets"][0]["target_weight"] == str(WAD // 2)
    assert isinstance(file["pools"][0]["reserve0"], str)
    assert isinstance(file["pools"][1]["ticks"][0]["liquidity_net"], str)


def test_what_is_optional_and_absent_is_left_out_of_the_file():
    file = as_file(snapshot({USDC: (1, 1)}, (), limits=None))
    assert "limits" not in file["vault"]


def test_a_tick_range_is_kept():
    window = v3_pool(1, USDC, WETH, 1e6).model_copy(update={"tick_range": (-887_272, 887_272)})
    file = as_file(snapshot({USDC: (1, 1)}, (window,)))
    assert file["pools"][0]["tick_range"] == [-887_272, 887_272]
    assert load_snapshot(json.dumps(file)).pools == (window,)


def test_tokens_are_spelt_everywhere_as_in_the_token_list():
    file = as_file(FACTS)
    mixed, other = "0x" + "aB" * 20, "0x" + "Ab" * 20
    file["tokens"].append({"address": mixed, "symbol": "MIX", "decimals": 18})
    file["vault"]["assets"][1]["token"] = other
    file["pools"][0]["token1"] = mixed.lower()
    facts = load_snapshot(json.dumps(file))
    assert facts.vault.assets[1].token == facts.pools[0].token1 == mixed


def test_a_pool_keeps_the_spelling_of_its_own_address():
    file = as_file(FACTS)
    file["pools"][0]["address"] = "0x" + "aB" * 20
    assert load_snapshot(json.dumps(file)).pools[0].name == "0x" + "aB" * 20


def test_values_are_rounded_down_asset_by_asset():
    file = as_file(snapshot({USDC: (0.5, 0.5), LINK: (0.5, 0.5)}, (), nav=100))
    file["vault"]["assets"][1] |= {"balance": "1", "price": str(WAD + 1)}
    facts = load_snapshot(json.dumps(file))
    assert facts.values == (50 * WAD, 1)
    assert facts.nav == 50 * WAD + 1


def at(*path: Any, value: Any) -> Callable[[Any], None]:
    """Sets the value at a place in the file."""

    def change(file: Any) -> None:
        for key in path[:-1]:
            file = file[key]
        file[path[-1]] = value

    return change


def without(*path: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        for key in path[:-1]:
            file = file[key]
        del file[path[-1]]

    return change


POOL1 = as_file(FACTS)["pools"][0]

MISTAKES = [
    (at("extra", value=1), "extra: unknown field"),
    (at("pools", 0, "extra", value=1), "pools.0.uniswap_v2.extra: unknown field"),
    (at("version", value=2), "version: Input should be 1"),
    (without("pools"), "pools: missing"),
    (without("vault", "assets", 0, "price"), "vault.assets.0.price: missing"),
    (at("vault", "assets", 0, "price", value="0"), "vault.assets.0.price: the price is zero"),
    (at("vault", "assets", 0, "balance", value="1e18"), "must be a whole number as a decimal string"),
    (at("vault", "assets", 0, "balance", value=10**20), "write it as a decimal string"),
    (at("vault", "assets", 0, "target_weight", value=str(WAD // 2 - 2)), f"must sum to {WAD}"),
    (at("vault", "assets", 1, "token", value=USDC.address), "duplicate asset"),
    (at("vault", "assets", 1, "token", value=address(777)), "unknown token 0x" + f"{777:040x}"),
    (at("vault", "assets", value=[]), "vault.assets: "),
    (at("tokens", 1, "address", value=COINS[0].address), "duplicate token"),
    (at("tokens", 0, "address", value="0x12"), "tokens.0.address: "),
    (at("block", "hash", value="0x12"), "block.hash: "),
    (at("pools", 0, "kind", value="uniswap_v9"), "pools.0: Input tag 'uniswap_v9' found using 'kind' does not match"),
    (at("pools", 0, "reserve1", value="0"), "pools.0.uniswap_v2.reserve1: Input should be greater than 0"),
    (at("pools", 0, "token1", value=address(777)), "unknown token 0x" + f"{777:040x}"),
    (at("pools", 1, value=POOL1), "duplicate pool"),
    (at("pools", 1, "liquidity", value="1"), "does not match the ticks"),
    (at("pools", 1, "tick_range", value=[0, 60]), "lies outside tick_range [0, 60]"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_a_mistake_in_the_file_gives_one_clear_line(change, message):
    file = as_file(FACTS)
    change(file)
    with pytest.raises(InputError) as refused:
        load_snapshot(json.dumps(file))
    assert message in str(refused.value)
    assert str(refused.value).startswith("snapshot: ")
    assert "\n" not in str(refused.value)


def test_targets_that_glide_may_sum_to_a_wei_less_for_each_asset():
    file = as_file(FACTS)
    file["vault"]["assets"][0]["target_weight"] = str(WAD // 2 - 1)
    assert load_snapshot(json.dumps(file)).vault.assets[0].target_weight == WAD // 2 - 1


def test_a_pool_of_a_token_with_itself_is_refused():
    file = as_file(FACTS)
    file["pools"][0] |= {"token1": file["pools"][0]["token0"]}
    with pytest.raises(InputError, match="token0 and token1 are both"):
        load_snapshot(json.dumps(file))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "{'version': 1}"])
def test_a_file_that_is_not_a_json_object_is_refused(text):
    with pytest.raises(InputError, match=r"^snapshot: "):
        load_snapshot(text)
