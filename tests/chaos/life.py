"""One life of a keeper: `keeper run --live` in a process of its own, with what is to go wrong in it.

Nothing of the keeper knows about this: journal, routes and node are wrapped from outside.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from keeper.chain import artifacts, bindings
from keeper.chain.errors import NodeError, RpcError
from keeper.chain.rpc import Endpoint
from keeper.config import Config
from keeper.loop import Keeper, Outcome, Service, run
from keeper.ops.alerts import AlertsConfig
from keeper.ops.watch import Watch
from keeper.routing.warm import warm
from keeper.submit.errors import LostLease
from keeper.submit.journal import Journal, Store, store
from keeper.submit.signer import EnvironmentKey, unlock

WRITES = ("record", "commit", "signed", "sent", "mined", "unmined", "close", "know")
INSTANTS = ("before", "within", "after")
POINTS = (
    *((write, instant) for write in WRITES for instant in INSTANTS),
    ("broadcast", "before"),
    ("broadcast", "after"),
)
"""Every transition of the journal, before it, in its transaction and after it; and every broadcast."""

LOST = 3
"""Exit code of a keeper that another one has taken over from, or that must stand by."""


def _prepare() -> None:
    """What every keeper does first, once and for all, in the process that all lives are forked from."""
    warm()
    for name in ("IndexVault", "VaultAdmin", "Lens"):
        artifacts.load(name)
    for name in ("IndexVault", "VaultAdmin"):
        bindings.interface(name)
    Endpoint("http://127.0.0.1:1")  # imports web3
    unlock(EnvironmentKey(kind="environment", variable="KEEPER_KEY"))
    with TemporaryDirectory() as directory:
        Store(f"sqlite:///{directory}/journal.sqlite").close()


if "KEEPER_KEY" in os.environ:
    _prepare()


@dataclass(frozen=True, slots=True)
class Fate:
    """What goes wrong in a life: the signal it sends itself at a point, and what its surroundings do to it.

    ``fault_rate`` is the part of all RPC calls that fail in one of ``fault_kinds``; ``file_limit`` is by how many bytes
    the journal's files may still grow; ``busy_seconds`` is for how long a locked database is waited for.
    """

    point: tuple[str, str] | None = None
    signal: int = signal.SIGKILL
    fault_rate: float = 0.0
    fault_kinds: tuple[str, ...] = ()
    seed: int = 0
    clock_off: float = 0.0
    file_limit: int | None = None
    busy_seconds: float | None = None


def live(path: Path, clock: Any, pipe: Connection, fate: Fate) -> None:
    """Runs until something ends it. Tells ``pipe`` (block or None, status, reason) after each tick."""
    if fate.busy_seconds is not None:
        store._BUSY_SECONDS = fate.busy_seconds  # type: ignore[misc]
    keeper = Keeper.assemble(Config.load(path))
    keeper.check_chain()
    assert keeper.config.signer is not None
    try:
        service = Service.open(keeper, unlock(keeper.config.signer), lambda: clock.value + fate.clock_off)
    except LostLease as standby:
        pipe.send((None, "standby", str(standby)))
        sys.exit(LOST)
    assert service.engine is not None
    if fate.fault_rate:
        faulty = Faulty(keeper.endpoint, fate)
        service = replace(service, keeper=replace(keeper, endpoint=faulty))
        service.engine.endpoint = faulty
        route = service.engine._broadcast

        def send(raw: bytes, *blocks: int) -> str:
            faulty.strike("eth_sendRawTransaction")
            return route(raw, *blocks)

        service.engine._broadcast = send
    if fate.point is not None:
        _doom(service, fate.point, fate.signal)
    if fate.file_limit is not None:
        held = max(file.stat().st_size for file in path.parent.glob("journal-live.sqlite*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (held + fate.file_limit, resource.RLIM_INFINITY))

    def report(outcome: Outcome) -> None:
        pipe.send((outcome.block_number, outcome.status, outcome.reason))

    watch = Watch(None, AlertsConfig(), [keeper.deployment.vault], "test")
    try:
        run(service, threading.Event(), report, lambda why: pipe.send((None, "failed", why)), watch)
    except LostLease:
        sys.exit(LOST)


def _doom(service: Service, point: tuple[str, str], number: int) -> None:
    """Lets the process send itself a signal when it comes to a point for the first time."""
    name, instant = point
    spent = False

    def strike(at: str) -> None:
        nonlocal spent
        if at == instant and not spent:
            spent = True
            os.kill(os.getpid(), number)

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            strike("before")
            result = function(*arguments, **named)
            strike("after")
            return result

        return wrapped

    engine = service.engine
    assert engine is not None
    if name == "broadcast":
        engine._broadcast = around(engine._broadcast)
        return
    inside = False
    write = Store.write

    @contextmanager
    def doomed(self: Store) -> Iterator[Any]:
        with write(self) as session:
            yield session
            if inside:
                session.flush()
                strike("within")

    def marked(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal inside
            inside = True
            try:
                return function(*arguments, **named)
            finally:
                inside = False

        return wrapped

    Store.write = doomed  # type: ignore[method-assign]
    setattr(Journal, name, around(marked(getattr(Journal, name))))


KINDS = ("drop", "delay", "refuse", "garbage", "stale", "vanish")


class Faulty(Endpoint):
    """A node that fails now and then: no answer, a late one, an error, garbage, an old head, a receipt that is gone."""

    def __init__(self, node: Endpoint, fate: Fate) -> None:
        self.node, self.name, self.fate = node, node.name, fate
        self.random = random.Random(fate.seed)  # noqa: S311  no secret, but the same again for the same seed

    def strike(self, method: str) -> str | None:
        """Which fault befalls this call; raises the ones that are errors."""
        if self.random.random() >= self.fate.fault_rate:
            return None
        kind = self.random.choice(self.fate.fault_kinds or KINDS)
        if kind == "drop":
            raise RpcError(f"cannot reach the node at {self.name}: no connection")
        if kind == "refuse":
            raise NodeError(f"{self.name} refused {method}: too many requests", -32005, None)
        if kind == "delay":
            time.sleep(0.05)
        return kind

    def request(self, method: str, *params: Any) -> Any:
        kind = self.strike(method)
        if kind == "garbage":
            return self.random.choice(["0xzz", [], 7, {"nonsense": True}])
        if kind == "stale" and method == "eth_getBlockByNumber" and params[0] == "latest":
            params = (hex(max(0, self.node.header().number - 3)), *params[1:])
        if kind == "vanish" and method == "eth_getTransactionReceipt":
            return None
        return self.node.request(method, *params)
