"""Do the locked dependencies have known vulnerabilities?

    .venv-audit/bin/python scripts/audit.py

Asks the Python and npm advisory sources about every package in the locks. Prints what they know and exits 1 if that is
anything. Where a source cannot be reached it says so and does not fail: no answer is no finding.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-proof.lock", "requirements-audit.lock")
PATIENCE = 600
"""Seconds for one source; there are as many questions as packages."""


@dataclass(frozen=True)
class Audit:
    """What a source knows of one lock file: one line for each finding, and how many packages it does not know."""

    findings: list[str]
    unknown: int = 0


def python_audit(report: str) -> Audit | None:
    """Reads a report of pip-audit; None if it is none, or if the source knew not one of the packages."""
    found = _json(report)
    if not isinstance(found, dict) or "dependencies" not in found:
        return None
    # What the source does not know is skipped, which to a careless reader looks like sound.
    known = [package for package in found["dependencies"] if "vulns" in package]
    if not known:
        return None
    findings = [
        f"{package['name']} {package['version']}: {advisory['id']}"
        + (f", fixed in {', '.join(advisory['fix_versions'])}" if advisory["fix_versions"] else ", no fix yet")
        for package in known
        for advisory in package["vulns"]
    ]
    return Audit(findings, len(found["dependencies"]) - len(known))


def npm_audit(report: str) -> Audit | None:
    """Reads a report of `npm audit`; None if it is none."""
    found = _json(report)
    if not isinstance(found, dict) or "vulnerabilities" not in found:
        return None
    return Audit(
        [
            f"{name} {package['range']}: {package['severity']}"
            + (", a fix is available" if package["fixAvailable"] else ", no fix yet")
            for name, package in sorted(found["vulnerabilities"].items())
        ]
    )


def main() -> None:
    pip_audit = str(Path(sys.executable).parent / "pip-audit")
    bad = False
    for lock in LOCKS:
        options = ("--requirement", lock, "--disable-pip", "--require-hashes", "--format", "json")
        bad |= tell(lock, python_audit(_output((pip_audit, *options, "--progress-spinner", "off"))))
    bad |= tell("package-lock.json", npm_audit(_output(("npm", "audit", "--json"))))
    sys.exit(1 if bad else 0)


def tell(lock: str, audit: Audit | None) -> bool:
    """Prints what was found in one lock file; whether anything was."""
    if audit is None:
        print(f"{lock}: not audited, no advisory source can be reached")
        return False
    unknown = f"; {audit.unknown} packages are unknown to the source" if audit.unknown else ""
    print(f"{lock}: {len(audit.findings)} known vulnerabilities{unknown}")
    for finding in audit.findings:
        print(f"  {finding}")
    return bool(audit.findings)


def _output(command: Sequence[str]) -> str:
    """What a command prints, whatever its exit code; nothing if it does not end in time."""
    try:
        return subprocess.run(  # noqa: S603  # our own tools, on our own locks
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE
        ).stdout
    except subprocess.TimeoutExpired:
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


if __name__ == "__main__":
    main()
