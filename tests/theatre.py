"""A live keeper that ticks when told to, on a chain that mines when told to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from stage import KEEPER, OWNER, Stage

from keeper.chain import bindings
from keeper.devnet.world import transact
from keeper.loop import Outcome, Service, tick
from keeper.submit.engine import Engine
from keeper.submit.errors import SendError
from keeper.submit.journal import Intent
from keeper.submit.relay import Routing, broadcaster


class Theatre:
    """A live keeper that ticks when told to, on a chain that mines when told to."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.devnet, self.endpoint = stage, stage.devnet, stage.endpoint
        self.services: list[Service] = []
        self.clock = 0.0
        self.service = self.start()

    def start(self, clock: Callable[[], float] | None = None) -> Service:
        service = self.stage.service(clock)
        self.services.append(service)
        return service

    def restart(self) -> None:
        """As after a clean stop."""
        self.service.close()
        self.service = self.start()

    @property
    def engine(self) -> Engine:
        assert self.service.engine is not None
        return self.service.engine

    def tick(self, service: Service | None = None) -> Outcome:
        return tick(service or self.service, self.endpoint.header())

    def mine(self, blocks: int = 1, *, seconds: int | None = None) -> None:
        self.devnet.mine(blocks, seconds=seconds)

    def intents(self) -> list[Intent]:
        """Oldest first."""
        return list(reversed(self.service.journal.intents(100)))

    @property
    def intent(self) -> Intent:
        """The only one."""
        (intent,) = self.intents()
        return intent

    def pool(self) -> list[str]:
        """Hashes of the signer's transactions that wait to be mined."""
        waiting = self.devnet.rpc("txpool_content")["pending"]
        own = {sender.lower(): by_nonce for sender, by_nonce in waiting.items()}.get(KEEPER.address.lower(), {})
        return [transaction["hash"] for transaction in own.values()]

    def drop_pool(self) -> None:
        self.devnet.rpc("anvil_dropAllTransactions")

    def finalise(self) -> None:
        self.mine(3)

    def move(self, prices: dict[str, str]) -> None:
        """Moves the market, in a block of its own."""
        self.devnet.rpc("evm_setAutomine", True)
        self.devnet.move_prices(prices)
        self.devnet.rpc("evm_setAutomine", False)

    def change(self, function: str, *arguments: Any) -> None:
        """A change of the vault's settings, all the way through its timelock."""
        self.devnet.rpc("evm_setAutomine", True)
        vault = self.stage.deployment.vault
        change = bindings.interface("IVaultChanges").encode(function, *arguments)
        for step in ("submit", "accept"):
            transact(self.endpoint, vault, bindings.interface("VaultAdmin").encode(step, change), sender=OWNER.address)
            self.mine(seconds=bindings.view(self.endpoint, "VaultAdmin", vault, "timelock", block="latest"))
        self.devnet.refresh_feeds()
        self.devnet.rpc("evm_setAutomine", False)

    def vault_nonce(self) -> int:
        nonce: int = bindings.view(self.endpoint, "IndexVault", self.stage.deployment.vault, "nonce", block="latest")
        return nonce

    def refresh(self) -> None:
        """Lets no price be stale."""
        self.devnet.rpc("evm_setAutomine", True)
        self.devnet.refresh_feeds()
        self.devnet.rpc("evm_setAutomine", False)

    def settle(self) -> Outcome:
        """Mines what waits, lets it become final, and ticks."""
        self.finalise()
        return self.tick()

    def break_wires(self) -> list[bytes]:
        """No route takes bytes any more; returns where those are noted that were to be sent."""
        seen: list[bytes] = []

        def broken(raw: bytes, *_: int) -> str:
            seen.append(raw)
            raise SendError("the wire is cut")

        self.engine._broadcast = broken
        return seen

    def swallow(self) -> None:
        """The route takes all bytes, and no miner ever sees them."""
        self.engine._broadcast = lambda *_: "a relay that keeps what it gets"

    def mend_wires(self) -> None:
        self.engine._broadcast = broadcaster(Routing(), self.endpoint, self.engine.signer.address)


Kind = TypeVar("Kind", bound=Theatre)


@contextmanager
def theatre_at(stage: Stage, kind: type[Kind] = Theatre) -> Iterator[Kind]:
    """A theatre on this stage; when it closes, nothing waits to be mined."""
    stage.devnet.refresh_feeds()
    stage.devnet.rpc("evm_setAutomine", False)
    theatre = kind(stage)
    yield theatre
    for service in theatre.services:
        service.close()
    # Taking the chain back does not empty the pool, and a later test would find this one's transaction mined.
    theatre.drop_pool()
    stage.devnet.rpc("evm_setAutomine", True)
