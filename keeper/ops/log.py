"""What the keeper says while it runs: one JSON object per line, out of which every secret has been taken.

Modules say things with `structlog.get_logger()` and bind what they are about (`vault`, `chain`, `intent`); this module
decides, once per process, how it looks and where it goes. Secrets are taken out in two ways that do not rely on each
other: by value, for those that the process was told of, and by shape, for those that nobody thought of.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote, urlsplit

import structlog

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import EventDict, Processor, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]

REDACTED = "[redacted]"

# What is nested deeper says nothing that a line in a log should say, and may be a cycle.
_DEEPEST = 8
# A path segment or a query value of fewer characters (`v2`, `rpc`) is no credential, and would blot out other words.
_SHORTEST_PART = 6
_SHORTEST_SECRET = 4

# Fields whose value never comes out, whatever it looks like; compared in lower case with underscores.
_SECRET_FIELD = re.compile(
    r".*(?:pass(?:word|phrase|wd)|secret|mnemonic|private_?key|auth_?key|api_?key|access_?token|auth_?token|signature"
    r"|authorization|cookie|raw_?transaction)|(?:.*_)?(?:key|raw|signed)"
)
# 32 bytes are a private key as well as a hash. They come out only under a name that says that they are a hash.
_HASH_NAME = r"(?:hash|transaction|tx|block|parent|pool|topic|id|intent|decision|snapshot)(?:s|es)?"
_HASH_FIELD = re.compile(rf"(?:.*_)?{_HASH_NAME}")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\S*)")
# Where the host is no secret. Notification services put their tokens in its place.
_HOST_IS_PUBLIC = re.compile(r"(?:https?|wss?|postgres(?:ql)?(?:\+\w+)?|rediss?)", re.IGNORECASE)
_AUTHORITY = re.compile(r"((?:[^@/?#\\]*@)*)(\[[0-9A-Fa-f:.]+\]|[\w.-]*\w)(:\d+)?([^\w@/?#\\]*)(.*)")
# How HTTP libraries quote the address of a request that failed, without its host.
_REQUEST_TARGET = re.compile(r"(\burl: |\b(?:GET|POST|PUT|HEAD) )/\S*")
_NAMED = re.compile(
    r"""((?:pass(?:word|phrase|wd)|secret|mnemonic|private[_-]?key|auth[_-]?key|api[_-]?key|access[_-]?token
    |auth[_-]?token|signature|authorization|cookie|raw[_-]?transaction|\bkey(?==))["']?\s*[=:]\s*)
    (?:"[^"\n]*"|'[^'\n]*'|[^\n]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_CREDENTIALS = re.compile(r"\b(Bearer|Basic)\s+\S+", re.IGNORECASE)
_BYTES = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
# Longer than an address: a key, a signature or a signed transaction; in decimal, a key.
_LONG_NUMBER = re.compile(rf"(\b{_HASH_NAME}\W{{1,4}}0x[0-9a-fA-F]{{64}}(?![0-9a-fA-F]))|(?:0x)?[0-9a-fA-F]{{41,}}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


class Redactor:
    """Takes secrets out of text and of nested values.

    `secrets` are those known by value: keys, passwords, and URLs, which count as the secrets in them (user, password,
    path, query), for their host may be named.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = {s for secret in secrets for s in _spellings(secret) if len(s) >= _SHORTEST_SECRET}
        # The longest first, lest one that contains another comes out in part.
        spellings = sorted(found, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, spellings)), re.IGNORECASE) if spellings else None

    def text(self, text: str) -> str:
        """`text` without secrets; control characters other than line breaks become spaces."""
        text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
        text = self._without_known(text)
        text = _URL.sub(_without_credentials, text)
        text = _REQUEST_TARGET.sub(rf"\1/{REDACTED}", text)
        text = _NAMED.sub(rf"\1{REDACTED}", text)
        text = _CREDENTIALS.sub(rf"\1 {REDACTED}", text)
        text = _BYTES.sub(REDACTED, text)
        return _LONG_NUMBER.sub(lambda match: match[1] or REDACTED, text)

    def value(self, value: Any, name: str = "") -> Any:
        """A JSON-ready copy of the value of the field `name`, without secrets. Never raises."""
        return self._value(value, _field(name), 0)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """As a structlog processor: the last before the one that renders."""
        return {self.text(str(name)): self.value(value, str(name)) for name, value in event.items()}

    def _value(self, value: Any, field: str, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if _SECRET_FIELD.fullmatch(field) or depth > _DEEPEST:
            return REDACTED
        match value:
            case Mapping():
                return {self.text(str(key)): self._value(value[key], _field(str(key)), depth + 1) for key in value}
            case list() | tuple() | set() | frozenset():
                return [self._value(item, field, depth + 1) for item in value]
            case _:
                return self._leaf(value, field)

    def _leaf(self, value: Any, field: str) -> str | int | float:
        match value:
            case bytes() | bytearray() | memoryview():
                return f"[{len(value)} bytes]"
            case float():
                return value if math.isfinite(value) else str(value)
            case int():
                return int(value) if self.text(str(int(value))) == str(int(value)) else REDACTED
        text = _shown(value)
        if _HASH_FIELD.fullmatch(field) and _HASH.fullmatch(text):
            return self._without_known(text)
        return self.text(text)

    def _without_known(self, text: str) -> str:
        return text if self._known is None else self._known.sub(REDACTED, text)


def configure_logging(
    stream: IO[str], level: Level = "info", *, secrets: Iterable[str] = (), console: bool | None = None
) -> None:
    """Decides for the whole process how and where things are logged. Call it once, before anything is logged.

    Args:
        stream: where lines go; one that can no longer be written to is no reason for a keeper to stop.
        level: what is less urgent is left out.
        secrets: keys, passwords and URLs with credentials, as `Redactor` takes them.
        console: lines for people in place of JSON; by default, where the stream is a terminal.

    What libraries log, from warnings upwards, and exceptions that nobody caught go the same way.
    """
    people = stream.isatty() if console is None else console
    # Exceptions become text before they are redacted; left to the renderer, they would show local variables.
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        Redactor(secrets),
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time")
        if people
        else structlog.processors.JSONRenderer(serializer=json.dumps),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Lines(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _FromLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_FromLibraries(logging.WARNING))
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class _Lines:
    """Writes whole lines, one at a time, from any thread."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def _write(self, line: str) -> None:
        try:
            with _writing:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):  # a full disk, a broken pipe, a closed file
            pass

    msg = log = debug = info = warning = error = critical = exception = _write


_writing = threading.Lock()


class _FromLibraries(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # a library's mistake in its own format string
            message = str(record.msg)
        structlog.get_logger().log(record.levelno, message, logger=record.name, exc_info=record.exc_info or None)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    structlog.get_logger().error("uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    # The interpreter leaves out the exception only if it has lost it.
    error = arguments.exc_value or arguments.exc_type()
    structlog.get_logger().error(
        "uncaught exception",
        thread=None if arguments.thread is None else arguments.thread.name,
        exc_info=(arguments.exc_type, error, arguments.exc_traceback),
    )


def _field(name: str) -> str:
    return name.lower().replace("-", "_")


def _shown(value: Any) -> str:
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # an object that cannot show itself must not stop what was being said
        return f"<{type(value).__name__}>"


def _without_credentials(match: re.Match[str]) -> str:
    """A URL down to its host: all the rest may hold a credential, and with some schemes so may the host."""
    scheme, rest = match.groups()
    found = _AUTHORITY.fullmatch(rest)
    if found is None or not _HOST_IS_PUBLIC.fullmatch(scheme):
        return f"{scheme}://{REDACTED}"
    _, host, port, punctuation, target = found.groups()
    # An @ further on: that may be a password with a slash in it, and what looks like the host a part of it.
    if "@" in target or "@" in punctuation:
        return f"{scheme}://{REDACTED}"
    address = f"{scheme}://{host}{port or ''}"
    return f"{address}{punctuation}{target}" if target in ("", "/") else f"{address}/{REDACTED}"


def _spellings(secret: str) -> Iterator[str]:
    """A secret as it may be met: as it is, escaped for URLs, JSON and Python, hexadecimal without its prefix."""
    parts = _parts(secret) if "://" in secret else [secret]
    for part in filter(None, parts):
        bare = part.removeprefix("0x") or part
        yield from (bare, quote(bare, safe=""), json.dumps(bare)[1:-1], repr(bare)[1:-1])


def _parts(url: str) -> Iterator[str]:
    """What is secret in a URL."""
    address = urlsplit(url)
    named = [pair.partition("=")[2] or pair for pair in address.query.split("&")]
    guessed = [part for part in (*address.path.split("/"), *named, address.fragment) if len(part) >= _SHORTEST_PART]
    if not _HOST_IS_PUBLIC.fullmatch(address.scheme):
        guessed.append(address.netloc)
    userinfo, _, _ = address.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    for part in (password, *([user] if len(user) >= _SHORTEST_PART else []), *guessed):
        yield from (part, unquote(part))
