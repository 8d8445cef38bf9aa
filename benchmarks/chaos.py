"""What a keeper survives: kills at every transition of its journal, faults of every kind around it, and time.

    make chaos        300 kills, each fault a few times, 300 blocks of soak
    make soak         2,000 blocks of soak, and nothing else

Keepers run as processes of their own on the offline mainnet; nothing in them knows that they are on trial. After each
run the vault's events and the journal are compared: a duplicate is a batch that was executed twice, or two intents that
did the same; a lost intent is one of which the journal does not say what the chain says; a manual step is whatever
waits for a person. All three must be 0. What is random follows from the seed, except when exactly a random kill comes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chaos.arena import LEASE_BLOCKS, Arena, Verdict
from chaos.faults import FAULTS
from chaos.kills import massacre
from chaos.life import POINTS
from chaos.soak import Soak, soak

from keeper.devnet import Devnet

RESULT = Path(__file__).with_name("chaos.json")
RUNS = 2
"""Of each fault."""
_ZEROS = ("duplicates", "lost", "manual")
FLAT = 1.1
"""How much larger a keeper may be at the end of a soak than after a fifth of it."""


def main() -> None:
    """Runs what was asked for; exit code 1 if anything but zero came out."""
    options = argparse.ArgumentParser()
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--kills", type=int, default=300)
    options.add_argument("--runs", type=int, default=RUNS)
    options.add_argument("--blocks", type=int, default=300)
    options.add_argument("--soak-only", action="store_true")
    given = options.parse_args()
    console, started = Console(), time.monotonic()
    lines = Table("what", "runs", "ok", "batches", "remarks")
    report: dict[str, Any] = json.loads(RESULT.read_text()) if given.soak_only and RESULT.exists() else {}
    verdicts: list[Verdict] = []
    with Devnet.start() as devnet:
        os.environ["KEEPER_KEY"] = Arena.key
        if not given.soak_only:
            with _arena(devnet, given.seed) as arena:
                killed = massacre(arena, given.kills, lambda done: _say(console, started, f"{done} kills"))
            verdicts.append(killed.verdict)
            reached = sum(count > 0 for count in killed.at_points.values())
            recovery = {"median": median(killed.recovery), "worst": max(killed.recovery), "lease": LEASE_BLOCKS}
            report |= {"kills": killed.kills, "recovery_blocks": recovery, "points": f"{reached}/{len(POINTS)}"}
            lines.add_row(
                "kill -9", str(killed.kills), _mark(killed.verdict.ok), str(killed.verdict.batches),
                f"{reached} of {len(POINTS)} points; back after {recovery['median']:g} blocks, at worst"
                f" {recovery['worst']}, of which a lease is {LEASE_BLOCKS}",
            )  # fmt: skip
            report["faults"] = []
            _save(report, verdicts)
            for name in FAULTS:
                _say(console, started, name)
                found, remarks = _runs(devnet, name, given.seed, given.runs)
                verdicts += found
                good = sum(verdict.ok for verdict in found)
                report["faults"].append({"name": name, "runs": given.runs, "ok": good})
                batches = str(sum(verdict.batches for verdict in found))
                lines.add_row(name, str(given.runs), _mark(good == given.runs), batches, remarks)
                _save(report, verdicts)
        with _arena(devnet, given.seed) as arena:
            soaked = soak(arena, given.blocks, lambda done: _say(console, started, f"soak, block {done}"))
    verdicts.append(soaked.verdict)
    report["soak"] = _soak_report(soaked)
    calm = soaked.verdict.ok and soaked.silent == 0 and soaked.memory[1] <= FLAT * soaked.memory[0]
    lines.add_row(
        f"soak, {soaked.blocks} blocks", "1", _mark(calm), str(soaked.verdict.batches), json.dumps(report["soak"])
    )
    if given.soak_only:
        RESULT.write_text(json.dumps(report, indent=2) + "\n")
    else:
        _save(report, verdicts)
    console.print(lines)
    console.print(f"{time.monotonic() - started:.0f} s, written to {RESULT.name}")
    bad = any(fault["ok"] != fault["runs"] for fault in report.get("faults", ()))
    sys.exit(bad or not calm or any(not verdict.ok for verdict in verdicts))


def _runs(devnet: Devnet, name: str, seed: int, runs: int) -> tuple[list[Verdict], str]:
    """What came of a fault, run after run, and what there is to say about it. A run that breaks has no verdict."""
    found, remarks = [], []
    for run in range(runs):
        with _arena(devnet, seed + run) as arena:
            try:
                verdict = FAULTS[name](arena)
            except Exception as error:  # the other faults go on
                remarks.append(str(error) or type(error).__name__)
            else:
                found.append(verdict)
                remarks += verdict.complaints
    return found, "; ".join(remarks)


@contextmanager
def _arena(devnet: Devnet, seed: int) -> Iterator[Arena]:
    with TemporaryDirectory() as directory, devnet.isolated():
        arena = Arena(devnet, Path(directory), seed)
        try:
            yield arena
        finally:
            arena.close()


def _save(report: dict[str, Any], verdicts: list[Verdict]) -> None:
    """Writes down what there is so far: a run takes minutes, and what it has found must not go with it."""
    for what in _ZEROS:
        report[what] = sum(getattr(verdict, what) for verdict in verdicts)
    first = ("kills", *_ZEROS, "faults")
    RESULT.write_text(json.dumps({key: report[key] for key in (*first, *report) if key in report}, indent=2) + "\n")


def _say(console: Console, started: float, what: str) -> None:
    console.print(f"{time.monotonic() - started:5.0f} s  {what}", highlight=False)


def _soak_report(soaked: Soak) -> dict[str, Any]:
    waits = soaked.waits if len(soaked.waits) > 1 else [*soaked.waits, *soaked.waits, 0, 0]
    return {
        "blocks": soaked.blocks,
        "drifts": soaked.drifts,
        "batches": soaked.verdict.batches,
        "without_a_reason": soaked.silent,
        "restarts": soaked.restarts,
        "fault_rate": round(soaked.fault_rate, 4),
        "inclusion_blocks": {"p50": median(waits), "p99": round(quantiles(waits, n=100)[98], 1)},
        "memory_kb": {"early": soaked.memory[0], "late": soaked.memory[1]},
    }


def _mark(good: bool) -> str:
    return "[green]yes[/]" if good else "[red]no[/]"


if __name__ == "__main__":
    main()
