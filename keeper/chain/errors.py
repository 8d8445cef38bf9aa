"""What can go wrong between the keeper and a chain, apart from bad input (`keeper.domain.errors.InputError`)."""

from __future__ import annotations


class RpcError(Exception):
    """A node could not be reached or gave no usable answer. The message is one line and holds no credential."""


class NodeError(RpcError):
    """A node answered a request with an error.

    `code` is the JSON-RPC error code; `data` is the revert data of a call that reverted, None if the node gave none.
    """

    def __init__(self, message: str, code: int, data: bytes | None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Refused(Exception):  # noqa: N818 - a breaker refusing to go on is an answer, not an error
    """A breaker refused: nothing is broken, and nothing may be traded. The message says which one and why."""


class OracleRefused(Refused):
    """The vault's oracle gave no price for at least one token that the vault holds."""
