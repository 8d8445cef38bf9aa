"""Whether the keeper is alive, told over HTTP: /healthz for whoever restarts it, /metrics for whoever watches it.

It is never a static 200: the loop, the head of the chain and the oldest open intent each have an age, and each age a
limit. Nothing that is served can change anything.
"""

from __future__ import annotations

import errno
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import Field

from keeper.chain.fields import Strict
from keeper.domain.errors import InputError
from keeper.ops.metrics import CONTENT_TYPE, Metrics

if TYPE_CHECKING:
    from types import TracebackType

_log = structlog.get_logger()


class HealthLimits(Strict):
    """Ages from which the keeper is unhealthy. Times in seconds."""

    loop_seconds: float = Field(default=120, gt=0)
    """Since the loop last came round."""
    head_seconds: float = Field(default=120, gt=0)
    """Since the newest block's timestamp; a block that lies as far in the future is a clock that is wrong."""
    intent_seconds: float = Field(default=1_800, gt=0)
    """Since the oldest open intent was made."""


class HealthConfig(HealthLimits):
    """Where health is served, and from which ages on there is none."""

    port: int = Field(default=9464, ge=0, le=65_535)
    """0 for any free one."""
    bind: str = Field(default="127.0.0.1", min_length=1)
    """Nobody is asked who they are, so anything but a loopback address needs something in front of it that does."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the keeper was at one moment. Healthy if there is no reason to think otherwise."""

    reasons: tuple[str, ...]
    facts: dict[str, Any]
    """JSON-ready: ages in seconds, the newest heads, why the keeper is halted or stands by, where it does."""

    @property
    def ok(self) -> bool:
        """Whether nothing is late."""
        return not self.reasons


class Pulse:
    """What the loop tells of itself while it runs. Any thread may write and read. Times are Unix times in seconds.

    One process may have several loops and follow several chains: `names` says which there are, and each has ages of its
    own. One that was never heard of is as old as the pulse, so a loop that never starts becomes late too.
    """

    def __init__(self, clock: Callable[[], float] = time.time, names: Sequence[str] = ("main",)) -> None:
        self.clock = clock
        started = clock()
        self._lock = threading.Lock()
        self._loops = dict.fromkeys(names, started)
        self._heads: dict[str, tuple[int | None, float]] = dict.fromkeys(names, (None, started))
        self._intents: dict[str, float] = {}
        self._halted: dict[str, str] = {}
        self._standby: dict[str, str] = {}

    def loop_tick(self, now: float, name: str = "main") -> None:
        """The loop came round."""
        with self._lock:
            self._loops[name] = now

    def saw_head(self, number: int, timestamp: int, name: str = "main") -> None:
        """A head was read; `timestamp` is the block's own."""
        with self._lock:
            self._heads[name] = (number, timestamp)

    def oldest_intent(self, created_at: float | None, name: str = "main") -> None:
        """When the oldest open intent was made; None if none is open."""
        with self._lock:
            if created_at is None:
                self._intents.pop(name, None)
            else:
                self._intents[name] = created_at

    def halt(self, reason: str | None, name: str = "main") -> None:
        """Why the keeper was told to watch and send nothing; None: it may send. A restart would not help, so that is
        healthy."""
        with self._lock:
            _note(self._halted, name, reason)

    def stand_by(self, reason: str | None, name: str = "main") -> None:
        """Who has the lease, while this keeper waits for it; None: it has it. That is healthy too."""
        with self._lock:
            _note(self._standby, name, reason)

    def health(self, limits: HealthLimits) -> Health:
        """How the keeper is now."""
        now = self.clock()
        with self._lock:
            loops, heads, intents = dict(self._loops), dict(self._heads), dict(self._intents)
            halted, standby = dict(self._halted), dict(self._standby)
        reasons = [
            *_late("the loop last came round", loops, now, limits.loop_seconds),
            *_late("the newest block is from", {n: t for n, (_, t) in heads.items()}, now, limits.head_seconds),
            *_late("the oldest open intent is from", intents, now, limits.intent_seconds),
            *(
                f"{name}: the newest block is from {stamp - now:.0f} s in the future: the clock is wrong"
                for name, (_, stamp) in heads.items()
                if stamp - now > limits.head_seconds
            ),
        ]
        facts = {
            "halted": halted,
            "standby": standby,
            "loop_age_seconds": _ages(loops, now),
            "head_age_seconds": _ages({name: stamp for name, (_, stamp) in heads.items()}, now),
            "head_number": {name: number for name, (number, _) in heads.items()},
            "oldest_intent_age_seconds": _ages(intents, now),
        }
        return Health(tuple(reasons), facts)


