"""What gas costs over time: one price, or a series from a file."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field

from keeper.domain.errors import InputError
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


class GasFile(Model):
    """A series from a CSV file (also gzipped), oldest first, at any distances.

    Its columns are ``time`` (unix seconds or ISO 8601), ``base_fee_wei`` and, if the priority fee is not
    ``priority_fee_wei`` all the time, ``priority_fee_wei``.

    Iterating raises `InputError` at the first row that is wrong, by its line.
    """

    file: Annotated[str, Field(min_length=1)] = Field(description="path of the CSV file")
    priority_fee_wei: Uint = Field(default=GWEI, description="wei per unit of gas on top, where the file has no column")

    def __iter__(self) -> Iterator[tuple[int, int, int]]:  # type: ignore[override]  # a model iterates over its fields
        path = Path(self.file)
        opened = gzip.open if path.suffix == ".gz" else Path.open
        try:
            with opened(path, "rt", encoding="utf-8-sig") as lines:
                yield from self._rows(csv.DictReader(lines))
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or ("it is not text" if isinstance(error, ValueError) else error)
            raise InputError(f"cannot read the gas file {path}: {reason}") from None

    def _rows(self, rows: csv.DictReader[str]) -> Iterator[tuple[int, int, int]]:
        missing = [name for name in ("time", "base_fee_wei") if name not in (rows.fieldnames or ())]
        if missing:
            raise InputError(f"{self.file}: there is no column {missing[0]}; the first row names {rows.fieldnames}")
        before, said = -1, ""
        for row in rows:
            where = f"{self.file}: row {rows.line_num}"
            time = _seconds(row["time"] or "")
            if time is None:
                raise InputError(f"{where}: {_shown(row['time'])} is no time: unix seconds, or as 2021-01-01T12:00")
            cells = (row["base_fee_wei"], row.get("priority_fee_wei") or str(self.priority_fee_wei))
            wrong = [cell for cell in cells if not _is_whole(cell or "", _MOST_WEI)]
            if wrong:
                raise InputError(f"{where}: {_shown(wrong[0])} is no whole number of wei, an ether at most")
            base, priority = map(int, cells)
            if time <= before:
                raise InputError(f"{where}: {row['time']} comes after {said}: sort it by time")
            before, said = time, row["time"]
            yield time, base, priority
        if before < 0:
            raise InputError(f"{self.file}: there are no rows")


_MOST_WEI = 10**18
_MOST_SECONDS = 10**11
"""The year 5138: milliseconds are beyond it."""


def _is_whole(text: str, most: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and int(text) <= most


def _shown(cell: str | None) -> str:
    return repr((cell or "")[:40])


def _seconds(text: str) -> int | None:
    """Unix seconds of a time, in seconds or ISO 8601 (UTC where it names no zone); None if it is neither."""
    if _is_whole(text, _MOST_SECONDS):
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


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
