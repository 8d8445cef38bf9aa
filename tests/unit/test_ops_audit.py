"""What `make audit` makes of the reports it gets, and of what is none."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit.py"


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_advisory_on_a_python_package_is_one_line(audit):
    advisories = [{"id": "PYSEC-1", "fix_versions": ["2.0", "1.9"]}, {"id": "PYSEC-2", "fix_versions": []}]
    report = {
        "dependencies": [
            {"name": "sound", "version": "1.0", "vulns": []},
            {"name": "unknown", "skip_reason": "not on the index"},
            {"name": "unsound", "version": "1.0", "vulns": advisories},
        ]
    }
    found = audit.python_audit(json.dumps(report))
    assert found.findings == ["unsound 1.0: PYSEC-1, fixed in 2.0, 1.9", "unsound 1.0: PYSEC-2, no fix yet"]
    assert found.unknown == 1


def test_a_source_that_knows_no_package_has_not_audited_any(audit):
    report = {"dependencies": [{"name": "unknown", "skip_reason": "not on the index"}]}
    assert audit.python_audit(json.dumps(report)) is None


def test_an_advisory_on_an_npm_package_is_one_line(audit):
    package = {"range": "<1.2", "severity": "high", "fixAvailable": True}
    found = audit.npm_audit(json.dumps({"vulnerabilities": {"unsound": package}}))
    assert found.findings == ["unsound <1.2: high, a fix is available"]


@pytest.mark.parametrize("output", ["", "connection refused", "[]", '{"message": "405 Method Not Allowed"}'])
def test_what_is_no_report_is_not_taken_for_a_clean_one(audit, output):
    assert audit.python_audit(output) is None
    assert audit.npm_audit(output) is None


def test_no_answer_does_not_fail_and_says_so(audit, capsys):
    assert audit.tell("some.lock", None) is False
    assert "not audited" in capsys.readouterr().out


@pytest.mark.parametrize(("findings", "bad"), [([], False), (["unsound 1.0: PYSEC-1"], True)])
def test_a_finding_fails_and_none_does_not(audit, findings, bad):
    assert audit.tell("some.lock", audit.Audit(findings)) is bad


def test_packages_that_the_source_does_not_know_are_counted(audit, capsys):
    audit.tell("some.lock", audit.Audit([], unknown=3))
    assert "3 packages are unknown" in capsys.readouterr().out


def test_every_python_lock_is_audited(audit):
    assert set(audit.LOCKS) == {path.name for path in SCRIPT.parents[1].glob("*.lock")}


# As a part of `make check`


CLEAN = json.dumps({"vulnerabilities": {}})


@pytest.fixture
def world(audit, monkeypatch):
    """What npm answers, what `make audit` ends with, and how often it ran."""
    world = SimpleNamespace(answer=CLEAN, code=0, audits=0)

    def make(command, **_):
        world.audits += 1
        assert command[0] == "make"
        return SimpleNamespace(returncode=world.code)

    monkeypatch.setattr(audit, "_output", lambda *_, patience: world.answer)
    monkeypatch.setattr(audit.subprocess, "run", make)
    return world


@pytest.mark.parametrize("answer", ["", '{"message": "405 Method Not Allowed"}'])
def test_a_check_where_no_source_answers_skips_the_audit_and_says_so(audit, world, tmp_path, capsys, answer):
    world.answer = answer
    assert (audit.quick(tmp_path / "audit.json", 0), world.audits) == (0, 0)
    assert capsys.readouterr().out == "audit: skipped, no advisory source answers\n"


def test_a_check_fails_with_the_audit(audit, world, tmp_path):
    world.code = 1
    assert [audit.quick(tmp_path / "audit.json", 0) for _ in range(2)] == [1, 1]
    assert world.audits == 2


def test_the_same_locks_are_audited_once_a_day(audit, world, tmp_path):
    for now in (0, 86_399):
        assert audit.quick(tmp_path / "audit.json", now) == 0
    assert world.audits == 1
    audit.quick(tmp_path / "audit.json", 86_400)
    assert world.audits == 2


def test_other_locks_are_audited_anew(audit, world, tmp_path, monkeypatch):
    audit.quick(tmp_path / "audit.json", 0)
    monkeypatch.setattr(audit, "LOCKS", audit.LOCKS[1:])
    audit.quick(tmp_path / "audit.json", 1)
    assert world.audits == 2


def test_a_source_that_never_answers_is_not_waited_for(audit):
    silent = "import signal; print('late', flush=True); signal.pause()"
    assert audit._output((sys.executable, "-c", silent), patience=0.1) == ""
