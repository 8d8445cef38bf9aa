"""Apprise itself, delivering to a local server; the clock is the test's."""

import io
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from queue import Empty, Queue
from typing import get_args

import pytest
import structlog
from pydantic import ValidationError

from keeper.domain import InputError
from keeper.ops.alerts import _WAITING, TITLES, Alerts, AlertsConfig, What
from keeper.ops.log import Redactor

VAULT = "0x00000000000000000000000000000000000000AA"
OTHER = "0x00000000000000000000000000000000000000bB"
SOON = 10
"""Seconds within which everything here is delivered."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Receiver(socketserver.ThreadingTCPServer):
    """Takes what Apprise posts to a `json://` URL; answers `status`, once `may_answer` is set."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.got: Queue[dict] = Queue()
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.got.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                receiver.may_answer.wait(SOON)
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"json://alice:s3cret-word@127.0.0.1:{self.server_address[1]}/s3cret-word"

    def next(self) -> dict:
        return self.got.get(timeout=SOON)


@pytest.fixture
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.may_answer.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted() -> Queue:
    return Queue()


@pytest.fixture
def start(receiver, clock, counted):
    """Starts alerting to the receiver, by a configuration with some changes."""
    started = []

    def start(**changes) -> Alerts:
        config = AlertsConfig(**{"urls": [receiver.url]} | changes)
        started.append(Alerts(config, count=counted.put, clock=clock))
        return started[-1]

    yield start
    receiver.may_answer.set()
    for alerts in started:
        alerts.close()


