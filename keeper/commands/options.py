"""Options that several commands have, and how all of them print."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click

from keeper.domain.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def config_option(command: Command) -> Command:
    """`--config`, the same on every command that reads the chain."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        default=Path("ballast.yaml"),
        envvar="BALLAST_CONFIG",
        show_default=True,
        help="Configuration file (or set BALLAST_CONFIG).",
    )(command)


def prices_option(command: Command) -> Command:
    """`--prices`, where there is nothing to do without a price file."""
    return click.option(
        "--prices",
        "prices_path",
        required=True,
        type=click.Path(path_type=Path),
        help="CSV (also .gz) or Parquet: time, symbol, close.",
    )(command)


def price_options(command: Command) -> Command:
    """`--name` and `--fill-gaps`, the same on every command that reads a price file."""
    command = click.option(
        "--fill-gaps",
        type=click.IntRange(0, 10_000),
        default=0,
        show_default=True,
        metavar="N",
        help="Let prices stand still where up to N rows in a row are missing; otherwise a gap is an error.",
    )(command)
    return click.option(
        "--name",
        "names",
        multiple=True,
        metavar="SYMBOL=NAME",
        help="What the price file calls a symbol, as WETH=ETH; more than once.",
    )(command)


class Bounded(click.FloatRange):
    """As `click.FloatRange`, in which what is no number is within all bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value} is no finite number.", param, ctx)
        return found


def called(names: tuple[str, ...]) -> dict[str, str]:
    """The value of `--name`: what the price file calls each symbol."""
    found: dict[str, str] = {}
    for name in names:
        symbol, _, other = name.partition("=")
        if not symbol or not other:
            raise click.UsageError(f"--name takes SYMBOL=NAME, as WETH=ETH, not {name}")
        found[symbol] = other
    return found


def written_later(path: Path) -> None:
    """Raises `InputError` if a file cannot be written, before anything that takes long; what it holds stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        path.open("a").close()
        if fresh:
            path.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def print_json(value: object) -> None:
    """What programs read, on standard output."""
    click.echo(json.dumps(value, indent=2))


def configs_option(command: Command) -> Command:
    """`--config`, on every command that looks after several vaults."""
    return click.option(
        "--config",
        "config_paths",
        type=click.Path(path_type=Path),
        multiple=True,
        default=(Path("ballast.yaml"),),
        envvar="BALLAST_CONFIG",
        show_default=True,
        help="Configuration file, or a directory of nothing but such .yaml files; more than once for several vaults "
        "(or set BALLAST_CONFIG).",
    )(command)


log_option = click.option(
    "--log", "level", type=click.Choice(["debug", "info", "warning"]), help="Log to stderr, as JSON lines."
)
