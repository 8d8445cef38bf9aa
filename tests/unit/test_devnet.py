"""The offline mainnet: what stands where, whether its prices agree, how they move, and that it can be reproduced."""

import json
import subprocess
import sys
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.abi import function_signature_to_4byte_selector

from keeper.chain.artifacts import ROOT
from keeper.chain.bindings import Interface, view
from keeper.chain.errors import NodeError, RpcError
from keeper.devnet import DEV_KEYS, FACTORIES, FEEDS, TOKENS, Devnet, DevPool, world
from keeper.devnet.node import Anvil
from keeper.devnet.tables import BALANCER_VAULT, POOL_MANAGER
from keeper.domain.errors import InputError

BALANCER_FACTORIES = (FACTORIES["balancer_weighted"], FACTORIES["balancer_stable"])
IN_VAULT = Interface(
    [
        {
            "type": "function",
            "name": "getProtocolFeesCollector",
            "inputs": [],
            "outputs": [{"name": "", "type": "address"}],
        }
    ]
)

ALICE = DEV_KEYS[1].address
BOB = DEV_KEYS[2].address

# From Uniswap's own records of mainnet. A pool's address commits to the factory and to the pool's creation code.
MAINNET_POOLS = {
    ("uniswap_v2", "USDC", "WETH", 3000): "0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc",
    ("uniswap_v2", "WETH", "USDT", 3000): "0x0d4a11d5EEaaC28EC3F61d100daF4d40471f1852",
    ("uniswap_v2", "DAI", "WETH", 3000): "0xA478c2975Ab1Ea89e8196811F51A7B7Ade33eB11",
    ("uniswap_v2", "WBTC", "WETH", 3000): "0xBb2b8038a1640196FbE3e38816F3e67Cba72D940",
    ("uniswap_v2", "UNI", "WETH", 3000): "0xd3d2E2692501A5c9Ca623199D38826e513033a17",
    ("uniswap_v3", "USDC", "WETH", 500): "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640",
    ("uniswap_v3", "USDC", "WETH", 3000): "0x8ad599c3A0ff1De082011EFDDc58f1908eb6e6D8",
    ("uniswap_v3", "USDC", "WETH", 10000): "0x7BeA39867e4169DBe237d55C8242a8f2fcDcc387",
    ("uniswap_v3", "WBTC", "WETH", 3000): "0xCBCdF9626bC03E24f779434178A73a0B4bad62eD",
    ("uniswap_v3", "WBTC", "USDC", 3000): "0x99ac8cA7087fA4A2A1FB6357269965A2014ABc35",
    ("uniswap_v3", "DAI", "USDC", 100): "0x5777d92f208679DB4b9778590Fa3CAB3aC9e2168",
    ("uniswap_v3", "USDC", "USDT", 100): "0x3416cF6C708Da44DB2624D63ea0AAef7113527C6",
}


def latest(devnet: Devnet, contract: str | Interface, address: str, function: str, *arguments: object) -> object:
    return view(devnet.endpoint, contract, address, function, *arguments, block="latest")


def balance(devnet: Devnet, symbol: str, account: str) -> int:
    return int(str(latest(devnet, "DevToken", TOKENS[symbol].address, "balanceOf", account)))


def price(devnet: Devnet, pool: DevPool, base: str, quote: str) -> Decimal:
    """Whole units of `quote` for one whole unit of `base`, in the pool's order, the fee aside."""
    if pool.kind == "uniswap_v2":
        reserve0, reserve1, _ = latest(devnet, "IUniswapV2Pair", pool.address, "getReserves")
        raw = Decimal(reserve1) / Decimal(reserve0)
    elif pool.kind == "uniswap_v3":
        raw = (Decimal(latest(devnet, "IUniswapV3Pool", pool.address, "slot0")[0]) / 2**96) ** 2
    elif pool.kind == "uniswap_v4":
        raw = (Decimal(world.manager_price(devnet.endpoint, pool)) / 2**96) ** 2
    else:
        there = world.vault_pool(devnet.endpoint, pool)
        tokens = TOKENS[base].address, TOKENS[quote].address
        raw = Decimal(there.marginal_price(*tokens) / (1 - there.fee_fraction))
    return raw.scaleb(TOKENS[base].decimals - TOKENS[quote].decimals)


