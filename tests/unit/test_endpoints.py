"""Which endpoint is asked next, and when: the decisions, by a clock that the test sets."""

import pytest
from pydantic import ValidationError

from keeper.chain.endpoints import ChainEndpoints, Endpoints, pinned_hash
from keeper.chain.errors import UnansweredError
from keeper.chain.failover import Health, Tolerance, age_refusal, agreed, backoff, best_head, choose, silence
from keeper.chain.rpc import Header, block_tag

TOLERANCE = Tolerance(max_lag_blocks=3, max_head_age_seconds=60, backoff_first_seconds=1, backoff_cap_seconds=8)
WALL = 1_760_000_000.0
REFUSED = UnansweredError("a: no connection", "connection")


def header(number: int, age: float = 0) -> Header:
    return Header(number=number, hash=f"0x{number:064x}", timestamp=int(WALL - age), base_fee_per_gas=1)


def at(number: int, *, now: float = 0, age: float = 0, name: str = "a") -> Health:
    return Health(name, checked=True).saw(header(number, age), now, WALL, TOLERANCE)


def order(*endpoints: Health, now: float = 0, **changes) -> tuple[int, ...]:
    return choose(endpoints, now=now, tolerance=TOLERANCE, **changes).order


def test_endpoints_are_asked_in_the_configured_order():
    assert order(at(9), at(10), Health("c")) == (0, 1, 2)


def test_the_wait_doubles_up_to_the_cap():
    assert [backoff(failures, None, TOLERANCE) for failures in (1, 2, 3, 4, 5, 100_000)] == [1, 2, 4, 8, 8, 8]


@pytest.mark.parametrize(("asked", "waited"), [(0, 1), (30, 30), (10**9, 600), (float("inf"), 600)])
def test_an_endpoint_is_left_alone_as_long_as_it_asks_within_reason(asked, waited):
    assert backoff(1, asked, TOLERANCE) == waited


def test_an_endpoint_that_failed_is_passed_over_until_its_wait_is_over():
    failed = at(10).failed(REFUSED, 0, TOLERANCE)
    choice = choose([failed, at(10)], now=0.9, tolerance=TOLERANCE)
    assert choice.order == (1,)
    assert choice.passed_over == {0: "a: no connection (asked again in 0 s)"}
    assert order(failed, at(10), now=1) == (0, 1)


def test_an_endpoint_that_failed_is_asked_for_its_chain_again():
    assert not at(10).failed(REFUSED, 0, TOLERANCE).checked


def test_an_answer_ends_the_row_of_failures():
    failed = at(10).failed(REFUSED, 0, TOLERANCE).failed(REFUSED, 0, TOLERANCE)
    assert failed.retry_at == 2
    assert failed.answered().failed(REFUSED, 10, TOLERANCE).retry_at == 11


def test_of_two_waits_the_longer_counts():
    limited = at(10).failed(UnansweredError("a: HTTP status 429", "rate_limit", 30), 0, TOLERANCE)
    assert limited.failed(REFUSED, 0, TOLERANCE).retry_at == 30


def test_an_endpoint_of_another_chain_is_passed_over_for_that_reason():
    excluded = at(10).exclude("a follows chain 5", 0, Tolerance())
    assert "follows chain 5" in silence(excluded, 299)
    assert silence(excluded, 300) is None
    assert excluded.admitted(own_time=False).excluded is None


@pytest.mark.parametrize(("behind", "asked"), [(3, (0, 1)), (4, (1,))])
def test_an_endpoint_is_passed_over_when_it_is_further_behind_than_allowed(behind, asked):
    assert order(at(100 - behind), at(100)) == asked


@pytest.mark.parametrize(("age", "asked"), [(60, (0, 1)), (61, (1,)), (-30, (0, 1)), (-31, (1,))])
def test_an_endpoint_is_passed_over_when_its_head_is_old_or_from_the_future(age, asked):
    assert order(at(100, age=age), at(100)) == asked


def test_a_head_counts_by_its_age_when_it_was_seen():
    # An hour later nothing is known of either.
    assert order(at(100), at(90), now=3600) == (0, 1)


