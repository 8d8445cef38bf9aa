"""ERC-4626 shares that the oracle prices: where their rates stand in their corridors, and whose checkpoint to move.

`PriceOracle` believes a rate only near a checkpoint that `checkpoint(token)` moves, no faster than so much a day.
Anyone may call it, and somebody must: a rate that has grown out of its corridor is refused, and no vault with it
rebalances.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from keeper.chain import bindings
from keeper.chain.rpc import Endpoint
from keeper.units import WAD, mul_div, percent

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Share:
    """A share and its corridor: assets per share in WAD, now and at the checkpoint; the widths as WAD fractions of the
    checkpoint; times in seconds."""

    token: str
    rate: int
    checkpoint: int
    moved_at: int
    max_above: int
    max_below: int
    max_drift_per_day: int

    @property
    def room(self) -> int:
        """How far the rate may stand from the checkpoint on the side where it stands, assets per share in WAD."""
        return mul_div(self.checkpoint, self.max_above if self.rate >= self.checkpoint else self.max_below, WAD)

    @property
    def used(self) -> int:
        """The part of that which it takes up, WAD; above one the price is refused."""
        return mul_div(abs(self.rate - self.checkpoint), WAD, self.room)

    def reached(self, timestamp: int) -> int:
        """Where `checkpoint` would leave the checkpoint at `timestamp`: the arithmetic of the contract."""
        reach = self.max_drift_per_day * (timestamp - self.moved_at) // DAY
        least = self.checkpoint - mul_div(self.checkpoint, min(reach, self.max_below), WAD)
        most = self.checkpoint + mul_div(self.checkpoint, min(reach, self.max_above), WAD)
        return max(least, min(self.rate, most))

    def due(self, timestamp: int) -> bool:
        """Whether half of the corridor is used up, and a call would give back a tenth of it or more."""
        return 2 * self.used >= WAD and 10 * abs(self.reached(timestamp) - self.checkpoint) >= self.room

    def describe(self, timestamp: int) -> str:
        """Where it stands, in one line."""
        due = "due: `ape run checkpoint --live`" if self.due(timestamp) else "not due"
        return f"{self.token} uses {percent(self.used)} of its corridor, checkpoint {due}"


Corridor = tuple[int, int, int]
"""Widths above and below the checkpoint and its drift a day, as WAD fractions of it."""


def corridors(endpoint: Endpoint, oracle: str, block: object) -> dict[str, Corridor]:
    """The corridor of each share that `oracle` prices, at `block` (a JSON-RPC block parameter). It never changes."""
    feeds = bindings.view(endpoint, "PriceOracle", oracle, "feeds", block=block)
    return {to_checksum_address(token): tuple(share) for token, *_, share, _ in feeds if any(share)}


def read_shares(endpoint: Endpoint, oracle: str, block: object) -> list[Share]:
    """Every share that `oracle` prices, at `block`. Raises `RpcError` or `InputError`."""
    found = corridors(endpoint, oracle, block)
    return [read_share(endpoint, oracle, token, corridor, block) for token, corridor in found.items()]


def read_share(endpoint: Endpoint, oracle: str, token: str, corridor: Corridor, block: object) -> Share:
    """One share at `block`. Raises `RpcError`, also where the share itself reverts, or `InputError`."""
    checkpoint, moved_at = bindings.view(endpoint, "PriceOracle", oracle, "checkpoints", token, block=block)
    asset = bindings.view(endpoint, bindings.ERC4626, token, "asset", block=block)
    unit = 10 ** bindings.view(endpoint, bindings.ERC20, token, "decimals", block=block)
    decimals = bindings.view(endpoint, bindings.ERC20, asset, "decimals", block=block)
    assets = bindings.view(endpoint, bindings.ERC4626, token, "convertToAssets", unit, block=block)
    return Share(token, assets * 10 ** (18 - decimals), checkpoint, moved_at, *corridor)
