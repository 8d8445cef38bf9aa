"""The project's own compiled contracts, as `ape compile` leaves them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keeper.domain.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / ".build" / "__local__.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    `abi` is the JSON interface, `bytecode` the code that a deployment runs (constructor arguments are appended to
    it), `runtime` the code that stays on chain, with zeros where the constructor writes immutables.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime: bytes


def load(name: str) -> Artifact:
    """The artifact of the contract called `name`; raises `InputError` if it was never compiled."""
    try:
        modified = MANIFEST.stat().st_mtime_ns
    except FileNotFoundError:
        raise InputError("the contracts are not compiled: run `make setup`") from None
    contract = _contract_types(modified).get(name)
    if contract is None:
        raise InputError(f"the contract {name} is not compiled: run `make setup`")
    return Artifact(
        name=name,
        abi=contract["abi"],
        bytecode=_code(contract, "deploymentBytecode"),
        runtime=_code(contract, "runtimeBytecode"),
    )


@lru_cache(maxsize=1)
def _contract_types(modified: int) -> dict[str, Any]:  # noqa: ARG001 (the cache key)
    """The manifest is large: parse it once per compilation, told apart by the time it was `modified`."""
    manifest: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    contract_types: dict[str, Any] = manifest.get("contractTypes") or {}
    return contract_types


def _code(contract: dict[str, Any], kind: str) -> bytes:
    # Interfaces have an ABI and no code.
    code: str = (contract.get(kind) or {}).get("bytecode", "")
    return bytes.fromhex(code.removeprefix("0x"))
