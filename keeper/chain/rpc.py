"""One JSON-RPC endpoint over HTTP: requests, their errors in one line each, and the few facts every caller needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from keeper.chain.errors import NodeError, RpcError, Trouble, UnansweredError, WrongChainError, one_line

# What nodes that anyone can mint money on call themselves.
_DEVELOPMENT_CLIENTS = ("anvil", "hardhat", "ganache")

# "Limit exceeded" of EIP-1474, and the HTTP status where a gateway puts it into the reply. Some use the first for a
# search of logs over too many blocks, which no waiting helps.
_RATE_LIMITS = (-32005, 429)
_SEARCHES = ("eth_getLogs",)

# A part of a URL's path that is shorter is a word ("mainnet") and no credential.
_SHORTEST_CREDENTIAL = 12


def block_tag(block_hash: str) -> dict[str, object]:
    """A block by its hash as a JSON-RPC parameter (EIP-1898); a node that has reorganised it away must refuse."""
    return {"blockHash": block_hash, "requireCanonical": True}


@dataclass(frozen=True, slots=True)
class Header:
    """The facts of one block header. Fees in wei per gas, the timestamp in seconds."""

    number: int
    hash: str
    timestamp: int
    base_fee_per_gas: int

    @property
    def tag(self) -> dict[str, object]:
        """This very block as a JSON-RPC parameter."""
        return block_tag(self.hash)


class Endpoint:
    """A JSON-RPC endpoint. `name` is its address without path, query or user, for those may hold credentials."""

    def __init__(self, url: str, timeout: float = 20.0) -> None:
        # Importing web3 takes a second, which the commands that never leave the machine should not pay.
        from web3.providers.rpc import HTTPProvider  # noqa: PLC0415

        self.name = name_of(url)
        self._secrets = secrets_of(url)
        # No retries: a late answer describes a market that has gone, and the loop asks again anyway.
        self._provider = HTTPProvider(url, {"timeout": timeout}, exception_retry_configuration=None)

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def request(self, method: str, *params: Any) -> Any:
        """The `result` of a JSON-RPC request. Raises `RpcError`, or `NodeError` where the node answered an error."""
        from web3.types import RPCEndpoint  # noqa: PLC0415 - comes with web3, see above

        return self._result(method, self._reply(lambda: self._provider.make_request(RPCEndpoint(method), params)))

    def batch(self, requests: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """The results of several requests, methods with their parameters, that are sent as one, in their order.

        A revert is a result, a `NodeError` with its data. Raises `RpcError` if one of the others has no result.
        """
        from web3.types import RPCEndpoint  # noqa: PLC0415 - comes with web3, see above

        named = [(RPCEndpoint(method), params) for method, params in requests]
        replies = self._reply(lambda: self._provider.make_batch_request(named))
        if isinstance(replies, dict) and replies.get("error") is not None:
            raise _node_error(self.name, "a batch", replies["error"], self._secrets)
        if not isinstance(replies, list) or len(replies) != len(requests):
            raise self._garbage(f"answered a batch of {len(requests)} requests with something else")
        results: list[Any] = []
        for (method, _), reply in zip(requests, replies, strict=True):
            try:
                results.append(self._result(method, reply))
            except NodeError as error:
                if error.data is None:
                    raise
                results.append(error)
        return results

    def _reply(self, ask: Callable[[], Any]) -> Any:
        """What comes back over the wire. Raises `UnansweredError` if that is no JSON."""
        from requests import RequestException  # noqa: PLC0415 - comes with web3, see above

        try:
            return ask()
        except RequestException as error:
            raise no_answer(self.name, error) from None
        except (ValueError, TypeError, AttributeError, KeyError):  # not JSON, or not that of a batch
            raise self._garbage("does not speak JSON-RPC: no JSON came back") from None

    def _result(self, method: str, reply: Any) -> Any:
        """What a request came to. Raises `NodeError`, `UnansweredError`."""
        if not isinstance(reply, dict):
            raise self._garbage(f"does not speak JSON-RPC: {method} got a {type(reply).__name__} back")
        if reply.get("error") is not None:
            refusal = _node_error(self.name, method, reply["error"], self._secrets)
            if refusal.code in _RATE_LIMITS and method not in _SEARCHES:
                raise UnansweredError(str(refusal), "rate_limit")
            raise refusal
        if "result" not in reply:
            raise self._garbage(f"answered {method} with neither a result nor an error")
        return reply["result"]

    def each(self, method: str, *params: Any) -> Iterator[Any]:
        """The result of a request as each endpoint gives it, one after the other; those that fail are left out."""
        with suppress(RpcError):
            yield self.request(method, *params)

    def quantity(self, method: str, *params: Any) -> int:
        """A request whose result is a hexadecimal quantity."""
        result = self.request(method, *params)
        try:
            return int(result, 16)
        except (TypeError, ValueError):
            raise self._garbage(f"answered {method} with no number: {one_line(str(result))}") from None

    def data(self, method: str, *params: Any) -> bytes:
        """A request whose result is hexadecimal data."""
        result = self.request(method, *params)
        try:
            return bytes.fromhex(result.removeprefix("0x"))
        except (AttributeError, ValueError):
            raise self._garbage(f"answered {method} with no data: {one_line(str(result))}") from None

    def header(self, block: int | str = "latest") -> Header:
        """The header of a block, by number or tag."""
        tag = hex(block) if isinstance(block, int) else block
        found = self.request("eth_getBlockByNumber", tag, False)
        if found is None:
            raise RpcError(f"{self.name} has no block {block}")
        try:
            return Header(
                number=int(found["number"], 16),
                hash=found["hash"],
                timestamp=int(found["timestamp"], 16),
                base_fee_per_gas=int(found["baseFeePerGas"], 16),
            )
        except (KeyError, TypeError, ValueError):
            raise self._garbage("gave a block without an EIP-1559 header") from None

    def check_chain_id(self, expected: int) -> None:
        """Raises `WrongChainError` if the node follows another chain."""
        actual = self.quantity("eth_chainId")
        if actual != expected:
            raise WrongChainError(f"{self.name} follows chain {actual}, but the configuration says chain_id {expected}")

    def refuse_old(self, header: Header) -> None:
        """Raises `RpcError` if a block is too old to act on any more. One endpoint by itself does not judge that."""

    def is_development_node(self) -> bool:
        """Whether anyone could make money and history here: anvil, hardhat or ganache, also behind a proxy."""
        version = str(self.request("web3_clientVersion")).lower()
        if any(client in version for client in _DEVELOPMENT_CLIENTS):
            return True
        try:
            self.request("anvil_nodeInfo")
        except NodeError:
            return False
        return True

    def _garbage(self, what: str) -> UnansweredError:
        return UnansweredError(f"{self.name} {what}", "garbage")


def name_of(url: str) -> str:
    """A URL as it may be shown: scheme, host and port."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")


