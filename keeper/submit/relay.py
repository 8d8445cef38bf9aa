"""Where a signed transaction is handed in: to private relays, to the public mempool, or to one after the other.

A relay keeps a transaction from those who would trade ahead of it, but it includes one only if its builders win a
block, and it may say yes and do nothing. So `Routing` says by block number which routes are due (`routes_due`), and
`send_by` tries them. What was handed to any route may still be mined: only the chain says whether it was.

Relays are spoken to in JSON-RPC (docs.flashbots.net, "JSON-RPC Endpoints"): `eth_sendPrivateTransaction`, or
`eth_sendBundle` with one bundle for each of the next blocks. Each request is signed in the header
`X-Flashbots-Signature` by a key that stands for the sender's reputation and holds no money.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self
from urllib.parse import urlsplit

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from pydantic import Field, field_validator, model_validator

from keeper.chain.errors import NodeError, RpcError, one_line
from keeper.chain.fields import Strict, Url
from keeper.chain.rpc import Endpoint, name_of, no_answer, redact, secrets_of
from keeper.domain.errors import InputError
from keeper.submit.errors import SendError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

SIGNATURE_HEADER = "X-Flashbots-Signature"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

_KNOWN = ("already known", "already imported")

Kind = Literal["private_transaction", "bundle"]


class RelayConfig(Strict):
    """A private relay. `${NAME}` in the URL is read from the environment.

    `auth_key_variable` names the environment variable with the key that signs requests; without one, a new key is made
    each time the keeper starts, and no reputation is built up.
    """

    url: Url
    kind: Kind = "private_transaction"
    auth_key_variable: str | None = None
    timeout_seconds: float = Field(default=5, gt=0)
    bundle_blocks: int = Field(default=3, ge=1, le=25)
    """A bundle is for one block; so many of the next blocks are asked for at once."""

    @field_validator("url", mode="after")
    @classmethod
    def _keeps_it_private(cls, url: str) -> str:
        address = urlsplit(url)
        if address.scheme != "https" and address.hostname not in _LOOPBACK:
            raise ValueError("must be https: over http, everybody on the way could read the transaction")
        return url


class Routing(Strict):
    """Which routes a transaction takes, and when.

    `public` says when it may go into the public mempool: "never"; "later", when `relay_blocks` blocks have passed since
    it was first handed to a relay; or "at_once", when no relay takes it, and also after these blocks. Without relays
    everything is public.
    """

    relays: tuple[RelayConfig, ...] = ()
    public: Literal["never", "later", "at_once"] = "later"
    relay_blocks: int = Field(default=5, ge=1)

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if not self.relays and self.public == "never":
            raise ValueError("names no relay and forbids the public mempool: nothing could be sent")
        return self

    def is_public(self, first_block: int, head: int) -> bool:
        """Whether the public mempool comes first at block `head`, for what was first sent at block `first_block`."""
        if not self.relays:
            return True
        return self.public != "never" and head - first_block >= self.relay_blocks


class Route(Protocol):
    """Somewhere to hand in a signed transaction."""

    @property
    def name(self) -> str:
        """For logs: holds no credential."""

    def send(self, raw: bytes, *, max_block: int) -> None:
        """Hands in signed bytes, to be mined in block `max_block` at the latest where the route can promise it.

        Raises `SendError` if they were not taken. That they were taken does not mean that they will be mined, nor that
        they were not that they will not.
        """


class PublicMempool:
    """Every node that a chain's endpoint reaches. It knows no last block."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def name(self) -> str:
        return f"public mempool by {self._endpoint.name}"

    def send(self, raw: bytes, *, max_block: int) -> None:  # noqa: ARG002 - see above
        try:
            self._endpoint.request("eth_sendRawTransaction", "0x" + raw.hex())
        except RpcError as error:
            # A node that has them already is what was wanted.
            if isinstance(error, NodeError) and any(words in str(error).lower() for words in _KNOWN):
                return
            verb = "refused" if isinstance(error, NodeError) else "did not take"
            raise SendError(f"the node {verb} transaction {hash_of(raw)}: {error}") from None


