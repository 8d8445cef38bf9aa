import re

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from keeper.ops.metrics import Metrics

VAULT = "0x00000000000000000000000000000000000000AA"
WAD = 10**18


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def everything(metrics: Metrics) -> None:
    metrics.tick_done(VAULT, 0.4, 1_000.0)
    metrics.decided(VAULT, "hold")
    metrics.breaker("oracle", VAULT)
    metrics.halted(VAULT, True)
    metrics.drift(VAULT, WAD // 20)
    metrics.nav(VAULT, 1_000_000 * WAD)
    metrics.sent(VAULT)
    metrics.confirmed(VAULT)
    metrics.failed(VAULT)
    metrics.gas(VAULT, 500_000, 2 * 10**9)
    metrics.intents_open(2, 900.0)
    metrics.signer_balance(VAULT, WAD // 2)
    metrics.head(1, 21_000_000, 990, 7)
    metrics.rpc_answered("https://node.example", 0.2)
    metrics.rpc_error("https://node.example")
    metrics.rpc_lag("https://node.example", 3)
    metrics.alert("sent")


@pytest.mark.parametrize(
    ("sample", "value", "labels"),
    [
        ("ballast_build_info", 1, {"version": "1.2.3"}),
        ("ballast_tick_duration_seconds_count", 1, {"vault": VAULT}),
        ("ballast_tick_duration_seconds_sum", 0.4, {"vault": VAULT}),
        ("ballast_last_tick_timestamp_seconds", 1_000, {"vault": VAULT}),
        ("ballast_decisions_total", 1, {"vault": VAULT, "action": "hold"}),
        ("ballast_breaker_trips_total", 1, {"breaker": "oracle", "vault": VAULT}),
        ("ballast_halted", 1, {"vault": VAULT}),
        ("ballast_drift_ratio", 0.05, {"vault": VAULT}),
        ("ballast_nav_usd", 1_000_000, {"vault": VAULT}),
        ("ballast_batches_sent_total", 1, {"vault": VAULT}),
        ("ballast_batches_confirmed_total", 1, {"vault": VAULT}),
        ("ballast_batches_failed_total", 1, {"vault": VAULT}),
        ("ballast_gas_used_total", 500_000, {"vault": VAULT}),
        ("ballast_gas_fees_native_total", 0.001, {"vault": VAULT}),
        ("ballast_intents_open", 2, {}),
        ("ballast_oldest_intent_timestamp_seconds", 900, {}),
        ("ballast_signer_balance_native", 0.5, {"signer": VAULT}),
        ("ballast_head_number", 21_000_000, {"chain": "1"}),
        ("ballast_head_timestamp_seconds", 990, {"chain": "1"}),
        ("ballast_base_fee_wei", 7, {"chain": "1"}),
        ("ballast_rpc_request_duration_seconds_count", 1, {"endpoint": "https://node.example"}),
        ("ballast_rpc_errors_total", 1, {"endpoint": "https://node.example"}),
        ("ballast_rpc_head_lag_blocks", 3, {"endpoint": "https://node.example"}),
        ("ballast_alerts_total", 1, {"outcome": "sent"}),
    ],
)
def test_an_event_is_seen_in_its_metric(metrics, sample, value, labels):
    everything(metrics)
    assert metrics.registry.get_sample_value(sample, labels) == value


def test_every_metric_has_the_prefix_a_unit_where_it_has_one_and_a_description(metrics):
    everything(metrics)
    families = [
        family
        for family in text_string_to_metric_families(metrics.render().decode())
        if not family.name.startswith("process_")
    ]
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(r"ballast_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        if family.type == "histogram" or "timestamp" in family.name:
            assert family.name.endswith("_seconds")
        assert not re.search(r"_(ms|gwei|percent|minutes)\b", family.name)


def test_no_open_intent_has_no_age(metrics):
    metrics.intents_open(1, 900.0)
    metrics.intents_open(0)
    assert metrics.registry.get_sample_value("ballast_oldest_intent_timestamp_seconds") == 0


@pytest.mark.parametrize("event", ["rpc_error", "rpc_answered", "rpc_lag"])
def test_a_url_with_credentials_does_not_become_a_label(metrics, event):
    arguments = () if event == "rpc_error" else (1,)
    getattr(metrics, event)("https://alice:s3cret@node.example:8545/v2/s3cret?key=s3cret", *arguments)
    text = metrics.render().decode()
    assert "s3cret" not in text
    assert 'endpoint="https://node.example:8545/' in text


def test_two_keepers_in_one_process_do_not_share_their_metrics(metrics):
    other = Metrics("1.2.3")
    metrics.sent(VAULT)
    assert other.registry.get_sample_value("ballast_batches_sent_total", {"vault": VAULT}) is None


def test_nothing_is_registered_globally(metrics):
    everything(metrics)
    assert not any(family.name.startswith("ballast_") for family in REGISTRY.collect())


def test_the_process_itself_is_measured(metrics):
    assert metrics.registry.get_sample_value("process_resident_memory_bytes") > 0
