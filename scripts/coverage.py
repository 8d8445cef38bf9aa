"""Which lines and branches of the contracts do the forge tests reach?

    .venv/bin/python scripts/coverage.py

Runs the tests of `tests/contracts` but for the invariant campaigns: what only chance reaches, no test holds. Prints a
table and what is not reached, and exits 1 below 99% of lines or of branches. Left out are the devnet's contracts, which
hold nobody's money, and the lens, which is init code of an `eth_call`: both are run by the Python tests.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = 0.99
LEFT_OUT = ("contracts/devnet/", "contracts/periphery/Lens.sol", "contracts/periphery/lens/")


@dataclass
class Record:
    """What is known of one file: how often each line was run, and each branch (line, number, path) taken."""

    path: str
    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[int, str, str], int] = field(default_factory=dict)

    def missed(self) -> Iterator[str]:
        """Where to look for what was not reached."""
        for line, count in self.lines.items():
            if count == 0:
                yield f"{self.path}:{line} is never run"
        for (line, _, path), count in self.branches.items():
            if count == 0:
                yield f"{self.path}:{line} never takes branch {path}"


def parse(report: str) -> list[Record]:
    """The files of an lcov report that are contracts of the vault."""
    records = []
    for block in report.split("end_of_record"):
        found = re.search(r"^SF:(.*)$", block, re.MULTILINE)
        if found is None or not found[1].startswith("contracts/") or found[1].startswith(LEFT_OUT):
            continue
        record = Record(found[1])
        for line, count in re.findall(r"^DA:(\d+),(\d+)", block, re.MULTILINE):
            record.lines[int(line)] = int(count)
        for line, number, path, count in re.findall(r"^BRDA:(\d+),(\w+),(\w+),(\d+|-)$", block, re.MULTILINE):
            record.branches[int(line), number, path] = 0 if count == "-" else int(count)
        records.append(record)
    return records


def share(counts: list[int]) -> float:
    """The part of `counts` that is not zero, 1 if there are none."""
    return sum(count > 0 for count in counts) / len(counts) if counts else 1.0


def row(name: str, lines: list[int], branches: list[int]) -> str:
    return f"{name:<40}{len(lines):>7}{share(lines):>8.1%}{len(branches):>10}{share(branches):>8.1%}"


def main() -> None:
    binary = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "lcov.info"
        command = (str(binary), "coverage", "--no-match-path", "tests/contracts/invariants/*")
        run = subprocess.run(  # noqa: S603  # our own forge, on our own tests
            (*command, "--report", "lcov", "--report-file", str(report)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0 or not report.exists():
            sys.exit(f"forge measured nothing:\n{(run.stdout + run.stderr)[-2000:]}")
        records = parse(report.read_text())

    print(f"{'contract':<40}{'lines':>7}{'run':>8}{'branches':>10}{'taken':>8}")
    for record in records:
        print(row(record.path, [*record.lines.values()], [*record.branches.values()]))
    lines = [count for record in records for count in record.lines.values()]
    branches = [count for record in records for count in record.branches.values()]
    print(row("all", lines, branches))
    for text in (text for record in records for text in record.missed()):
        print(text)
    sys.exit(0 if min(share(lines), share(branches)) >= LEAST else 1)


if __name__ == "__main__":
    main()
