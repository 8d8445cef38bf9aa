"""What can be seen of a run: its Parquet file, cut down to what a chart has room for, in one pass."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet

from keeper.units import BPS

Floats = NDArray[np.float64]

ROOM = 480
"""Points across a chart: more cannot be told apart."""
MARKS = 300
"""Batches that a chart has room for; the largest are kept."""


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity over time: its lowest, highest and last number in each of the parts that the time was cut into."""

    low: Floats
    high: Floats
    last: Floats

    def thinned(self, starts: NDArray[np.intp]) -> Line:
        """The same in fewer parts: those that begin at these places."""
        low, high = np.minimum.reduceat(self.low, starts), np.maximum.reduceat(self.high, starts)
        return Line(low, high, self.last[ends_of(starts, len(self.last))])


def ends_of(starts: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The last place of each part of ``count`` places that begin at ``starts``."""
    return np.append(starts[1:], count) - 1


@dataclass(frozen=True, slots=True, order=True)
class Batch:
    """A batch that was sent: USD; ``bought`` by index of the basket, negative where sold; ``failed``: why, or None."""

    turnover: float
    time: int
    gas: float
    fees: float
    impact: float
    off_market: float
    failed: str | None = field(compare=False)
    bought: tuple[float, ...] = field(compare=False)
    index: tuple[float, ...] = field(compare=False)
    """Prices then, over those of the first row, times 100."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as its charts need it.

    ``time`` is unix seconds at the end of each part. ``value`` is after gas; ``lead`` and ``hold_lead`` are how far it
    and the basket held are ahead of the frictionless portfolio, bp. ``index`` are prices, 100 at the start.
    """

    time: Floats
    value: Line
    hold: Line
    ideal: Line
    lead: Line
    hold_lead: Line
    drift: Line
    weights: tuple[Line, ...]
    targets: tuple[Line, ...]
    index: tuple[Line, ...]
    batches: tuple[Batch, ...]
    """The largest, oldest first."""


class _Parts:
    """Cuts what comes in order into ``parts`` parts of ``rows`` rows together."""

    def __init__(self, rows: int, parts: int) -> None:
        self.low, self.high = np.full(parts, np.inf), np.full(parts, -np.inf)
        self.last = np.empty(parts)
        self._rows, self._parts = rows, parts

    def add(self, first: int, values: Floats) -> None:
        """Values of the rows from ``first`` on."""
        place = (np.arange(first, first + len(values)) * self._parts) // self._rows
        np.minimum.at(self.low, place, values)
        np.maximum.at(self.high, place, values)
        self.last[place] = values  # of several for one place, the last one stays

    @property
    def line(self) -> Line:
        return Line(self.low, self.high, self.last)


def read_run(path: Path, symbols: Sequence[str], room: int = ROOM, marks: int = MARKS) -> Run:
    """Read the Parquet file of a run; memory does not grow with its length."""
    file = parquet.ParquetFile(path)
    rows = file.metadata.num_rows
    parts = min(rows, room)
    names = ["value", "hold", "ideal", "lead", "hold_lead", "drift"]
    names += [f"{name}_{symbol}" for name in ("weight", "target", "index") for symbol in symbols]
    cut = {name: _Parts(rows, parts) for name in ("time", *names)}
    largest: list[Batch] = []
    first, gas, start, before = 0, 0.0, None, None
    with file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            column = {
                name: table[name].to_numpy()
                for name in ("time", "nav_usd", "hold_usd", "ideal_usd", "drift", "gas_usd")
            }
            prices, weights, targets = (
                np.stack([table[f"{name}_{symbol}"].to_numpy() for symbol in symbols], axis=1)
                for name in ("price", "weight", "target")
            )
            start = prices[0] if start is None else start
            spent = gas + np.cumsum(np.nan_to_num(column["gas_usd"]))
            gas = float(spent[-1])
            value, ideal = column["nav_usd"] - spent, column["ideal_usd"]
            found = {
                "time": column["time"].astype(np.float64),
                "value": value,
                "hold": column["hold_usd"],
                "ideal": ideal,
                "lead": (value / ideal - 1) * BPS,
                "hold_lead": (column["hold_usd"] / ideal - 1) * BPS,
                "drift": column["drift"],
            }
            index = prices / start * 100
            for k, symbol in enumerate(symbols):
                found |= {f"weight_{symbol}": weights[:, k], f"target_{symbol}": targets[:, k]}
                found |= {f"index_{symbol}": index[:, k]}
            for name, values in found.items():
                cut[name].add(first, values)
            amounts = weights * column["nav_usd"][:, None] / prices
            changes = np.diff(amounts, axis=0, prepend=amounts[:1] if before is None else before[None]) * prices
            for k in np.flatnonzero(~np.isnan(column["gas_usd"])).tolist():
                row = table.slice(k, 1).to_pylist()[0]
                failed = row["failed"]
                batch = Batch(
                    turnover=row["turnover_usd"],
                    time=row["time"],
                    gas=row["gas_usd"],
                    fees=row["fees_usd"],
                    impact=row["impact_usd"],
                    off_market=row["shortfall_usd"] - row["fees_usd"] - row["impact_usd"],
                    failed=failed,
                    bought=tuple(changes[k].tolist()) if failed is None else (),
                    index=tuple(index[k].tolist()),
                )
                (heapq.heappush if len(largest) < marks else heapq.heappushpop)(largest, batch)
            before = amounts[-1]
            first += len(value)
    lines = {name: parts_.line for name, parts_ in cut.items()}
    return Run(
        time=lines["time"].last,
        **{name: lines[name] for name in names[:6]},
        weights=tuple(lines[f"weight_{symbol}"] for symbol in symbols),
        targets=tuple(lines[f"target_{symbol}"] for symbol in symbols),
        index=tuple(lines[f"index_{symbol}"] for symbol in symbols),
        batches=tuple(sorted(largest, key=lambda batch: batch.time)),
    )
