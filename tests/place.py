"""A deployed vault with the configuration file of a keeper beside it, for tests of the command `keeper`."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from keeper.chain import artifacts, bindings
from keeper.chain.deployment import Deployment
from keeper.chain.rpc import Endpoint
from keeper.config import Config
from keeper.devnet import DEV_KEYS, FACTORIES, TOKENS, Devnet
from keeper.devnet.world import transact
from keeper.loop import Keeper
from keeper.submit.deployer import DeployConfig, deploy
from keeper.submit.keys import EnvironmentKey
from keeper.submit.signer import Signer
from keeper.submit.unlock import unlock

OWNER, KEEPER, STRANGER = DEV_KEYS[:3]
VENUES = [
    {"kind": "uniswap_v2", "factory": FACTORIES["uniswap_v2"]},
    {"kind": "uniswap_v3", "factory": FACTORIES["uniswap_v3"]},
]
POLICY = {"trigger": {"kind": "band", "absolute": 0.02}, "tracking_penalty": 0.5}


class Place(SimpleNamespace):
    """A devnet with a vault on it and a keeper's configuration beside it; `run` is the command `keeper`."""

    devnet: Devnet
    deployment: Deployment
    path: Path
    run: Callable[..., tuple[int, str, str]]

    @property
    def endpoint(self) -> Endpoint:
        return self.devnet.endpoint

    @property
    def keeper(self) -> Keeper:
        return Keeper.assemble(Config.load(self.path))

    @property
    def signer(self) -> Signer:
        return unlock(EnvironmentKey(kind="environment", variable="KEEPER_KEY"))

    def configure(self, **changes: Any) -> None:
        config = yaml.safe_load(self.path.read_text()) | changes
        self.path.write_text(yaml.safe_dump(config))

    def redeploy(self, **changes: Any) -> None:
        """Writes another deployment file than the true one."""
        self.deployment.model_copy(update=changes).save(self.path.parent / "vault.json")

    def balances(self) -> dict[str, int]:
        vault = self.deployment.vault
        tokens = bindings.view(self.endpoint, "IndexVault", vault, "assets", block="latest")
        amounts = bindings.view(self.endpoint, "IndexVault", vault, "balances", block="latest")
        return dict(zip(tokens, amounts, strict=True))

    def as_owner(self, function: str, *arguments: Any) -> None:
        data = bindings.interface("VaultAdmin").encode(function, *arguments)
        transact(self.endpoint, self.deployment.vault, data, sender=OWNER.address)

    def change(self, function: str, *arguments: Any) -> None:
        """A change of settings, all the way through the timelock and the cooldown that it restarts."""
        data = bindings.interface("IVaultChanges").encode(function, *arguments)
        self.as_owner("submit", data)
        self.devnet.mine(
            seconds=bindings.view(self.endpoint, "VaultAdmin", self.deployment.vault, "timelock", block="latest")
        )
        self.as_owner("accept", data)
        self.devnet.mine(seconds=self.keeper.read().vault.limits.cooldown)
        self.devnet.refresh_feeds()


def set_up(devnet: Devnet, directory: Path, command: Callable[..., tuple[int, str, str]]) -> Place:
    """A vault like the example's that is off its weights, and the files of its keeper in ``directory``."""
    config = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
    devnet.refresh_feeds()
    deployment = deploy(
        devnet.endpoint,
        config,
        OWNER.address,
        lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER.address),
        lambda _: None,
    )
    devnet.mine(seconds=config.limits.cooldown)
    # Two assets rise and one falls, so that there is something to sell and something to buy.
    devnet.move_prices({"LINK": "29", "WBTC": "130000", "UNI": "6"})
    deployment.save(directory / "vault.json")
    path = directory / "ballast.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "chain": {"rpc_url": devnet.url, "chain_id": 1},
                "deployment": "vault.json",
                "venues": VENUES,
                "connectors": [TOKENS["USDT"].address, TOKENS["DAI"].address],
                "policy": POLICY,
                "signer": {"kind": "environment", "variable": "KEEPER_KEY"},
                "sending": {"poll_seconds": 0.01},
            }
        )
    )
    return Place(devnet=devnet, deployment=deployment, path=path, run=command)
