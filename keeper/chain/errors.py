"""What can go wrong between the keeper and a chain, apart from bad input (`keeper.domain.errors.InputError`)."""

from __future__ import annotations

from typing import Literal

_LONGEST = 200


class RpcError(Exception):
    """A node could not be reached or gave no usable answer. The message is one line and holds no credential."""


Trouble = Literal["connection", "timeout", "rate_limit", "http", "garbage"]
"""What can keep an answer away: no connection (or one that broke), none in time, too many requests, another HTTP error,
an answer that is no JSON-RPC."""


class UnansweredError(RpcError):
    """An endpoint gave no usable answer, so another one may. `retry_after` is how long it asks to be left alone, s."""

    def __init__(self, message: str, kind: Trouble, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind: Trouble = kind
        self.retry_after = retry_after


class NodeError(RpcError):
    """A node answered a request with an error.

    `code` is the JSON-RPC error code; `data` is the revert data of a call that reverted, None if the node gave none.
    """

    def __init__(self, message: str, code: int, data: bytes | None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class WrongChainError(RpcError):
    """A node follows another chain than the one it was configured for: bad configuration at the start, and later on a
    node, or a gateway before it, that must not be believed."""


class Refused(Exception):  # noqa: N818 - a breaker refusing to go on is an answer, not an error
    """A breaker refused: nothing is broken, and nothing may be traded. The message says which one and why."""


class OracleRefused(Refused):
    """The vault's oracle gave no price for at least one token that the vault holds."""


def one_line(text: str) -> str:
    """What somebody else says, fit for a terminal and a log: printable, on one line and short."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
