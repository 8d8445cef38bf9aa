"""Prices from a file: one row for each moment and symbol, as exchanges and data vendors hand them out.

The file is read once, a block at a time, and every row is checked; what is needed of it is laid down in unnamed
temporary files that end with the process. Reading the rows again then costs little, and memory does not grow with the
file.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv, parquet

from keeper.domain.errors import InputError
from keeper.market.source import Row

TIME_COLUMNS = {"time": 0, "timestamp": 0, "date": 86_400, "hour_open_utc": 3_600}
"""What the column of the time may be called, and how many seconds after what it says the close was seen: a ``date`` is
a UTC day, whose close is seen at 24:00; an ``hour_open_utc`` is the beginning of an hour, whose close is seen at its
end."""

_BLOCK_BYTES = 1 << 20
_BLOCK_ROWS = 1 << 16
_CHUNK = 4_096
"""Rows that an iteration holds at a time."""
_MILLISECONDS = 10**11
"""The year 5138 in seconds: a number above it was not meant as seconds."""
_LEAST, _MOST = 1e-8, 1e10
"""USD: what a feed's answer of eight decimals can say, with room to rise."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MANY = 1_000
"""Different distances between rows that are told apart; an even file has a handful."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class PriceFile:
    """Closes from a CSV (also gzipped) or Parquet file: `keeper.market.Prices`.

    Columns, in any order: the time (one of ``TIME_COLUMNS``: unix seconds, or ISO 8601, UTC where it names no zone),
    ``symbol``, ``close`` (USD for one whole token); others are not read. The rows of each symbol must come in order of
    time and at even distances; those of different symbols may be mixed or one after the other. The rows given are those
    at which every symbol has a price: from the latest first to the earliest last.

    Args:
        path: the file.
        symbols: what to read, in this order; all that the file has, in order of appearance, if None.
        names: what the file calls a symbol, where it is not the same: ``{"WETH": "ETH"}``.
        optional: symbols among those that are left out if the file has none of them.
        fill_gaps: up to so many rows missing in a row stand at the close before them.

    Raises:
        InputError: the file cannot be read, has not these columns, or a row is wrong: a price that is none, zero or
            negative or beyond what a feed can say, a time that is none, or not after the one before it, or further
            from it than a step and the gap allowed; or a symbol is not in it, or two would be one. The message names
            the row: in a CSV file its line, in a Parquet file its number from 1.
    """

    def __init__(
        self,
        path: Path | str,
        symbols: Sequence[str] | None = None,
        *,
        names: Mapping[str, str] | None = None,
        optional: Collection[str] = (),
        fill_gaps: int = 0,
    ) -> None:
        self.path = Path(path)
        # Into another process goes what it was made of, not what is mapped.
        self._again = partial(
            PriceFile,
            self.path,
            None if symbols is None else tuple(symbols),
            names=dict(names or {}),
            optional=tuple(optional),
            fill_gaps=fill_gaps,
        )
        named = dict(names or {})
        if twice := _twice([named.get(symbol, symbol) for symbol in symbols or ()]):
            raise InputError(f"{twice} is asked for twice: name each asset of the basket once")
        wanted = None if symbols is None else {named.get(symbol, symbol): symbol in optional for symbol in symbols}
        with _Reading(self.path, wanted) as reading:
            reading.read()
            ours = {other: symbol for symbol, other in named.items()}
            self.symbols: tuple[str, ...] = (
                tuple(ours.get(name, name) for name in reading.columns)
                if symbols is None
                else tuple(symbol for symbol in symbols if named.get(symbol, symbol) in reading.columns)
            )
            if twice := _twice(self.symbols):
                raise InputError(f"{self.path}: two names in it would be {twice}: name the symbols that are wanted")
            self.step: int = reading.step(fill_gaps)
            """Seconds from one row to the next: the distance that most rows have."""
            self.start, self.stop = reading.overlap(self.step)
            """Of the first and the last row, unix seconds."""
            mapped = {name: column.mapped() for name, column in reading.columns.items()}
        self._columns = [mapped[named.get(symbol, symbol)] for symbol in self.symbols]

    def __reduce__(self) -> tuple[object, ...]:
        return self._again, ()

    def __length_hint__(self) -> int:
        return (self.stop - self.start) // self.step + 1

    def __iter__(self) -> Iterator[Row]:
        for chunk in range(self.start, self.stop + 1, self.step * _CHUNK):
            times = np.arange(chunk, min(chunk + self.step * _CHUNK, self.stop + 1), self.step)
            prices = np.empty((len(times), len(self._columns)))
            for k, (seen, closes) in enumerate(self._columns):
                prices[:, k] = closes[np.searchsorted(seen, times, side="right") - 1]
            yield from zip(times.tolist(), prices, strict=True)


def moment(seconds: int) -> str:
    """Unix seconds for people: ``moment(1_577_836_800) == "2020-01-01 00:00"``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")


