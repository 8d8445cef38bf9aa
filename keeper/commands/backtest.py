"""`keeper backtest`: policies through a market of the past, or of chance."""

# What a command needs it imports when it runs, as in `keeper.cli`.
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keeper.commands.options import Bounded, as_json, called, price_options, print_json
from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from keeper.backtest import Setup
    from keeper.backtest.run import Entry, Progress, Result
    from keeper.market import Prices

DEFAULT = "default"
"""Name of the policy where none is given."""


@click.command()
@click.option(
    "--prices",
    "prices_path",
    type=click.Path(path_type=Path),
    help="CSV (also .gz) or Parquet: time, symbol, close. A generated market if left out.",
)
@click.option("--policy", "policy_path", type=click.Path(path_type=Path), help="Policy file; a plain band if left out.")
@click.option(
    "--compare",
    "compared",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Another policy file, run through the same market; more than once.",
)
@click.option(
    "--setup",
    "setup_path",
    type=click.Path(path_type=Path),
    help="Basket, pools, feeds, frictions and the rest (YAML).",
)
@click.option("--basket", help="Targets, as WBTC=0.5,WETH=0.5; the setup's, else all of the price file alike.")
@click.option("--depth", "depth_path", type=click.Path(path_type=Path), help="The pools (YAML), as `depth` of a setup.")
@click.option("--gas", "gas_path", type=click.Path(path_type=Path), help="CSV: time, base_fee_wei[, priority_fee_wei].")
@click.option(
    "--latency",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="From a decision to its batch; if left out, the setup's, or else until the next row of prices.",
)
@click.option("--from", "first", metavar="DAY", help="Leave out what comes before, as 2021-01-01.")
@click.option("--to", "last", metavar="DAY", help="Leave out this day and what comes after.")
@click.option(
    "--regime",
    type=click.Choice(["gbm", "jumps", "regimes", "crash"]),
    default="regimes",
    show_default=True,
    help="Of a generated market.",
)
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=365, show_default=True, help="Of a generated market, in hours."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of whatever is random.")
@click.option(
    "--band",
    type=Bounded(0, 1, min_open=True),
    default=0.05,
    show_default=True,
    help="Distance of an asset from its target that counts as outside, in the metrics of every policy.",
)
@click.option(
    "--sensitivity",
    type=click.Choice(["none", "small", "grid"]),
    default="small",
    show_default=True,
    help="Run all again with other noise flow and refill: one at a time (4 more runs), or together (8).",
)
@click.option(
    "--out",
    "out_path",
    type=click.Path(path_type=Path),
    default=Path("backtest"),
    show_default=True,
    help="Folder for result.json, report.html and every step as Parquet.",
)
@price_options
@as_json
def backtest(  # noqa: PLR0917  click passes them by name
    prices_path: Path | None,
    policy_path: Path | None,
    compared: tuple[Path, ...],
    setup_path: Path | None,
    basket: str | None,
    depth_path: Path | None,
    gas_path: Path | None,
    latency: int | None,
    first: str | None,
    last: str | None,
    regime: str,
    days: int,
    seed: int,
    band: float,
    sensitivity: str,
    out_path: Path,
    names: tuple[str, ...],
    fill_gaps: int,
    as_json: bool,
) -> int:
    """Run a policy, and others beside it, through a market: pools, feeds, gas, and the keeper's own decisions.

    Works with nothing given: then the market is a generated one, and so is reported as no more than that.
    """
    from keeper.backtest.report import write_report
    from keeper.backtest.run import RESULT, SENSITIVITY, output_folder, run

    entries = _entries(policy_path, compared)
    found = {"seed": seed} | _changes(setup_path, basket, depth_path, gas_path)
    found |= {} if latency is None else {"latency_seconds": latency}
    prices: Prices
    if prices_path is None:
        setup, prices, source = _generated(found, regime, days, seed)
    else:
        setup, prices, source = _from_file(found, prices_path, called(names), fill_gaps)
    prices, span = _window(prices, first, last)
    with output_folder(out_path) as folder, _bars(hidden=as_json) as progress:
        result = run(
            setup,
            prices,
            entries,
            folder,
            source=source | span,
            band=band,
            variations=SENSITIVITY[sensitivity],
            progress=progress,
        )
        (folder / RESULT).write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_report(folder, result)
    if as_json:
        print_json(_summary(result, out_path))
    else:
        _print(result, out_path)
    return 0


