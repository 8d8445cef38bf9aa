"""Moving the checkpoints of ERC-4626 shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from keeper.chain.bindings import interface
from keeper.chain.shares import Share
from keeper.submit.errors import SendError

if TYPE_CHECKING:
    from keeper.submit.deployer import Send


def move_due(shares: Sequence[Share], oracle: str, timestamp: int, send: Send) -> Iterator[str]:
    """Moves, one after another, the checkpoints that are due at `timestamp`; yields the token of each that was moved.

    Raises `SendError` if a transaction reverts, and whatever `send` raises.
    """
    for share in shares:
        if not share.due(timestamp):
            continue
        receipt = send(oracle, interface("PriceOracle").encode("checkpoint", share.token))
        if int(receipt["status"], 16) != 1:
            raise SendError(f"the oracle {oracle} did not move the checkpoint of {share.token}")
        yield share.token