@dataclass
class _Column:
    """The rows of one symbol, in files while they are read, mapped into memory afterwards."""

    name: str
    times: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    closes: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    first: int | None = None
    last: int = -1
    distances: Counter[int] = field(default_factory=Counter)
    """Seconds between a row and the one before it: how many rows have it …"""
    met: dict[int, tuple[int, int]] = field(default_factory=dict)
    """… and the first that has, with its time."""

    def disorder(self, times: Ints) -> tuple[int, str] | None:
        """Which of these times is the first that cannot follow the one before it, and why."""
        before = np.concatenate([[self.last], times[:-1]])
        late = times <= before
        if not late.any():
            return None
        k = int(late.argmax())
        time, earlier = moment(int(times[k])), moment(int(before[k]))
        if times[k] == before[k]:
            return k, f"{self.name} has a second price at {time}: keep one of them"
        return k, f"{self.name} at {time} comes after {self.name} at {earlier}: sort the file by time"

    def add(self, times: Ints, closes: Floats, rows: Ints) -> None:
        """Lay rows down; they are in order."""
        distances = np.diff(times, prepend=times[0] if self.first is None else self.last)
        kinds, where, numbers = np.unique(distances, return_index=True, return_counts=True)
        for distance, k, number in zip(kinds.tolist(), where.tolist(), numbers.tolist(), strict=True):
            if distance:  # the very first row has none
                self.met.setdefault(distance, (int(rows[k]), int(times[k])))
                self.distances[distance] += number
        self.first = int(times[0]) if self.first is None else self.first
        self.last = int(times[-1])
        self.times.write(times.astype(np.int64).tobytes())
        self.closes.write(closes.tobytes())

    def close(self) -> None:
        """Lets go of the files; what is mapped stays."""
        self.times.close()
        self.closes.close()

    def mapped(self) -> tuple[Ints, Floats]:
        """Times and closes, read from disk where they are looked at."""
        self.times.flush()
        self.closes.flush()
        times: Ints = np.memmap(self.times, dtype=np.int64, mode="r")
        closes: Floats = np.memmap(self.closes, dtype=np.float64, mode="r")
        return times, closes