def _entries(policy_path: Path | None, compared: Sequence[Path]) -> list[Entry]:
    """The policies by name: that of their file, with a number where two are alike."""
    from keeper.backtest.run import Entry
    from keeper.config import read_policy
    from keeper.domain import Band, Policy

    entries: list[Entry] = []
    for path in (policy_path, *compared):
        if path is None:
            # That of examples/keeper.yaml; docs/strategies.md says why.
            band = Band(relative=Decimal("0.15"))
            name, policy = DEFAULT, Policy(trigger=band, tracking_penalty=0.5, feed_deviation=Decimal("0.01"))
        else:
            name, policy = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.stem), read_policy(path)
            name = name.lstrip("._-") or "policy"
        taken = {entry.name for entry in entries}
        unique = next(n for k in range(1, len(taken) + 2) if (n := name if k == 1 else f"{name}-{k}") not in taken)
        entries.append(Entry(name=unique, policy=policy))
    return entries


def _changes(
    setup_path: Path | None, basket: str | None, depth_path: Path | None, gas_path: Path | None
) -> dict[str, Any]:
    """The setup as a file would say it, with what the other options say in its place."""
    found: dict[str, Any] = {}
    if setup_path is not None:
        found |= _mapping(setup_path, "setup")
        gas = found.get("gas")
        if isinstance(gas, dict) and "file" in gas:  # what a file names lies beside it
            found["gas"] = gas | {"file": str(setup_path.parent / str(gas["file"]))}
    if basket is not None:
        found["basket"] = _basket(basket)
    if depth_path is not None:
        depth = _yaml(depth_path, "depth")
        found["depth"] = depth["depth"] if isinstance(depth, dict) and set(depth) == {"depth"} else depth
        if found["depth"] == []:
            raise InputError(f"{depth_path} has no pools: list some, or leave --depth out")
    if gas_path is not None:
        found["gas"] = {"file": str(gas_path)}
    return found


def _generated(found: dict[str, Any], regime: Any, days: int, seed: int) -> tuple[Setup, Prices, dict[str, Any]]:
    from keeper.backtest.setup import read_setup
    from keeper.market import PricePath

    setup = read_setup(found)
    path = PricePath(regime=regime, symbols=setup.symbols, seed=seed, steps=24 * days + 1)
    return setup, path, {"generated": {"regime": regime, "seed": seed, "days": days}}


