"""Several vaults on one devnet, beside each other, with a keeper's configuration for each."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from stage import LIMITS, OWNER, SIZE

from keeper.chain import artifacts, bindings
from keeper.chain.deployment import Deployment
from keeper.chain.rpc import Endpoint
from keeper.config import Config
from keeper.devnet import DEV_KEYS, FACTORIES, Devnet
from keeper.devnet.world import transact
from keeper.loop import Keeper
from keeper.submit.deployer import DeployConfig, FeedConfig, deploy

POLICY = {"trigger": {"kind": "band", "absolute": 0.02}, "tracking_penalty": 0.5}


class Town:
    """Vaults with an oracle and an executor in common, one for each of ``keepers``, indexes of development keys.

    The files of vault i are `vault-i.json` and `keeper-i.yaml` in ``directory``; its key is in the environment variable
    KEY_k, k being its keeper's index (`environment` has them all). The vaults in ``small`` hold three assets of five.
    """

    def __init__(self, devnet: Devnet, directory: Path, keepers: Sequence[int], small: Sequence[int] = ()) -> None:
        self.devnet, self.directory, self.keepers = devnet, directory, tuple(keepers)
        self.deployments: list[Deployment] = []
        config = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
        config = config.model_copy(
            update={
                "limits": type(config.limits).model_validate(config.limits.model_dump() | LIMITS),
                "assets": tuple(a.model_copy(update={"amount": a.amount * SIZE}) for a in config.assets),
            }
        )
        devnet.refresh_feeds()
        for index, keeper in enumerate(self.keepers):
            own = _of_three_assets(config) if index in small else config
            self.deployments.append(
                deploy(
                    devnet.endpoint,
                    own.model_copy(update={"keeper": DEV_KEYS[keeper].address}),
                    OWNER.address,
                    lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER.address),
                    lambda _: None,
                    beside=self.deployments[0] if self.deployments else None,
                )
            )
            self.deployments[-1].save(directory / f"vault-{index}.json")
        devnet.mine()
        self.configure()

    @property
    def environment(self) -> dict[str, str]:
        """What must be in the environment for the configurations to be complete."""
        return {f"KEY_{keeper}": DEV_KEYS[keeper].private_key for keeper in self.keepers}

    @property
    def endpoint(self) -> Endpoint:
        return self.devnet.endpoint

    @property
    def paths(self) -> list[Path]:
        return [self.directory / f"keeper-{index}.yaml" for index in range(len(self.keepers))]

    def configure(self, **changes: Any) -> None:
        """Writes all configurations anew, with changes to their top level."""
        for index, (path, keeper) in enumerate(zip(self.paths, self.keepers, strict=True)):
            config = {
                "chain": {"rpc_url": self.devnet.url, "chain_id": 1},
                "deployment": f"vault-{index}.json",
                "venues": [{"kind": "uniswap_v2", "factory": FACTORIES["uniswap_v2"]}],
                "policy": POLICY,
                "signer": {"kind": "environment", "variable": f"KEY_{keeper}"},
                "sending": {"timeout_seconds": 0, "poll_seconds": 0.01},
                "interval_seconds": 0.01,
            }
            path.write_text(yaml.safe_dump(config | changes))

    def keeper(self, index: int) -> Keeper:
        return Keeper.assemble(Config.load(self.paths[index]))

    def batches(self, index: int) -> int:
        """How many batches a vault has executed."""
        return len(
            self.endpoint.request(
                "eth_getLogs",
                {
                    "address": self.deployments[index].vault,
                    "topics": [bindings.interface("IndexVault").topic("Rebalanced")],
                    "fromBlock": "0x0",
                    "toBlock": "latest",
                },
            )
        )

    def now(self) -> float:
        """The chain's clock: a lease is then a number of blocks."""
        return float(self.endpoint.header().timestamp)


def _of_three_assets(config: DeployConfig) -> DeployConfig:
    weights = map(Decimal, ("0.4", "0.35", "0.25"))
    assets = [
        asset.model_copy(update={"weight": weight}) for asset, weight in zip(config.assets[:3], weights, strict=True)
    ]
    feeds = [FeedConfig.model_validate(asset.model_dump(exclude={"weight", "amount"})) for asset in config.assets[3:]]
    return config.model_copy(update={"assets": tuple(assets), "feeds": tuple(feeds)})
