"""Every kind of pool on the offline mainnet: the lens reads it, and programs through it pay what was predicted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector as selector

from keeper.chain import artifacts
from keeper.chain.bindings import ERC20
from keeper.chain.lens import Lens
from keeper.chain.rpc import Endpoint
from keeper.chain.venues import (
    BalancerFactory,
    BalancerVenue,
    Tier,
    UniswapV2Venue,
    UniswapV3Venue,
    UniswapV4Venue,
)
from keeper.devnet import DEV_KEYS, FACTORIES, TOKENS, Devnet
from keeper.devnet.tables import BALANCER_AUTHORIZER, OPERATOR, POOL_MANAGER, WETH
from keeper.devnet.world import impersonate, transact
from keeper.domain import InputError, Swap
from keeper.pools import Pool
from keeper.routing.steps import plan_steps
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.program import encode_program, v4_key

OWNER, _, STRANGER = (key.address for key in DEV_KEYS[:3])
V2 = UniswapV2Venue(kind="uniswap_v2", factory=FACTORIES["uniswap_v2"])
V3 = UniswapV3Venue(kind="uniswap_v3", factory=FACTORIES["uniswap_v3"])
V4 = UniswapV4Venue(kind="uniswap_v4", manager=POOL_MANAGER)
MAKERS = (
    BalancerFactory(address=FACTORIES["balancer_weighted"], makes="weighted"),
    BalancerFactory(address=FACTORIES["balancer_stable"], makes="stable"),
)


@pytest.fixture(scope="module")
def ids(devnet: Devnet) -> tuple[str, ...]:
    """Of Balancer's pools."""
    return tuple(str(pool.id) for pool in devnet.pools() if pool.kind.startswith("balancer"))


@pytest.fixture
def lens(devnet: Devnet, ids: tuple[str, ...]) -> tuple[Lens, str]:
    """A lens on a new vault that looks everywhere, and the vault's executor."""
    devnet.refresh_feeds()
    deployment = deploy(
        devnet.endpoint,
        DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml"),
        OWNER,
        lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER),
        lambda _: None,
    )
    lens = Lens(
        chain_id=1,
        vault=deployment.vault,
        native_token=WETH,
        connectors=tuple(token.address for token in TOKENS.values()),
        venues=(V2, V3, V4, BalancerVenue(kind="balancer_v2", factories=MAKERS, pools=ids)),
        tick_words=4,
    )
    return lens, deployment.executor


def read(devnet: Devnet, lens: Lens) -> dict[str, Pool]:
    """The pools by name, as a snapshot has them."""
    return {pool.name: pool for pool in lens.read(devnet.endpoint).snapshot().pools}


def test_the_lens_finds_every_pool_that_there_is(devnet, lens):
    found = read(devnet, lens[0]).values()
    there = {(pool.kind, (pool.id or pool.address).lower()) for pool in devnet.pools()}
    assert {(pool.kind, pool.name.lower()) for pool in found} == there
    assert len(Counter(pool.kind for pool in found)) == 5


