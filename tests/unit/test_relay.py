"""Which routes are due, what a relay's configuration may say, and the signature on a request."""

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from pydantic import ValidationError

from keeper.devnet.relay import signer_of
from keeper.domain import InputError
from keeper.submit.errors import SendError
from keeper.submit.relay import (
    PrivateRelay,
    RelayConfig,
    Routing,
    bundle_targets,
    connect_relays,
    relay_key,
    routes_due,
    send_by,
    signature,
)

KEY = "0x" + "11" * 32
RELAY = RelayConfig(url="https://relay.example")


class Told:
    """A route that takes what it is given, or says why it does not."""

    def __init__(self, name: str, refusal: str | None = None) -> None:
        self.name = name
        self.refusal = refusal
        self.taken: list[tuple[bytes, int]] = []

    def send(self, raw: bytes, *, max_block: int) -> None:
        if self.refusal:
            raise SendError(f"{self.name}: {self.refusal}")
        self.taken.append((raw, max_block))


def due(head: int, **routing) -> list[str]:
    relays = [Told("r1"), Told("r2")] if routing.get("relays") else []
    found = routes_due(Routing(**routing), relays, Told("public"), first_block=100, head=head)
    return [route.name for route in found]


@pytest.mark.parametrize(
    ("public", "head", "names"),
    [
        ("later", 100, ["r1", "r2"]),
        ("later", 104, ["r1", "r2"]),
        ("later", 105, ["public"]),
        ("at_once", 100, ["r1", "r2", "public"]),
        ("at_once", 105, ["public"]),
        ("never", 100, ["r1", "r2"]),
        ("never", 10**9, ["r1", "r2"]),
    ],
)
def test_the_public_mempool_comes_in_when_the_policy_says_so(public, head, names):
    assert due(head, relays=(RELAY,), public=public, relay_blocks=5) == names


def test_without_relays_everything_is_public():
    assert due(100) == ["public"]


def test_no_relay_and_no_public_mempool_is_refused():
    with pytest.raises(ValidationError, match="nothing could be sent"):
        Routing(public="never")


def test_the_first_route_that_takes_it_is_named_and_no_other_gets_it():
    first, second, third = Told("a", "busy"), Told("b"), Told("c")
    assert send_by([first, second, third], b"raw", 9) == "b"
    assert second.taken == [(b"raw", 9)]
    assert third.taken == []


def test_when_no_route_takes_it_every_reason_is_given():
    with pytest.raises(SendError, match=r"^a: busy; b: closed$"):
        send_by([Told("a", "busy"), Told("b", "closed")], b"raw", 9)


def test_no_route_at_all_is_an_error():
    with pytest.raises(SendError, match="no route"):
        send_by([], b"raw", 9)


@pytest.mark.parametrize(
    ("head", "max_block", "blocks"),
    [(10, 20, [11, 12, 13]), (10, 12, [11, 12]), (10, 11, [11]), (10, 10, []), (12, 10, [])],
)
def test_a_bundle_is_for_the_next_blocks_and_none_after_the_last(head, max_block, blocks):
    assert list(bundle_targets(head, max_block, 3)) == blocks


@pytest.mark.parametrize(
    "url", ["https://relay.example/x", "http://127.0.0.1:1", "http://localhost", "http://[::1]:80"]
)
def test_a_relay_is_reached_by_https_or_on_this_machine(url):
    assert RelayConfig(url=url).url == url


@pytest.mark.parametrize("url", ["http://relay.example", "http://localhost.example", "http://127.0.0.1@relay.example"])
def test_a_relay_that_others_could_listen_to_is_refused(url):
    with pytest.raises(ValidationError, match="must be https"):
        RelayConfig(url=url)


def test_the_signature_is_over_the_hash_of_the_body_as_text():
    body, account = b'{"jsonrpc":"2.0"}', Account.from_key(KEY)
    address, _, value = signature(body, account).partition(":")
    # EIP-191 written out: 66 characters are the hash in hexadecimal with its prefix.
    digest = keccak(b"\x19Ethereum Signed Message:\n66" + f"0x{keccak(body).hex()}".encode())
    assert address == account.address
    assert Account._recover_hash(digest, signature=value) == account.address
    assert signer_of(body, f"{address}:{value}") == account.address


def test_the_configured_relays_keep_their_order_and_their_own_keys(monkeypatch):
    monkeypatch.setenv("RELAY_KEY", KEY)
    configs = [RelayConfig(url=f"https://{name}.example", auth_key_variable="RELAY_KEY") for name in "ba"]
    relays = connect_relays(Routing(relays=configs), "0x" + "00" * 20, lambda: 0)
    assert [relay.name for relay in relays] == ["relay https://b.example", "relay https://a.example"]
    with pytest.raises(InputError, match="the keeper's own"):
        connect_relays(Routing(relays=configs), Account.from_key(KEY).address, lambda: 0)


@pytest.mark.parametrize("spoilt", ["", "0x", "nonsense:0x12", "0x" + "00" * 20 + ":0x" + "11" * 65])
def test_a_header_that_is_no_signature_of_the_body_has_no_signer(spoilt):
    assert signer_of(b"{}", spoilt) is None


def test_a_signature_of_another_body_or_under_another_name_has_no_signer():
    account = Account.from_key(KEY)
    header = signature(b"{}", account)
    assert signer_of(b"{ }", header) is None
    assert signer_of(b"{}", header.replace(account.address, Account.from_key("0x" + "22" * 32).address)) is None


def test_the_relay_s_key_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("RELAY_KEY", KEY)
    assert relay_key("RELAY_KEY", "0x" + "00" * 20).address == Account.from_key(KEY).address


def test_without_a_name_the_relay_s_key_is_new_each_time():
    assert relay_key(None, "").address != relay_key(None, "").address


def test_the_keeper_s_key_is_not_taken_for_the_relay_s(monkeypatch):
    monkeypatch.setenv("RELAY_KEY", KEY)
    with pytest.raises(InputError, match="the keeper's own"):
        relay_key("RELAY_KEY", Account.from_key(KEY).address)


@pytest.mark.parametrize("value", [None, "", "0xs3cret"])
def test_a_key_that_is_none_is_one_line_without_it(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("RELAY_KEY", value)
    with pytest.raises(InputError) as caught:
        relay_key("RELAY_KEY", "")
    assert "RELAY_KEY" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_relay_shows_neither_its_key_nor_its_credential():
    relay = PrivateRelay("https://u:s3cret@relay.example/0123456789abcdef", Account.from_key(KEY), head=lambda: 0)
    assert repr(relay) == "PrivateRelay('relay https://relay.example')"