def disagreements(devnet: Devnet) -> list[DevPool]:
    """The pools of which a price is further from the feeds' than the pool's fee."""
    prices = devnet.prices()
    return [
        pool
        for pool in devnet.pools()
        for base, quote in combinations(pool.symbols, 2)
        if abs(price(devnet, pool, base, quote) * prices[quote] / prices[base] - 1) >= Decimal(pool.fee) / 10**6
    ]


# What stands where


def test_the_chain_id_is_mainnets(devnet: Devnet) -> None:
    assert devnet.w3.eth.chain_id == 1


def test_there_is_a_base_fee(devnet: Devnet) -> None:
    assert devnet.endpoint.header().base_fee_per_gas == 10**9


def test_pools_stand_at_their_mainnet_addresses(devnet: Devnet) -> None:
    found = {(pool.kind, *pool.symbols, pool.fee): pool.address for pool in devnet.pools()}

    assert MAINNET_POOLS.items() <= found.items()


def test_the_factories_find_the_pools_in_either_order(devnet: Devnet) -> None:
    weth, usdc = TOKENS["WETH"].address, TOKENS["USDC"].address
    for tokens in ((weth, usdc), (usdc, weth)):
        pair = latest(devnet, "IUniswapV2Factory", FACTORIES["uniswap_v2"], "getPair", *tokens)
        pool = latest(devnet, "IUniswapV3Factory", FACTORIES["uniswap_v3"], "getPool", *tokens, 500)
        assert pair == MAINNET_POOLS["uniswap_v2", "USDC", "WETH", 3000].lower()
        assert pool == MAINNET_POOLS["uniswap_v3", "USDC", "WETH", 500].lower()


def test_weth_is_the_published_bytecode(devnet: Devnet) -> None:
    package = ROOT / "node_modules" / "canonical-weth" / "build" / "contracts" / "WETH9.json"

    assert (
        devnet.rpc("eth_getCode", TOKENS["WETH"].address, "latest")
        == json.loads(package.read_text())["deployedBytecode"]
    )


def test_all_weth_of_the_pools_is_backed_by_ether(devnet: Devnet) -> None:
    supply = latest(devnet, "DevToken", TOKENS["WETH"].address, "totalSupply")

    assert devnet.w3.eth.get_balance(TOKENS["WETH"].address) == supply


@pytest.mark.parametrize("symbol", TOKENS)
def test_a_token_tells_its_real_symbol_and_decimals(devnet: Devnet, symbol: str) -> None:
    token = TOKENS[symbol]

    assert latest(devnet, "DevToken", token.address, "symbol") == symbol
    assert latest(devnet, "DevToken", token.address, "name") == token.name
    assert latest(devnet, "DevToken", token.address, "decimals") == token.decimals


def test_decimals_are_mainnets() -> None:
    assert {symbol: token.decimals for symbol, token in TOKENS.items() if token.decimals != 18} == {
        "USDC": 6,
        "USDT": 6,
        "WBTC": 8,
    }


@pytest.mark.parametrize("symbol", TOKENS)
def test_only_usdt_returns_nothing(devnet: Devnet, symbol: str) -> None:
    token = TOKENS[symbol].address
    devnet.deal(symbol, ALICE, 10)
    transact(devnet, ALICE, token, "approve(address,uint256)", BOB, 10)
    calls = (
        (ALICE, "transfer(address,uint256)", (BOB, 1)),
        (ALICE, "approve(address,uint256)", (BOB, 0)),
        (BOB, "transferFrom(address,address,uint256)", (ALICE, BOB, 1)),
    )

    for sender, signature, arguments in calls:
        call = {"from": sender, "to": token, "data": "0x" + calldata(signature, *arguments).hex()}
        answer = devnet.endpoint.data("eth_call", call, "latest")
        assert answer == (b"" if symbol == "USDT" else (1).to_bytes(32))


