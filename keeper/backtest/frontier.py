"""What a sweep came to: one table of all runs, their means, and the frontier of cost against tracking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
"""A line of a sweep's results."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a strategy's grid on a market, over all seeds.

    ``tracking_error`` is the root of the mean square, a year; ``cost_bp`` the mean, basis points a year; ``trades`` and
    ``turnover`` (one way, a year) means.
    """

    market: str
    strategy: str
    point: str
    runs: int
    tracking_error: float
    cost_bp: float
    turnover: float
    trades: float
    reverted: float


def flat(entry: Entry) -> dict[str, Any]:
    """A result as a row: the metrics' names joined with underscores."""
    row: dict[str, Any] = {name: entry[name] for name in ("market", "strategy", "point", "seed", "key")}
    return row | dict(_leaves(entry["metrics"]))


def _leaves(metrics: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{before}{name}_")
        else:
            yield before + name, value


def points(entries: Sequence[Entry]) -> list[Point]:
    """Means over seeds, in the order in which they come."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for entry in entries:
        groups.setdefault((entry["market"], entry["strategy"], entry["point"]), []).append(entry["metrics"])
    return [Point(*name, **_means(found)) for name, found in groups.items()]


def _means(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    count = len(found)
    costs = [0.0 if metrics["cost_bp"] is None else metrics["cost_bp"]["total"] for metrics in found]
    return {
        "runs": count,
        "tracking_error": sqrt(sum((metrics["tracking_error"] or 0.0) ** 2 for metrics in found) / count),
        "cost_bp": sum(costs) / count,
        "turnover": sum(metrics["turnover"] or 0.0 for metrics in found) / count,
        "trades": sum(metrics["trades"] for metrics in found) / count,
        "reverted": sum(metrics["reverted"] for metrics in found) / count,
    }


def write_tables(folder: Path, entries: Sequence[Entry]) -> None:
    """``sweep.parquet`` and ``sweep.csv``: a row for each run."""
    import pyarrow as pa  # noqa: PLC0415  these take a second to import
    from pyarrow import csv, parquet  # noqa: PLC0415

    table = pa.Table.from_pylist([flat(entry) for entry in entries])
    parquet.write_table(table, folder / "sweep.parquet")
    csv.write_csv(table, folder / "sweep.csv")


def draw_frontier(found: Sequence[Point], paths: Sequence[Path]) -> None:
    """Cost against tracking error, a field for each market and a line for each strategy."""
    import matplotlib as mpl  # noqa: PLC0415  a second to import

    mpl.use("Agg")
    # The same results draw the same bytes.
    mpl.rcParams.update({"svg.hashsalt": "ballast", "font.family": "sans-serif", "font.size": 10})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    markets = list(dict.fromkeys(point.market for point in found))
    strategies = list(dict.fromkeys(point.strategy for point in found))
    columns = min(len(markets), 2)
    rows = -(-len(markets) // columns)
    figure, fields = plt.subplots(rows, columns, figsize=(5.5 * columns, 4 * rows), layout="constrained", squeeze=False)
    for field, market in zip(fields.flat, markets, strict=False):
        for number, strategy in enumerate(strategies):
            line = sorted(
                (100 * point.tracking_error, point.cost_bp)
                for point in found
                if (point.market, point.strategy) == (market, strategy)
            )
            if line:
                field.plot(*zip(*line, strict=True), marker="o", markersize=4, color=f"C{number}", label=strategy)
        field.set_title(market, loc="left", fontsize=11)
        field.set(xlabel="tracking error, % a year", ylabel="cost, bp a year")
        field.spines[["top", "right"]].set_visible(False)
    for field in list(fields.flat)[len(markets) :]:
        field.set_visible(False)
    handles, labels = fields.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=min(len(strategies), 4), frameon=False, loc="outside lower center", fontsize=9)
    for path in paths:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    plt.close(figure)
