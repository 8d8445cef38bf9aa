"""One life of a keeper: `keeper run --live` in a process of its own, with what is to go wrong in it.

Nothing of the keeper knows about this: journal, routes and signer are wrapped from outside.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal

import structlog

from keeper.chain import artifacts, bindings
from keeper.chain.rpc import Endpoint
from keeper.config import Config
from keeper.loop import Keeper, Outcome, Service, meet, run
from keeper.ops.alerts import AlertsConfig
from keeper.ops.watch import Watch
from keeper.routing.warm import warm
from keeper.submit.errors import LostLease
from keeper.submit.journal import Intent, Journal, Store, store
from keeper.submit.keys import EnvironmentKey
from keeper.submit.unlock import unlock

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

    ``during`` says which transaction must be in the making at that point, if it matters; ``file_limit`` is by how many
    bytes the journal's files may still grow; ``busy_seconds`` is for how long a locked database is waited for.
    """

    point: tuple[str, str] | None = None
    during: Literal["batch", "replacement", "cancel"] | None = None
    signal: int = signal.SIGKILL
    clock_off: float = 0.0
    file_limit: int | None = None
    busy_seconds: float | None = None


def live(path: Path, clock: Any, pipe: Connection, fate: Fate) -> None:
    """Runs until something ends it. Tells ``pipe`` (block or None, status, reason) after each tick."""
    if fate.busy_seconds is not None:
        store._BUSY_SECONDS = fate.busy_seconds  # type: ignore[misc]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # it tells by its pipe
    keeper = Keeper.assemble(Config.load(path))
    stop = threading.Event()
    watch = Watch(None, AlertsConfig(), [keeper.deployment.vault], "test")

    def complain(why: str) -> None:
        pipe.send((None, "failed", why))

    meet(keeper, stop=stop, complain=complain, watch=watch)
    assert keeper.config.signer is not None
    try:
        service = Service.open(keeper, unlock(keeper.config.signer), lambda: clock.value + fate.clock_off)
    except LostLease as standby:
        pipe.send((None, "standby", str(standby)))
        sys.exit(LOST)
    assert service.engine is not None
    if fate.point is not None:
        _doom(service, fate)
    if fate.file_limit is not None:
        held = max(file.stat().st_size for file in path.parent.glob("journal-live.sqlite*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (held + fate.file_limit, resource.RLIM_INFINITY))

    def report(outcome: Outcome) -> None:
        pipe.send((outcome.block_number, outcome.status, outcome.reason))

    try:
        run(service, stop, report, complain, watch)
    except LostLease:
        sys.exit(LOST)


def _doom(service: Service, fate: Fate) -> None:
    """Lets the process send itself a signal when it comes to its point for the first time."""
    assert fate.point is not None
    engine = service.engine
    assert engine is not None
    name, instant = fate.point
    spent = False
    making: str | None = None

    def strike(at: str) -> None:
        nonlocal spent
        if at == instant and not spent and fate.during in (None, making):
            spent = True
            os.kill(os.getpid(), fate.signal)

    sign_and_send = engine._sign_and_send

    def noted(intent: Intent, kind: Any, *rest: Any) -> None:
        nonlocal making
        making = "replacement" if intent.attempts and kind == "batch" else kind
        try:
            sign_and_send(intent, kind, *rest)
        finally:
            making = None

    engine._sign_and_send = noted  # type: ignore[method-assign]

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            strike("before")
            result = function(*arguments, **named)
            strike("after")
            return result

        return wrapped

    if name == "broadcast":
        engine._broadcast = around(engine._broadcast)
        return
    if name == "sign":
        engine.signer = SimpleNamespace(address=engine.signer.address, sign=around(engine.signer.sign))
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
