"""`keeper targets`: weights that portfolio theory proposes, and the calldata to propose them to a vault."""

# What only some calls need is imported when they run: web3 alone takes a second.
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keeper.commands.options import Bounded, as_json, called, price_options, prices_option, print_json
from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from keeper.policy.targets import Method
    from keeper.submit.curator import TargetChange

KINDS = ("fixed", "equal", "cap_weighted", "inverse_volatility", "risk_parity", "mean_variance", "cppi")


@click.command()
@prices_option
@click.option(
    "--method",
    "method_name",
    required=True,
    metavar="KIND|FILE",
    help=f"{', '.join(KINDS)}; or a YAML file with the kind and its parameters.",
)
@click.option("--symbols", help="The basket, as WBTC,WETH,USDC; if left out, all that the file has.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    help="Configuration of a vault: its basket is taken, and the calldata for its timelock printed.",
)
@click.option(
    "--value",
    type=Bounded(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of a share now over what it was when the floor was set, for cppi.",
)
@click.option(
    "--duration",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="Of the glide to the new targets; if left out, the shortest that the vault takes.",
)
@price_options
@as_json
def targets(  # noqa: PLR0917  click passes them by name
    prices_path: Path,
    method_name: str,
    symbols: str | None,
    config_path: Path | None,
    value: float,
    duration: int | None,
    names: tuple[str, ...],
    fill_gaps: int,
    as_json: bool,
) -> int:
    """Propose target weights from past prices, and print what the curator would submit. Nothing is ever sent."""
    from keeper.policy.targets import load_method

    if config_path is not None and symbols is not None:
        raise click.UsageError("with --config the basket is the vault's: leave --symbols out")
    if config_path is None and duration is not None:
        raise click.UsageError("--duration is of a vault's glide: give its --config")
    method = load_method(_description(method_name))

    def proposed(basket: Sequence[str] | None) -> tuple[dict[str, int], int]:
        from keeper.market import PriceFile
        from keeper.market.source import last_closes
        from keeper.policy.targets import DAY, closes_needed, propose

        prices = PriceFile(prices_path, basket, names=called(names), fill_gaps=fill_gaps)
        until, closes = last_closes(prices, closes_needed(method), DAY)
        return dict(zip(prices.symbols, propose(method, prices.symbols, closes, value), strict=True)), until

    if config_path is None:
        weights, until = proposed(None if symbols is None else [symbol.strip() for symbol in symbols.split(",")])
        change = None
    else:
        from keeper.config import Config
        from keeper.loop import Keeper
        from keeper.submit.curator import target_change

        keeper = Keeper.assemble(Config.load(config_path))
        keeper.check_chain()
        reading = keeper.read()
        weights, until = proposed([facts.token.symbol for facts, _, _ in reading.tradable])
        # Whatever is in quarantine has no weight, and needs no price.
        in_order = [weights.get(facts.token.symbol, 0) for facts in reading.basket]
        change = target_change(keeper.endpoint, reading, in_order, duration)
    if as_json:
        print_json(_json(method, weights, until, change))
    else:
        _print(method, weights, until, change)
    return 0


def _description(method_name: str) -> dict[str, object]:
    """What `--method` names: a kind without parameters, or what is in the file."""
    if method_name in KINDS:
        return {"kind": method_name}
    from keeper.config import read_text
    from keeper.domain.parse import read_yaml

    if not Path(method_name).suffix:
        raise click.UsageError(f"--method {method_name} is none of {', '.join(KINDS)}, and no .yaml file")
    found = read_yaml(read_text(Path(method_name), "targets"), method_name)
    if not isinstance(found, dict):
        raise InputError(f"{method_name} must be a mapping of fields, as kind: equal")
    return found


def _json(method: Method, weights: dict[str, int], until: int, change: TargetChange | None) -> dict[str, object]:
    """Weights are WAD, as decimal strings; times are in seconds."""
    found: dict[str, object] = {
        "method": method.model_dump(mode="json"),
        "until": until,
        "weights": {symbol: str(weight) for symbol, weight in weights.items()},
    }
    if change is not None:
        found |= {
            "vault": change.vault,
            "tokens": change.tokens,
            "before": [str(weight) for weight in change.before],
            "after": [str(weight) for weight in change.after],
            "timelock_seconds": change.timelock,
            "duration_seconds": change.duration,
            "submit": {"to": change.vault, "data": "0x" + change.submit.hex()},
            "accept": {"to": change.vault, "data": "0x" + change.accept.hex()},
        }
    return found


def _print(method: Method, weights: dict[str, int], until: int, change: TargetChange | None) -> None:
    from keeper.market.history import moment
    from keeper.report import print_table, table
    from keeper.units import percent

    click.echo(f"{method.kind}, from prices until {moment(until)} UTC")
    lines = table("asset", ">target now", ">proposed", ">weight in WAD")
    before = {} if change is None else dict(zip(change.symbols, change.before, strict=True))
    after = weights if change is None else dict(zip(change.symbols, change.after, strict=True))
    for symbol, weight in after.items():
        now = percent(before[symbol]) if symbol in before else ""
        lines.add_row(symbol, now, percent(weight), str(weight))
    print_table(lines)
    if change is None:
        click.echo("give the --config of a vault for the calldata of its timelock")
        return
    click.echo(f"a glide of {change.duration} s (the vault takes {change.least_duration} s at least),"
               f" after {change.timelock} s in the timelock")  # fmt: skip
    click.echo(f"by the curator or owner to {change.vault}, submit:\n0x{change.submit.hex()}")
    click.echo(f"by anyone, once the timelock is over and within 14 days, accept:\n0x{change.accept.hex()}")
