"""Planted secrets of every kind, and what must still be readable once they are gone."""

import io
import json
import logging
import re
import sys
import threading
from types import SimpleNamespace

import pytest
import structlog
from eth_account import Account
from hypothesis import assume, given
from hypothesis import strategies as st

from keeper.ops.log import REDACTED, Redactor, configure_logging

KEY = "5e" * 31 + "7c"
HASH = "0x" + "ab" * 32
ADDRESS = Account.from_key(KEY).address
RAW = bytes(
    Account.from_key(KEY)
    .sign_transaction(
        {"type": 2, "chainId": 1, "nonce": 0, "to": ADDRESS, "value": 0, "gas": 21_000, "data": b""}
        | {"maxFeePerGas": 2, "maxPriorityFeePerGas": 1}
    )
    .raw_transaction
)
PATH_TOKEN = "pAtHt0ken"  # noqa: S105 - planted
PASSWORD = "hunter2-hunter2"  # noqa: S105 - planted
QUERY_TOKEN = "qUeRyt0ken"  # noqa: S105 - planted
URL = f"https://alice:{PASSWORD}@node.example:8545/v2/{PATH_TOKEN}?key={QUERY_TOKEN}"
BOT_TOKEN = "123456789:AAbot"  # noqa: S105 - planted

SECRETS = {
    "a key": (KEY, f"0x{KEY}"),
    "a key without its prefix": (KEY, KEY),
    "a key in capitals": (KEY.upper(), f"0x{KEY.upper()}"),
    "a key as a number": (str(int(KEY, 16)), str(int(KEY, 16))),
    "a key with a leading zero cut off": ("f" * 61, "0x" + "f" * 61),
    "a key as bytes": (repr(bytes.fromhex(KEY))[2:-1], repr(bytes.fromhex(KEY))),
    "a signed transaction": (RAW.hex(), f"0x{RAW.hex()}"),
    "a signature": ("c4" * 65, f"{ADDRESS}:0x" + "c4" * 65),
    "a password in a URL": (PASSWORD, URL),
    "a token in a URL's path": (PATH_TOKEN, URL),
    "a token in a URL's query": (QUERY_TOKEN, URL),
    "a password with a slash": ("pa/ss", "https://alice:pa/ss@node.example/"),
    "a password with a slash after an at": ("partly", "https://alice:a@partly/b@node.example/"),
    "a password with a slash after digits": (":2718", "https://alice:2718/b@node.example/"),
    "a password with a quote": ("pa'ss", "https://alice:pa'ss@node.example/"),
    "a password of a database": (PASSWORD, f"postgresql+psycopg://alice:{PASSWORD}@db.example/ballast"),
    "a token in the place of a host": (BOT_TOKEN, f"tgram://{BOT_TOKEN}/1"),
    "a request's target": (PATH_TOKEN, f"Max retries exceeded with url: /v2/{PATH_TOKEN} (Caused by"),
    "a line of a request": (PATH_TOKEN, f'"POST /v2/{PATH_TOKEN} HTTP/1.1" 429'),
    "a header": (PATH_TOKEN, f"Authorization: Bearer {PATH_TOKEN}"),
    "a header in a mapping": (PATH_TOKEN, repr({"Authorization": f"Bearer {PATH_TOKEN}"})),
    "credentials": (PATH_TOKEN, f"sent Basic {PATH_TOKEN}"),
    "a named password": (PASSWORD, f"password={PASSWORD}"),
    "a password in a representation": (PASSWORD, f"Keystore(password='{PASSWORD}')"),
    "a mnemonic": ("junk legal", "mnemonic: junk legal winner thank year wave"),
    "an API key": (PATH_TOKEN, f'{{"api_key": "{PATH_TOKEN}"}}'),
}
"""What must not come out, and how it gets in."""


