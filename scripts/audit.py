"""Do the locked dependencies have known vulnerabilities?

    .venv-audit/bin/python scripts/audit.py
    python scripts/audit.py --quick            # as a part of `make check`

Asks the Python and npm advisory sources about every package in the locks. Prints what they know and exits 1 if that is
anything. Where a source cannot be reached it says so and does not fail: no answer is no finding.

With `--quick` it first looks whether a source answers within seconds, and runs `make audit` only then; and not again
for a day while the locks stay as they are.
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-proof.lock", "requirements-audit.lock")
NPM_LOCK = "package-lock.json"
PATIENCE = 600
"""Seconds for one source; there are as many questions as packages."""
IMPATIENCE = 5
"""Seconds for a source to answer at all."""
DAY = 86_400


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
    if "--quick" in sys.argv[1:]:
        sys.exit(quick(ROOT / ".ballast" / "audit.json", time.time()))
    pip_audit = str(Path(sys.executable).parent / "pip-audit")
    bad = False
    for lock in LOCKS:
        options = ("--requirement", lock, "--disable-pip", "--require-hashes", "--format", "json")
        bad |= tell(lock, python_audit(_output((pip_audit, *options, "--progress-spinner", "off"))))
    bad |= tell(NPM_LOCK, npm_audit(_output(("npm", "audit", "--json"))))
    sys.exit(1 if bad else 0)


def quick(stamp: Path, now: float) -> int:
    """Audits where that is possible and not done yet; the exit code. `stamp` remembers the last one that was clean."""
    locks = hashlib.sha256(b"".join((ROOT / lock).read_bytes() for lock in (*LOCKS, NPM_LOCK))).hexdigest()
    done = _json(stamp.read_text()) if stamp.exists() else None
    if isinstance(done, dict) and done.get("locks") == locks and 0 <= now - done["at"] < DAY:
        print("audit: nothing was known against these locks less than a day ago")
        return 0
    impatient = ("--fetch-retries=0", f"--fetch-timeout={IMPATIENCE * 1000}")
    if npm_audit(_output(("npm", "audit", "--json", *impatient), patience=2 * IMPATIENCE)) is None:
        print("audit: skipped, no advisory source answers")
        return 0
    code = subprocess.run(("make", "--no-print-directory", "audit"), cwd=ROOT, check=False).returncode  # noqa: S607  as in PATH
    if code == 0:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(json.dumps({"locks": locks, "at": now}))
    return code


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


def _output(command: Sequence[str], patience: float = PATIENCE) -> str:
    """What a command prints, whatever its exit code; nothing if it does not end in time."""
    try:
        return subprocess.run(  # noqa: S603  # our own tools, on our own locks
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=patience
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
