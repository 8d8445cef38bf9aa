"""Moving the checkpoints of ERC-4626 shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from eth_utils.address import to_checksum_address

from keeper.chain.bindings import interface, view
from keeper.chain.errors import NodeError
from keeper.chain.rpc import Endpoint, Header
from keeper.chain.shares import Corridor, Share, corridors, read_share
from keeper.submit.errors import SendError

if TYPE_CHECKING:
    from keeper.submit.deployer import Send


_LOOK_SECONDS = 600


class Checkpoints:
    """Finds the checkpoint to move, for a keeper that goes on. Looks every ten minutes of the chain's time."""

    def __init__(self, endpoint: Endpoint, vault: str) -> None:
        self.endpoint, self.vault = endpoint, vault
        self._looks_at = 0
        self._known: dict[str, dict[str, Corridor]] = {}

    def next_due(self, head: Header) -> tuple[str, Share] | None:
        """The vault's oracle and the first of its shares that is due at this block, once for each look.

        Raises `RpcError` or `InputError`. A share that does not answer is passed over: the others need their prices.
        """
        if head.timestamp < self._looks_at:
            return None
        # Not the deployment's: the timelock may have changed it.
        oracle = to_checksum_address(view(self.endpoint, "IndexVault", self.vault, "book", block=head.tag)[0])
        if oracle not in self._known:
            self._known = {oracle: corridors(self.endpoint, oracle, head.tag)}
        self._looks_at = head.timestamp + _LOOK_SECONDS
        for token, corridor in self._known[oracle].items():
            try:
                share = read_share(self.endpoint, oracle, token, corridor, head.tag)
            except NodeError:
                continue
            if share.due(head.timestamp):
                return oracle, share
        return None


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