class _Reading:
    """One pass over a file. ``columns`` are what was asked for, by the name that the file has for it."""

    def __init__(self, path: Path, wanted: Mapping[str, bool] | None) -> None:
        """``wanted``: names, and whether they may be missing; everything if None."""
        self.path = path
        self.columns = {name: _Column(name) for name in wanted or ()}
        self._optional = {name for name, optional in (wanted or {}).items() if optional}
        self._all = wanted is None
        self._others: dict[str, None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for column in self.columns.values():
            column.close()

    def read(self) -> None:
        try:
            if self.path.suffix.lower() == ".parquet":
                self._read_parquet()
            else:
                self._read_csv()
        except OSError as error:
            reason = error if error.errno is None else os.strerror(error.errno)
            raise InputError(f"cannot read the price file {self.path}: {reason}") from None
        except pa.ArrowException as error:
            hint = ": save it as UTF-8" if "UTF8" in str(error) else ""
            raise self._wrong(" ".join(str(error).split()) + hint) from None
        for name in self._optional:
            if self.columns[name].first is None:
                self.columns.pop(name).close()
        for name, column in self.columns.items():
            if column.first is None:
                found = [name for name, column in self.columns.items() if column.first is not None]
                has = ", ".join([*found, *self._others]) or "no rows"
                raise self._wrong(f"there are no prices of {name}; the file has {has}")
        if not self.columns:
            raise self._wrong("there are no rows")

    def step(self, fill_gaps: int) -> int:
        """The distance that most rows have. Raises `InputError` at the first row with one that is not allowed."""
        distances = sum((column.distances for column in self.columns.values()), Counter())
        if not distances:
            raise self._wrong("there is one row for each symbol: two at least are needed")
        step = distances.most_common(1)[0][0]
        largest = max(max(column.met, default=step) for column in self.columns.values()) // step - 1
        faults = []
        for name, column in self.columns.items():
            for distance, (row, time) in column.met.items():
                missing = distance // step - 1
                if distance % step:
                    apart = f"{name} at {moment(time)} comes {distance} s after the row before it, most rows {step} s"
                    faults.append((row, f"{apart}: prices must be at even distances"))
                elif missing > fill_gaps:
                    gap = f"{name} has a gap of {missing} row{'s' * (missing > 1)} before {moment(time)}"
                    allow = f"--fill-gaps {largest} lets prices stand still in this and every other gap of the file"
                    faults.append((row, f"{gap}: {allow}"))
        if faults:
            raise self._wrong(*min(faults))
        return step

    def overlap(self, step: int) -> tuple[int, int]:
        """Times of the first and the last row at which every symbol has a price."""
        late = max(self.columns.values(), key=lambda column: column.first or 0)
        early = min(self.columns.values(), key=lambda column: column.last)
        start, stop = late.first or 0, early.last
        if start > stop:
            raise self._wrong(
                f"{early.name} ends on {moment(stop)}, before {late.name} begins on {moment(start)}:"
                " choose symbols that have prices at the same time"
            )
        for column in self.columns.values():
            if ((column.first or 0) - start) % step:
                raise self._wrong(
                    f"{column.name} begins on {moment(column.first or 0)} and {late.name} on {moment(start)}, which are"
                    f" not whole steps of {step} s apart: give all symbols prices at the same times"
                )
        return start, stop

    def _read_csv(self) -> None:
        with self.path.open("rb") as file:
            if file.read(2) in _UTF_16:
                raise self._wrong("it is UTF-16: save it as UTF-8")
        # Without threads: only then does an error of the parser name the row.
        read = csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
        with csv.open_csv(self.path, read_options=read) as first_look:
            names = first_look.schema.names
        time, symbol, close = self._places(names)
        convert = csv.ConvertOptions(
            column_types={names[place]: pa.string() for place in (time, symbol, close)},
            include_columns=[names[place] for place in (time, symbol, close)],
            null_values=[""],
            strings_can_be_null=True,
        )
        parse = csv.ParseOptions(ignore_empty_lines=False)
        row = 2
        with csv.open_csv(self.path, read_options=read, parse_options=parse, convert_options=convert) as reader:
            for batch in reader:
                row = self._take(row, TIME_COLUMNS[_plain(names[time])], *batch.columns)

    def _read_parquet(self) -> None:
        with parquet.ParquetFile(self.path) as file:
            names, types = file.schema_arrow.names, file.schema_arrow.types
            places = self._places(names)
            for place, fits in zip(places, (_is_time, _is_name, _is_number), strict=True):
                if not fits(types[place]):
                    raise self._wrong(f"the column {names[place]} holds {types[place]}: write it as another type")
            wanted = [names[place] for place in places]
            row = 1
            for batch in file.iter_batches(batch_size=_BLOCK_ROWS, columns=wanted):
                row = self._take(row, TIME_COLUMNS[_plain(wanted[0])], *(batch.column(name) for name in wanted))

    def _places(self, names: Sequence[str]) -> tuple[int, int, int]:
        """Where the columns of the time, the symbol and the close are."""
        found = [_plain(name) for name in names]
        time = next((name for name in TIME_COLUMNS if name in found), None)
        if twice := next((n for n in (time or "", *_REST) if found.count(n) > 1), None):
            raise self._wrong(f"there are two columns {twice}: leave one of them out")
        for lacking, what in ((time is None, " or ".join(TIME_COLUMNS)), *((n not in found, n) for n in _REST)):
            if lacking:
                raise self._wrong(f"there is no column {what}; the first row names {', '.join(names)}")
        return found.index(time or ""), found.index("symbol"), found.index("close")

    def _take(self, row: int, later: int, time: Any, symbol: Any, close: Any) -> int:
        """Check and lay down a block of rows that begins at ``row``; returns the number of the row after it."""
        coded = symbol.cast(pa.string()).dictionary_encode()
        names: list[str] = coded.dictionary.to_pylist()
        places: Ints = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        if (places < 0).any():
            raise self._wrong(row + int((places < 0).argmax()), "there is no symbol")
        for name in names:
            if self._all and name not in self.columns:
                self.columns[name] = _Column(name)
            elif name not in self.columns:
                self._others[name] = None
        wanted = np.isin(places, [k for k, name in enumerate(names) if name in self.columns])
        times = self._times(row, time) + later
        closes = self._closes(row, close, wanted)
        rows = np.arange(row, row + len(times))
        faults = []
        for k, name in enumerate(names):
            column = self.columns.get(name)
            if column is None:
                continue
            mine = np.flatnonzero(places == k)
            if fault := column.disorder(times[mine]):
                faults.append((int(rows[mine[fault[0]]]), fault[1]))
            else:
                column.add(times[mine], closes[mine], rows[mine])
            if len(column.met) > _MANY:
                raise self._wrong(int(rows[mine[-1]]), f"{name} has prices at uneven distances of time up to here")
        if faults:
            raise self._wrong(*min(faults))
        return row + len(times)

    def _times(self, row: int, time: Any) -> Ints:
        """Unix seconds of a block, whatever its column is made of."""
        seconds = _as_seconds(time)
        bad = ~(np.isfinite(seconds) & (seconds >= 0) & (seconds == np.floor(seconds)) & (seconds < _MILLISECONDS))
        if bad.any():
            k = int(bad.argmax())
            hint = "these look like milliseconds, " if seconds[k] >= _MILLISECONDS else ""
            raise self._wrong(row + k, f"{_shown(time[k])} is no time: {hint}give whole unix seconds or ISO 8601")
        return seconds.astype(np.int64)

    def _closes(self, row: int, close: Any, wanted: NDArray[np.bool_]) -> Floats:
        """Prices of a block; those that are not wanted need not be any."""
        try:
            closes: Floats = close.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            closes = np.array([_number(text) for text in close.to_pylist()])
        bad = wanted & ~(np.isfinite(closes) & (closes > 0))
        if bad.any():
            k = int(bad.argmax())
            raise self._wrong(row + k, f"{_shown(close[k])} is no price: a close is a number above zero")
        beyond = wanted & ((closes < _LEAST) | (closes > _MOST))
        if beyond.any():
            k = int(beyond.argmax())
            raise self._wrong(
                row + k, f"{_shown(close[k])} is no price that a feed could say: it is in USD for one token"
            )
        return closes

    def _wrong(self, row: int | str, what: str = "") -> InputError:
        return InputError(f"{self.path}: row {row}: {what}" if what else f"{self.path}: {row}")


_REST = ("symbol", "close")


def _twice(names: Sequence[str]) -> str | None:
    """The first name that stands there more than once."""
    return next((name for name in names if names.count(name) > 1), None)


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string))


