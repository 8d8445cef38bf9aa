"""Telling people: what happened, to which vault, why, and what they can do about it.

Through whatever service Apprise knows, by URL. The loop hands a message over and goes on at once; a thread of its own
delivers it, and nothing that goes wrong there reaches the loop.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Full, Queue
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import urlsplit

import structlog
from pydantic import Field, field_validator

from keeper.chain.fields import Strict, from_environment
from keeper.domain.errors import InputError
from keeper.ops.log import Redactor
from keeper.ops.metrics import AlertOutcome

if TYPE_CHECKING:
    from types import TracebackType

    from apprise import NotifyBase

What = Literal[
    "balance", "batch", "breaker", "crash", "drift", "endpoint", "halted", "journal", "reorg", "stuck", "takeover"
]
"""What an alert may be about; `docs/operations.md` says what to do about each."""

TITLES: dict[What, str] = {
    "balance": "the signer is running out of gas money",
    "batch": "a batch failed",
    "breaker": "a breaker refuses to trade",
    "crash": "the keeper failed",
    "drift": "batches do not reduce drift",
    "endpoint": "no node can be relied on",
    "halted": "the keeper is halted",
    "journal": "the journal cannot be relied on",
    "reorg": "a batch was reorganised away",
    "stuck": "a transaction is stuck",
    "takeover": "another keeper took over",
}

_HOUR = 3_600.0
# An alert that reached nobody goes out when it is next raised, but is not tried at every block.
_RETRY_SECONDS = 60.0
# More than this many waiting means that the services are down; what is newer is dropped, and counted.
_WAITING = 100

_log = structlog.get_logger()


class AlertsConfig(Strict):
    """Whom to tell, and of what. `${NAME}` in a URL is read from the environment. Times in seconds."""

    urls: tuple[str, ...] = Field(default=(), repr=False)
    """Apprise URLs (`tgram://…`, `mailto://…`, `json://…`); they hold credentials."""
    events: tuple[What, ...] = get_args(What)
    """What to tell of; everything is logged either way."""
    repeat_seconds: float = Field(default=3_600, gt=0)
    """The same thing about the same vault is told again only after this long."""
    per_hour: int = Field(default=30, gt=0)
    """At most this many alerts in any hour; how many more there were is told with the next one."""

    @field_validator("urls", mode="after")
    @classmethod
    def _expand(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(from_environment(url) for url in urls)


@dataclass(frozen=True, slots=True)
class _Message:
    what: What
    vault: str
    title: str
    body: str
    good: bool


@dataclass(slots=True)
class _Told:
    # Whether somebody was told, so that the end of it is worth telling too.
    quiet_until: float
    told: bool


@dataclass(frozen=True, slots=True)
class _Service:
    # Its place in the configuration and its kind, which is all of the URL that may be said.
    name: str
    apprise: NotifyBase


class Alerts:
    """Delivers alerts from a thread of its own, which `close` ends.

    `notify` and `resolve` never raise and never wait; they may be called from any thread.
    """

    def __init__(
        self,
        config: AlertsConfig,
        *,
        count: Callable[[AlertOutcome], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`count` is told what became of each alert. Raises `InputError` if a URL is of no kind that Apprise knows."""
        self._config = config
        self._count = count
        self._clock = clock
        self._redactor = Redactor(config.urls)
        self._services = _services(config.urls)
        self._lock = threading.Lock()
        self._raised: dict[tuple[What, str], _Told] = {}
        self._recent: deque[float] = deque()
        self._held_back = 0
        self._closed = False
        self._waiting: Queue[_Message | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._deliver, name="alerts", daemon=True)
        if self._services:
            self._thread.start()

    def notify(self, what: What, vault: str, why: str, todo: str) -> None:
        """Tells that something is wrong, unless that was told a while ago. No vault: it is about the whole keeper."""
        try:
            self._notify(what, vault, why, todo)
        except Exception:  # the loop has more important things to do than to alert
            _log.exception("cannot raise an alert", what=what, vault=vault)

    def resolve(self, what: What, vault: str) -> None:
        """Tells that it is over, if it was told of at all."""
        try:
            with self._lock:
                raised = self._raised.pop((what, vault), None)
            if raised is None:
                return
            _log.info("alert resolved", what=what, vault=vault)
            if raised.told:
                self._hand_over(_Message(what, vault, f"Ballast: over: {TITLES[what]}", _about(vault), good=True))
        except Exception:  # as in `notify`
            _log.exception("cannot resolve an alert", what=what, vault=vault)

    def close(self, timeout: float = 10) -> None:
        """Delivers what is waiting, for at most `timeout` seconds in all."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if not self._services:
            return
        end = time.monotonic() + timeout
        with suppress(Full):
            self._waiting.put(None, timeout=timeout)
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._thread.is_alive():
            _log.warning("alerts were not delivered in time", waiting=self._waiting.qsize())

    def __enter__(self) -> Alerts:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _notify(self, what: What, vault: str, why: str, todo: str) -> None:
        now = self._clock()
        with self._lock:
            raised = self._raised.get((what, vault))
            if raised is not None and now < raised.quiet_until:
                return
            wanted = what in self._config.events and bool(self._services)
            held_back = wanted and not self._within_rate(now)
            quiet = _RETRY_SECONDS if held_back else self._config.repeat_seconds
            self._raised[what, vault] = _Told(now + quiet, told=wanted and not held_back)
            others = self._held_back
            if wanted:
                self._held_back = others + 1 if held_back else 0
        _log.warning("alert", what=what, vault=vault, why=why, todo=todo)
        if held_back:
            self._count("dropped")
        elif wanted:
            lines = [_about(vault), f"why: {why}", f"to do: {todo}"]
            if others:
                lines.append(f"held back before this one: {others}; they are in the keeper's log")
            body = "\n".join(" ".join(self._redactor.text(line).split()) for line in lines)
            self._hand_over(_Message(what, vault, f"Ballast: {TITLES[what]}", body, good=False))

    def _within_rate(self, now: float) -> bool:
        while self._recent and now - self._recent[0] >= _HOUR:
            self._recent.popleft()
        if len(self._recent) >= self._config.per_hour:
            return False
        self._recent.append(now)
        return True

    def _hand_over(self, message: _Message) -> None:
        try:
            if not self._closed:
                self._waiting.put_nowait(message)
                return
        except Full:
            pass
        self._count("dropped")
        _log.warning("alert dropped: too many are waiting, or the keeper is stopping", what=message.what)

    def _deliver(self) -> None:
        while (message := self._waiting.get()) is not None:
            reached = [self._reaches(service, message) for service in self._services]
            if not any(reached) and not message.good:
                self._try_again_soon(message)
            self._count("sent" if all(reached) else "failed")

    def _reaches(self, service: _Service, message: _Message) -> bool:
        from apprise import NotifyFormat, NotifyType  # noqa: PLC0415 - see `_services`

        kind = NotifyType.SUCCESS if message.good else NotifyType.WARNING
        try:
            reached = bool(
                service.apprise.notify(
                    title=message.title, body=message.body, notify_type=kind, body_format=NotifyFormat.TEXT
                )
            )
            reason = "the service did not take it"
        except Exception as error:  # whatever a service's plugin raises, the next message must still be delivered
            reached, reason = False, self._redactor.text(f"{type(error).__name__}: {error}")
        if not reached:
            _log.warning("alert not delivered", what=message.what, service=service.name, reason=reason)
        return reached

    def _try_again_soon(self, message: _Message) -> None:
        with self._lock:
            raised = self._raised.get((message.what, message.vault))
            if raised is not None:
                raised.quiet_until = min(raised.quiet_until, self._clock() + _RETRY_SECONDS)
                raised.told = False


def _about(vault: str) -> str:
    return f"vault: {vault}" if vault else "all vaults of this keeper"


def _services(urls: Sequence[str]) -> tuple[_Service, ...]:
    if not urls:
        return ()
    # It takes a second to load all that it knows, which only a keeper that alerts should pay.
    from apprise import Apprise  # noqa: PLC0415

    services = []
    for place, url in enumerate(urls):
        name = f"alerts.urls.{place} ({urlsplit(url).scheme or 'no scheme'})"
        service = Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            raise InputError(f"{name}: not a URL that Apprise understands; its wiki lists the form of each service")
        services.append(_Service(name, service))
    return tuple(services)
