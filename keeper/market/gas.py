"""What gas costs over time: one price, or a series from a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pydantic import Field

from keeper.pools.base import Model
from keeper.units import Uint

GWEI = 10**9


class GasPrices(Protocol):
    """Wei per unit of gas over time: base fee and priority fee, oldest first; each holds until the next.

    Every ``iter()`` starts anew and gives the same rows.
    """

    def __iter__(self) -> Iterator[tuple[int, int, int]]: ...


class ConstantGas(Model):
    """The same price all the time."""

    base_fee_wei: Uint = Field(default=15 * GWEI, description="wei per unit of gas, 0 or more")
    priority_fee_wei: Uint = Field(default=GWEI, description="wei per unit of gas on top, 0 or more")

    def __iter__(self) -> Iterator[tuple[int, int, int]]:  # type: ignore[override]  # a model iterates over its fields
        yield 0, self.base_fee_wei, self.priority_fee_wei


class GasMeter:
    """Reads gas prices forwards in time."""

    def __init__(self, prices: GasPrices) -> None:
        self._rows = iter(prices)
        self._now = next(self._rows)
        self._next = next(self._rows, None)
        self.factor = 1

    def at(self, time: int) -> tuple[int, int]:
        """Base fee and priority fee, wei, at ``time``, which never falls; before the first row, those of the first."""
        while self._next is not None and self._next[0] <= time:
            self._now, self._next = self._next, next(self._rows, None)
        return self._now[1] * self.factor, self._now[2] * self.factor
