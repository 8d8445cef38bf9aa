"""`ape run checkpoint`: keeps the corridors of the ERC-4626 shares that an oracle prices around their rates.

Says of each share how much of its corridor its rate takes up. With `--live` it moves the checkpoints that are due; run
once a day, it keeps up with any rate that grows no faster than the oracle lets it.
"""

from pathlib import Path
from typing import NoReturn

import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option, network_option
from ape.exceptions import ApeException

from keeper.chain.bindings import view
from keeper.chain.deployment import Deployment
from keeper.chain.errors import RpcError, WrongChainError
from keeper.chain.rpc import Endpoint
from keeper.chain.shares import read_shares
from keeper.domain.errors import InputError
from keeper.submit.ape_account import sender
from keeper.submit.checkpoints import move_due
from keeper.submit.errors import SendError
from keeper.submit.signer import check_may_sign


@click.command(cls=ConnectedProviderCommand)
@network_option()
@account_option()
@click.option("--deployment", type=click.Path(path_type=Path), required=True, help="What `ape run deploy` wrote.")
@click.option("--live", is_flag=True, help="Send transactions.")
def cli(provider: ProviderAPI, account: AccountAPI, deployment: Path, *, live: bool) -> None:
    """Moves the checkpoints of a vault's ERC-4626 shares where that is due, at ACCOUNT's expense."""
    try:
        _go(provider, account, Deployment.load(deployment), live=live)
    except (InputError, WrongChainError) as error:
        _stop(str(error), 2)
    except (RpcError, SendError, ApeException) as error:
        _stop(" ".join(str(error).split()), 1)


def _go(provider: ProviderAPI, account: AccountAPI, deployment: Deployment, *, live: bool) -> None:
    endpoint = Endpoint(str(provider.http_uri))
    deployment.check_chain(endpoint)
    deployment.check_code(endpoint)
    header = endpoint.header()
    # Not the deployment's: the timelock may have changed it.
    oracle = view(endpoint, "IndexVault", deployment.vault, "book", block=header.tag)[0]
    shares = read_shares(endpoint, oracle, header.tag)
    for share in shares:
        click.echo(share.describe(header.timestamp))
    if not shares:
        click.echo("the oracle prices no ERC-4626 share")
    elif live:
        check_may_sign(account.address, development_node=endpoint.is_development_node())
        for token in move_due(shares, oracle, header.timestamp, sender(provider, account)):
            click.echo(f"moved the checkpoint of {token}")


def _stop(reason: str, code: int) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    raise SystemExit(code)