def _from_file(
    found: dict[str, Any], path: Path, names: dict[str, str], fill_gaps: int
) -> tuple[Setup, Prices, dict[str, Any]]:
    from keeper.backtest.setup import DOLLARS, read_setup
    from keeper.market import PriceFile

    basket = found.get("basket")
    payable = tuple(symbol for symbol in ("WETH", "ETH") if symbol in names or symbol not in names.values())
    if isinstance(basket, dict):
        wanted = tuple(dict.fromkeys((*map(str, basket), *payable)))
        symbols = PriceFile(path, wanted, names=names, optional=(*payable, *DOLLARS), fill_gaps=fill_gaps).symbols
    elif basket is not None:
        raise InputError("setup: basket: must be a mapping of symbols to weights")
    else:
        # Every symbol of the file, alike: someone who wants others says so.
        symbols = PriceFile(path, names=names, fill_gaps=fill_gaps).symbols
        share = Decimal(10**6 // len(symbols)).scaleb(-6)
        first, *others = symbols
        alike = {first: str(1 - share * len(others))} | dict.fromkeys(others, str(share))
        found = found | {"basket": alike}
    if "native" not in found:
        native = next((symbol for symbol in payable if symbol in symbols), None)
        if native is None:
            raise InputError(f"{path} has neither WETH nor ETH to pay gas in: add one, or name `native` in a --setup")
        found = found | {"native": native}
    setup = read_setup(found)
    if idle := [symbol for symbol in names if symbol not in setup.symbols]:
        raise click.UsageError(f"--name {idle[0]}={names[idle[0]]}: neither basket nor pools have {idle[0]}")
    prices = PriceFile(path, setup.symbols, names=names, optional=DOLLARS, fill_gaps=fill_gaps)
    return setup, prices, {"file": str(path)}


def _window(prices: Prices, first: str | None, last: str | None) -> tuple[Prices, dict[str, Any]]:
    from keeper.market import Window

    start, stop = _day(first, "--from"), _day(last, "--to")
    if start is None and stop is None:
        return prices, {}
    if start is not None and stop is not None and start >= stop:
        raise click.UsageError(f"--from {first} must come before --to {last}")
    return Window(prices, start, stop), {"from": first, "to": last}


def _day(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{option} {text} is no day: write it as 2021-01-01") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def _basket(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        symbol, _, weight = (piece.strip() for piece in part.partition("="))
        try:
            Decimal(weight if symbol else "")
        except InvalidOperation:
            raise click.UsageError(
                f"--basket takes SYMBOL=WEIGHT,…, as WBTC=0.5,WETH=0.5, not {part.strip()}"
            ) from None
        if symbol in found:
            raise click.UsageError(f"--basket names {symbol} twice")
        found[symbol] = weight
    return found


def _yaml(path: Path, what: str) -> Any:
    from keeper.config import read_text
    from keeper.domain.parse import read_yaml

    return read_yaml(read_text(path, what), str(path))


def _mapping(path: Path, what: str) -> dict[str, Any]:
    found = _yaml(path, what)
    if not isinstance(found, dict):
        raise InputError(f"{path} must be a mapping of fields, as basket: …")
    return found


@contextmanager
def _bars(*, hidden: bool) -> Iterator[Progress]:
    """Progress on standard error: a bar for each run, or a line when it is over where nobody looks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    watched = sys.stderr.isatty()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=hidden or not watched) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of or None)
            bars.update(tasks[what], completed=done, total=of or None)
            if done == of and not watched and not hidden:
                click.echo(f"· {what}: {done} steps", err=True)

        yield progress


def _summary(result: Result, out: Path) -> dict[str, Any]:
    """What `--json` prints: the metrics, and where the rest is."""
    from keeper.backtest.run import remarks

    whole = result.model_dump(mode="json")
    return {
        "out": str(out),
        "prices": whole["prices"],
        "policies": {ran["name"]: {"steps": ran["steps"], "metrics": ran["metrics"]} for ran in whole["policies"]},
        "sensitivity": whole["sensitivity"],
        "remarks": remarks(result),
    }


def _print(result: Result, out: Path) -> None:
    from keeper.backtest.run import remarks
    from keeper.market.history import moment
    from keeper.report import print_table, table

    head = result.policies[0].metrics
    click.echo(f"{moment(head.start)} to {moment(head.end)} UTC, {head.steps} steps")
    lines = table(
        "", ">growth", ">Sharpe", ">drawdown", ">tracking error", ">turnover", ">cost", ">of it gas", ">trades"
    )

    def share(value: float | None, form: str = ".2%") -> str:
        return "" if value is None else f"{value:{form}}"

    for ran in result.policies:
        m, v = ran.metrics, ran.metrics.value
        costs = ("", "") if m.cost_bp is None else (f"{m.cost_bp.total:.1f} bp/y", f"{m.cost_bp.gas:.1f}")
        turnover = "" if m.turnover is None else f"{m.turnover:.2f}/y"
        lines.add_row(
            ran.name, share(v.growth), share(v.sharpe, ".2f"), share(v.max_drawdown), share(m.tracking_error), turnover,
            *costs, f"{m.trades}{f' ({m.reverted} reverted)' if m.reverted else ''}",
        )  # fmt: skip
    for name, found in (("frictionless", head.ideal), ("buy and hold", head.hold)):
        lines.add_row(name, share(found.growth), share(found.sharpe, ".2f"), share(found.max_drawdown))
    print_table(lines)
    for remark in remarks(result):
        click.echo(remark)
    click.echo(f"report, result and steps: {out / 'report.html'}")
