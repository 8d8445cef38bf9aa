"""A private relay for tests: a real HTTP server that checks signatures and hands transactions to a node when told to.

    with LocalRelay(devnet.url, Include(after=2)) as relay:
        ...                          # send to relay.url by keeper.submit.relay.PrivateRelay
        devnet.mine(2)
        relay.deliver()              # what is due by now goes to the node

It takes `eth_sendPrivateTransaction` and `eth_sendBundle` with one transaction. What it does with them is its `habit`,
which may be set while it runs; what it took is in `held`, what it passed on in `delivered`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from keeper.chain.errors import NodeError
from keeper.chain.rpc import Endpoint
from keeper.submit.relay import SIGNATURE_HEADER


@dataclass(frozen=True, slots=True)
class Include:
    """Passes a transaction on `after` so many more blocks, for a block that it was meant for."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Forget:
    """Says yes and does nothing."""


@dataclass(frozen=True, slots=True)
class Late:
    """Passes a transaction on only when `after` more blocks than its last one have gone by."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers an error."""

    message: str = "not now"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Mute:
    """Takes a transaction as the habit `then` says, and closes the connection without an answer."""

    then: Include | Forget | Late = Forget()


Habit = Include | Forget | Late | Refuse | Mute


@dataclass(frozen=True, slots=True)
class Held:
    """A transaction that the relay took: for which blocks, when, from whom, and what will be done with it."""

    raw: str
    first_block: int
    last_block: int
    taken_at: int
    sender: str
    habit: Include | Forget | Late

    def is_due(self, head: int) -> bool:
        """Whether it is to be passed on while block `head` is the newest."""
        match self.habit:
            case Include(after=after):
                return head >= self.taken_at + after and self.first_block <= head + 1 <= self.last_block
            case Late(after=after):
                return head >= self.last_block + after
            case Forget():
                return False


class LocalRelay:
    """A relay at `url` in front of the node at `upstream`; to be used as a context manager."""

    def __init__(self, upstream: str, habit: Habit | None = None) -> None:
        self.habit: Habit = habit or Include()
        self.held: list[Held] = []
        self.delivered: list[Held] = []
        self._node = Endpoint(upstream)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def deliver(self) -> int:
        """Hands the node what is due at its newest block; returns how many it took."""
        with self._lock:
            head = self._node.quantity("eth_blockNumber")
            due = [held for held in self.held if held.is_due(head)]
            self.held = [held for held in self.held if not held.is_due(head)]
            taken = [held for held in due if self._pass_on(held)]
            self.delivered += taken
            return len(taken)

    def _pass_on(self, held: Held) -> bool:
        try:
            self._node.request("eth_sendRawTransaction", held.raw)
        except NodeError:  # mined already, or its nonce used: a relay says nothing of that to anybody
            return False
        return True

    def _answer(self, body: bytes, header: str) -> tuple[int, dict[str, Any]] | None:
        """HTTP status and reply; None for no answer."""
        asked = json.loads(body)
        sender = signer_of(body, header)
        if sender is None:
            return 403, _error(asked, f"{SIGNATURE_HEADER} is not that of the body")
        habit = self.habit
        if isinstance(habit, Refuse):
            return habit.status, _error(asked, habit.message)
        [parameters] = asked["params"]
        with self._lock:
            head = self._node.quantity("eth_blockNumber")
            match asked["method"]:
                case "eth_sendPrivateTransaction":
                    raw, first, last = parameters["tx"], head + 1, int(parameters["maxBlockNumber"], 16)
                    result: object = "0x" + keccak(hexstr=raw).hex()
                case "eth_sendBundle":
                    [raw] = parameters["txs"]
                    first = last = int(parameters["blockNumber"], 16)
                    result = {"bundleHash": "0x" + keccak(keccak(hexstr=raw)).hex()}
                case other:
                    return 200, _error(asked, f"no method {other}")
            then = habit.then if isinstance(habit, Mute) else habit
            self.held.append(Held(raw, first, last, head, sender, then))
        return None if isinstance(habit, Mute) else (200, {"jsonrpc": "2.0", "id": asked["id"], "result": result})


def signer_of(body: bytes, header: str) -> str | None:
    """The address that signed a request's body by its signature header; None if that does not hold."""
    address, _, signature = header.partition(":")
    message = encode_defunct(text="0x" + keccak(body).hex())
    try:
        signer = str(Account.recover_message(message, signature=signature))
    except Exception:
        return None
    return signer if signer == address else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(relay: LocalRelay) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = relay._answer(body, self.headers.get(SIGNATURE_HEADER, ""))
            if answer is None:
                return
            status, reply = answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(reply).encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _error(asked: dict[str, Any], message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32000, "message": message}}
