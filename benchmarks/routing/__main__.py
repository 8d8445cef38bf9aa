"""Measures the router beside its peers: prints tables, writes benchmarks/routing.json and docs/routing-time.svg.

`make bench-routing` installs the peers and runs it on one thread; `--quick` is a small version for a smoke test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.routing import baskets, convex, orders, report, timing

ROOT = Path(__file__).parents[2]


def measure(*, quick: bool) -> dict[str, Any]:
    """Everything, as it is written to the file. Without the peer's installation "orders" is None."""
    few = range(1 if quick else 4)
    sizes = (10,) if quick else (10, 100, 1_000, 10_000)
    decided = timing.decide_table(sizes[:3], few)  # first: it calls every kernel, so that all are compiled
    return {
        "machine": {
            "python": platform.python_version(),
            "processor": _processor(),
            "threads": os.environ.get("OPENBLAS_NUM_THREADS", "as many as there are"),
            **{package: version(package) for package in ("numba", "numpy", "cvxpy", "clarabel", "scs")},
        },
        "solver": timing.solver_table(sizes[:3], few) + timing.solver_table(sizes[3:], few[:2]),
        "growth": timing.growth_table((5, 10) if quick else (10, 30, 100, 300), 10 if quick else 1_000, few),
        "decide": decided,
        "convex": convex.table(sizes[:2], few),
        "orders": _orders(quick=quick),
        "baskets": baskets.table(
            range(2 if quick else 6), (6, 16) if quick else (8, 40), baskets.NAVS[1:2] if quick else baskets.NAVS
        ),
    }


def _orders(*, quick: bool) -> list[dict[str, Any]] | None:
    if not orders.installed():
        return None
    if quick:
        return orders.table(range(2), ((6, 16),), orders.SIZES[1:2])
    return orders.table(range(6), ((6, 20), (10, 50)), orders.SIZES)


def _processor() -> str:
    names = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.routing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, few seeds; a few seconds")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "routing.json", metavar="FILE")
    parser.add_argument("--plot", type=Path, default=ROOT / "docs" / "routing-time.svg", metavar="FILE")
    options = parser.parse_args(arguments)
    result = measure(quick=options.quick)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    report.draw(result, options.plot)
    console = Console(width=None if os.isatty(1) else 150)
    report.show(console, result)
    for line in report.missed(result):
        console.print("missed:", line)


if __name__ == "__main__":
    main()