def _note(notes: dict[str, str], name: str, note: str | None) -> None:
    if note is None:
        notes.pop(name, None)
    else:
        notes[name] = note


def _late(what: str, times: dict[str, float], now: float, limit: float) -> list[str]:
    return [
        f"{name}: {what} {now - stamp:.0f} s ago, and {limit:.0f} s is the limit"
        for name, stamp in times.items()
        if now - stamp > limit
    ]


def _ages(times: dict[str, float], now: float) -> dict[str, float]:
    return {name: round(now - stamp, 3) for name, stamp in times.items()}


class HealthServer:
    """Serves GET /healthz and GET /metrics, and nothing else, from threads of its own.

    /healthz answers 200, or 503 with the reasons; either way as JSON with the ages. Bound to the loopback address
    unless told otherwise: it asks nobody who they are.
    """

    def __init__(
        self, port: int, pulse: Pulse, metrics: Metrics, limits: HealthLimits | None = None, bind: str = "127.0.0.1"
    ) -> None:
        """Takes the port, 0 for any free one; `start` begins to answer. Raises `InputError` if it cannot be taken."""
        limits = limits or HealthLimits()

        def answer(path: str) -> _Answer:
            match path:
                case "/healthz":
                    health = pulse.health(limits)
                    body = {"ok": health.ok, "reasons": health.reasons, **health.facts}
                    status = HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE
                    return _Answer(status, "application/json", json.dumps(body).encode())
                case "/metrics":
                    return _Answer(HTTPStatus.OK, CONTENT_TYPE, metrics.render())
                case _:
                    return _plain(HTTPStatus.NOT_FOUND)

        try:
            self._server = _server(bind, port, answer)
        except OSError as error:
            raise InputError(f"cannot serve health on {bind}:{port}: {_why_not(error)}") from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stops answering and gives the port back. Does nothing the second time."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> HealthServer:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    content_type: str
    body: bytes


def _plain(status: HTTPStatus) -> _Answer:
    return _Answer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    # A port that was just given back may be taken again; one that is in use may not, so two keepers cannot share it.
    allow_reuse_address = True
    allow_reuse_port = False
    # A client that holds its connection must not hold up the keeper's end.
    daemon_threads = True

    def handle_error(self, _request: object, _client_address: object) -> None:
        _log.debug("a health request failed", exc_info=True)


def _server(bind: str, port: int, answer: Callable[[str], _Answer]) -> _Server:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5  # seconds for a client to say what it wants
        server_version = "ballast"
        sys_version = ""

        def do_GET(self) -> None:
            try:
                found = answer(self.path.partition("?")[0])
            except Exception:
                _log.exception("cannot answer a health request", path=self.path)
                found = _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
            self._reply(found)

        def _refuse(self) -> None:
            self._reply(_plain(HTTPStatus.METHOD_NOT_ALLOWED), ("Allow", "GET"))

        def __getattr__(self, name: str) -> Callable[[], None]:
            # The base class looks for a method `do_` and the request's own; only GET has one.
            if name.startswith("do_"):
                return self._refuse
            raise AttributeError(name)

        def _reply(self, found: _Answer, *headers: tuple[str, str]) -> None:
            self.send_response(found.status)
            for name, value in (
                ("Content-Type", found.content_type),
                ("Content-Length", str(len(found.body))),
                ("Cache-Control", "no-store"),
                *headers,
            ):
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found.body)

        def log_message(self, *_: object) -> None:
            """Whoever asks every few seconds is not worth a line each."""

    class Server(_Server):
        address_family = socket.AF_INET6 if ":" in bind else socket.AF_INET

    return Server((bind, port), Handler)


def _why_not(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is taken, perhaps by another keeper; give this one a port of its own"
    if error.errno == errno.EACCES:
        return "ports below 1024 are for root; choose a higher one"
    return error.strerror or type(error).__name__
