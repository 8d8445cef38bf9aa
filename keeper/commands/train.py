"""`keeper train`: the models that forecasts in a policy rest on, from past prices."""

# What only this command needs is imported when it runs: the libraries that fit take seconds.
# ruff: noqa: PLC0415

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeper.commands.options import Bounded, as_json, called, price_options, prices_option, written_later

if TYPE_CHECKING:
    from keeper.backtest.training import Kind
    from keeper.domain.forecast import FittedModel


@click.command()
@prices_option
@click.option(
    "--kind",
    required=True,
    type=click.Choice(["har", "garch", "forecast"]),
    help="Of variance: har or garch; forecast: of variance and of the probability that the drift passes --width.",
)
@click.option("--out", "out_path", required=True, type=click.Path(path_type=Path), help="The model, a JSON file.")
@click.option("--symbols", help="The basket, as WBTC,WETH,LINK; if left out, all that the file has.")
@click.option(
    "--cash", multiple=True, metavar="SYMBOL", help="An asset of the basket that is worth one dollar; more than once."
)
@click.option(
    "--until", metavar="DATE", help="Train on what was before this day (UTC, as 2021-01-01); on all if absent."
)
@click.option(
    "--interval",
    type=click.IntRange(60),
    default=86_400,
    show_default=True,
    metavar="SECONDS",
    help="Between prices: memory.interval_seconds of the policy.",
)
@click.option(
    "--samples",
    type=click.IntRange(2, 1000),
    default=90,
    show_default=True,
    help="Prices that a decision will know: memory.samples of the policy.",
)
@click.option("--width", type=Bounded(0, 1, min_open=True, max_open=True), help="For forecast: fraction of NAV.")
@click.option(
    "--target", "targets", multiple=True, metavar="SYMBOL=WEIGHT", help="For forecast; equal weights if left out."
)
@price_options
@as_json
def train(  # noqa: PLR0917  click passes them by name
    prices_path: Path,
    kind: Kind,
    out_path: Path,
    symbols: str | None,
    cash: tuple[str, ...],
    until: str | None,
    interval: int,
    samples: int,
    width: float | None,
    targets: tuple[str, ...],
    names: tuple[str, ...],
    fill_gaps: int,
    as_json: bool,
) -> int:
    """Fit a model that a policy's forecast names, and print how it did on what it had not seen."""
    from keeper.backtest.training import Closes
    from keeper.backtest.training import train as fit
    from keeper.market import PriceFile

    if kind != "forecast" and (width is not None or targets):
        raise click.UsageError(f"--width and --target are for --kind forecast, not {kind}")
    if kind == "forecast" and width is None:
        raise click.UsageError("--kind forecast needs --width, that of the band it is about")
    written_later(out_path)
    wanted = None if symbols is None else [symbol.strip() for symbol in symbols.split(",")]
    prices = PriceFile(prices_path, wanted, names=called(names), fill_gaps=fill_gaps)
    if twice := [symbol for symbol in cash if symbol in prices.symbols or cash.count(symbol) > 1]:
        raise click.UsageError(f"--cash {twice[0]}: it is in the basket already, give it once and without prices")
    end = prices.stop + interval if until is None else _midnight(until)
    closes = Closes.of(prices, interval, end, cash)
    model = fit(
        kind,
        closes,
        samples=samples,
        width=width,
        targets=_weights(targets),
        progress=lambda line: click.echo(line, err=True),
    )
    out_path.write_text(model.model_dump_json(indent=2) + "\n", encoding="utf-8")
    click.echo(model.model_dump_json(indent=2) if as_json else _said(model, out_path))
    return 0


def _said(model: FittedModel, path: Path) -> str:
    trained = model.trained
    lines = [
        f"{path}: {', '.join(model.symbols)}, {trained.rows} prices from {trained.since} to before {trained.until}",
        *(f"  {name}: {value:.6g}" for name, value in model.validation.items()),
    ]
    return "\n".join(lines)


def _midnight(date: str) -> int:
    try:
        return int(datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise click.UsageError(f"--until takes a day as 2021-01-01, not {date}") from None


def _weights(targets: tuple[str, ...]) -> dict[str, float] | None:
    found: dict[str, float] = {}
    for target in targets:
        symbol, _, weight = target.partition("=")
        try:
            number = float(weight)
        except ValueError:
            number = nan
        if not isfinite(number):
            raise click.UsageError(f"--target takes SYMBOL=WEIGHT, as WETH=0.25, not {target}")
        if symbol in found:
            raise click.UsageError(f"--target names {symbol} twice")
        found[symbol] = number
    return found or None
