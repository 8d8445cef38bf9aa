"""The tables on the terminal, and the plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from benchmarks.routing.timing import DECIDE_AIM

Result = dict[str, Any]
_GREY = "#7f7f7f"
_COLOURS = ("#1f77b4", "#e8710a", "#2ca02c", "#d6336c")
"""All readable on white and on near black."""


def show(console: Console, result: Result) -> None:
    """All tables."""
    _times(console, result)
    _convex(console, result)
    _orders(console, result)
    _baskets(console, result)


def missed(result: Result) -> list[str]:
    """The aims that were missed, in words."""
    found = [
        f"solver, {row['mix']} {row['pools']} pools: {row['cold_ms']['median']:.3g} ms"
        for row in result["solver"]
        if row["cold_ms"]["median"] > row["aim_ms"]
    ]
    found += [
        f"decide, {row['mix']} {row['pools']} pools: {row['ms']['median']:.3g} ms"
        for row in result["decide"]
        if row["aim_ms"] is not None and row["ms"]["median"] > row["aim_ms"]
    ]
    found += [
        f"orders of ${row['size_usd']:,} in {row['world']}, ${row['hop_usd']:.0f} a hop: the peer was better by up to"
        f" {-row['gained_bp']['least']:.3g} bp"
        for row in result["orders"] or ()
        if not row["never_worse"]
    ]
    found += [
        f"baskets of ${row['nav_usd']:,} in {row['world']}, ${row['hop_usd']:.0f} a hop: {way} was better by up to"
        f" {-row[way]['saved_bp']['least']:.3g} bp"
        for row in result["baskets"]
        for way in ("single", "split")
        if not row[way]["never_better"]
    ]
    return found


def _spread(numbers: dict[str, float], digits: int = 3) -> str:
    """The median, and the quartiles beside it."""
    median, lower, upper = (f"{numbers[name]:.{digits}g}" for name in ("median", "lower", "upper"))
    return f"{median} ({lower}-{upper})"


def _times(console: Console, result: Result) -> None:
    table = Table("pools", "kinds", "tokens", "market", "cold ms", "warm ms", "aim ms", "steps", "curves used")
    for row in result["solver"]:
        table.add_row(
            f"{row['pools']:,}",
            row["mix"],
            str(row["tokens"]),
            "torn" if row["torn"] else "calm",
            _spread(row["cold_ms"]),
            _spread(row["warm_ms"]),
            f"{row['aim_ms']:g}",
            f"{row['steps']['median']:g}",
            f"{row['curves_used']['median']:g}",
        )
    table.title = "The solver alone: medians of CPU time (and quartiles)"
    console.print(table)
    table = Table("tokens", "pools", "cold ms", "warm ms", "steps")
    for row in result["growth"]:
        table.add_row(
            str(row["tokens"]),
            f"{row['pools']:,}",
            _spread(row["cold_ms"]),
            _spread(row["warm_ms"]),
            f"{row['steps']['median']:g}",
        )
    table.title = "How it grows with tokens"
    console.print(table)
    table = Table("pools", "kinds", "ms", "most", "aim ms", "swaps", "gap bp of NAV")
    for row in result["decide"]:
        table.add_row(
            f"{row['pools']:,}",
            row["mix"],
            _spread(row["ms"]),
            f"{row['ms']['most']:.3g}",
            f"{DECIDE_AIM:g}" if row["aim_ms"] else "",
            f"{row['swaps']['median']:g}",
            _spread(row["gap_bp"], 2),
        )
    table.title = "The whole decision, integers and choice of pools by gas included"
    console.print(table)


def _convex(console: Console, result: Result) -> None:
    table = Table("V2 pools", "ours ms", "Clarabel ms", "SCS ms", "Clarabel behind bp", "SCS behind bp")
    for row in result["convex"]:
        table.add_row(
            str(row["pools"]),
            _spread(row["ours_ms"]),
            *(f"{_spread(row[s]['ms'])} + {row[s]['stated_ms']['median']:.3g}" for s in ("clarabel", "scs")),
            *(_spread(row[s]["behind_bp"], 2) for s in ("clarabel", "scs")),
        )
    table.title = "The same problem by general solvers (+ what cvxpy takes to state it)"
    console.print(table)


def _orders(console: Console, result: Result) -> None:
    if result["orders"] is None:
        console.print("Uniswap's smart-order-router is not installed; `make bench-routing` does it.")
        return
    table = Table(
        "world", "gas $/hop", "size", "gained bp", "worst bp", "bound bp", "hops", "theirs", "ms", "theirs ms"
    )
    for row in result["orders"]:
        table.add_row(
            row["world"],
            f"{row['hop_usd']:g}",
            f"${row['size_usd']:,}",
            _spread(row["gained_bp"]),
            f"{row['gained_bp']['least']:.2g}",
            f"{row['missed_bp']['median']:.2g}",
            f"{row['hops']['median']:g}",
            f"{row['peer_hops']['median']:g}",
            _spread(row["ms"]),
            _spread(row["peer_ms"]),
        )
    table.title = "Single orders beside Uniswap's smart-order-router (bound: what anything could still gain on ours)"
    console.print(table)


def _baskets(console: Console, result: Result) -> None:
    table = Table(
        "world", "gas $/hop", "NAV", "joint bp", "single path bp", "5% splits bp", "least saved", "swaps", "ms"
    )
    for row in result["baskets"]:
        table.add_row(
            row["world"],
            f"{row['hop_usd']:g}",
            f"${row['nav_usd']:,}",
            *(_spread(row[way]["bp"]) for way in ("joint", "single", "split")),
            f"{min(row[way]['saved_bp']['least'] for way in ('single', 'split')):.2g}",
            " / ".join(f"{row[way]['hops']['median']:g}" for way in ("joint", "single", "split")),
            " / ".join(f"{row[way]['ms']['median']:.3g}" for way in ("joint", "single", "split")),
        )
    table.title = "Whole rebalances: cost in basis points of NAV, gas and what is left to do included"
    console.print(table)


def draw(result: Result, path: Path) -> None:
    """How the solver's time grows with pools, and with tokens; readable on a light and on a dark page."""
    colours = {"text.color": _GREY, "axes.labelcolor": _GREY, "axes.edgecolor": _GREY}
    ticks = {"xtick.color": _GREY, "ytick.color": _GREY}
    # The hash salt and the missing date make the same numbers give the same file.
    with mpl.rc_context({**colours, **ticks, "svg.hashsalt": "ballast", "font.size": 10}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
        calm = [row for row in result["solver"] if not row["torn"]]  # the slower ones
        for colour, mix in zip(_COLOURS, dict.fromkeys(row["mix"] for row in calm), strict=False):
            _curve(left, [row for row in calm if row["mix"] == mix], "pools", colour, mix)
        pools = [row["pools"] for row in calm]
        left.set_xlabel("pools")
        left.set_ylabel("solver, ms")
        aims = dict(sorted((row["pools"], row["aim_ms"]) for row in calm))
        left.plot(list(aims), list(aims.values()), color=_GREY, linestyle=":", label="aim")
        left.set_xlim(min(pools) / 1.5, max(pools) * 1.5)
        _curve(right, result["growth"], "tokens", _COLOURS[3], f"mixed, {result['growth'][0]['pools']:,} pools")
        right.set_xlabel("tokens")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.grid(visible=True, color=_GREY, alpha=0.25)
            axes.set_facecolor("none")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, labelcolor=_GREY)
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)


def _curve(axes: Any, rows: list[Result], by: str, colour: str, label: str) -> None:
    at = [row[by] for row in rows]
    axes.plot(at, [row["cold_ms"]["median"] for row in rows], color=colour, marker="o", markersize=4, label=label)
    lower, upper = ([row["cold_ms"][name] for row in rows] for name in ("lower", "upper"))
    axes.fill_between(at, lower, upper, color=colour, alpha=0.2, linewidth=0)
