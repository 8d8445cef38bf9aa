"""The files in ops/ name only what there is: metrics, alerts, ports, commands."""

import configparser
import json
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from prometheus_client import Metric

from keeper.ops.alerts import AlertsConfig, What
from keeper.ops.health import HealthConfig
from keeper.ops.metrics import Metrics

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
DASHBOARD = json.loads((OPS / "grafana-dashboard.json").read_text())
RULES = [
    rule for group in yaml.safe_load((OPS / "prometheus-rules.yaml").read_text())["groups"] for rule in group["rules"]
]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
CONTAINER = (OPS / "Containerfile").read_text()

EXPRESSIONS = [
    *(rule["expr"] for rule in RULES),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(variable["query"]["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"),
]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def series(family: Metric) -> list[str]:
    return [family.name + suffix for suffix in SUFFIXES[family.type]]


FAMILIES = list(Metrics("1").registry.collect())
SERIES = {name for family in FAMILIES for name in series(family)}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_that_is_asked_for_exists(expression):
    asked_for = set(re.findall(r"\b(?:ballast|process)_\w+", expression))
    assert asked_for <= SERIES
    assert asked_for or expression.startswith("up{")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_that_is_asked_for_exists(expression):
    known = {"le", "job", "vault", "action", "breaker", "endpoint", "chain", "signer", "outcome"}
    grouped = re.findall(r"by \(([^)]*)\)", expression)
    matched = re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|=)", expression)
    assert {label.strip() for labels in grouped for label in labels.split(",")} | set(matched) <= known


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_bracket_is_closed(expression):
    closing = {")": "(", "]": "[", "}": "{"}
    opened = []
    for character in expression:
        if character in closing.values():
            opened.append(character)
        elif character in closing:
            assert opened.pop() == closing[character]
    assert opened == []


def test_every_metric_of_the_keeper_is_looked_at_somewhere():
    shown = " ".join(EXPRESSIONS)
    ours = [family for family in FAMILIES if family.name.startswith("ballast_")]
    unseen = {family.name for family in ours if not any(re.search(rf"\b{name}\b", shown) for name in series(family))}
    assert unseen == {"ballast_build_info", "ballast_head_number"}  # for whoever asks, not for a picture


def test_the_dashboard_shows_what_a_person_watches():
    titles = " ".join(panel["title"].lower() for panel in DASHBOARD["panels"])
    for subject in ("drift", "nav", "decisions", "batches", "gas", "rpc errors", "lag", "breakers", "intents", "tick"):
        assert subject in titles


def test_the_panels_have_their_own_numbers_and_places():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (column, row)
        for panel in panels
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(column for column, _ in taken) < 24


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_rule_says_how_bad_it_is_and_what_to_do(rule):
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Ballast[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description"}


def documented(heading: str) -> set[str]:
    table = OPERATIONS.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


def test_every_rule_is_documented_and_nothing_else():
    assert documented("From Prometheus:") == {rule["alert"] for rule in RULES}


def test_every_alert_of_the_keeper_is_documented_and_nothing_else():
    assert documented("From the keeper itself:") == set(get_args(What))


def test_the_documented_configuration_is_one():
    block = re.search(r"```yaml\n(health:.*?)```", OPERATIONS, re.DOTALL)
    sections = yaml.safe_load(block[1].replace("${BOT_TOKEN}/${CHAT}", "token/chat"))
    assert HealthConfig(**sections["health"]) == HealthConfig()
    assert AlertsConfig(**sections["alerts"]).per_hour == AlertsConfig().per_hour


def test_the_container_asks_for_health_where_it_is_served():
    assert f"http://127.0.0.1:{HealthConfig().port}/healthz" in CONTAINER


def test_the_container_does_not_run_as_root_and_sends_nothing_unless_told_to():
    last = CONTAINER.rpartition("FROM ")[2]
    assert "\nUSER ballast\n" in last
    assert "--live" not in last.partition("\nCMD ")[2]


def test_the_unit_hardens_the_service_and_hands_the_key_over_as_a_credential():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(OPS / "ballast.service")
    service = unit["Service"]
    for setting, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "Restart": "on-failure",
        "CapabilityBoundingSet": "",
        "LimitCORE": "0",
    }.items():
        assert service[setting] == value
    credentials = re.findall(r"^LoadCredential=([\w.]+):", (OPS / "ballast.service").read_text(), re.MULTILINE)
    assert {"keystore.json", "password"} <= set(credentials)
    assert set(re.findall(r"CREDENTIALS_DIRECTORY/([\w.]+)", service["ExecStart"])) <= set(credentials)