def _is_number(kind: pa.DataType) -> bool:
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return _is_text(kind) or any(test(kind) for test in numeric)


def _is_time(kind: pa.DataType) -> bool:
    return _is_number(kind) or any(test(kind) for test in (pa.types.is_timestamp, pa.types.is_date))


def _is_name(kind: pa.DataType) -> bool:
    return _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_dictionary(kind)


def _plain(name: str) -> str:
    return name.strip().lower()


def _shown(value: Any) -> str:
    """A cell for people."""
    found = value.as_py()
    return "an empty cell" if found is None else repr(found)[:40]


def _as_seconds(time: Any) -> Floats:
    """Unix seconds; not a number where a cell is no time."""
    if pa.types.is_string(time.type) or pa.types.is_large_string(time.type):
        for kind in (pa.float64(), pa.timestamp("us", "UTC"), pa.timestamp("us")):
            try:
                return _as_seconds(time.cast(kind))
            except pa.ArrowInvalid:  # another spelling, or a cell that is no time at all
                continue
        return np.array([_spelt(text) for text in time.to_pylist()])
    if pa.types.is_timestamp(time.type) or pa.types.is_date(time.type):
        zone = time.type.tz if pa.types.is_timestamp(time.type) else None
        micros = pc.cast(time, pa.timestamp("us", zone), safe=False).cast(pa.int64())
        whole: Floats = micros.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return whole / 1e6
    numbers: Floats = time.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _spelt(text: str | None) -> float:
    """One time in whatever spelling ISO 8601 allows, as unix seconds; not a number if it is none."""
    try:
        found = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return _number(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _number(text: object) -> float:
    spelt = str(text)
    try:
        return float("nan" if "_" in spelt else spelt)  # Python's way to write a thousand, and nobody else's
    except ValueError:
        return float("nan")
