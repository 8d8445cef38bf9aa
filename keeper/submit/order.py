"""The packed order that `IndexVault.rebalance` takes; the mirror of `contracts/libraries/OrderLib.sol`.

order := nonce:u64, deadline:u40, epoch:u32, sellCount:u8, buyCount:u8, sell*, buy*, route
sell  := index:u8, amount:u128, to:20
buy   := index:u8, minAmount:u128
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

ZERO_ADDRESS: Final = "0x" + "00" * 20

_HEADER = 19
_SELL = 37
_BUY = 17


@dataclass(frozen=True, slots=True)
class OrderSell:
    """`amount` raw units of the asset at `index`, sent out before the route runs; to the executor if `to` is zero."""

    index: int
    amount: int
    to: str = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class OrderBuy:
    """The vault must hold at least `min_amount` raw units more of the asset at `index` once the route has run."""

    index: int
    min_amount: int


_Item = TypeVar("_Item", OrderSell, OrderBuy)


@dataclass(frozen=True, slots=True)
class Order:
    """What the keeper asks of the vault. `deadline` is a timestamp in seconds, `route` the executor's program.

    Indexes ascend strictly within `sells` and within `buys`.
    """

    nonce: int
    deadline: int
    epoch: int
    sells: tuple[OrderSell, ...]
    buys: tuple[OrderBuy, ...]
    route: bytes

    def encode(self) -> bytes:
        """The packed bytes. Raises ValueError if a number does not fit its field or indexes do not ascend."""
        return b"".join(
            (
                pack(self.nonce, 8),
                pack(self.deadline, 5),
                pack(self.epoch, 4),
                pack(len(self.sells), 1),
                pack(len(self.buys), 1),
                *(pack(s.index, 1) + pack(s.amount, 16) + address_bytes(s.to) for s in _ascending(self.sells)),
                *(pack(b.index, 1) + pack(b.min_amount, 16) for b in _ascending(self.buys)),
                self.route,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Order:
        """The order in packed bytes. Raises ValueError if they are too few or indexes do not ascend."""
        if len(data) < _HEADER:
            raise ValueError(f"an order has at least {_HEADER} bytes, not {len(data)}")
        buys_at = _HEADER + data[17] * _SELL
        route_at = buys_at + data[18] * _BUY
        if len(data) < route_at:
            raise ValueError(f"this order needs {route_at} bytes, but has {len(data)}")
        return cls(
            nonce=int.from_bytes(data[0:8], "big"),
            deadline=int.from_bytes(data[8:13], "big"),
            epoch=int.from_bytes(data[13:17], "big"),
            sells=_ascending(
                tuple(
                    OrderSell(
                        index=data[at],
                        amount=int.from_bytes(data[at + 1 : at + 17], "big"),
                        to="0x" + data[at + 17 : at + 37].hex(),
                    )
                    for at in range(_HEADER, buys_at, _SELL)
                )
            ),
            buys=_ascending(
                tuple(
                    OrderBuy(index=data[at], min_amount=int.from_bytes(data[at + 1 : at + 17], "big"))
                    for at in range(buys_at, route_at, _BUY)
                )
            ),
            route=data[route_at:],
        )


def address_bytes(address: str) -> bytes:
    """The 20 bytes of a hexadecimal address."""
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:
        raise ValueError(f"{address} is no address")
    return raw


def pack(value: int, size: int) -> bytes:
    """`value` in `size` bytes, big-endian. Raises ValueError if it does not fit."""
    if not 0 <= value < 1 << 8 * size:
        raise ValueError(f"{value} does not fit in {8 * size} bits")
    return value.to_bytes(size, "big")


def _ascending(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    for before, after in pairwise(items):
        if after.index <= before.index:
            raise ValueError(f"index {after.index} follows {before.index}: indexes must ascend")
    return items
