"""A deployed vault with a keeper's configuration beside it, for tests in which a keeper lives through something."""

from collections.abc import Callable
from copy import copy
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import yaml

from keeper.chain import artifacts, bindings
from keeper.chain.deployment import Deployment
from keeper.chain.rpc import Endpoint
from keeper.config import Config
from keeper.devnet import DEV_KEYS, FACTORIES, Devnet
from keeper.devnet.tables import BLOCK_TIME
from keeper.devnet.world import transact
from keeper.loop import Keeper, Service
from keeper.submit.deployer import AssetConfig, DeployConfig, FeedConfig, deploy
from keeper.submit.keys import EnvironmentKey
from keeper.submit.signer import Signer
from keeper.submit.unlock import unlock

OWNER, KEEPER, STRANGER = DEV_KEYS[:3]
LIMITS = {
    "cooldown": BLOCK_TIME,
    "window": 3600,
    "turnover_budget": 10,
    "loss_budget": 0.1,
    "max_batch_loss": 0.05,
    "max_slippage": 0.05,
}
"""As little as the vault allows: what is on trial here is the keeper."""
SIZE = Decimal("0.1")
"""Of the example's: small beside the pools, so that whatever drifts can be traded back."""


class Stage:
    """A vault on a devnet, and the files a keeper needs for it in ``directory``.

    Needs the variable KEEPER_KEY in the environment: `key` is its value.
    """

    key = KEEPER.private_key

    def __init__(
        self, devnet: Devnet, directory: Path, feeds: tuple[FeedConfig, ...] = (), assets: tuple[AssetConfig, ...] = ()
    ) -> None:
        """With ``feeds`` for more tokens than those of the basket, and ``assets`` in place of the example's."""
        self.devnet, self.directory, self.path = devnet, directory, directory / "ballast.yaml"
        config = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
        config = config.model_copy(
            update={
                "feeds": feeds,
                "limits": type(config.limits).model_validate(config.limits.model_dump() | LIMITS),
                "assets": assets or tuple(a.model_copy(update={"amount": a.amount * SIZE}) for a in config.assets),
            }
        )
        devnet.refresh_feeds()
        self.deployment: Deployment = deploy(
            devnet.endpoint,
            config,
            OWNER.address,
            lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER.address),
            lambda _: None,
        )
        devnet.mine()
        self.deployment.save(directory / "vault.json")
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Writes the configuration anew, with changes to its top level."""
        config = {
            "chain": {"rpc_url": self.devnet.url, "chain_id": 1},
            "deployment": "vault.json",
            "venues": [{"kind": "uniswap_v2", "factory": FACTORIES["uniswap_v2"]}],
            "policy": {"trigger": {"kind": "band", "absolute": 0.02}, "tracking_penalty": 0.5},
            "signer": {"kind": "environment", "variable": "KEEPER_KEY"},
            "sending": {"timeout_seconds": 0, "poll_seconds": 0.01},
            "interval_seconds": 0.01,
        }
        self.path.write_text(yaml.safe_dump(config | changes))

    def at(self, directory: Path) -> Self:
        """The same vault, for a keeper with nothing in its hands: its files are in another directory."""
        other = copy(self)
        other.directory, other.path = directory, directory / "ballast.yaml"
        self.deployment.save(directory / "vault.json")
        other.configure()
        return other

    @property
    def endpoint(self) -> Endpoint:
        return self.devnet.endpoint

    @property
    def keeper(self) -> Keeper:
        return Keeper.assemble(Config.load(self.path))

    @property
    def signer(self) -> Signer:
        return unlock(EnvironmentKey(kind="environment", variable="KEEPER_KEY"))

    @property
    def journal_file(self) -> Path:
        return self.directory / "journal-live.sqlite"

    def now(self) -> float:
        """The chain's clock: a lease is then a number of blocks."""
        return float(self.endpoint.header().timestamp)

    def service(self, clock: Callable[[], float] | None = None) -> Service:
        """A live keeper, as `keeper run --live` has it, that goes by the chain's clock."""
        return Service.open(self.keeper, self.signer, clock or self.now)

    def batches(self) -> list[dict[str, Any]]:
        """What the vault says it executed, in order, with `transaction` and `block`."""
        abi = bindings.interface("IndexVault")
        logs = self.endpoint.request(
            "eth_getLogs",
            {
                "address": self.deployment.vault,
                "topics": [abi.topic("Rebalanced")],
                "fromBlock": hex(self.deployment.deployment_block.number),
                "toBlock": "latest",
            },
        )
        return [
            abi.decode_log("Rebalanced", log)
            | {"transaction": log["transactionHash"], "block": int(log["blockNumber"], 16)}
            for log in logs
        ]

    def account_nonce(self) -> int:
        return self.endpoint.quantity("eth_getTransactionCount", KEEPER.address, "latest")
