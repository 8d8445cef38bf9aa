"""How fast the simulation is: steps a second without a trade, trades a second, and what memory more steps take.

`make bench-backtest` prints a table and writes benchmarks/backtest.json. Times are CPU time of one thread. What a step
costs depends on how many pools the market moves in it, which is a matter of its length: the table says both.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.routing.clock import Spread
from keeper.backtest import Setup, simulate
from keeper.domain import Policy
from keeper.market.gas import ConstantGas
from keeper.market.paths import PricePath

ROOT = Path(__file__).parents[1]
STEPS_AIM, TRADES_AIM = 2_000, 100
"""A second, on one core, with eight assets and 24 pools."""
GROWTH_AIM = 1.05
"""Most resident memory that ten times the steps may take, as a ratio."""
CHUNK = 250
"""Steps that are timed together."""
LENGTHS = {"a minute": 60, "ten minutes": 600, "an hour": 3600, "a day": 86_400}
NEVER = Policy.model_validate({"trigger": {"kind": "band", "absolute": 0.9}, "tracking_penalty": 0.5})


def trading(gas: bool) -> Policy:
    """A policy under which there is a batch at almost every step."""
    changes = {} if gas else {"gas_price_wei": "0"}
    return Policy.model_validate(
        {"trigger": {"kind": "always"}, "tracking_penalty": 5.0, "slippage": 0.5, "headroom_share": 1.0} | changes
    )


def path(setup: Setup, step: int, steps: int, seed: int) -> PricePath:
    return PricePath(symbols=setup.symbols, step=step, steps=steps, seed=seed)


def quiet(step: int, chunks: int, seed: int) -> tuple[list[float], float]:
    """Steps a second in each chunk, and pools that the market traded in a step on average."""
    setup = Setup()
    steps = simulate(setup, path(setup, step, CHUNK * (chunks + 1), seed), NEVER)
    rates, flows = [], 0
    for _ in islice(steps, CHUNK):  # the first ones compile and fill caches
        pass
    for _ in range(chunks):
        start = time.process_time()
        for done in islice(steps, CHUNK):
            flows += len(done.flows)
            if done.executed is not None:
                raise RuntimeError("a step without a trade has traded")
        rates.append(CHUNK / (time.process_time() - start))
    return rates, flows / (chunks * CHUNK)


class Busy(NamedTuple):
    """Steps with a batch.

    ``rates`` batches a second, in tens, over the steps that had one; ``overall`` over all steps, those included whose
    decision held because nothing paid for its gas; ``swaps`` in a batch on average; ``part`` of all steps had one.
    """

    rates: list[float]
    overall: float
    swaps: float
    part: float


def busy(step: int, gas: bool, batches: int, seed: int) -> Busy:
    """A batch takes the step with its decision, its execution and the market around it."""
    setup = Setup(limits=None, latency_steps=0, gas=ConstantGas(base_fee_wei=2 * 10**9, priority_fee_wei=0))
    steps = simulate(setup, path(setup, step, 10**6, seed), trading(gas))
    times, swaps, looked, whole = [], 0, 0, 0.0
    while len(times) < 10 * (batches + 1):
        start = time.process_time()
        done = next(steps)
        taken = time.process_time() - start
        warm = len(times) >= 10  # the first ones compile
        looked += warm
        whole += taken * warm
        if done.executed is not None and done.executed.failed is None:
            times.append(taken)
            swaps += len(done.executed.swaps)
    rates = [10 / sum(times[k : k + 10]) for k in range(10, len(times), 10)]
    return Busy(rates, 10 * batches / whole, swaps / len(times), 10 * batches / looked)


def resident(steps: int) -> float:
    """Most resident memory of a process that simulates so many steps, MB."""
    command = [sys.executable, "-m", "benchmarks.backtest", "--resident", str(steps)]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603  itself
    return float(answer.stdout)


def _run(steps: int) -> float:
    setup = Setup()
    for _ in simulate(setup, path(setup, 600, steps, 1), NEVER):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(*, quick: bool) -> dict[str, Any]:
    """Everything, as it is written to the file."""
    seeds = range(1 if quick else 4)
    rows = []
    for name, step in LENGTHS.items():
        measured = [quiet(step, 2 if quick else 8 if step < 86_400 else 4, seed) for seed in seeds]
        rows.append(
            {
                "step": name,
                "pools_traded_a_step": round(sum(flows for _, flows in measured) / len(measured), 1),
                "steps_a_second": Spread.of([rate for rates, _ in measured for rate in rates]).as_json(),
            }
        )
    trades = []
    for gas in (False, True):
        runs = [busy(600, gas, 2 if quick else 10, seed) for seed in seeds]
        trades.append(
            {
                "gas": gas,
                "swaps_a_batch": round(sum(run.swaps for run in runs) / len(runs), 1),
                "part_of_steps": round(sum(run.part for run in runs) / len(runs), 2),
                "batches_a_second": Spread.of([rate for run in runs for rate in run.rates]).as_json(),
                "batches_a_second_with_holds": Spread.of([run.overall for run in runs]).as_json(),
            }
        )
    few = 1_000 if quick else 5_000
    small, large = resident(few), resident(10 * few)
    return {
        "machine": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("numba", "numpy", "pydantic")},
        },
        "setup": {"assets": len(Setup().basket), "pools": len(Setup().venues)},
        "quiet": rows,
        "trades": trades,
        "memory": {"steps": [few, 10 * few], "mb": [round(small, 1), round(large, 1)], "ratio": large / small},
    }


def missed(result: dict[str, Any]) -> list[str]:
    """The aims that were missed, in words."""
    found = [
        f"steps of {row['step']}: {row['steps_a_second']['median']:.0f} a second, at least {STEPS_AIM} are wanted"
        for row in result["quiet"]
        if row["steps_a_second"]["median"] < STEPS_AIM
    ]
    found += [
        f"batches {'with' if row['gas'] else 'without'} gas: {row['batches_a_second']['median']:.0f} a second,"
        f" at least {TRADES_AIM} are wanted"
        for row in result["trades"]
        if row["batches_a_second"]["median"] < TRADES_AIM
    ]
    ratio = result["memory"]["ratio"]
    return found + ([f"ten times the steps took {ratio:.2f} times the memory"] if ratio > GROWTH_AIM else [])


def show(console: Console, result: dict[str, Any]) -> None:
    """The tables."""

    def spread(numbers: dict[str, float]) -> list[str]:
        return [f"{numbers[name]:,.0f}" for name in ("median", "least", "most")]

    table = Table(title="without a trade: {assets} assets, {pools} pools, one thread".format(**result["setup"]))
    for heading in ("a step is", "pools the market trades in it", "steps a second", "least", "most"):
        table.add_column(heading, justify="right")
    for row in result["quiet"]:
        table.add_row(row["step"], f"{row['pools_traded_a_step']}", *spread(row["steps_a_second"]))
    console.print(table)
    table = Table(title="steps of ten minutes that have a batch: decision, execution and the market around them")
    for heading in (
        "gas",
        "part of all steps",
        "swaps in a batch",
        "batches a second",
        "least",
        "most",
        "over all steps",
    ):
        table.add_column(heading, justify="right")
    for row in result["trades"]:
        gas = "costs" if row["gas"] else "free"
        overall = f"{row['batches_a_second_with_holds']['median']:,.0f}"
        table.add_row(
            gas, f"{row['part_of_steps']:.0%}", f"{row['swaps_a_batch']}", *spread(row["batches_a_second"]), overall
        )
    console.print(table)
    (few, many), (small, large) = result["memory"]["steps"], result["memory"]["mb"]
    console.print(f"most resident memory: {small:.1f} MB for {few:,} steps, {large:.1f} MB for {many:,}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks.backtest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few steps; a few seconds")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks" / "backtest.json", metavar="FILE")
    parser.add_argument("--resident", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.resident is not None:
        print(_run(options.resident))
        return
    result = measure(quick=options.quick)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console = Console()
    show(console, result)
    for line in missed(result):
        console.print("missed:", line)


if __name__ == "__main__":
    main()
