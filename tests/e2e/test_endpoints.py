"""Endpoints through proxies that misbehave in front of the offline mainnet: each read ends right, or in one clear line.

Every test has two or three endpoints, and what is wrong is wrong with the first one unless it says otherwise.
"""

import re
import threading
import time
from contextlib import suppress

import pytest
from eth_account import Account

from keeper.chain import artifacts
from keeper.chain.bindings import view
from keeper.chain.endpoints import Endpoints
from keeper.chain.errors import NodeError, RpcError, WrongChainError
from keeper.chain.failover import Tolerance
from keeper.chain.lens import Lens
from keeper.devnet import DEV_KEYS, FEEDS, TOKENS
from keeper.devnet.faults import (
    Delay,
    Drop,
    FaultProxy,
    Garbage,
    NoReceipt,
    RateLimited,
    ServerError,
    StaleHead,
    Swallowed,
    TakenButRefused,
    Truncated,
    WrongChain,
)
from keeper.devnet.world import transact
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.signer import LocalSigner

# totalSupply()
CALL = {"to": TOKENS["USDC"].address, "data": "0x18160ddd"}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proxies(faulty) -> list[FaultProxy]:
    return [faulty(seed=seed) for seed in range(4)]


@pytest.fixture
def connect(proxies, clock):
    """Endpoints over the first `count` proxies."""

    def connect(count: int = 2, *, timeout: float = 5, wall=time.time, anchor=None, **tolerance) -> Endpoints:
        return Endpoints(
            [f"{proxy.url}/v3/0123456789abcdef" for proxy in proxies[:count]],
            1,
            tolerance=Tolerance(**tolerance),
            timeout=timeout,
            anchor=anchor,
            now=clock,
            wall=wall,
        )

    return connect


def line(caught: pytest.ExceptionInfo) -> str:
    text = str(caught.value)
    assert "\n" not in text
    assert "0123456789abcdef" not in text
    return text


FAULTS = [
    (Drop(), "connection"),
    (Drop(after=True), "connection"),
    (RateLimited(), "rate_limit"),
    (ServerError(500), "http"),
    (ServerError(403), "http"),
    (Garbage(), "garbage"),
    (Garbage(b""), "garbage"),
    (Truncated(), "garbage"),
    (Delay(60), "timeout"),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=str)
def test_a_read_goes_to_the_next_endpoint_and_the_fault_is_counted(connect, proxies, devnet, fault, kind):
    endpoints = connect(timeout=0.1 if kind == "timeout" else 5)
    proxies[0].set("*", fault)
    assert endpoints.quantity("eth_blockNumber") == devnet.endpoint.header().number
    first, second = endpoints.status()
    assert first.errors == {kind: 1}
    assert "asked again in" in first.reason
    assert second.reason is None


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=str)
def test_when_no_endpoint_is_left_one_line_says_why_of_each(connect, proxies, fault, kind):
    endpoints = connect(timeout=0.1 if kind == "timeout" else 5)
    for proxy in proxies:
        proxy.set("*", fault)
    with pytest.raises(RpcError) as caught:
        endpoints.header()
    said = line(caught)
    assert said.startswith("no endpoint of chain 1 can be used: ")
    assert proxies[0].url in said
    assert proxies[1].url in said


def test_a_single_endpoint_gives_its_own_error(connect, proxies):
    proxies[0].set("*", ServerError(503))
    with pytest.raises(RpcError) as caught:
        connect(1).quantity("eth_blockNumber")
    assert line(caught) == f"cannot reach the node at {proxies[0].url}: HTTP status 503"