class PrivateRelay:
    """A relay at `url`, asked as `kind`. `auth_key` signs requests and must not be the keeper's own.

    `head` gives the number of the newest block, which bundles need.
    """

    def __init__(
        self,
        url: str,
        auth_key: LocalAccount,
        kind: Kind = "private_transaction",
        *,
        head: Callable[[], int],
        timeout: float = 5.0,
        bundle_blocks: int = 3,
    ) -> None:
        self.name = f"relay {name_of(url)}"
        self._url, self._secrets = url, secrets_of(url)
        self._auth_key = auth_key
        self._kind = kind
        self._head = head
        self._timeout = timeout
        self._bundle_blocks = bundle_blocks

    def __repr__(self) -> str:
        return f"PrivateRelay({self.name!r})"

    def send(self, raw: bytes, *, max_block: int) -> None:
        data = "0x" + raw.hex()
        if self._kind == "private_transaction":
            taken = self._ask("eth_sendPrivateTransaction", {"tx": data, "maxBlockNumber": hex(max_block)})
            if taken != hash_of(raw):
                raise SendError(f"{self.name} answered with another transaction than {hash_of(raw)}")
            return
        try:
            head = self._head()
        except RpcError as error:
            raise SendError(f"{self.name} was not asked: it needs to know the newest block, and {error}") from None
        blocks = bundle_targets(head, max_block, self._bundle_blocks)
        if not blocks:
            raise SendError(
                f"{self.name} was not asked: block {max_block} is the last one allowed, and {head} is there"
            )
        for block in blocks:
            self._ask("eth_sendBundle", {"txs": [data], "blockNumber": hex(block)})

    def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        """The result. Raises `SendError`."""
        import requests  # noqa: PLC0415 - a tenth of a second to import, and commands that send nothing need it not

        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": [parameters]}
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json", SIGNATURE_HEADER: signature(body, self._auth_key)}
        try:
            # A redirection would hand the transaction to somebody else.
            response = requests.post(
                self._url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise SendError(f"{self.name}: {no_answer(name_of(self._url), error)}") from None
        try:
            reply = response.json()
        except ValueError:
            reply = None
        if isinstance(reply, dict) and reply.get("error") is not None:
            refusal = reply["error"]
            said = refusal.get("message", "no message") if isinstance(refusal, dict) else refusal
            raise SendError(f"{self.name} refused {method}: {one_line(redact(str(said), self._secrets))}")
        if response.status_code != requests.codes.ok:
            raise SendError(f"{self.name} answered {method} with HTTP status {response.status_code}")
        if not isinstance(reply, dict) or reply.get("result") is None:
            raise SendError(f"{self.name} does not speak JSON-RPC: {method} got no result back")
        return reply["result"]


def signature(body: bytes, key: LocalAccount) -> str:
    """The value of the signature header: `address:signature`, EIP-191 over the text of the body's hash."""
    message = encode_defunct(text="0x" + keccak(body).hex())
    return f"{key.address}:0x{key.sign_message(message).signature.hex()}"


def bundle_targets(head: int, max_block: int, most: int) -> range:
    """The next blocks to ask for, at most `most` of them and none after `max_block`."""
    return range(head + 1, min(max_block, head + most) + 1)


def relay_key(variable: str | None, keeper: str) -> LocalAccount:
    """The key that signs requests to a relay: from an environment variable, or a new one without its name.

    Raises `InputError` if there is no key, or if it is that of the address `keeper`.
    """
    if variable is None:
        fresh: LocalAccount = Account.create()
        return fresh
    try:
        account: LocalAccount = Account.from_key(os.environ[variable].strip())
    except KeyError:
        raise InputError(
            f"the environment variable {variable}, which should hold the relay's key, is not set"
        ) from None
    except Exception:  # whatever went wrong, its message may quote the key
        raise InputError(f"the environment variable {variable} holds no private key (64 hexadecimal digits)") from None
    if account.address == keeper:
        raise InputError(f"the key in {variable} is the keeper's own: a relay needs another, one that holds no money")
    return account


def connect_relays(routing: Routing, keeper: str, head: Callable[[], int]) -> tuple[PrivateRelay, ...]:
    """The configured relays in order, none of them asked yet; `keeper` is the address whose transactions they get.

    Raises `InputError` as `relay_key` does.
    """
    return tuple(
        PrivateRelay(
            relay.url,
            relay_key(relay.auth_key_variable, keeper),
            relay.kind,
            head=head,
            timeout=relay.timeout_seconds,
            bundle_blocks=relay.bundle_blocks,
        )
        for relay in routing.relays
    )


def routes_due(
    routing: Routing, relays: Sequence[Route], public: Route, *, first_block: int, head: int
) -> tuple[Route, ...]:
    """The routes to try at block `head`, in this order, for what was first sent at block `first_block`.

    What has gone public stays there, so the relays are not asked any more.
    """
    if routing.is_public(first_block, head):
        return (public,)
    return (*relays, public) if routing.public == "at_once" else tuple(relays)


def send_by(routes: Sequence[Route], raw: bytes, max_block: int) -> str:
    """Hands signed bytes to the first route that takes them, and returns its name.

    Raises `SendError` that says of each why it did not. A route that gave no answer may have taken them all the same;
    they are the same bytes everywhere, so no more than one of them can be mined.
    """
    reasons = []
    for route in routes:
        try:
            route.send(raw, max_block=max_block)
        except SendError as error:
            reasons.append(str(error))
        else:
            return route.name
    raise SendError("; ".join(reasons) or "there is no route to send by")


def broadcaster(routing: Routing, endpoint: Endpoint, keeper: str) -> Callable[[bytes, int, int, int], str]:
    """What `keeper.submit.engine.Engine` sends with. Raises `InputError` if a relay's key is not usable."""
    relays = connect_relays(routing, keeper, lambda: endpoint.quantity("eth_blockNumber"))
    public = PublicMempool(endpoint)

    def send(raw: bytes, first_block: int, head: int, max_block: int) -> str:
        return send_by(routes_due(routing, relays, public, first_block=first_block, head=head), raw, max_block)

    return send


def hash_of(raw: bytes) -> str:
    """The hash of a signed transaction."""
    return "0x" + keccak(raw).hex()
