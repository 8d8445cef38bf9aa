"""Ages and limits by a clock that the test turns; the server over a real socket."""

import http.client
import json
import socket
import threading

import pytest

from keeper.domain import InputError
from keeper.ops.health import HealthLimits, HealthServer, Pulse
from keeper.ops.metrics import Metrics

LIMITS = HealthLimits(loop_seconds=10, head_seconds=20, intent_seconds=30)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock) -> Pulse:
    pulse = Pulse(clock)
    pulse.loop_tick(1_000)
    pulse.saw_head(7, 1_000)
    return pulse


@pytest.fixture
def server(pulse):
    with HealthServer(0, pulse, Metrics("1.2.3"), LIMITS) as server:
        yield server


def ask(server: HealthServer, path: str, method: str = "GET", body: bytes | None = None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


# Ages


@pytest.mark.parametrize(
    ("age", "reason"),
    [
        (10, None),
        (10.5, "main: the loop last came round 10 s ago, and 10 s is the limit"),
    ],
)
def test_the_loop_is_late_past_its_limit_and_not_before(pulse, clock, age, reason):
    clock.now += age
    assert pulse.health(LIMITS).reasons == ((reason,) if reason else ())


@pytest.mark.parametrize(("age", "late"), [(20, False), (21, True)])
def test_the_head_is_late_past_its_limit_and_not_before(pulse, clock, age, late):
    clock.now += age
    pulse.loop_tick(clock.now)
    reasons = pulse.health(LIMITS).reasons
    assert reasons == (("main: the newest block is from 21 s ago, and 20 s is the limit",) if late else ())


@pytest.mark.parametrize(("age", "late"), [(30, False), (31, True)])
def test_the_oldest_intent_is_late_past_its_limit_and_not_before(pulse, clock, age, late):
    pulse.oldest_intent(clock.now - age)
    reasons = pulse.health(LIMITS).reasons
    assert reasons == (("main: the oldest open intent is from 31 s ago, and 30 s is the limit",) if late else ())


def test_a_closed_intent_is_not_late(pulse, clock):
    pulse.oldest_intent(clock.now - 99)
    pulse.oldest_intent(None)
    assert pulse.health(LIMITS).ok


def test_a_head_of_the_future_is_a_wrong_clock(pulse, clock):
    pulse.saw_head(8, 1_021)
    assert pulse.health(LIMITS).reasons == ("main: the newest block is from 21 s in the future: the clock is wrong",)


def test_a_head_that_comes_again_does_not_get_younger(pulse, clock):
    clock.now += 21
    pulse.loop_tick(clock.now)
    pulse.saw_head(7, 1_000)
    assert not pulse.health(LIMITS).ok


def test_a_loop_that_never_starts_becomes_late(clock):
    pulse = Pulse(clock)
    clock.now += 21
    assert len(pulse.health(LIMITS).reasons) == 2


def test_one_late_chain_of_two_is_a_reason(clock):
    pulse = Pulse(clock, names=("mainnet", "base"))
    clock.now += 21
    pulse.loop_tick(clock.now, "mainnet")
    pulse.saw_head(9, 1_021, "mainnet")
    reasons = pulse.health(LIMITS).reasons
    assert [reason.partition(":")[0] for reason in reasons] == ["base", "base"]


def test_a_halted_keeper_is_healthy_and_says_why_it_is_halted(pulse):
    pulse.halt("by hand")
    assert pulse.health(LIMITS).ok
    assert pulse.health(LIMITS).facts["halted"] == {"main": "by hand"}


def test_a_resumed_keeper_is_no_longer_halted(pulse):
    pulse.halt("by hand")
    pulse.halt(None)
    assert pulse.health(LIMITS).facts["halted"] == {}


def test_a_keeper_that_stands_by_is_healthy_and_says_who_has_the_lease(pulse):
    pulse.stand_by("another host keeps the lease")
    assert pulse.health(LIMITS).ok
    assert pulse.health(LIMITS).facts["standby"] == {"main": "another host keeps the lease"}
    pulse.stand_by(None)
    assert pulse.health(LIMITS).facts["standby"] == {}


def test_many_threads_may_write_while_one_reads(pulse, clock):
    def write(name: str) -> None:
        for number in range(200):
            pulse.loop_tick(clock.now, f"{name}{number}")
            pulse.saw_head(number, 1_000, f"{name}{number}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert pulse.health(LIMITS).ok
    assert len(pulse.health(LIMITS).facts["head_number"]) == 801


# The server


def test_a_healthy_keeper_answers_200_with_its_ages(server, clock):
    clock.now += 5
    status, headers, body = ask(server, "/healthz")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {
        "ok": True,
        "reasons": [],
        "halted": {},
        "standby": {},
        "loop_age_seconds": {"main": 5},
        "head_age_seconds": {"main": 5},
        "head_number": {"main": 7},
        "oldest_intent_age_seconds": {},
    }


def test_a_late_keeper_answers_503_with_the_reasons(server, clock):
    clock.now += 21
    status, _, body = ask(server, "/healthz?verbose")
    assert status == 503
    assert json.loads(body)["reasons"] == [
        "main: the loop last came round 21 s ago, and 10 s is the limit",
        "main: the newest block is from 21 s ago, and 20 s is the limit",
    ]


def test_metrics_are_served_in_prometheus_format(server):
    status, headers, body = ask(server, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b'ballast_build_info{version="1.2.3"} 1.0' in body


@pytest.mark.parametrize("path", ["/", "/health", "/healthz/", "/../healthz", "/metrics%00"])
def test_another_path_is_not_found(server, path):
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/halt"])
def test_whatever_is_not_get_is_refused(server, method, path):
    status, headers, _ = ask(server, path, method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_an_answer_that_cannot_be_given_is_500_without_a_traceback(pulse):
    class Broken(Metrics):
        def render(self) -> bytes:
            raise RuntimeError("s3cret")

    with HealthServer(0, pulse, Broken("1"), LIMITS) as server:
        status, _, body = ask(server, "/metrics")
    assert (status, body) == (500, b"Internal Server Error\n")


def test_the_server_does_not_say_what_it_runs_on(server):
    assert ask(server, "/healthz")[1]["Server"].strip() == "ballast"


def test_a_client_that_says_nothing_does_not_keep_others_waiting(server):
    with socket.create_connection(("127.0.0.1", server.port)):
        assert ask(server, "/healthz")[0] == 200


def test_a_client_that_says_nothing_does_not_keep_the_server_from_stopping(pulse):
    server = HealthServer(0, pulse, Metrics("1"), LIMITS)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port)):
        ask(server, "/healthz")  # the silent one was accepted before this one
        server.stop()


def test_it_listens_on_the_loopback_address_only(server):
    assert server._server.server_address[0] == "127.0.0.1"


def test_another_address_can_be_asked_for(pulse):
    with HealthServer(0, pulse, Metrics("1"), LIMITS, bind="0.0.0.0") as server:  # noqa: S104 - that is what is tested
        assert server._server.server_address[0] == "0.0.0.0"  # noqa: S104 - see above


def test_a_second_keeper_on_the_same_port_is_one_clear_line(server, pulse):
    with pytest.raises(InputError) as caught:
        HealthServer(server.port, pulse, Metrics("1"), LIMITS)
    assert str(caught.value) == (
        f"cannot serve health on 127.0.0.1:{server.port}: the port is taken, perhaps by another keeper; "
        "give this one a port of its own"
    )


def test_an_address_that_is_not_this_machines_is_one_clear_line(pulse):
    with pytest.raises(InputError, match=r"cannot serve health on 192\.0\.2\.1:0: "):
        HealthServer(0, pulse, Metrics("1"), LIMITS, bind="192.0.2.1")


def test_a_stopped_server_gives_its_port_back(server, pulse):
    port = server.port
    ask(server, "/healthz")
    server.stop()
    with HealthServer(port, pulse, Metrics("1"), LIMITS) as again:
        assert ask(again, "/healthz")[0] == 200


def test_stopping_twice_or_before_starting_is_nothing(pulse):
    server = HealthServer(0, pulse, Metrics("1"), LIMITS)
    server.stop()
    server.stop()
