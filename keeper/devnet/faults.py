"""A JSON-RPC proxy that misbehaves on request: a real HTTP server in front of a node, for tests of what talks to it.

    with FaultProxy(devnet.url, seed=7) as proxy:
        proxy.set("eth_call", RateLimited(retry_after=2), times=3)       # the next three, then no more
        proxy.set("*", Drop(), probability=0.05)                         # one request in twenty, by the seed
        proxy.set("*", StaleHead(blocks=20))                             # everything, as of 20 blocks ago
        ...                                                              # talk to proxy.url
        proxy.clear()                                                    # and it behaves again
        assert proxy.faults["RateLimited"] == 3

A rule names a method, or by a pattern (`fnmatch`) several; of the rules that match a request, the first that was set
and that its probability picks applies. What was done is in `proxy.log`, one `Event` per request; `faults` counts it by
the name of the fault. The same seed and the same order of requests give the same faults. Batches are not understood.

| fault | what the caller sees |
|---|---|
| `Delay` | the true answer, late |
| `Drop` | the connection closes without an answer; with `after=True` the node has done what was asked |
| `RateLimited` | HTTP 429, with `Retry-After` if given |
| `ServerError` | HTTP 500, or another status |
| `Garbage` | bytes that are no JSON |
| `Truncated` | the first half of the true answer |
| `StaleHead` | the chain as it was some blocks ago: "latest", its receipts, and no block after it |
| `WrongChain` | another chain id |
| `NoReceipt` | null for a receipt that is there |
| `NoLogs` | a receipt without its logs |
| `TakenButRefused` | an error for a transaction that the node took |
| `Swallowed` | a hash for a transaction that never reached the node |
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests
from eth_utils.crypto import keccak

_TIMEOUT = 60.0
# Where the block stands among the parameters of the methods that take one.
_BLOCK_PARAMETER = {
    "eth_getBlockByNumber": 0,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
}


@dataclass(frozen=True, slots=True)
class Delay:
    """The true answer after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drop:
    """No answer: the connection closes. With `after`, the node got the request first."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class RateLimited:
    """HTTP 429."""

    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class ServerError:
    """An HTTP error."""

    status: int = 500


@dataclass(frozen=True, slots=True)
class Garbage:
    """No JSON."""

    body: bytes = b"<html><h1>502 Bad Gateway</h1></html>"


@dataclass(frozen=True, slots=True)
class Truncated:
    """Half of the true answer."""


@dataclass(frozen=True, slots=True)
class StaleHead:
    """The chain as it was so many blocks ago."""

    blocks: int


@dataclass(frozen=True, slots=True)
class WrongChain:
    """Another chain id."""

    chain_id: int


@dataclass(frozen=True, slots=True)
class NoReceipt:
    """null, whatever there is."""


@dataclass(frozen=True, slots=True)
class NoLogs:
    """The true receipt, as if its transaction had logged nothing."""


@dataclass(frozen=True, slots=True)
class TakenButRefused:
    """The request reaches the node, and an error comes back."""

    code: int = -32000
    message: str = "internal error"


@dataclass(frozen=True, slots=True)
class Swallowed:
    """The hash of a raw transaction comes back, and the node never sees it."""


Fault = (
    Delay
    | Drop
    | RateLimited
    | ServerError
    | Garbage
    | Truncated
    | StaleHead
    | WrongChain
    | NoReceipt
    | NoLogs
    | TakenButRefused
    | Swallowed
)

_ON_THE_WIRE = (Delay, Drop, RateLimited, ServerError, Garbage, Truncated)


@dataclass(frozen=True, slots=True)
class Event:
    """One request that came, and what was done to it; None: it was passed on and answered as it should be."""

    method: str
    fault: Fault | None


@dataclass(slots=True)
class Rule:
    """When a fault applies. `left` counts down to 0; None: for ever."""

    pattern: str
    fault: Fault
    probability: float
    left: int | None


class FaultProxy:
    """A JSON-RPC server at `url` that asks the node at `upstream`; to be used as a context manager.

    Rules may be set and cleared from any thread while requests come in.
    """

    def __init__(self, upstream: str, *, seed: int = 0, port: int = 0) -> None:
        self.upstream = upstream
        self.log: list[Event] = []
        self._rules: list[Rule] = []
        self._random = random.Random(seed)  # noqa: S311 - the same faults again are what the seed is for
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()  # wakes delayed answers
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def set(self, method: str, fault: Fault, *, probability: float = 1.0, times: int | None = None) -> Rule:
        """Adds a rule for a method or a pattern of methods. The rule can be given to `unset`."""
        rule = Rule(method, fault, probability, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def unset(self, rule: Rule) -> None:
        """Takes one rule back."""
        with self._lock:
            self._rules = [other for other in self._rules if other is not rule]

    def clear(self) -> None:
        """Takes every rule back."""
        with self._lock:
            self._rules.clear()

    @property
    def faults(self) -> Counter[str]:
        """How often each fault was done, by its name."""
        with self._lock:
            return Counter(type(event.fault).__name__ for event in self.log if event.fault is not None)

    def asked(self, method: str) -> int:
        """How often a method was asked for."""
        with self._lock:
            return sum(event.method == method for event in self.log)

    def _pick(self, method: str) -> Fault | None:
        with self._lock:
            fault = next((rule.fault for rule in self._rules if self._applies(rule, method)), None)
            self.log.append(Event(method, fault))
            return fault

    def _applies(self, rule: Rule, method: str) -> bool:
        if rule.left == 0 or not fnmatchcase(method, rule.pattern) or not _concerns(rule.fault, method):
            return False
        if rule.probability < 1 and self._random.random() >= rule.probability:
            return False
        if rule.left is not None:
            rule.left -= 1
        return True

    def _reply(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = json.loads(body)
        batch = asked if isinstance(asked, list) else [asked]
        faults = [self._pick(one["method"]) for one in batch]
        # What happens on the wire happens to all of a batch.
        match next((fault for fault in faults if isinstance(fault, _ON_THE_WIRE)), None):
            case Drop(after=after):
                if after:
                    self._forward(body)
                return
            case RateLimited(retry_after=wait):
                _send(handler, 429, b"", {} if wait is None else {"Retry-After": str(wait)})
            case ServerError(status=status):
                _send(handler, status, b"")
            case Garbage(body=garbage):
                _send(handler, 200, garbage)
            case Truncated():
                answer = self._forward(body)
                _send(handler, 200, answer[: len(answer) // 2])
            case Delay(seconds=seconds):
                self._closing.wait(seconds)
                _send(handler, 200, self._forward(body))
            case _ if not any(faults):
                _send(handler, 200, self._forward(body))
            case _:
                answers = [
                    {"jsonrpc": "2.0", "id": one.get("id"), **(self._lie(fault, one) if fault else self._truth(one))}
                    for one, fault in zip(batch, faults, strict=True)
                ]
                _send(handler, 200, json.dumps(answers if isinstance(asked, list) else answers[0]).encode())

    def _truth(self, asked: dict[str, Any]) -> dict[str, Any]:
        return self._ask(asked["method"], list(asked.get("params", ())))

    def _lie(self, fault: Fault, asked: dict[str, Any]) -> dict[str, Any]:
        """A well-formed answer that is not true: `result` or `error`."""
        method, params = asked["method"], list(asked.get("params", ()))
        match fault:
            case WrongChain(chain_id=chain_id):
                return {"result": str(chain_id) if method == "net_version" else hex(chain_id)}
            case TakenButRefused(code=code, message=message):
                self._ask(method, params)
                return {"error": {"code": code, "message": message}}
            case Swallowed():
                return {"result": "0x" + keccak(hexstr=params[0]).hex()}
            case StaleHead(blocks=blocks):
                return self._stale(method, params, blocks)
            case NoLogs():
                answer = self._ask(method, params)
                if answer.get("result"):
                    answer["result"] |= {"logs": [], "logsBloom": "0x" + "00" * 256}
                return answer
            case _:
                return {"result": None}

    def _stale(self, method: str, params: list[Any], blocks: int) -> dict[str, Any]:
        head = max(0, int(self._ask("eth_blockNumber", [])["result"], 16) - blocks)
        if method == "eth_blockNumber":
            return {"result": hex(head)}
        place = _BLOCK_PARAMETER.get(method)
        if place is not None and len(params) > place:
            block = params[place]
            if block == "latest":
                params[place] = hex(head)
            elif isinstance(block, dict) and "blockHash" in block:
                known = self._ask("eth_getBlockByHash", [block["blockHash"], False]).get("result")
                if known is None or int(known["number"], 16) > head:
                    return {"error": {"code": -32000, "message": "header not found"}}
            elif isinstance(block, str) and block.startswith("0x") and int(block, 16) > head:
                if method == "eth_getBlockByNumber":
                    return {"result": None}
                return {"error": {"code": -32000, "message": "header not found"}}
        answer = self._ask(method, params)
        found = answer.get("result")
        number = {"eth_getTransactionReceipt": "blockNumber", "eth_getBlockByHash": "number"}.get(method)
        if number and found and int(found[number], 16) > head:
            return {"result": None}
        return answer

    def _ask(self, method: str, params: list[Any]) -> dict[str, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        answer: dict[str, Any] = json.loads(self._forward(body))
        return {key: answer[key] for key in ("result", "error") if key in answer}

    def _forward(self, body: bytes) -> bytes:
        return requests.post(
            self.upstream, data=body, headers={"Content-Type": "application/json"}, timeout=_TIMEOUT
        ).content


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A thread that waits for a slow node is not worth waiting for.
    block_on_close = False


def _handler(proxy: FaultProxy) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            proxy._reply(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _concerns(fault: Fault, method: str) -> bool:
    """Whether a fault means anything for a method, so that a rule for "*" can be set."""
    match fault:
        case WrongChain():
            return method in ("eth_chainId", "net_version")
        case NoReceipt() | NoLogs():
            return method == "eth_getTransactionReceipt"
        case Swallowed() | TakenButRefused():
            return method == "eth_sendRawTransaction"
        case StaleHead():
            # Only what is asked of the chain's state: a stale node takes transactions all the same.
            return method in ("eth_blockNumber", *_BLOCK_PARAMETER, "eth_getTransactionReceipt", "eth_getBlockByHash")
        case _:
            return True


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    try:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for header in (headers or {}).items():
            handler.send_header(*header)
        handler.end_headers()
        handler.wfile.write(body)
    except OSError:  # whoever asked did not wait
        handler.close_connection = True