def test_a_dead_endpoint_s_head_is_held_against_the_others_for_a_minute():
    dead = at(100).failed(UnansweredError("a", "timeout", 500), 0, TOLERANCE)
    assert order(dead, at(90, now=60), now=60) == ()
    assert order(dead, at(90, now=61), now=61) == (1,)


def test_a_development_node_has_its_own_time():
    node = Health("a").admitted(own_time=True).saw(header(5, age=10**6), 0, WALL, TOLERANCE)
    assert order(node) == (0,)


def test_no_limit_on_age_is_none():
    assert age_refusal(header(5, age=10**6), WALL, Tolerance(max_head_age_seconds=None)) is None


def test_who_has_the_block_is_asked_first_even_if_it_is_behind_otherwise():
    assert order(at(100), at(90), at(100), holders=frozenset({1})) == (1, 0, 2)


def test_who_has_the_block_is_not_asked_while_it_is_left_alone():
    assert order(at(100), at(100).failed(REFUSED, 0, TOLERANCE), holders=frozenset({1})) == (0,)


def test_the_best_head_is_one_that_a_quorum_has_reached():
    endpoints = [at(10**9), at(100), at(99)]
    assert best_head(endpoints, 0, 1) == 10**9
    assert best_head(endpoints, 0, 2) == 100
    assert best_head(endpoints[:1], 0, 2) is None


@pytest.mark.parametrize(
    ("answers", "quorum", "outcome"),
    [
        ("xx", 2, "x"),
        ("xy", 2, None),
        ("xyx", 2, "x"),
        ("xxyy", 2, None),
        ("xxyyy", 2, "y"),
        ("x", 2, None),
        ("", 1, None),
    ],
)
def test_enough_endpoints_agree_and_more_than_on_anything_else(answers, quorum, outcome):
    assert agreed(dict(enumerate(answers)), quorum) == outcome


@pytest.mark.parametrize(
    ("params", "pin"),
    [
        (({"to": "0x1"}, block_tag("0xab")), "0xab"),
        (({"to": "0x1"}, "latest"), None),
        (({"to": "0x1"}, {"blockNumber": "0x1"}), None),
        ((), None),
    ],
)
def test_a_request_is_pinned_by_a_block_hash_only(params, pin):
    assert pinned_hash(params) == pin


def test_one_url_is_a_configuration():
    assert ChainEndpoints(rpc_url="http://a", chain_id=1).urls == ("http://a",)


def test_several_urls_keep_their_order_and_read_the_environment(monkeypatch):
    monkeypatch.setenv("NODE_KEY", "s3cret")
    urls = ("http://b/${NODE_KEY}", "http://a")
    assert ChainEndpoints(rpc_urls=urls, chain_id=1).urls == ("http://b/s3cret", "http://a")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "either rpc_url or rpc_urls"),
        ({"rpc_url": "http://a", "rpc_urls": ["http://b"]}, "either rpc_url or rpc_urls"),
        ({"rpc_urls": ["http://a", "http://a"]}, "twice"),
        ({"rpc_urls": ["ftp://a"]}, "http:// or https://"),
        ({"rpc_urls": ["http://a", "http://b"], "tolerance": {"quorum": 3}}, "a quorum of 3"),
        ({"rpc_urls": ["http://a/${NO_SUCH_KEY}"]}, "NO_SUCH_KEY is not set"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        ChainEndpoints(chain_id=1, **fields)


def test_two_endpoints_of_one_provider_have_two_names_and_show_no_credential():
    endpoints = Endpoints(["https://node.example/v3/s3cret-a", "https://node.example/v3/s3cret-b"], 1)
    assert [status.name for status in endpoints.status()] == ["https://node.example", "https://node.example (2)"]
    assert "s3cret" not in repr(endpoints)


def test_an_endpoint_not_asked_yet_has_no_lag_and_nothing_against_it():
    status = Endpoints(["http://a"], 1).status()[0]
    assert (status.requests, status.head, status.lag_blocks, status.reason) == (0, None, None, None)
