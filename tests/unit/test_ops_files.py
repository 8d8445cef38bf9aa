"""The files in ops/ name only what there is: metrics, alerts, ports, commands."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml
from prometheus_client import Metric

from keeper.cli import app
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
UNITS = sorted(OPS.glob("*.service"))
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


def instructions() -> list[tuple[str, str]]:
    """The container file line by line, as a builder reads it: comments away, continued lines in one."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINER, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def test_the_container_file_has_only_instructions_that_there_are():
    known = {"ARG", "FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL",
             "ENTRYPOINT", "CMD"}  # fmt: skip
    assert {name for name, _ in instructions()} == known
    arguments = {rest.partition("=")[0] for name, rest in instructions() if name == "ARG"}
    assert all(re.fullmatch(r"\$\{(\w+)\}( AS \w+)?", rest) for name, rest in instructions() if name == "FROM")
    assert {re.search(r"\w+", rest)[0] for name, rest in instructions() if name == "FROM"} <= arguments


def test_what_the_container_runs_is_given_as_lists():
    for name, rest in instructions():
        if name in {"ENTRYPOINT", "CMD"}:
            assert all(isinstance(word, str) for word in json.loads(rest))
        if name == "HEALTHCHECK":
            assert json.loads(rest.partition("CMD ")[2])


def test_the_container_copies_only_what_there_is_and_from_stages_that_come_before():
    named: list[str] = []
    for stage in stages():
        for name, rest in stage[1:]:
            if name != "COPY":
                continue
            *sources, _ = rest.split()
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in named
            else:
                assert [source for source in sources if not (ROOT / source).exists()] == []
        named += re.findall(r" AS (\w+)", stage[0][1])
    built = {match[1] for match in re.finditer(r"--from=build /opt/ballast/(\S+)", CONTAINER)}
    assert built == {".venv", "keeper", ".build/__local__.json"}


def test_the_container_has_what_its_rules_of_the_makefile_need(tmp_path):
    """Each `make` of the build, without doing it, in a folder that holds what was copied by then and nothing else."""
    made = []
    for name, rest in stages()[1]:
        if name == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / source, tmp_path)
        for target in re.findall(r"make (\S+/\.ready)", rest) if name == "RUN" else ():
            command = ["make", "-n", target]
            plan = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603  as above
            assert plan.returncode == 0, plan.stderr
            assert (tmp_path / "contracts").is_dir() or target != ".build/.ready"
            made.append(target)
    assert {".venv/.ready", ".build/.ready"} <= set(made)


def test_the_container_asks_for_health_where_it_is_served():
    assert f"http://127.0.0.1:{HealthConfig().port}/healthz" in CONTAINER


def test_the_container_does_not_run_as_root_and_sends_nothing_unless_told_to():
    last = CONTAINER.rpartition("FROM ")[2]
    assert "\nUSER ballast\n" in last
    assert "--live" not in last.partition("\nCMD ")[2]


def section(unit: Path, name: str) -> configparser.SectionProxy:
    parsed = configparser.RawConfigParser(strict=False)
    parsed.optionxform = str
    parsed.read(unit)
    return parsed[name]


def hardening(unit: Path) -> str:
    return unit.read_text().partition("# Nothing but the network")[2].partition("# A core dump")[0]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_hardens_its_service_like_the_others(unit):
    service = section(unit, "Service")
    for setting, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "CapabilityBoundingSet": "",
        "LimitCORE": "0",
    }.items():
        assert service[setting] == value
    assert hardening(unit) == hardening(OPS / "ballast.service") != ""


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_reads_no_credential_that_it_does_not_load(unit):
    loaded = set(re.findall(r"^LoadCredential=([\w.]+):", unit.read_text(), re.MULTILINE))
    assert set(re.findall(r"CREDENTIALS_DIRECTORY/([\w.]+)", section(unit, "Service")["ExecStart"])) <= loaded


def test_the_keeper_s_unit_hands_the_key_over_as_a_credential_and_the_dispatcher_s_has_none():
    unit = (OPS / "ballast.service").read_text()
    assert {"keystore.json", "password"} <= set(re.findall(r"^LoadCredential=([\w.]+):", unit, re.MULTILINE))
    dispatcher = section(OPS / "ballast-dispatch.service", "Service")
    assert not {"LoadCredential", "SetCredential"} & set(dispatcher)
    assert "PASSWORD" not in dispatcher["ExecStart"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_there_is_with_options_that_it_has(unit, monkeypatch):
    monkeypatch.setenv("BALLAST_QUEUE", "redis://127.0.0.1:6379")
    name, *arguments = re.search(r"bin/keeper ([^']+)", section(unit, "Service")["ExecStart"])[1].split()
    command = app.commands[name]
    # The files are those of another machine.
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter, "type", click.STRING)
    context = command.make_context(name, [argument.strip('"') for argument in arguments])
    assert context.params["live"] is True


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault_with_a_unit(unit, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/ballast/.venv/bin/keeper", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own file
    assert (said.returncode, said.stderr) == (0, "")


def test_the_walkthrough_installs_every_unit():
    assert [unit.name for unit in UNITS if f"ops/{unit.name}" not in OPERATIONS] == []