def test_usdt_moves_by_transfer_and_allowance(devnet: Devnet) -> None:
    usdt = TOKENS["USDT"].address
    devnet.deal("USDT", ALICE, 10)

    transact(devnet, ALICE, usdt, "transfer(address,uint256)", BOB, 3)
    transact(devnet, ALICE, usdt, "approve(address,uint256)", BOB, 5)
    transact(devnet, BOB, usdt, "transferFrom(address,address,uint256)", ALICE, BOB, 4)

    assert (balance(devnet, "USDT", ALICE), balance(devnet, "USDT", BOB)) == (3, 7)
    assert latest(devnet, "DevToken", usdt, "allowance", ALICE, BOB) == 1


def test_usdt_refuses_to_spend_more_than_is_there_or_allowed(devnet: Devnet) -> None:
    usdt = TOKENS["USDT"].address
    devnet.deal("USDT", ALICE, 10)
    transact(devnet, ALICE, usdt, "approve(address,uint256)", BOB, 5)

    with pytest.raises(NodeError):
        transact(devnet, ALICE, usdt, "transfer(address,uint256)", BOB, 11)
    with pytest.raises(NodeError):
        transact(devnet, BOB, usdt, "transferFrom(address,address,uint256)", ALICE, BOB, 6)


def test_usdt_refuses_to_change_an_allowance_that_is_not_zero(devnet: Devnet) -> None:
    usdt = TOKENS["USDT"].address
    transact(devnet, ALICE, usdt, "approve(address,uint256)", BOB, 5)

    with pytest.raises(NodeError):
        transact(devnet, ALICE, usdt, "approve(address,uint256)", BOB, 6)


@pytest.mark.parametrize("symbol", FEEDS)
def test_a_feed_answers_as_chainlinks_do(devnet: Devnet, symbol: str) -> None:
    feed = FEEDS[symbol]
    round_id, answer, started_at, updated_at, answered_in = latest(devnet, "DevFeed", feed.address, "latestRoundData")
    aggregator = latest(devnet, "DevFeed", feed.address, "aggregator")

    assert latest(devnet, "DevFeed", feed.address, "description") == feed.description
    assert latest(devnet, "DevFeed", feed.address, "decimals") == 8
    assert Decimal(answer).scaleb(-8) == TOKENS[symbol].price
    assert answered_in == round_id
    assert started_at == updated_at <= devnet.endpoint.header().timestamp
    assert (
        latest(devnet, "DevFeed", aggregator, "minAnswer") < answer < latest(devnet, "DevFeed", aggregator, "maxAnswer")
    )


def test_a_feed_keeps_its_rounds(devnet: Devnet) -> None:
    feed = FEEDS["WETH"].address
    before = latest(devnet, "DevFeed", feed, "latestRoundData")
    devnet.move_prices({"WETH": "4000"})

    after = latest(devnet, "DevFeed", feed, "latestRoundData")

    assert after[0] == before[0] + 1
    assert latest(devnet, "DevFeed", feed, "getRoundData", before[0]) == before
    with pytest.raises(NodeError):
        latest(devnet, "DevFeed", feed, "getRoundData", after[0] + 1)


