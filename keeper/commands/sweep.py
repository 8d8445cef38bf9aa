"""`keeper sweep`: grids of policies through many markets and seeds."""

# What a command needs it imports when it runs, as in `keeper.cli`.
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeper.commands.options import as_json, print_json

if TYPE_CHECKING:
    from keeper.backtest.frontier import Point
    from keeper.backtest.sweep import Report

FAILED = 1


@click.command()
@click.argument("sweep_path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "out_path",
    type=click.Path(path_type=Path),
    default=Path("sweep"),
    show_default=True,
    help="Folder for the results; what is in it already is not run again.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster, as tcp://host:8786; this machine without it.")
@click.option("--workers", type=click.IntRange(1), help="Processes on this machine; one for each core without it.")
@as_json
def sweep(sweep_path: Path, out_path: Path, scheduler: str | None, workers: int | None, as_json: bool) -> int:
    """Run every policy of a grid through every market and seed of FILE, and draw cost against tracking.

    Writes sweep.parquet and sweep.csv (a row for each run), frontier.svg and frontier.png. Killed, and started again
    with the same folder, it does only what is left.
    """
    from keeper.backtest import sweep as sweeps
    from keeper.backtest.frontier import draw_frontier, points, write_tables

    wanted = sweeps.cells(sweeps.load_sweep(sweep_path))
    results = sweeps.Results(out_path)
    try:
        with _bar(len(wanted)) as report:
            failures = sweeps.run_sweep(wanted, results, report, scheduler=scheduler, workers=workers)
        entries = results.of(wanted)
    finally:
        results.close()
    found = points(entries)
    if entries:
        write_tables(out_path, entries)
        draw_frontier(found, [out_path / "frontier.svg", out_path / "frontier.png"])
    if as_json:
        print_json({"runs": len(entries), "failed": len(failures), "points": [asdict(point) for point in found]})
    else:
        _print(found)
    for failure in failures[:1]:
        cell = failure.cell
        click.echo(
            f"keeper: {len(failures)} of {len(wanted)} runs failed; the first: {cell.strategy} {cell.point} on"
            f" {cell.market}, seed {cell.seed}: {failure.why}",
            err=True,
        )
    return FAILED if failures else 0


@contextmanager
def _bar(total: int) -> Iterator[Report]:
    """Progress on standard error: a bar for who looks at it, and a line for each twentieth where nobody does."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    watched = sys.stderr.isatty()
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not watched) as bar:
        task = bar.add_task("runs", total=total)
        told = -1

        def report(done: int, of: int) -> None:
            nonlocal told
            bar.update(task, completed=done)
            part = 20 * done // of
            if not watched and part > told:
                told = part
                click.echo(f"· {done} of {of} runs", err=True)

        yield report


def _print(found: Sequence[Point]) -> None:
    from keeper.report import print_table, table

    lines = table(
        "market", "strategy", "point", ">runs", ">tracking error", ">cost bp/y", ">turnover/y", ">trades", ">reverted"
    )
    for point in found:
        lines.add_row(
            point.market,
            point.strategy,
            point.point,
            str(point.runs),
            f"{point.tracking_error:.3%}",
            f"{point.cost_bp:.2f}",
            f"{point.turnover:.2f}",
            f"{point.trades:.1f}",
            f"{point.reverted:.1f}",
        )
    print_table(lines)
