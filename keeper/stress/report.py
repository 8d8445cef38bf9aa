"""What people read of a stress test."""

from __future__ import annotations

from collections.abc import Sequence

import click

from keeper.report import print_table, table
from keeper.stress.result import Check, Event, Result
from keeper.units import percent


def print_results(results: Sequence[Result]) -> None:
    """One line for each scenario, then what refused a trade, and when."""
    lines = table(
        "scenario", "where", ">loss", ">bp of NAV", ">drift", ">trades", ">delta", "bound at true prices", "held"
    )
    for result in results:
        lines.add_row(
            result.scenario,
            result.where,
            f"${result.loss:,.2f}",
            f"{result.loss_bp:.2f}",
            f"{result.drift_before:.2%} → {result.drift_after:.2%}",
            str(result.trades),
            f"{result.delta:.2%}",
            _bound(result),
            "yes" if result.held else "NO",
        )
    print_table(lines)
    for result in results:
        if not (result.events or result.note):
            continue
        click.echo(f"\n{result.scenario}" + (f": {result.note}" if result.note else ""))
        for event in result.events:
            click.echo(f"  after {_time(event)} the {event.who}: {event.what}")


def _bound(result: Result) -> str:
    check = next((check for check in result.checks if check.name == "losses at true prices"), None)
    return "" if check is None else _against(check)


def _against(check: Check) -> str:
    return f"{percent(check.measured)} of {'no bound' if check.limit is None else percent(check.limit)}"


def _time(event: Event) -> str:
    hours, seconds = divmod(event.at, 3600)
    return f"{hours} h {seconds // 60:02} min"