def test_a_feed_refuses_an_answer_outside_its_bounds(devnet: Devnet) -> None:
    with pytest.raises(NodeError):
        transact(devnet, ALICE, FEEDS["WETH"].address, "setAnswer(int256)", 0)


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        (TOKENS["USDC"].address, ("initialize(string,string,uint8)", "a", "a", 1)),
        (TOKENS["USDT"].address, ("initialize(string,string,uint8)", "a", "a", 1)),
        (FEEDS["USDC"].address, ("initialize(uint8,string,int192,int192)", 1, "a", 1, 2)),
    ],
)
def test_nobody_initializes_a_contract_again(devnet: Devnet, address: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(NodeError):
        transact(devnet, ALICE, address, *arguments)


def test_the_development_accounts_have_their_keys_and_ether(devnet: Devnet) -> None:
    assert len(DEV_KEYS) == 10
    for address, private_key in DEV_KEYS:
        assert Account.from_key(private_key).address == address
        assert devnet.w3.eth.get_balance(address) == 10_000 * 10**18


# The market


def test_there_are_pools_of_every_kind_and_tier(devnet: Devnet) -> None:
    pools = devnet.pools()

    assert len({pool.id or pool.address for pool in pools}) == len(pools) >= 30
    assert {pool.kind for pool in pools} >= {"uniswap_v4", "balancer_weighted", "balancer_stable"}
    assert {(pool.kind, pool.fee) for pool in pools} >= {
        ("uniswap_v2", 3000),
        ("uniswap_v3", 500),
        ("uniswap_v3", 3000),
        ("uniswap_v3", 10000),
    }
    addresses = [tuple(int(token, 16) for token in pool.tokens) for pool in pools if not pool.native]
    assert addresses == [tuple(sorted(tokens)) for tokens in addresses]


def test_a_pool_of_ether_is_the_one_that_mainnet_has(devnet: Devnet) -> None:
    (pool,) = (pool for pool in devnet.pools() if pool.native and pool.fee == 500)

    assert pool.symbols == ("WETH", "USDC")
    # From Uniswap's own site: ETH/USDC, 0.05%, without hooks.
    assert pool.id == "0x21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27"


@pytest.mark.parametrize("address", [POOL_MANAGER, BALANCER_VAULT, *BALANCER_FACTORIES])
def test_a_contract_constructed_in_place_is_the_published_bytecode(devnet: Devnet, address: str) -> None:
    code = bytes.fromhex(devnet.rpc("eth_getCode", address, "latest")[2:])
    published = world.published(address)["deployedBytecode"]
    runtime = bytes.fromhex((published["object"] if isinstance(published, dict) else published)[2:])

    assert len(code) == len(runtime)
    # The packages leave zeros where the constructor writes immutables.
    immutable = [here for here, there in zip(code, runtime, strict=True) if here != there and there == 0]
    assert sum(here != there for here, there in zip(code, runtime, strict=True)) == len(immutable) > 0


def test_the_pool_manager_knows_its_own_address(devnet: Devnet) -> None:
    # It refuses to be delegated to by comparing with what its constructor stored.
    assert POOL_MANAGER[2:].lower() in devnet.rpc("eth_getCode", POOL_MANAGER, "latest")


def test_what_balancers_constructors_create_stands_where_mainnet_has_it(devnet: Devnet) -> None:
    packages = ROOT / "node_modules" / "@balancer-labs" / "v2-deployments" / "dist" / "tasks"
    vault, weighted, stable = (
        json.loads((packages / task / "output" / "mainnet.json").read_text())
        for task in ("20210418-vault", "20230206-weighted-pool-v3", "20230206-composable-stable-pool-v3")
    )
    found = {pool.kind: pool.address for pool in reversed(devnet.pools())}

    assert (
        latest(devnet, IN_VAULT, BALANCER_VAULT, "getProtocolFeesCollector") == vault["ProtocolFeesCollector"].lower()
    )
    # Balancer's own first pools of these factories.
    assert found["balancer_weighted"] == weighted["MockWeightedPool"]
    assert found["balancer_stable"] == stable["MockComposableStablePool"]


def test_balancers_factories_know_the_pools(devnet: Devnet) -> None:
    pools = [pool for pool in devnet.pools() if pool.kind in FACTORIES and pool.id]

    assert len(pools) >= 3
    for pool in pools:
        assert latest(devnet, "IDevVaultFactory", FACTORIES[pool.kind], "isPoolFromFactory", pool.address)


def test_every_pool_agrees_with_the_feeds(devnet: Devnet) -> None:
    assert disagreements(devnet) == []


def test_every_v3_pool_has_overlapping_positions(devnet: Devnet) -> None:
    for pool in devnet.pools():
        if pool.kind != "uniswap_v3":
            continue
        tick = latest(devnet, "IUniswapV3Pool", pool.address, "slot0")[1]
        ticks = initialized_ticks(devnet, pool, tick)
        assert sum(each <= tick for each in ticks) >= 3
        assert sum(each > tick for each in ticks) >= 3


def initialized_ticks(devnet: Devnet, pool: DevPool, around: int) -> list[int]:
    """The initialised ticks within a factor of four of the price; the unlimited position's lie further out."""
    spacing = pool.tick_spacing or 0
    here = around // spacing >> 8
    reach = 14_000 // (spacing << 8) + 1
    return [
        ((word << 8) + bit) * spacing
        for word in range(here - reach, here + reach + 1)
        for bitmap in [latest(devnet, "IUniswapV3Pool", pool.address, "tickBitmap", word)]
        for bit in range(256)
        if bitmap >> bit & 1
    ]


def test_a_move_brings_feeds_and_pools_to_the_new_prices(devnet: Devnet) -> None:
    devnet.move_prices({"WETH": "2500.00", "USDT": Decimal("0.97"), "LINK": 60})

    prices = devnet.prices()
    assert (prices["WETH"], prices["USDT"], prices["LINK"]) == (2500, Decimal("0.97"), 60)
    assert disagreements(devnet) == []


def test_feeds_can_say_something_else_than_the_pools(devnet: Devnet) -> None:
    before = devnet.prices()
    asked_at = devnet.endpoint.header().timestamp
    devnet.move_prices({"LINK": "30"}, feeds={"LINK": "25", "UNI": before["UNI"]})

    assert devnet.prices() == before | {"LINK": Decimal(25)}
    (pool,) = (p for p in devnet.pools() if p.kind == "uniswap_v2" and "LINK" in p.symbols)
    assert float(price(devnet, pool, *pool.symbols) * before["WETH"]) == pytest.approx(30, rel=0.004)
    # A feed that is not named is silent.
    updated = {symbol: latest(devnet, "DevFeed", FEEDS[symbol].address, "latestRoundData")[3] for symbol in before}
    assert {symbol for symbol, at in updated.items() if at > asked_at} == {"LINK", "UNI"}


def test_a_pool_may_be_moved_to_where_it_stands_again_and_again(devnet: Devnet) -> None:
    for _ in range(3):
        devnet.move_prices({"WETH": "3210.12345678", "LINK": "30.1"})

    assert disagreements(devnet) == []


def test_a_crash_beyond_every_narrow_position_can_be_moved_to(devnet: Devnet) -> None:
    devnet.move_prices({"AAVE": "0.5"})

    assert disagreements(devnet) == []


def test_a_move_is_one_block(devnet: Devnet) -> None:
    before = devnet.endpoint.header().number

    devnet.move_prices({"WETH": "5000", "WBTC": "90000"})

    assert devnet.endpoint.header().number == before + 1


def storage(devnet: Devnet, without: tuple[str, ...] = ()) -> dict[str, object]:
    """The state of every pool that holds none of the tokens `without`: storage root, price or balances."""
    return {
        pool.id or pool.address: state(devnet, pool) for pool in devnet.pools() if set(pool.symbols).isdisjoint(without)
    }


def state(devnet: Devnet, pool: DevPool) -> object:
    if pool.kind == "uniswap_v4":
        return world.manager_price(devnet.endpoint, pool)
    if pool.kind in ("balancer_weighted", "balancer_stable"):
        return world.vault_pool(devnet.endpoint, pool)
    return devnet.rpc("eth_getProof", pool.address, [], "latest")["storageHash"]


def test_a_move_touches_no_pool_of_other_tokens(devnet: Devnet) -> None:
    before = storage(devnet, without=("LINK", "UNI"))
    devnet.move_prices({"LINK": "25", "UNI": "9"})

    assert len(before) >= 20
    assert storage(devnet, without=("LINK", "UNI")) == before


def test_a_move_to_the_same_prices_touches_no_pool(devnet: Devnet) -> None:
    before = storage(devnet)
    devnet.move_prices(devnet.prices())

    assert storage(devnet) == before


def test_every_price_can_be_moved_at_once_and_far(devnet: Devnet) -> None:
    rising = ("WETH", "WBTC", "UNI", "USDT")
    devnet.move_prices(
        {symbol: price * 9 if symbol in rising else price / 8 for symbol, price in devnet.prices().items()}
    )

    assert disagreements(devnet) == []


@pytest.mark.parametrize("price", ["0", "-1", "1.000000001", "NaN", "much"])
def test_a_price_that_no_feed_can_say_is_refused(devnet: Devnet, price: str) -> None:
    with pytest.raises(InputError, match="WETH"):
        devnet.move_prices({"WETH": price})


def test_the_price_of_an_unknown_token_is_refused(devnet: Devnet) -> None:
    with pytest.raises(InputError, match="choose from WETH"):
        devnet.move_prices({"DOGE": "1"})


def test_refreshed_feeds_answer_the_same_as_of_now(devnet: Devnet) -> None:
    before = devnet.prices()
    devnet.mine(seconds=86_400)
    devnet.refresh_feeds()

    now = devnet.endpoint.header().timestamp
    assert devnet.prices() == before
    assert {latest(devnet, "DevFeed", feed.address, "latestRoundData")[3] for feed in FEEDS.values()} == {now}


@pytest.mark.parametrize("symbol", TOKENS)
def test_a_deal_adds_to_a_balance(devnet: Devnet, symbol: str) -> None:
    devnet.deal(symbol, ALICE, 5)
    devnet.deal(TOKENS[symbol].address, ALICE, 7)

    assert balance(devnet, symbol, ALICE) == 12


def test_a_deal_of_an_unknown_token_is_refused(devnet: Devnet) -> None:
    with pytest.raises(InputError, match="neither an address nor one of WETH"):
        devnet.deal("DOGE", ALICE, 1)


# Time


def test_blocks_are_twelve_seconds_apart(devnet: Devnet) -> None:
    start = devnet.endpoint.header()
    end = devnet.mine(3)

    assert (end.number, end.timestamp) == (start.number + 3, start.timestamp + 36)


def test_time_can_be_skipped(devnet: Devnet) -> None:
    start = devnet.endpoint.header()
    end = devnet.mine(seconds=3600)

    assert (end.number, end.timestamp) == (start.number + 1, start.timestamp + 3600)


def test_isolation_takes_back_money_prices_and_time(devnet: Devnet) -> None:
    before = devnet.endpoint.header(), devnet.prices(), balance(devnet, "USDC", ALICE)
    with devnet.isolated():
        devnet.deal("USDC", ALICE, 1)
        devnet.move_prices({"WETH": "1000"})
        devnet.mine(seconds=1000)

    assert (devnet.endpoint.header(), devnet.prices(), balance(devnet, "USDC", ALICE)) == before


# Building, dumping, loading


def built(seed: int, cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hash of the head of a world that is built from nothing: it commits to the state root and to every block."""
    monkeypatch.setattr("keeper.devnet.devnet.CACHE", cache)
    with Devnet.start(seed=seed) as node:
        return f"{node.state_root()} {node.endpoint.header().hash}"


@pytest.mark.chain
def test_the_same_seed_builds_the_same_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(7, tmp_path / "a", monkeypatch) == built(7, tmp_path / "b", monkeypatch)


@pytest.mark.chain
def test_another_seed_builds_another_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(7, tmp_path, monkeypatch) != built(8, tmp_path, monkeypatch)


@pytest.mark.chain
def test_a_world_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built(7, tmp_path, monkeypatch)
    monkeypatch.delattr(world, "build")

    assert built(7, tmp_path, monkeypatch) == first


@pytest.mark.chain
def test_building_tells_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keeper.devnet.devnet.CACHE", tmp_path)
    told: list[str] = []
    with Devnet.start(progress=told.append) as node:
        assert told[-1].startswith(f"opening pool {len(node.pools())} of {len(node.pools())}")


def test_a_dump_brings_the_chain_back(devnet: Devnet, tmp_path: Path) -> None:
    devnet.deal("WBTC", ALICE, 123)
    devnet.move_prices({"WBTC": "100000"})
    head, root, prices = devnet.endpoint.header(), devnet.state_root(), devnet.prices()
    devnet.dump(tmp_path / "state")

    with Devnet.start(state=tmp_path / "state") as other:
        assert (other.endpoint.header(), other.state_root(), other.prices()) == (head, root, prices)
        assert balance(other, "WBTC", ALICE) == 123
        assert other.mine().timestamp == head.timestamp + 12
        assert disagreements(other) == []


@pytest.mark.chain
def test_loading_leaves_nothing_of_what_was_there(tmp_path: Path) -> None:
    with Devnet.start() as node:
        node.dump(tmp_path / "state")
        head, root = node.endpoint.header(), node.state_root()
        node.deal("UNI", ALICE, 5)
        node.load(tmp_path / "state")

        assert (node.endpoint.header(), node.state_root()) == (head, root)
        assert balance(node, "UNI", ALICE) == 0
        node.deal("UNI", ALICE, 1)
        assert balance(node, "UNI", ALICE) == 1


def test_a_missing_dump_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        Devnet.start(state=tmp_path / "state")


# The process


@pytest.mark.chain
def test_leaving_ends_the_node() -> None:
    with Devnet.start() as node:
        url = node.url

    with pytest.raises(RpcError):
        Devnet(url).state_root()


def run_python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own


@pytest.mark.chain
def test_a_node_ends_with_the_process_that_started_it() -> None:
    # Killed, that process has no chance to clean up.
    with run_python(
        "import os; from keeper.devnet import *; print(Devnet.start().url); os.kill(os.getpid(), 9)"
    ) as run:
        orphan = Devnet(run.communicate()[0].strip())

    with pytest.raises(RpcError):
        all(orphan.state_root() for _ in range(10_000))


@pytest.mark.chain
def test_a_served_devnet_is_dumped_when_told_to_terminate(tmp_path: Path) -> None:
    state = tmp_path / "state"
    serve = f"serve(port=0, dump=Path('{state}'), progress=print)"
    with run_python(f"from pathlib import Path; from keeper.devnet import serve; {serve}") as run:
        assert run.stdout
        url = next(line.split()[-1] for line in run.stdout if "listens on" in line)
        with Devnet.connect(url) as served:
            served.move_prices({"WETH": "3000"})
        run.terminate()

    assert run.returncode == 0
    with Devnet.start(state=state) as node:
        assert node.prices()["WETH"] == 3000


@pytest.mark.chain
def test_a_failed_start_ends_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes: list[Anvil] = []

    def start(port: int) -> Anvil:
        nodes.append(Anvil(port))
        return nodes[0]

    monkeypatch.setattr("keeper.devnet.devnet.Anvil", start)
    (tmp_path / "state").write_bytes(b"no dump")

    with pytest.raises(NodeError):
        Devnet.start(state=tmp_path / "state")
    with pytest.raises(RpcError):
        Devnet(nodes[0].url).state_root()


def test_a_port_that_is_taken_is_refused(devnet: Devnet) -> None:
    with pytest.raises(InputError, match="did not start on port"):
        Devnet.start(port=int(devnet.url.rpartition(":")[2]))


def test_another_client_can_connect(devnet: Devnet) -> None:
    with Devnet.connect(devnet.url) as other:
        other.move_prices({"WETH": "4000"})

    assert devnet.prices()["WETH"] == 4000


@pytest.mark.chain
def test_a_node_without_the_offline_mainnet_is_refused() -> None:
    node = Anvil()
    try:
        with pytest.raises(InputError, match="no offline mainnet"):
            Devnet.connect(node.url)
    finally:
        node.close()


@pytest.mark.chain
def test_what_a_node_keeps_on_disk_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    node = Anvil()
    kept = list(tmp_path.iterdir())
    node.close()

    assert len(kept) == 1
    assert list(tmp_path.iterdir()) == []


def calldata(signature: str, *arguments: object) -> bytes:
    types = signature.partition("(")[2].removesuffix(")").split(",")
    return function_signature_to_4byte_selector(signature) + encode(types, arguments)


def transact(devnet: Devnet, sender: str, to: str, signature: str, *arguments: object) -> None:
    world.transact(devnet.endpoint, to, calldata(signature, *arguments), sender=sender, gas=1_000_000)