def test_a_result_that_is_no_number_fails_over_too(connect, proxies, devnet):
    proxies[0].set("eth_gasPrice", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": "cheap"}'))
    assert connect().quantity("eth_gasPrice") == devnet.endpoint.quantity("eth_gasPrice")


def test_an_endpoint_is_left_alone_while_it_asks_for_it(connect, proxies, clock):
    endpoints = connect()
    proxies[0].set("eth_gasPrice", RateLimited(retry_after=40), times=1)
    endpoints.quantity("eth_gasPrice")
    clock.time = 39
    endpoints.quantity("eth_gasPrice")
    assert proxies[0].asked("eth_gasPrice") == 1
    clock.time = 40
    endpoints.quantity("eth_gasPrice")
    assert proxies[0].asked("eth_gasPrice") == 2


def test_an_endpoint_is_asked_for_its_chain_once(connect, proxies):
    endpoints = connect()
    for _ in range(3):
        endpoints.quantity("eth_gasPrice")
    assert proxies[0].asked("eth_chainId") == 1
    assert proxies[1].asked("eth_chainId") == 0


def test_an_endpoint_that_cannot_say_which_chain_it_follows_is_left_alone(connect, proxies):
    endpoints = connect()
    proxies[0].set("eth_chainId", Garbage(b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no"}}'))
    for _ in range(2):
        endpoints.quantity("eth_gasPrice")
    assert proxies[0].asked("eth_chainId") == 1
    assert proxies[0].asked("eth_gasPrice") == 0


def test_an_endpoint_that_comes_back_with_another_chain_is_not_used(connect, proxies, clock):
    endpoints = connect()
    proxies[0].set("eth_gasPrice", Drop(), times=1)
    endpoints.quantity("eth_gasPrice")
    proxies[0].set("*", WrongChain(5))
    clock.time = 1
    endpoints.quantity("eth_gasPrice")
    assert proxies[0].asked("eth_gasPrice") == 1
    assert "follows chain 5, but the configuration says chain_id 1" in endpoints.status()[0].reason
    assert endpoints.status()[0].errors == {"connection": 1, "chain": 1}


def test_endpoints_of_another_chain_only_are_the_wrong_ones(connect, proxies):
    for proxy in proxies:
        proxy.set("*", WrongChain(5))
    with pytest.raises(WrongChainError, match="follows chain 5") as caught:
        connect().check_chain_id(1)
    line(caught)


def test_the_chain_is_asked_for_anew_before_signing(connect, proxies):
    endpoints = connect()
    endpoints.check_chain_id(1)
    proxies[0].set("*", WrongChain(5))
    endpoints.check_chain_id(1)
    assert "follows chain 5" in endpoints.status()[0].reason


def test_another_chain_than_the_configured_one_is_the_wrong_one(connect):
    with pytest.raises(WrongChainError, match="are of chain 1, but chain 5"):
        connect().check_chain_id(5)


def test_a_fork_with_the_same_chain_id_is_told_apart_by_its_blocks(connect, devnet):
    head = devnet.endpoint.header()
    connect(anchor=(head.number, head.hash)).check_chain_id(1)
    with pytest.raises(WrongChainError, match=f"follows another chain with the same id: its block {head.number} is "):
        connect(anchor=(head.number, "0x" + "ab" * 32)).check_chain_id(1)
    with pytest.raises(WrongChainError, match=f"has no block {head.number + 1}: it follows another chain"):
        connect(anchor=(head.number + 1, "0x" + "ab" * 32)).check_chain_id(1)


def test_a_chain_that_no_endpoint_follows_is_told_as_long_as_none_is_asked_again(connect, proxies):
    for proxy in proxies:
        proxy.set("*", WrongChain(5))
    endpoints = connect()
    for _ in range(2):
        with pytest.raises(WrongChainError, match="follows chain 5"):
            endpoints.quantity("eth_blockNumber")


def test_development_nodes_are_known_through_every_endpoint(connect):
    assert connect().is_development_node()


def test_development_nodes_and_real_ones_do_not_mix(connect, proxies):
    endpoints = connect()
    endpoints.header()
    proxies[0].set("web3_clientVersion", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": "Geth/v1.16"}'))
    proxies[0].set("anvil_nodeInfo", Garbage(b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "?"}}'))
    with pytest.raises(WrongChainError, match="these are development nodes, and the other endpoints are not"):
        endpoints.is_development_node()


def test_the_head_is_that_of_the_endpoint_that_is_not_behind(connect, proxies, devnet):
    devnet.mine(10)
    proxies[0].set("*", StaleHead(4))
    endpoints = connect()
    assert endpoints.header() == devnet.endpoint.header()
    assert (endpoints.status()[0].lag_blocks, endpoints.status()[1].lag_blocks) == (4, 0)
    assert endpoints.quantity("eth_blockNumber") == devnet.endpoint.header().number
    assert proxies[0].asked("eth_blockNumber") == 0


def test_an_endpoint_that_has_caught_up_is_used_again(connect, proxies, devnet):
    devnet.mine(10)
    endpoints = connect()
    proxies[0].set("*", StaleHead(4))
    endpoints.header()
    proxies[0].clear()
    endpoints.header()
    endpoints.quantity("eth_blockNumber")
    assert proxies[0].asked("eth_blockNumber") == 1


def test_an_endpoint_that_comes_back_behind_is_not_used(connect, proxies, devnet, clock):
    devnet.mine(10)
    endpoints = connect()
    endpoints.header()
    proxies[0].set("eth_gasPrice", Drop(), times=1)
    endpoints.quantity("eth_gasPrice")
    proxies[0].set("*", StaleHead(4))
    clock.time = 1
    endpoints.quantity("eth_gasPrice")
    assert proxies[0].asked("eth_gasPrice") == 1
    assert endpoints.status()[0].reason == f"{proxies[0].url} is 4 blocks behind"


def test_the_head_does_not_wait_for_an_endpoint_that_is_slow_and_asks_it_nothing_meanwhile(connect, proxies, devnet):
    endpoints = connect(timeout=60, patience_seconds=0.05)
    endpoints.header()
    asked = proxies[1].asked("eth_getBlockByNumber")
    proxies[1].set("eth_getBlockByNumber", Delay(60))
    for _ in range(3):
        assert endpoints.header() == devnet.endpoint.header()
    assert proxies[1].asked("eth_getBlockByNumber") == asked + 1


def test_who_has_a_block_is_remembered_for_the_last_blocks_only(connect, devnet):
    endpoints = connect(1)
    for _ in range(70):
        devnet.mine()
        endpoints.header()
    assert len(endpoints._holders) == 64


def test_the_lens_reads_through_a_quorum_what_it_reads_through_one_endpoint(connect, proxies, devnet):
    config = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
    devnet.refresh_feeds()
    owner = DEV_KEYS[0].address
    deployment = deploy(
        devnet.endpoint,
        config,
        owner,
        lambda to, data: transact(devnet.endpoint, to, data, sender=owner),
        lambda _: None,
    )
    lens = Lens(1, deployment.vault, deployment.native_token, (), (), 1)
    head = devnet.endpoint.header()
    endpoints = connect(3, quorum=2)
    proxies[0].set("eth_call", Garbage(b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "data": "0x01"}}'))
    assert endpoints.header() == head
    assert lens.read_at(endpoints, head) == lens.read_at(devnet.endpoint, head)
    assert endpoints.status()[0].errors == {"disagreed": 1}
    deployment.check_chain(endpoints)
    deployment.check_code(endpoints)


def test_a_read_at_a_block_goes_to_an_endpoint_that_has_it(connect, proxies, devnet):
    devnet.mine(10)
    proxies[0].set("*", StaleHead(2))  # within what is allowed
    endpoints = connect()
    head = endpoints.header()
    assert head == devnet.endpoint.header()
    assert endpoints.request("eth_call", CALL, head.tag) == devnet.rpc("eth_call", CALL, "latest")
    assert proxies[0].asked("eth_call") == 0


def test_a_node_without_the_block_is_no_reason_to_give_up(connect, proxies, devnet):
    devnet.mine(10)
    proxies[0].set("eth_call", StaleHead(2))  # a gateway with one node behind it that lags
    endpoints = connect()
    assert endpoints.request("eth_call", CALL, endpoints.header().tag) == devnet.rpc("eth_call", CALL, "latest")
    assert proxies[0].faults["StaleHead"] == 1


def test_a_block_that_nobody_has_is_the_node_s_own_error(connect):
    with pytest.raises(NodeError) as caught:
        connect().request("eth_call", CALL, {"blockHash": "0x" + "ab" * 32, "requireCanonical": True})
    line(caught)


def test_a_revert_is_an_answer_and_nobody_else_is_asked(connect, proxies):
    endpoints = connect()
    head = endpoints.header()
    with pytest.raises(NodeError) as caught:
        # An unknown selector.
        endpoints.request("eth_call", {"to": TOKENS["WBTC"].address, "data": "0xffffffff"}, head.tag)
    assert caught.value.data is not None
    assert proxies[1].asked("eth_call") == 0


def test_an_error_of_the_node_s_own_is_an_answer_and_nobody_else_is_asked(connect, proxies):
    with pytest.raises(NodeError):
        connect().request("eth_noSuchMethod")
    assert proxies[1].log == []


def test_an_old_head_is_refused(connect, proxies, devnet):
    head = devnet.endpoint.header()
    real_node(proxies)
    endpoints = connect(wall=lambda: head.timestamp + 121, max_head_age_seconds=120)
    with pytest.raises(RpcError) as caught:
        endpoints.header()
    assert f"{proxies[0].url}: block {head.number} is 121 s old" in line(caught)


def test_a_block_that_has_become_old_is_refused(connect, proxies, devnet):
    real_node(proxies)
    wall = Clock()
    wall.time = devnet.endpoint.header().timestamp
    endpoints = connect(wall=wall, max_head_age_seconds=120)
    head = endpoints.header()
    endpoints.refuse_old(head)
    wall.time += 121
    with pytest.raises(RpcError, match="121 s old"):
        endpoints.refuse_old(head)


def test_the_age_of_a_devnet_s_blocks_is_of_no_matter(connect, devnet):
    head = devnet.endpoint.header()
    assert connect(wall=lambda: head.timestamp + 10**6).header() == head


def real_node(proxies: list[FaultProxy]) -> None:
    """Lets the devnet pass for a node whose clock matters."""
    for proxy in proxies:
        proxy.set("web3_clientVersion", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": "Geth/v1.16"}'))
        proxy.set("anvil_nodeInfo", Garbage(b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "?"}}'))


# Quorum


def test_the_pinned_head_is_one_that_a_quorum_has(connect, proxies, devnet):
    devnet.mine(10)
    proxies[1].set("*", StaleHead(2))
    proxies[2].set("*", StaleHead(3))
    endpoints = connect(3, quorum=2)
    assert endpoints.header().number == devnet.endpoint.header().number - 2


def test_endpoints_behind_the_agreed_block_have_no_say_in_it(connect, proxies, devnet):
    devnet.mine(10)
    for proxy in proxies[2:]:
        proxy.set("*", StaleHead(1))
    assert connect(4, quorum=2).header() == devnet.endpoint.header()


@pytest.mark.parametrize("quorum", [1, 2])
def test_a_head_that_no_block_follows_is_refused_in_the_end(connect, proxies, devnet, quorum):
    real_node(proxies)
    wall = Clock()
    wall.time = devnet.endpoint.header().timestamp
    endpoints = connect(2, quorum=quorum, wall=wall, max_head_age_seconds=120)
    endpoints.header()
    wall.time += 121
    with pytest.raises(RpcError, match="121 s old"):
        endpoints.header()


def test_endpoints_that_disagree_on_a_block_are_named(connect, proxies, devnet):
    head = devnet.endpoint.header()
    other = f'{{"jsonrpc": "2.0", "id": 1, "result": {{"number": "{hex(head.number)}", "hash": "0x{"ab" * 32}", '
    other += f'"timestamp": "{hex(head.timestamp)}", "baseFeePerGas": "0x1"}}}}'
    proxies[0].set("eth_getBlockByNumber", Garbage(other.encode()))
    with pytest.raises(RpcError) as caught:
        connect(2, quorum=2).header()
    said = line(caught)
    assert f"2 endpoints must agree on block {head.number}: {proxies[0].url} says 0xabababab…" in said
    assert f"{proxies[1].url} says {head.hash[:10]}…" in said

    endpoints = connect(3, quorum=2)
    assert endpoints.header() == head
    assert endpoints.status()[0].errors == {"disagreed": 1}


def test_a_quorum_outvotes_who_returns_something_else(connect, proxies, devnet):
    endpoints = connect(3, quorum=2)
    head = endpoints.header()
    proxies[0].set("eth_call", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": "0x01"}'))
    assert endpoints.request("eth_call", CALL, head.tag) == devnet.rpc("eth_call", CALL, "latest")
    assert endpoints.data("eth_call", CALL, head.tag) == devnet.endpoint.data("eth_call", CALL, "latest")
    assert endpoints.status()[0].errors == {"disagreed": 2}


def test_calls_that_return_different_things_are_refused_and_named(connect, proxies):
    endpoints = connect(2, quorum=2)
    head = endpoints.header()
    supply = endpoints.request("eth_call", CALL, head.tag)
    proxies[0].set("eth_call", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": "0x01"}'))
    with pytest.raises(RpcError) as caught:
        endpoints.request("eth_call", CALL, head.tag)
    assert line(caught) == (
        "2 endpoints must agree on what a call returns, and these do not: "
        f"{proxies[0].url} says 0x01, {proxies[1].url} says {supply[:10]}…{supply[-8:]}"
    )


def test_a_revert_is_agreed_upon_like_any_result(connect, proxies, devnet):
    endpoints = connect(3, quorum=2)
    call = {"to": TOKENS["WBTC"].address, "data": "0xffffffff"}
    head = endpoints.header()
    proxies[0].set("eth_call", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": "0x01"}'))
    with pytest.raises(NodeError) as caught:
        endpoints.request("eth_call", call, head.tag)
    with pytest.raises(NodeError) as expected:
        devnet.rpc("eth_call", call, "latest")
    assert caught.value.data == expected.value.data


def test_a_quorum_that_cannot_be_reached_says_who_is_missing(connect, proxies):
    proxies[1].set("*", ServerError(503))
    with pytest.raises(RpcError) as caught:
        connect(2, quorum=2).header()
    assert line(caught).startswith("2 endpoints must agree, and 1 can be asked: ")
    assert f"{proxies[1].url}: HTTP status 503" in line(caught)


# Writing


def signed(devnet, *, value: int = 1) -> tuple[str, str]:
    """Raw bytes and hash of a transfer."""
    account = Account.from_key(DEV_KEYS[0].private_key)
    transaction = LocalSigner(account).sign(
        {
            "type": 2,
            "chainId": 1,
            "nonce": devnet.endpoint.quantity("eth_getTransactionCount", account.address, "latest"),
            "to": "0x" + "11" * 20,
            "value": value,
            "data": b"",
            "gas": 21_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 1,
        }
    )
    return "0x" + transaction.raw.hex(), transaction.hash


@pytest.mark.parametrize(
    "fault", [Drop(), Drop(after=True), ServerError(), Garbage(), Swallowed(), TakenButRefused()], ids=str
)
def test_a_transaction_arrives_though_an_endpoint_says_or_does_the_wrong_thing(connect, proxies, devnet, fault):
    raw, hash_ = signed(devnet)
    proxies[0].set("eth_sendRawTransaction", fault)
    connect().request("eth_sendRawTransaction", raw)
    devnet.mine()
    assert devnet.rpc("eth_getTransactionReceipt", hash_)["status"] == "0x1"


@pytest.mark.parametrize("count", [1, 2])
def test_a_transaction_that_has_arrived_can_be_sent_again(connect, devnet, count):
    raw, hash_ = signed(devnet)
    devnet.rpc("eth_sendRawTransaction", raw)
    devnet.mine()
    assert connect(count).request("eth_sendRawTransaction", raw) == hash_


def test_what_a_node_says_against_a_transaction_is_handed_over(connect, proxies, devnet):
    raw, _ = signed(devnet)
    other, _ = signed(devnet, value=2)  # the same nonce
    devnet.rpc("eth_sendRawTransaction", other)
    devnet.mine()
    proxies[0].set("eth_sendRawTransaction", Drop())
    with pytest.raises(NodeError, match="nonce too low"):
        connect().request("eth_sendRawTransaction", raw)


def test_a_receipt_that_one_endpoint_lost_is_found_at_another(connect, proxies, devnet):
    raw, hash_ = signed(devnet)
    devnet.rpc("eth_sendRawTransaction", raw)
    devnet.mine()
    proxies[0].set("eth_getTransactionReceipt", NoReceipt())
    assert connect().request("eth_getTransactionReceipt", hash_)["transactionHash"] == hash_


def test_a_receipt_that_vanished_everywhere_is_null_until_it_is_back(connect, proxies, devnet):
    raw, hash_ = signed(devnet)
    devnet.rpc("eth_sendRawTransaction", raw)
    devnet.mine()
    for proxy in proxies:
        proxy.set("*", NoReceipt(), times=2)
    endpoints = connect()
    answers = [endpoints.request("eth_getTransactionReceipt", hash_) for _ in range(3)]
    assert answers[:2] == [None, None]
    assert answers[2]["status"] == "0x1"


# All at once


def test_reads_end_right_from_several_threads_though_a_third_of_the_requests_fail(connect, proxies, devnet):
    expected = view(devnet.endpoint, "DevFeed", FEEDS["WETH"].address, "latestRoundData", block="latest")
    for proxy in proxies:
        for fault in (Drop(), ServerError(), Garbage(), Truncated()):
            proxy.set("eth_call", fault, probability=0.1)
    endpoints = connect(3, backoff_first_seconds=1e-9, backoff_cap_seconds=1e-9)
    wrong: list[object] = []

    def read() -> None:
        for _ in range(20):
            try:
                answer = view(endpoints, "DevFeed", FEEDS["WETH"].address, "latestRoundData", block="latest")
            except RpcError as error:
                if not re.match(r"no endpoint of chain 1 can be used: [^\n]+$", str(error)):
                    wrong.append(error)
            else:
                if answer != expected:
                    wrong.append(answer)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for status, proxy in zip(endpoints.status(), proxies[:3], strict=True):
        assert sum(status.errors.values()) == proxy.faults.total()


def test_the_same_seed_gives_the_same_faults(faulty):
    logs = []
    for _ in range(2):
        proxy = faulty(seed=3)
        proxy.set("eth_chainId", ServerError(), probability=0.5)
        endpoint = Endpoints([proxy.url], 1, tolerance=Tolerance(backoff_first_seconds=1e-9, backoff_cap_seconds=1e-9))
        for _ in range(12):
            with suppress(RpcError):
                endpoint.check_chain_id(1)
        logs.append([event.fault is None for event in proxy.log if event.method == "eth_chainId"])
    assert logs[0] == logs[1]
    assert len(set(logs[0])) == 2