def secrets_of(url: str) -> tuple[str, ...]:
    """What in a URL may be a credential: user, password, and the long parts of path and query."""
    address = urlsplit(url)
    parts = [*address.path.split("/"), *(value for _, value in parse_qsl(address.query))]
    found = [part for part in parts if len(part) >= _SHORTEST_CREDENTIAL]
    found += [part for part in (address.username, address.password) if part]
    # The longest first: one may be a part of another.
    return tuple(sorted({spelt for part in found for spelt in (part, unquote(part))}, key=len, reverse=True))


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """What somebody said of a request, without the credentials of the request."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def no_answer(name: str, error: Exception) -> UnansweredError:
    """An exception of `requests`, in words. Not in its own: they quote the URL, which may hold a credential."""
    from requests import ConnectionError as NoConnection  # noqa: PLC0415 - comes with web3, see above
    from requests import HTTPError, Timeout  # noqa: PLC0415

    def because(reason: str, kind: Trouble, retry_after: float | None = None) -> UnansweredError:
        return UnansweredError(f"cannot reach the node at {name}: {reason}", kind, retry_after)

    if isinstance(error, Timeout):
        return because("it did not answer in time", "timeout")
    if isinstance(error, HTTPError) and error.response is not None:
        status = error.response.status_code
        wait = seconds_until(error.response.headers.get("Retry-After"), time.time())
        return because(f"HTTP status {status}", "rate_limit" if status == 429 else "http", wait)
    if isinstance(error, NoConnection):
        return because("no connection", "connection")
    return because(type(error).__name__, "connection")


def seconds_until(retry_after: str | None, now: float) -> float | None:
    """What a `Retry-After` header asks for (RFC 9110: seconds or a date), in seconds from `now`; None for nonsense."""
    if retry_after is None:
        return None
    if retry_after.strip().isascii() and retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _node_error(name: str, method: str, error: Any, secrets: tuple[str, ...]) -> NodeError:
    if not isinstance(error, dict):
        return NodeError(f"{name} refused {method}: {one_line(redact(str(error), secrets))}", 0, None)
    code = error.get("code")
    # Redacted before it is cut: half a credential is one too many.
    message = one_line(redact(str(error.get("message", "no message")), secrets))
    return NodeError(f"{name} refused {method}: {message}", code if isinstance(code, int) else 0, _revert_data(error))


def _revert_data(error: dict[str, Any]) -> bytes | None:
    """Geth, Erigon and anvil put the data in `error.data`, Nethermind after a word, hardhat one level deeper."""
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str):
        return None
    data = data.removeprefix("Reverted ")
    try:
        return bytes.fromhex(data.removeprefix("0x")) if data.startswith("0x") else None
    except ValueError:
        return None