class Counting(Endpoint):
    """Counts the calls of each batch."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.calls: list[int] = []

    def batch(self, requests):
        self.calls.append(sum(method == "eth_call" for method, _ in requests))
        return super().batch(requests)


def test_a_reading_in_parts_is_the_same_as_at_once(devnet, lens):
    whole, _ = lens
    endpoint, header = Counting(devnet.url), devnet.endpoint.header()
    at_once = whole.read_at(endpoint, header)
    for most in (1, 2000, 10_000):
        assert replace(whole, pools_at_once=most).read_at(endpoint, header) == at_once
    # One by one: the pairs of V2, four fees of V3, four tiers of V4, and each pool of Balancer.
    balancer = len(whole.venues[-1].pools)
    assert endpoint.calls[1] == 1 + 4 + 4 + balancer
    assert endpoint.calls[1] > endpoint.calls[2] > endpoint.calls[3] > 0


def test_one_part_that_is_refused_refuses_the_reading(devnet, lens, ids):
    venue = BalancerVenue(kind="balancer_v2", factories=MAKERS, pools=(*ids, "0x" + "ab" * 32))
    broken = replace(lens[0], venues=(V2, venue, V3), pools_at_once=1)
    with pytest.raises(InputError, match="NotAdmitted"):
        read(devnet, broken)


def test_a_program_through_every_kind_pays_what_was_predicted(devnet, lens):
    lens, executor = lens
    pools = read(devnet, lens)
    by_kind = {(pool.kind, pool.symbols, pool.fee): pool.id or pool.address for pool in devnet.pools()}
    route = [
        ("uniswap_v4", 500, "WETH", "USDC"),  # of ether
        ("balancer_stable", 100, "USDC", "DAI"),
        ("uniswap_v2", 3000, "DAI", "WETH"),
        ("uniswap_v3", 3000, "WETH", "WBTC"),
        ("balancer_weighted", 2500, "WBTC", "USDC"),
        ("uniswap_v4", 3000, "USDC", "LINK"),
        ("uniswap_v2", 3000, "LINK", "WETH"),
        ("balancer_weighted", 3000, "WETH", "AAVE"),
        ("uniswap_v3", 3000, "AAVE", "USDC"),
        ("uniswap_v4", 500, "USDC", "WETH"),  # the first pool again, the other way
    ]
    swaps: list[Swap] = []

    def append(kind: str, fee: int, sold: str, bought: str, amount: int) -> int:
        (name,) = [
            name for (k, symbols, f), name in by_kind.items() if (k, f) == (kind, fee) and {sold, bought} <= {*symbols}
        ]
        pool = next(pool for pool in pools.values() if pool.name.lower() == name.lower())
        token_in, token_out = TOKENS[sold].address, TOKENS[bought].address
        amount_out, pools[pool.name] = pool.swap(token_in, token_out, amount)
        swaps.append(
            Swap(pool=pool.name, token_in=token_in, token_out=token_out, amount_in=amount, amount_out=amount_out)
        )
        return amount_out

    start = dict(pools)
    amount = 3 * 10**18
    for hop in route:
        amount = append(*hop, amount)
    # What came back is spent again in two parts, next to new money: nothing of this is chained.
    append("uniswap_v3", 500, "WETH", "USDC", amount - 10**17)
    append("uniswap_v4", 3000, "WETH", "USDT", 10**17 + 10**18)
    append("uniswap_v4", 500, "WETH", "USDC", 10**18)

    sells = {WETH: 5 * 10**18}
    steps, recipients = plan_steps(swaps, start, sells)
    for token, sold in sells.items():
        devnet.deal(token, recipients.get(token, executor), sold)
    before = {symbol: held(devnet, token.address, STRANGER) for symbol, token in TOKENS.items()}
    program = encode_program(steps, {token: sold for token, sold in sells.items() if token not in recipients})
    receipt = transact(
        devnet.endpoint, executor, selector("execute(bytes)") + encode(["bytes"], [program]), sender=STRANGER
    )
    assert int(receipt["status"], 16) == 1

    expected = Counter(sells)
    for swap in swaps:
        expected[swap.token_in] -= swap.amount_in
        expected[swap.token_out] += swap.amount_out
    for symbol, token in TOKENS.items():
        assert held(devnet, token.address, STRANGER) - before[symbol] == expected[token.address], symbol
        assert held(devnet, token.address, executor) == 0
    assert int(devnet.rpc("eth_getBalance", executor, "latest"), 16) == 0
    # And every pool stands where its arithmetic says.
    after = read(devnet, lens)
    for name in {swap.pool for swap in swaps}:
        assert after[name] == pools[name]


def test_a_v4_pools_fee_counts_the_protocols_part(devnet, lens):
    lens, _ = lens
    pool = next(pool for pool in devnet.pools() if pool.kind == "uniswap_v4" and pool.native and pool.fee == 500)
    tell(devnet, "setProtocolFeeController(address)", ["address"], [OPERATOR])

    def set_fee(sold0: int, sold1: int) -> None:
        tell(
            devnet,
            "setProtocolFee((address,address,uint24,int24,address),uint24)",
            ["(address,address,uint24,int24,address)", "uint24"],
            [pool.key, sold1 << 12 | sold0],
        )

    set_fee(700, 700)
    found = read(devnet, lens)[str(pool.id)]
    assert found.fee_pips == 700 + 500 - 0
    assert v4_key(found.id, found.token0, found.token1, found.fee_pips, found.tick_spacing) == (True, 500)
    set_fee(700, 701)
    assert str(pool.id) not in read(devnet, lens)


def test_tiers_that_are_not_listed_are_not_looked_for(devnet, lens):
    lens, _ = lens
    only = V4.model_copy(update={"tiers": (Tier(fee_pips=100, tick_spacing=1),)})
    assert {pool.fee_pips for pool in read(devnet, replace(lens, venues=(only,))).values()} == {100}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factories": MAKERS[1:]}, "NotAdmitted"),
        ({"pools": ("0x" + "ab" * 32,)}, "NotAdmitted"),
    ],
    ids=["made by a factory that is not listed", "unknown"],
)
def test_a_balancer_pool_that_no_listed_factory_made_is_refused(devnet, lens, ids, change, message):
    venue = BalancerVenue.model_validate({"kind": "balancer_v2", "factories": MAKERS, "pools": ids} | change)
    with pytest.raises(InputError, match=message):
        read(devnet, replace(lens[0], venues=(venue,)))


def test_a_balancer_pool_of_a_token_that_is_not_read_is_refused(devnet, lens):
    with pytest.raises(InputError, match=r"TokenNotListed.*" + TOKENS["AAVE"].address.lower()):
        read(devnet, replace(lens[0], connectors=(TOKENS["USDT"].address,)))


def test_a_paused_balancer_pool_is_left_out(devnet, lens, ids):
    lens, _ = lens
    pool = next(pool for pool in devnet.pools() if pool.id == ids[0])
    action = view_action(devnet, pool.address)
    impersonate(devnet.endpoint, OPERATOR, 10**18)
    for to, data in (
        (
            BALANCER_AUTHORIZER,
            selector("grantRole(bytes32,address)") + encode(["bytes32", "address"], [action, OPERATOR]),
        ),
        (pool.address, selector("pause()")),
    ):
        transact(devnet.endpoint, to, data, sender=OPERATOR)
    assert ids[0] not in read(devnet, lens)
    assert ids[1] in read(devnet, lens)


def view_action(devnet: Devnet, pool: str) -> bytes:
    """What the authorizer calls the pausing of this pool."""
    data = selector("getActionId(bytes4)") + encode(["bytes4"], [selector("pause()")])
    return bytes.fromhex(devnet.rpc("eth_call", {"to": pool, "data": "0x" + data.hex()}, "latest")[2:])


def tell(devnet: Devnet, signature: str, types: list[str], arguments: list[Any]) -> None:
    """A transaction of the PoolManager's owner to it."""
    impersonate(devnet.endpoint, OPERATOR, 10**18)
    transact(devnet.endpoint, POOL_MANAGER, selector(signature) + encode(types, arguments), sender=OPERATOR)


def held(devnet: Devnet, token: str, holder: str) -> int:
    """A balance at the latest block."""
    data = ERC20.encode("balanceOf", holder)
    return int(devnet.rpc("eth_call", {"to": token, "data": "0x" + data.hex()}, "latest"), 16)
