"""The journal's batches as a table, for whoever analyses them elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keeper.domain.errors import InputError
from keeper.submit.journal import Intent

FORMATS = (".csv", ".parquet")


def export_intents(intents: Sequence[Intent], path: Path) -> int:
    """Write ``intents``, oldest first, to a CSV or Parquet file; wei, WAD and raw amounts are decimal text.

    Returns:
        How many there are.

    Raises:
        InputError: the file's name ends in neither, or it cannot be written.
    """
    import pyarrow as pa  # noqa: PLC0415 - half a second, needed only here
    from pyarrow import csv, parquet  # noqa: PLC0415

    if path.suffix not in FORMATS:
        raise InputError(f"{path}: the file must end in {' or '.join(FORMATS)}")
    rows = [_row(intent) for intent in reversed(intents)]
    table = pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in _COLUMNS]))
    try:
        if path.suffix == ".csv":
            csv.write_csv(table, path)
        else:
            parquet.write_table(table, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    return len(rows)


_COLUMNS = (
    "intent", "created_at", "closed_at", "state", "why", "signer", "account_nonce", "vault_nonce", "attempts", "hash",
    "block", "gas_used", "gas_price", "nav_before", "nav_after", "drift_before", "drift_after", "predicted_cost",
    "realised_cost", "turnover", "predicted", "realised",
)  # fmt: skip


def _row(intent: Intent) -> dict[str, str | None]:
    mined = next((attempt for attempt in intent.attempts if attempt.receipt is not None), None)
    receipt = None if mined is None else mined.receipt
    outcome = intent.outcome
    values: dict[str, Any] = {
        "intent": intent.id,
        "created_at": _time(intent.created_at),
        "closed_at": _time(intent.closed_at),
        "state": str(intent.state),
        "why": intent.why,
        "signer": intent.signer,
        "account_nonce": intent.account_nonce,
        "vault_nonce": intent.vault_nonce,
        "attempts": len(intent.attempts),
        "hash": None if mined is None else mined.hash,
        "block": None if receipt is None else receipt.block_number,
        "gas_used": None if receipt is None else receipt.gas_used,
        "gas_price": None if receipt is None else receipt.gas_price,
        "nav_before": None if outcome is None else outcome.nav_before,
        "nav_after": None if outcome is None else outcome.nav_after,
        "drift_before": None if outcome is None else outcome.drift_before,
        "drift_after": None if outcome is None else outcome.drift_after,
        "predicted_cost": intent.predicted_cost,
        "realised_cost": None if outcome is None else outcome.nav_before - outcome.nav_after,
        "turnover": intent.turnover,
        "predicted": intent.predicted,
        "realised": None if outcome is None else outcome.realised,
    }
    return {name: None if value is None else str(value) for name, value in values.items()}


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
