"""Private relays and the public mempool on the offline mainnet, through a relay that checks signatures."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from eth_account import Account

from keeper.chain.errors import RpcError
from keeper.chain.rpc import Endpoint
from keeper.devnet import DEV_KEYS
from keeper.devnet.relay import Forget, Include, Late, LocalRelay, Mute, Refuse
from keeper.submit.errors import SendError
from keeper.submit.relay import PrivateRelay, PublicMempool, RelayConfig, Routing, hash_of, routes_due, send_by
from keeper.submit.signer import LocalSigner

AUTH = Account.from_key("0x" + "77" * 32)
SENDER = Account.from_key(DEV_KEYS[0].private_key)
KINDS = pytest.mark.parametrize("kind", ["private_transaction", "bundle"])


@pytest.fixture
def relay(devnet):
    with LocalRelay(devnet.url) as running:
        yield running


@pytest.fixture
def route(devnet, relay):
    def route(kind="private_transaction", **options) -> PrivateRelay:
        url = f"{relay.url}/0123456789abcdef"
        return PrivateRelay(url, AUTH, kind, head=lambda: devnet.endpoint.quantity("eth_blockNumber"), **options)

    return route


@pytest.fixture
def raw(devnet) -> bytes:
    """A signed transfer of one wei."""
    nonce = devnet.endpoint.quantity("eth_getTransactionCount", SENDER.address, "latest")
    transaction = {"type": 2, "chainId": 1, "nonce": nonce, "to": "0x" + "11" * 20, "value": 1, "data": b""}
    fees = {"gas": 21_000, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    return LocalSigner(SENDER).sign(transaction | fees).raw


def head(devnet) -> int:
    return devnet.endpoint.header().number


def receipt(devnet, raw: bytes):
    """The receipt, after one more block."""
    devnet.mine()
    return devnet.rpc("eth_getTransactionReceipt", hash_of(raw))


def refusal(route, raw: bytes, max_block: int) -> str:
    with pytest.raises(SendError) as caught:
        route.send(raw, max_block=max_block)
    said = str(caught.value)
    assert "\n" not in said
    assert "0123456789abcdef" not in said
    assert raw.hex() not in said
    return said


@KINDS
def test_a_relay_includes_a_transaction_that_no_node_saw_before(devnet, relay, route, raw, kind):
    route(kind).send(raw, max_block=head(devnet) + 5)
    assert devnet.rpc("eth_getTransactionByHash", hash_of(raw)) is None
    assert relay.held[0].sender == AUTH.address
    assert relay.deliver() == 1
    assert receipt(devnet, raw)["status"] == "0x1"


@KINDS
def test_a_relay_may_take_some_blocks(devnet, relay, route, raw, kind):
    relay.habit = Include(after=2)
    route(kind).send(raw, max_block=head(devnet) + 5)
    for _ in range(2):
        assert relay.deliver() == 0
        devnet.mine()
    assert relay.deliver() == 1
    assert receipt(devnet, raw)["status"] == "0x1"


@KINDS
def test_a_relay_includes_nothing_after_the_last_block(devnet, relay, route, raw, kind):
    route(kind).send(raw, max_block=head(devnet) + 2)
    devnet.mine(2)
    assert relay.deliver() == 0


@KINDS
def test_a_relay_that_says_yes_and_does_nothing_is_overtaken_by_the_public_mempool(devnet, relay, route, raw, kind):
    relay.habit = Forget()
    routing = Routing(relays=(RelayConfig(url=relay.url),), public="later", relay_blocks=2)
    private, public = route(kind), PublicMempool(devnet.endpoint)
    first = head(devnet)
    names = []
    for _ in range(3):
        due = routes_due(routing, [private], public, first_block=first, head=head(devnet))
        names.append(send_by(due, raw, first + 10))
        devnet.mine()
        relay.deliver()
    assert names == [private.name, private.name, public.name]
    assert receipt(devnet, raw)["status"] == "0x1"


@KINDS
def test_what_a_relay_brings_late_after_it_was_mined_changes_nothing(devnet, relay, route, raw, kind):
    relay.habit = Late()
    route(kind).send(raw, max_block=head(devnet) + 2)
    PublicMempool(devnet.endpoint).send(raw, max_block=head(devnet) + 2)
    mined = receipt(devnet, raw)
    devnet.mine(5)
    assert relay.deliver() == 0
    assert receipt(devnet, raw) == mined


def test_a_relay_can_bring_a_transaction_long_after_its_last_block(devnet, relay, route, raw):
    relay.habit = Late(after=3)
    route().send(raw, max_block=head(devnet) + 2)
    devnet.mine(4)
    assert relay.deliver() == 0
    devnet.mine()
    assert relay.deliver() == 1
    assert receipt(devnet, raw)["status"] == "0x1"


def test_a_bundle_is_sent_for_each_of_the_next_blocks(devnet, relay, route, raw):
    now = head(devnet)
    route("bundle", bundle_blocks=3).send(raw, max_block=now + 10)
    assert [held.last_block for held in relay.held] == [now + 1, now + 2, now + 3]


def test_a_bundle_for_no_block_is_not_sent(devnet, relay, route, raw):
    now = head(devnet)
    assert f"block {now} is the last one allowed, and {now} is there" in refusal(route("bundle"), raw, now)
    assert relay.held == []


def test_a_bundle_without_a_head_is_not_sent(relay, raw):
    def unknown() -> int:
        raise RpcError("http://node: no connection")

    assert "needs to know the newest block" in refusal(PrivateRelay(relay.url, AUTH, "bundle", head=unknown), raw, 9)


@KINDS
def test_what_a_relay_says_against_a_transaction_is_one_line(devnet, relay, route, raw, kind):
    relay.habit = Refuse("not\nnow, 0123456789abcdef", status=400)
    assert refusal(route(kind), raw, head(devnet) + 5).endswith(": not now, ***")


@KINDS
def test_a_relay_that_gives_no_answer_may_have_taken_it(devnet, relay, route, raw, kind):
    relay.habit = Mute(Include())
    assert "no connection" in refusal(route(kind), raw, head(devnet) + 5)
    relay.deliver()
    assert receipt(devnet, raw)["status"] == "0x1"


def test_a_relay_that_is_not_there_is_one_line(raw):
    gone = PrivateRelay("http://127.0.0.1:9/0123456789abcdef", AUTH, head=lambda: 0)
    assert "http://127.0.0.1:9: no connection" in refusal(gone, raw, 5)


def test_when_a_relay_refuses_the_public_mempool_may_come_next(devnet, relay, route, raw):
    relay.habit = Refuse()
    routing = Routing(relays=(RelayConfig(url=relay.url),), public="at_once")
    public = PublicMempool(devnet.endpoint)
    due = routes_due(routing, [route()], public, first_block=0, head=0)
    assert send_by(due, raw, head(devnet) + 5) == public.name
    assert receipt(devnet, raw)["status"] == "0x1"


def test_what_may_never_be_public_is_not_when_every_relay_refuses(devnet, relay, route, raw):
    relay.habit = Refuse()
    routing = Routing(relays=(RelayConfig(url=relay.url),), public="never")
    due = routes_due(routing, [route()], PublicMempool(devnet.endpoint), first_block=0, head=10**6)
    with pytest.raises(SendError, match="not now"):
        send_by(due, raw, head(devnet) + 5)
    assert devnet.rpc("eth_getTransactionByHash", hash_of(raw)) is None


def test_what_the_node_says_against_a_public_transaction_is_one_line(devnet, raw):
    PublicMempool(devnet.endpoint).send(raw, max_block=0)
    devnet.mine()
    assert f"the node refused transaction {hash_of(raw)}: " in refusal(PublicMempool(devnet.endpoint), raw, 0)


def test_a_node_that_is_not_there_did_not_take_a_public_transaction(raw):
    said = refusal(PublicMempool(Endpoint("http://127.0.0.1:9/0123456789abcdef")), raw, 0)
    assert f"the node did not take transaction {hash_of(raw)}" in said


def test_a_request_signed_by_another_key_than_it_says_is_refused(devnet, relay, route, raw, monkeypatch):
    monkeypatch.setattr("keeper.submit.relay.signature", lambda body, key: f"{SENDER.address}:0x{'11' * 65}")
    assert "is not that of the body" in refusal(route(), raw, head(devnet) + 5)
    assert relay.held == []


class Oddity(BaseHTTPRequestHandler):
    """Answers `server.answer`, status and body, and sends the caller elsewhere for a status that can."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def oddity():
    with HTTPServer(("127.0.0.1", 0), Oddity) as server:
        server.asked = 0
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (307, b"", "HTTP status 307"),
        (500, b"oops", "HTTP status 500"),
        (200, b"<html>", "does not speak JSON-RPC"),
        (200, b"[]", "does not speak JSON-RPC"),
        (200, b'{"jsonrpc": "2.0", "id": 1}', "does not speak JSON-RPC"),
        (200, b'{"error": "over quota"}', "over quota"),
        (200, b'{"result": "0x1234"}', "another transaction"),
    ],
)
def test_an_answer_that_takes_nothing_is_one_line_and_nobody_else_gets_the_transaction(
    oddity, raw, status, body, words
):
    oddity.answer = status, body
    odd = PrivateRelay(f"http://127.0.0.1:{oddity.server_port}", AUTH, head=lambda: 0)
    assert words in refusal(odd, raw, 5)
    assert oddity.asked == 1