@pytest.fixture
def log():
    """What is logged, as JSON lines that nothing has redacted but the code under test."""
    out = io.StringIO()
    structlog.configure([structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory(out))
    yield out
    structlog.reset_defaults()


def nothing_more(alerts: Alerts, receiver: Receiver) -> bool:
    """Whether nothing else was delivered. Ends the alerting."""
    alerts.close()
    try:
        receiver.got.get_nowait()
    except Empty:
        return True
    return False


def test_a_message_says_what_which_vault_why_and_what_to_do(start, receiver, counted):
    start().notify("breaker", VAULT, "the price of WETH is stale", "look at the feed")
    message = receiver.next()
    assert message["title"] == "Ballast: a breaker refuses to trade"
    assert message["message"] == f"vault: {VAULT}\nwhy: the price of WETH is stale\nto do: look at the feed"
    assert message["type"] == "warning"
    assert counted.get(timeout=SOON) == "sent"


def test_a_message_about_the_whole_keeper_says_so(start, receiver):
    start().notify("endpoint", "", "no connection", "look at the nodes")
    assert receiver.next()["message"].startswith("all vaults of this keeper\n")


def test_a_message_is_redacted_and_each_of_its_parts_is_one_line(start, receiver):
    start().notify("crash", VAULT, "at https://u:s3cret@node.example/s3cret\nto do: send 0x" + "5e" * 32, "s3cret-word")
    message = receiver.next()["message"]
    assert "s3cret" not in message
    assert "5e" * 32 not in message
    assert len(message.splitlines()) == 3


def test_the_same_is_told_again_only_after_a_while(start, receiver, clock):
    alerts = start(repeat_seconds=100)
    alerts.notify("breaker", VAULT, "first", "-")
    clock.now = 99.9
    alerts.notify("breaker", VAULT, "too early", "-")
    clock.now = 100
    alerts.notify("breaker", VAULT, "again", "-")
    assert "first" in receiver.next()["message"]
    assert "again" in receiver.next()["message"]
    assert nothing_more(alerts, receiver)


@pytest.mark.parametrize(("what", "vault"), [("batch", VAULT), ("breaker", OTHER)])
def test_another_thing_or_another_vault_is_told_at_once(start, receiver, what, vault):
    alerts = start()
    alerts.notify("breaker", VAULT, "first", "-")
    alerts.notify(what, vault, "second", "-")
    assert "first" in receiver.next()["message"]
    assert "second" in receiver.next()["message"]


def test_the_end_is_told_once_to_whom_the_beginning_was(start, receiver):
    alerts = start()
    alerts.notify("breaker", VAULT, "-", "-")
    alerts.resolve("breaker", VAULT)
    alerts.resolve("breaker", VAULT)
    receiver.next()
    over = receiver.next()
    assert over["title"] == "Ballast: over: a breaker refuses to trade"
    assert over["type"] == "success"
    assert VAULT in over["message"]
    assert nothing_more(alerts, receiver)


def test_the_end_of_what_was_never_told_is_not_told(start, receiver):
    alerts = start()
    alerts.resolve("breaker", VAULT)
    assert nothing_more(alerts, receiver)


def test_what_comes_back_after_its_end_is_told_at_once(start, receiver):
    alerts = start()
    alerts.notify("breaker", VAULT, "first", "-")
    alerts.resolve("breaker", VAULT)
    alerts.notify("breaker", VAULT, "second", "-")
    assert ["why: first" in receiver.next()["message"], receiver.next()["type"], receiver.next()["type"]] == [
        True,
        "success",
        "warning",
    ]


def test_what_nobody_asked_for_is_logged_and_not_told(start, receiver, log):
    alerts = start(events=["crash"])
    alerts.notify("breaker", VAULT, "stale", "-")
    alerts.resolve("breaker", VAULT)
    assert nothing_more(alerts, receiver)
    assert json.loads(log.getvalue().splitlines()[0])["why"] == "stale"


def test_more_than_the_limit_in_an_hour_is_held_back_and_its_number_told(start, receiver, clock, counted):
    alerts = start(per_hour=2)
    for what in ("balance", "batch", "breaker", "crash"):
        alerts.notify(what, VAULT, what, "-")
    clock.now = 3_600
    alerts.notify("drift", VAULT, "an hour later", "-")
    assert [receiver.next()["message"].splitlines()[1] for _ in range(2)] == ["why: balance", "why: batch"]
    assert receiver.next()["message"].splitlines()[1:] == [
        "why: an hour later",
        "to do: -",
        "held back before this one: 2; they are in the keeper's log",
    ]
    assert nothing_more(alerts, receiver)
    assert sorted(counted.queue) == ["dropped", "dropped", "sent", "sent", "sent"]


def test_what_was_held_back_is_told_once_there_is_room(start, receiver, clock):
    alerts = start(per_hour=1, repeat_seconds=99_999)
    alerts.notify("batch", VAULT, "first", "-")
    alerts.notify("crash", VAULT, "held back", "-")
    clock.now = 3_600
    alerts.notify("crash", VAULT, "still so", "-")
    receiver.next()
    assert "still so" in receiver.next()["message"]


def test_the_end_of_what_was_held_back_is_not_told(start, receiver):
    alerts = start(per_hour=1)
    alerts.notify("batch", VAULT, "first", "-")
    alerts.notify("crash", VAULT, "held back", "-")
    alerts.resolve("crash", VAULT)
    receiver.next()
    assert nothing_more(alerts, receiver)


def test_a_service_that_refuses_is_counted_and_logged_without_its_url(start, receiver, counted, log):
    receiver.status = 500
    start().notify("breaker", VAULT, "-", "-")
    assert counted.get(timeout=SOON) == "failed"
    assert "alerts.urls.0 (json)" in log.getvalue()
    assert "s3cret" not in log.getvalue()


def test_what_reached_nobody_is_told_when_it_is_next_raised_but_not_at_once(start, receiver, clock, counted):
    receiver.status = 500
    alerts = start(repeat_seconds=99_999)
    alerts.notify("breaker", VAULT, "first", "-")
    assert counted.get(timeout=SOON) == "failed"
    receiver.next()
    receiver.status = 200
    clock.now = 59
    alerts.notify("breaker", VAULT, "too early", "-")
    clock.now = 60
    alerts.notify("breaker", VAULT, "second", "-")
    assert "second" in receiver.next()["message"]


def test_the_end_of_what_reached_nobody_is_not_told(start, receiver, counted):
    receiver.status = 500
    alerts = start()
    alerts.notify("breaker", VAULT, "-", "-")
    assert counted.get(timeout=SOON) == "failed"
    receiver.next()
    alerts.resolve("breaker", VAULT)
    assert nothing_more(alerts, receiver)


def test_one_service_that_is_down_does_not_keep_the_message_from_another(start, receiver, counted):
    start(urls=["json://127.0.0.1:9/", receiver.url]).notify("breaker", VAULT, "why", "-")
    assert "why" in receiver.next()["message"]
    assert counted.get(timeout=SOON) == "failed"


def test_a_service_that_hangs_does_not_hold_up_the_loop_and_what_is_too_much_is_dropped(start, receiver, counted):
    receiver.may_answer.clear()
    alerts = start(per_hour=10_000)
    alerts.notify("crash", VAULT, "taken by the worker", "-")
    receiver.next()
    for number in range(_WAITING + 3):
        alerts.notify("crash", str(number), "-", "-")
    assert [counted.get_nowait() for _ in range(3)] == ["dropped"] * 3
    assert counted.empty()


def test_what_is_waiting_is_delivered_before_the_end(start, receiver):
    alerts = start()
    for vault in (VAULT, OTHER):
        alerts.notify("crash", vault, "-", "-")
    alerts.close()
    assert receiver.got.qsize() == 2


def test_the_end_does_not_wait_for_a_service_that_hangs(start, receiver, log):
    receiver.may_answer.clear()
    alerts = start()
    alerts.notify("crash", VAULT, "-", "-")
    receiver.next()
    alerts.close(timeout=0.05)
    assert "not delivered in time" in log.getvalue()


def test_what_is_raised_after_the_end_is_dropped(start, receiver, counted):
    alerts = start()
    alerts.close()
    alerts.notify("crash", VAULT, "-", "-")
    assert counted.get_nowait() == "dropped"


def test_nothing_that_is_raised_wrongly_reaches_the_loop(start, log):
    class Unspeakable:
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    alerts = start()
    alerts.notify("no such thing", VAULT, "-", "-")
    alerts.notify("crash", VAULT, "-", Redactor)
    alerts.resolve(["unhashable"], VAULT)
    assert "cannot resolve an alert" in log.getvalue()


def test_without_a_service_an_alert_is_logged(start, log):
    start(urls=[]).notify("crash", VAULT, "out of memory", "-")
    assert json.loads(log.getvalue())["why"] == "out of memory"


# The configuration


def test_a_url_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("BOT", "s3cret-word")
    config = AlertsConfig(urls=["tgram://${BOT}/42"])
    assert config.urls == ("tgram://s3cret-word/42",)
    assert "s3cret-word" not in repr(config)


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("BOT", raising=False)
    with pytest.raises(ValidationError, match="the environment variable BOT is not set"):
        AlertsConfig(urls=["tgram://${BOT}/42"])


@pytest.mark.parametrize("url", ["nonsense-s3cret", "gopherplus://s3cret", "tgram://s3cret"])
def test_a_url_that_apprise_does_not_know_is_refused_without_being_quoted(receiver, url):
    with pytest.raises(InputError, match=r"alerts\.urls\.1") as caught:
        Alerts(AlertsConfig(urls=[receiver.url, url]))
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_event_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match="Input should be"):
        AlertsConfig(events=["braker"])


def test_every_event_has_a_title():
    assert set(TITLES) == set(get_args(What))
