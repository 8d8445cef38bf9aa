"""`ape run deploy`: deploys oracle, executor and vault from a configuration file to any network."""

from pathlib import Path
from typing import NoReturn

import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option, network_option
from ape.exceptions import ApeException

from keeper.chain.deployment import Deployment
from keeper.chain.errors import RpcError
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError
from keeper.submit.ape_account import sender
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.signer import check_may_sign


@click.command(cls=ConnectedProviderCommand)
@network_option()
@account_option()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="What to deploy; see examples/.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to write the deployment file.")
@click.option("--beside", type=click.Path(path_type=Path), help="Share oracle and executor with this deployment file.")
def cli(provider: ProviderAPI, account: AccountAPI, config: Path, out: Path, beside: Path | None) -> None:
    """Deploys oracle, executor and vault, seeds the basket from ACCOUNT, reads everything back.

    ACCOUNT must hold the seed of every asset. Writes the deployment file that the keeper reads.
    """
    try:
        deployment = _deploy(provider, account, config, out, beside)
    except InputError as error:
        _stop(str(error), 2)
    except (RpcError, ApeException) as error:
        _stop(" ".join(str(error).split()), 1)
    deployment.save(out)
    for role in ("vault", "admin", "oracle", "executor"):
        click.echo(f"{role:<10}{getattr(deployment, role)}")
    click.echo(f"wrote {out}")


def _deploy(provider: ProviderAPI, account: AccountAPI, config: Path, out: Path, beside: Path | None) -> Deployment:
    endpoint = Endpoint(str(provider.http_uri))
    check_may_sign(account.address, development_node=endpoint.is_development_node())
    if out.exists():
        raise InputError(f"{out} exists: it may be the only record of a deployment; choose another --out")
    other = None if beside is None else Deployment.load(beside)
    return deploy(
        endpoint, DeployConfig.load(config), account.address, sender(provider, account), click.echo, beside=other
    )


def _stop(reason: str, code: int) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    raise SystemExit(code)
