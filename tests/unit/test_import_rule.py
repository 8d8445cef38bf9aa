"""Rooms import only from rooms above them, and the core knows neither chain, clock nor disk (docs: the layout)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

KEEPER = Path(__file__).parents[2] / "keeper"

ROOMS = (
    "units",
    "pools",
    "domain",
    "routing",
    "policy",
    "market",
    "backtest",
    "chain",
    "submit",
    "ops",
    "devnet",
    "config",
    "loop",
    "fleet",
    "workers",
    "report",
    "picture",
    "stress",
    "commands",
    "cli",
)
"""Ground floor first."""

CORE = frozenset(ROOMS[:5])

OUTSIDE = {
    *("asyncio", "datetime", "glob", "http", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket"),
    *("sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid"),
    *("ape", "eth_abi", "eth_account", "eth_utils", "requests", "web3"),
}
"""Modules through which clock, chance, disk or network would get into the core."""


def imports(source: str, package: str) -> Iterator[str]:
    """Dotted names of all modules that `source`, a module of `package`, imports anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            # `from keeper import chain` names the room only after the import.
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "keeper" else (base,)


def violations(source: str, path: str) -> Iterator[str]:
    """What a module breaks of the rule. `path` is relative to the keeper package, as `pools/base.py`."""
    room = path.removesuffix(".py").split("/")[0]
    if room == "__init__":
        return
    if room not in ROOMS:
        yield f"{path}: {room} is not in the list of rooms"
        return
    package = ".".join(["keeper", *path.split("/")[:-1]])
    for module in imports(source, package):
        top, _, rest = module.partition(".")
        target = rest.split(".")[0]
        if top == "keeper" and target != "__version__" and target not in ROOMS[: ROOMS.index(room) + 1]:
            yield f"{path}: imports {module}, which is not above {room}"
        if room in CORE and top in OUTSIDE:
            yield f"{path}: imports {module}, which the core may not know"


def test_every_room_imports_only_from_rooms_above_it():
    found = [
        violation
        for module in sorted(KEEPER.rglob("*.py"))
        for violation in violations(module.read_text(), module.relative_to(KEEPER).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("import web3", "units.py"),
        ("from web3 import Web3", "policy/decide.py"),
        ("import time", "routing/problem.py"),
        ("from keeper.chain import rpc", "domain/snapshot.py"),
        ("from keeper import chain", "domain/snapshot.py"),
        ("import keeper.chain.rpc", "domain/snapshot.py"),
        ("from ..chain import rpc", "pools/base.py"),
        ("def f():\n    from keeper.submit import order", "policy/decide.py"),
        ("from keeper.policy import decide", "pools/base.py"),
        ("from keeper.cli import main", "loop.py"),
        ("from keeper.web import app", "policy/decide.py"),
        ("", "elsewhere.py"),
    ],
)
def test_a_violation_is_found(source, path):
    assert list(violations(source, path))


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("from keeper.units import WAD", "pools/base.py"),
        ("from keeper.pools.base import Model", "pools/uniswap_v2.py"),
        ("from . import base", "pools/uniswap_v2.py"),
        ("import web3", "chain/rpc.py"),
        ("from keeper.policy import decide", "cli.py"),
        ("import math, json", "units.py"),
    ],
)
def test_what_is_allowed_is_not_a_violation(source, path):
    assert not list(violations(source, path))
