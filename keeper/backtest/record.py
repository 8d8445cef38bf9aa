"""Every step of a run as a row of a Parquet file, written as it comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from pyarrow import parquet

from keeper.backtest.engine import Step
from keeper.domain.errors import InputError

_GROUP = 4_096
"""Steps held in memory, and in a row group of the file."""

_TEXT = pa.dictionary(pa.int32(), pa.string())

_COLUMNS: tuple[tuple[str, Any, Callable[[Step], Any]], ...] = (
    ("time", pa.int64(), lambda s: s.time),
    ("nav_usd", pa.float64(), lambda s: s.nav_usd),
    ("hold_usd", pa.float64(), lambda s: s.hold_value_usd),
    ("ideal_usd", pa.float64(), lambda s: s.ideal_value_usd),
    ("drift", pa.float64(), lambda s: s.drift),
    ("gas_price_wei", pa.int64(), lambda s: s.gas_price_wei),
    ("arbitrage_trades", pa.int32(), lambda s: s.arbitrage_trades),
    ("action", _TEXT, lambda s: s.decision and s.decision.action),
    ("reason", pa.string(), lambda s: s.decision and s.decision.reason),
    ("refused", pa.bool_(), lambda s: s.decision is not None and s.decision.refused),
    ("outcome", _TEXT, lambda s: s.executed and ("reverted" if s.executed.failed else "executed")),
    ("failed", pa.string(), lambda s: s.executed and s.executed.failed),
    ("decided_at", pa.int64(), lambda s: s.executed and s.executed.decided_at),
    ("turnover_usd", pa.float64(), lambda s: s.executed and s.executed.turnover_usd),
    ("fees_usd", pa.float64(), lambda s: s.executed and s.executed.costs.fees),
    ("impact_usd", pa.float64(), lambda s: s.executed and s.executed.costs.impact),
    ("off_oracle_usd", pa.float64(), lambda s: s.executed and s.executed.costs.off_oracle),
    ("shortfall_usd", pa.float64(), lambda s: s.executed and s.executed.costs.shortfall),
    ("gas_usd", pa.float64(), lambda s: s.executed and s.executed.costs.gas),
    ("swaps", pa.string(), lambda s: s.executed and _swaps(s)),
)
"""Names, types and where they come from. What has no batch is null in the columns of a batch."""

_OF_AN_ASSET: tuple[tuple[str, Any, Callable[[Step], Sequence[Any]]], ...] = (
    ("price", pa.float64(), lambda s: s.prices.tolist()),
    ("oracle", pa.float64(), lambda s: s.oracle.tolist()),
    ("weight", pa.float64(), lambda s: s.weights.tolist()),
    ("target", pa.float64(), lambda s: [target / 1e18 for target in s.targets]),
    ("balance", pa.string(), lambda s: list(map(str, s.balances))),
)
"""One column each for every asset, as ``price_WETH``; balances are raw units, as text."""


class Record:
    """Writes steps into a Parquet file in row groups, so that memory does not grow with their number.

    The file appears under its name only when all is written: until then, and if something goes wrong, it is not there.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: Path, symbols: Sequence[str]) -> None:
        fields = [(name, kind) for name, kind, _ in _COLUMNS]
        fields += [(f"{name}_{symbol}", kind) for name, kind, _ in _OF_AN_ASSET for symbol in symbols]
        self.path = path
        self._schema = pa.schema(fields)
        self._part = path.with_name(f"{path.name}.part")
        self._rows: list[tuple[Any, ...]] = []
        try:
            self._writer = parquet.ParquetWriter(self._part, self._schema, compression="zstd")
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from None

    def add(self, step: Step) -> None:
        """One step more."""
        row = [read(step) for _, _, read in _COLUMNS]
        for _, _, read in _OF_AN_ASSET:
            row += read(step)
        self._rows.append(tuple(row))
        if len(self._rows) == _GROUP:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._rows:
                self._flush()
        finally:
            self._writer.close()
        if kind is None:
            self._part.rename(self.path)
        else:
            self._part.unlink(missing_ok=True)


def _swaps(step: Step) -> str:
    fill = step.executed
    return json.dumps([swap.model_dump(mode="json") for swap in fill.swaps]) if fill else ""