def planted(test):
    return pytest.mark.parametrize(("secret", "text"), SECRETS.values(), ids=SECRETS)(test)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """What `configure_logging` decides for the process is taken back."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream():
    out = io.StringIO()
    configure_logging(out)
    return out


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# Form


def test_a_line_is_one_json_object_with_time_level_event_and_what_it_is_about(stream):
    structlog.get_logger().bind(vault=ADDRESS, chain=1, intent=7).info("batch\nconfirmed", block=12)
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("time"))
    assert line == {
        "level": "info",
        "event": "batch\nconfirmed",
        "vault": ADDRESS,
        "chain": 1,
        "intent": 7,
        "block": 12,
    }


def test_what_is_bound_to_the_context_is_in_every_line(stream):
    structlog.contextvars.bind_contextvars(vault=ADDRESS)
    structlog.get_logger().info("tick")
    assert lines(stream)[0]["vault"] == ADDRESS


def test_what_is_less_urgent_than_the_level_is_left_out():
    out = io.StringIO()
    configure_logging(out, "warning")
    structlog.get_logger().info("tick")
    structlog.get_logger().warning("late")
    assert [line["event"] for line in lines(out)] == ["late"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_text(stream, number):
    structlog.get_logger().info("drift", value=number)
    assert lines(stream)[0]["value"] == str(number)


def test_a_terminal_gets_lines_for_people():
    out = io.StringIO()
    configure_logging(out, console=True)
    structlog.get_logger().info("batch confirmed", block=12)
    assert re.fullmatch(r"\S+ \[info +\] batch confirmed +block=12\n", out.getvalue())


def test_a_terminal_is_not_given_escape_sequences(stream):
    out = io.StringIO()
    configure_logging(out, console=True)
    structlog.get_logger().info("node said \x1b[2J", symbol="\x1b]0;x\x07")
    assert "\x1b" not in out.getvalue()
    assert "\x07" not in out.getvalue()


def test_a_stream_that_is_closed_does_not_stop_the_keeper(stream):
    stream.close()
    structlog.get_logger().info("tick")


def test_configuring_again_does_not_say_things_twice(stream):
    configure_logging(stream)
    logging.getLogger("web3").warning("slow")
    assert len(lines(stream)) == 1


# Secrets


@planted
def test_no_secret_is_in_an_event(stream, secret, text):
    structlog.get_logger().info(f"before {text} after")
    assert secret not in stream.getvalue()
    assert "before" in stream.getvalue()


@planted
def test_no_secret_is_in_a_nested_value(stream, secret, text):
    structlog.get_logger().info("x", detail={"list": [{"deep": (text, {text})}], text: 1})
    assert secret not in stream.getvalue()


@planted
@pytest.mark.parametrize("console", [False, True])
def test_no_secret_is_in_an_exception_or_its_cause(secret, text, console):
    out = io.StringIO()
    configure_logging(out, console=console)

    def fail() -> None:
        local = ValueError(text)
        raise RuntimeError(text) from local

    try:
        fail()
    except RuntimeError:
        structlog.get_logger().exception("failed")
    assert secret not in out.getvalue()
    assert "RuntimeError" in out.getvalue()


@planted
def test_no_secret_is_in_an_object_that_is_shown(stream, secret, text):
    structlog.get_logger().info("x", detail=SimpleNamespace(inside=text), error=ValueError(text))
    assert secret not in json.dumps(lines(stream))


@planted
def test_no_secret_is_in_what_a_library_logs(stream, secret, text):
    logging.getLogger("urllib3").warning("retrying %s", text)
    (line,) = lines(stream)
    assert secret not in json.dumps(line)
    assert (line["level"], line["logger"]) == ("warning", "urllib3")


def test_what_a_library_logs_in_a_wrong_format_does_not_stop_the_keeper(stream):
    record = logging.LogRecord("web3", logging.WARNING, "", 0, "%d blocks", ("many",), None)
    (ours,) = (h for h in logging.getLogger().handlers if type(h).__module__ == "keeper.ops.log")
    ours.handle(record)
    assert lines(stream)[0]["event"] == "%d blocks"


def test_an_exception_that_nobody_caught_is_logged_without_its_secrets(stream):
    error = RuntimeError(f"0x{KEY}")
    sys.excepthook(RuntimeError, error, None)
    assert KEY not in stream.getvalue()
    assert lines(stream)[0]["level"] == "error"


def test_an_exception_that_ends_a_thread_is_logged_without_its_secrets(stream):
    def fail() -> None:
        raise RuntimeError(f"0x{KEY}")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()
    assert KEY not in stream.getvalue()
    assert lines(stream)[0]["thread"] == "worker"


@pytest.mark.parametrize(
    "name",
    ["password", "passphrase", "relay_auth_key", "privateKey", "x-api-key", "mnemonic", "raw", "rawTransaction", "KEY"],
)
def test_a_field_named_for_a_secret_never_shows_its_value(stream, name):
    structlog.get_logger().info("x", detail={name: "plain words"})
    assert lines(stream)[0]["detail"] == {name: REDACTED}


@pytest.mark.parametrize("value", [bytes.fromhex(KEY), bytearray.fromhex(KEY), memoryview(bytes.fromhex(KEY))])
def test_bytes_never_come_out(stream, value):
    structlog.get_logger().info("x", value=value, transaction=value)
    assert lines(stream)[0]["value"] == lines(stream)[0]["transaction"] == "[32 bytes]"


def test_a_key_given_as_a_number_never_comes_out(stream):
    structlog.get_logger().info("x", value=int(KEY, 16))
    assert lines(stream)[0]["value"] == REDACTED


@pytest.mark.parametrize("name", ["hash", "transaction", "pools"])
def test_a_known_secret_does_not_come_out_under_the_name_of_a_hash(name):
    out = io.StringIO()
    configure_logging(out, secrets=[f"0x{KEY}"])
    structlog.get_logger().info(f"{name} 0x{KEY}", **{name: [f"0x{KEY}"]})
    assert KEY not in out.getvalue()


def test_a_signed_transaction_does_not_come_out_under_the_name_of_a_hash(stream):
    structlog.get_logger().info(f"transaction 0x{RAW.hex()}", transaction=f"0x{RAW.hex()}")
    assert RAW.hex()[:80] not in stream.getvalue()


@pytest.mark.parametrize("secret", [PASSWORD, PATH_TOKEN, QUERY_TOKEN])
def test_what_is_secret_in_a_known_url_does_not_come_out_alone(secret):
    redactor = Redactor([URL])
    assert secret not in redactor.text(f"the node said: no such user {secret}")
    assert redactor.text("v2 of node.example:8545") == "v2 of node.example:8545"


def test_the_token_of_a_known_notification_url_does_not_come_out_alone():
    assert BOT_TOKEN not in Redactor([f"tgram://{BOT_TOKEN}/42"]).text(f"no bot {BOT_TOKEN}")


def test_an_escaped_spelling_of_a_known_secret_does_not_come_out():
    redactor = Redactor(['pass"word/1'])
    assert "word" not in redactor.text(r'"pass\"word/1" pass%22word%2F1')


# What stays readable


@pytest.mark.parametrize("name", ["transaction", "block_hash", "pool", "topics", "snapshot"])
def test_a_hash_comes_out_under_its_name(stream, name):
    structlog.get_logger().info("x", **{name: HASH})
    assert lines(stream)[0][name] == HASH


@pytest.mark.parametrize(
    "text",
    [
        f"transaction {HASH} has no receipt after 25 blocks",
        f"{{'hash': '{HASH}'}}",
        f"the vault {ADDRESS} is paused",
        "cannot reach the node at http://127.0.0.1:8545: no connection",
        "cannot reach https://node.example, trying https://[::1]:8545/",
        "340282366920938463463374607431768211455 units",
        "the key of the table, a secret, the url of the node",
    ],
)
def test_what_a_person_needs_stays(text):
    assert Redactor().text(text) == text


def test_a_hash_without_a_name_does_not_come_out():
    assert HASH not in Redactor().text(f"but here it is {HASH}")


def test_a_url_keeps_its_host():
    assert Redactor().text(f"at {URL}") == f"at https://node.example:8545/{REDACTED}"


def test_what_cannot_show_itself_is_named_by_its_type():
    class Shy:
        def __str__(self) -> str:
            raise RuntimeError

    assert Redactor().value(Shy()) == "<Shy>"


def test_what_contains_itself_is_cut_off():
    cycle: list = []
    cycle.append(cycle)
    assert REDACTED in json.dumps(Redactor().value(cycle))


# Any text, any place

words = st.text(st.characters(codec="utf-8", exclude_characters="@"), max_size=12)
token = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=8, max_size=40)
key = st.integers(10**60, 2**256 - 1)
planting = st.one_of(
    key.map(lambda k: (f"{k:064x}", f" 0x{k:064x}")),
    key.map(lambda k: (f"{k:064x}", f"{k:064x}")),
    key.map(lambda k: (str(k), str(k))),
    st.binary(min_size=66, max_size=200).map(lambda raw: (raw.hex(), f"0x{raw.hex()}")),
    token.map(lambda t: (t, f"https://u:{t}@node.example/")),
    token.map(lambda t: (t, f"wss://node.example/v3/{t}")),
    token.map(lambda t: (t, f"https://node.example/?apikey={t}")),
    token.map(lambda t: (t, f"slack://{t}/{t}/channel")),
    token.map(lambda t: (t, f" Authorization: Bearer {t}")),
    token.map(lambda t: (t, f" password={t}")),
)


def nested(leaf):
    return st.recursive(
        leaf, lambda inside: st.lists(inside, min_size=1, max_size=2) | st.dictionaries(words, inside, min_size=1)
    )


@given(planting, words, words, st.data())
def test_wherever_a_secret_is_planted_it_does_not_come_out(planted, before, after, data):
    secret, text = planted
    assume(secret not in before + after)
    value = data.draw(nested(st.just(f"{before} {text} {after}")))
    shown = json.dumps(Redactor().value(value), ensure_ascii=False)
    assert secret not in shown


@given(nested(st.none() | st.booleans() | st.floats() | st.integers() | st.binary() | words))
def test_whatever_is_logged_is_json_on_one_line(value):
    line = json.dumps(Redactor().value(value), allow_nan=False)
    assert "\n" not in line


@given(token, words, words)
def test_a_secret_that_is_known_does_not_come_out_of_any_text(secret, before, after):
    shown = Redactor([secret]).text(f"{before}{secret}{after}")
    assert secret not in shown or secret in REDACTED
