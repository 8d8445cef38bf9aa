"""`ape run deploy`: deploys oracle, executor and vault from a configuration file to any network."""

from pathlib import Path
from typing import Any, NoReturn

import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option, network_option
from ape.exceptions import ApeException

from keeper.chain.deployment import Deployment
from keeper.chain.errors import RpcError
from keeper.chain.rpc import Endpoint
from keeper.domain.errors import InputError
from keeper.submit.deployer import DeployConfig, Send, deploy
from keeper.submit.signer import check_may_sign


@click.command(cls=ConnectedProviderCommand)
@network_option()
@account_option()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="What to deploy; see examples/.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where to write the deployment file.")
def cli(provider: ProviderAPI, account: AccountAPI, config: Path, out: Path) -> None:
    """Deploys oracle, executor and vault, seeds the basket from ACCOUNT, reads everything back.

    ACCOUNT must hold the seed of every asset. Writes the deployment file that the keeper reads.
    """
    try:
        deployment = _deploy(provider, account, config, out)
    except InputError as error:
        _stop(str(error), 2)
    except (RpcError, ApeException) as error:
        _stop(" ".join(str(error).split()), 1)
    deployment.save(out)
    for role in ("vault", "admin", "oracle", "executor"):
        click.echo(f"{role:<10}{getattr(deployment, role)}")
    click.echo(f"wrote {out}")


def _deploy(provider: ProviderAPI, account: AccountAPI, config: Path, out: Path) -> Deployment:
    endpoint = Endpoint(str(provider.http_uri))
    check_may_sign(account.address, development_node=endpoint.is_development_node())
    if out.exists():
        raise InputError(f"{out} exists: it may be the only record of a deployment; choose another --out")
    return deploy(endpoint, DeployConfig.load(config), account.address, _sender(provider, account), click.echo)


def _sender(provider: ProviderAPI, account: AccountAPI) -> Send:
    def send(to: str | None, data: bytes) -> Any:
        # Every step is read back at the end; waiting for further blocks would hang on a chain that mines on demand.
        call: dict[str, Any] = {"sender": account.address, "data": data, "required_confirmations": 0}
        if to:
            call["receiver"] = to
        receipt = account.call(provider.network.ecosystem.create_transaction(**call))
        return provider.make_request("eth_getTransactionReceipt", [receipt.txn_hash])

    return send


def _stop(reason: str, code: int) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    raise SystemExit(code)
