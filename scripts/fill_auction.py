"""`ape run fill_auction`: fills a vault's open auction from an inventory of one's own.

Says where the auction stands, when its price is worth it, and what a fill gives and gets. With `--live` it goes on from
wherever it stands: it opens the auction, deploys and funds the filler, fills.
"""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NoReturn

import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option, network_option
from ape.exceptions import ApeException
from eth_utils.address import is_hex_address, to_checksum_address
from rich.console import Console
from rich.table import Table

from keeper.chain.deployment import Deployment
from keeper.chain.errors import Refused, RpcError, WrongChainError
from keeper.chain.lens import Lens, Reading
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError
from keeper.submit.ape_account import sender
from keeper.submit.auction import (
    Fill,
    deploy_filler,
    elapsed_until,
    fill_auction,
    obstacle,
    open_auction,
    plan_fill,
    slippage_after,
)
from keeper.submit.errors import SendError
from keeper.submit.signer import check_may_sign
from keeper.units import WAD, format_units, percent, to_wad, usd


class Share(click.ParamType):
    """A decimal fraction, exact, as WAD."""

    name = "fraction"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return to_wad(Decimal(str(value)))
        except (InvalidOperation, OverflowError, ValueError):
            self.fail(f"{value!r} is no fraction such as 0.5", param, ctx)


class ContractAddress(click.ParamType):
    """An address in any spelling, as its checksum."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_hex_address(value):
            self.fail(f"{value!r} is no address", param, ctx)
        return to_checksum_address(str(value))


@click.command(cls=ConnectedProviderCommand)
@network_option()
@account_option()
@click.option("--deployment", type=click.Path(path_type=Path), required=True, help="What `ape run deploy` wrote.")
@click.option(
    "--filler", type=ContractAddress(), help="The AuctionFiller of ACCOUNT that holds its inventory; else a new one."
)
@click.option("--fraction", type=Share(), default="1", show_default=True, help="How much of what is possible to fill.")
@click.option(
    "--margin",
    type=Share(),
    default="0",
    show_default=True,
    help="Least to earn before gas, as a fraction of what is taken; below 0 to pay for it.",
)
@click.option("--live", is_flag=True, help="Send transactions.")
def cli(
    provider: ProviderAPI,
    account: AccountAPI,
    *,
    deployment: Path,
    filler: str | None,
    fraction: int,
    margin: int,
    live: bool,
) -> None:
    """Fills the open auction of a vault from ACCOUNT's own tokens, or says when it would be worth it."""
    try:
        endpoint = Endpoint(str(provider.http_uri))
        lens = _lens(endpoint, Deployment.load(deployment))
        if live:
            check_may_sign(account.address, development_node=endpoint.is_development_node())
            _go(endpoint, lens, provider, account, filler=filler, fraction=fraction, margin=margin)
        else:
            _look(lens.read(endpoint), fraction=fraction, margin=margin)
    except (InputError, WrongChainError) as error:
        _stop(str(error), 2)
    except Refused as refusal:
        _stop(str(refusal), 3)
    except (RpcError, SendError, ApeException) as error:
        _stop(" ".join(str(error).split()), 1)


def _look(reading: Reading, *, fraction: int, margin: int) -> None:
    _print_auction(reading, margin)
    if obstacle(reading) is None:
        _print_fill(reading, plan_fill(reading, _slippage(reading), fraction))
        click.echo("nothing was sent; --live sends it")


def _go(
    endpoint: Endpoint,
    lens: Lens,
    provider: ProviderAPI,
    account: AccountAPI,
    *,
    filler: str | None,
    fraction: int,
    margin: int,
) -> None:
    send = sender(provider, account)
    reading = lens.read(endpoint)
    if not reading.vault.auction_opened_at:
        open_auction(reading, send)
        click.echo("opened the auction")
        reading = lens.read(endpoint)
    _print_auction(reading, margin)
    if reason := obstacle(reading):
        raise Refused(f"the auction cannot be filled: {reason}")
    if _slippage(reading) < margin:
        raise Refused(f"the price gives {percent(_slippage(reading))} now, and {percent(margin)} is the least wanted")

    fill = plan_fill(reading, _slippage(reading), fraction)
    _print_fill(reading, fill)
    if filler is None:
        filler = deploy_filler(account.address, send)
        click.echo(f"deployed the filler {filler}")
    done = fill_auction(endpoint, reading, fill, filler, owner=account.address, send=send, progress=click.echo)
    click.echo(
        f"filled: NAV {usd(done['nav0'])} -> {usd(done['nav1'])}, drift {percent(done['drift0'])} -> "
        f"{percent(done['drift1'])}; what was taken lies in {filler}, whose owner may withdraw it"
    )


def _lens(endpoint: Endpoint, deployment: Deployment) -> Lens:
    deployment.check_chain(endpoint)
    deployment.check_code(endpoint)
    return Lens(
        chain_id=deployment.chain_id,
        vault=deployment.vault,
        native_token=deployment.native_token,
        connectors=(),
        venues=(),
        tick_words=1,
    )


def _slippage(reading: Reading) -> int:
    """What the price line gives a filler now, or would at its start if no auction runs."""
    opened_at = reading.vault.auction_opened_at
    return slippage_after(reading.vault, reading.block.timestamp - opened_at if opened_at else 0)


def _print_auction(reading: Reading, margin: int) -> None:
    vault, now, reason = reading.vault, reading.block.timestamp, obstacle(reading)
    if vault.auction_opened_at:
        elapsed = now - vault.auction_opened_at
        state = f"runs, ends in {vault.auction.length - elapsed} s" + (f", but {reason}" if reason else "")
    else:
        elapsed = 0
        state = f"cannot be opened: {reason}" if reason else "can be opened"
    reached = elapsed_until(vault, margin)
    if reached is None:
        when = f"never: the auction ends at {percent(vault.limits.max_slippage)}"
    elif reached <= elapsed and vault.auction_opened_at:
        when = "now"
    else:
        when = f"in {reached - elapsed} s" + ("" if vault.auction_opened_at else " from its opening")
    nav = reading.priced.nav
    lines = {
        "auction": state,
        "drift": f"{percent(reading.priced.drift) if nav else '?'} (band {percent(vault.auction.open_band)})",
        "price": f"the filler earns {percent(_slippage(reading))} of what it takes"
        + ("" if vault.auction_opened_at else " at the opening"),
        f"{percent(margin)}": when,
    }
    for name, line in lines.items():
        click.echo(f"{name:<10}{line}")


def _print_fill(reading: Reading, fill: Fill) -> None:
    table = Table("filler", "asset", "amount", "value", box=None)
    for verb, legs in (("gets", fill.sells), ("pays", fill.buys)):
        for leg in legs:
            token = reading.basket[leg.index].token
            table.add_row(verb, token.symbol, format_units(leg.amount, token.decimals), usd(leg.value))
    Console(highlight=False).print(table)
    click.echo(
        f"margin {usd(fill.margin)} before gas ({percent(fill.margin * WAD // fill.sold)} of what it gets); "
        f"drift {percent(fill.drift_before)} -> {percent(fill.drift_after)}"
    )


def _stop(reason: str, code: int) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    raise SystemExit(code)
