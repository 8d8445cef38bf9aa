"""Where keepers live and die: a devnet with moving prices, lives forked from one process, the verdict at the end."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from eth_account import Account
from stage import KEEPER, Stage

from chaos.life import LOST, Fate, live
from keeper.devnet import Devnet
from keeper.devnet.faults import FaultProxy
from keeper.devnet.relay import Habit, LocalRelay
from keeper.devnet.tables import BLOCK_TIME
from keeper.submit.journal import OPEN, Intent, Journal, State, Store

LEASE_BLOCKS = 2
TOLERANCE = {"backoff_first_seconds": 0.01, "backoff_cap_seconds": 0.05, "wrong_chain_seconds": 0.05}
"""Blocks come as fast as they can be mined here, and so must second chances."""
BAND = 0.005
"""Of NAV: narrow, so that nearly every move of the market calls for a batch."""
MOVING = ("LINK", "WBTC", "UNI", "WETH")
SETTINGS: dict[str, Any] = {
    "lease_seconds": LEASE_BLOCKS * BLOCK_TIME,
    "policy": {"trigger": {"kind": "band", "absolute": BAND}, "tracking_penalty": 5},
}
_PATIENCE = 60.0
"""Seconds that a life may take for one tick, on a machine that does other things as well."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["chaos.life"])


def _prepare() -> None:
    """Starts the process that all lives are forked from, unless it runs. What is in its environment is in theirs."""
    before = dict(os.environ)
    os.environ |= {"KEEPER_KEY": Stage.key, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ |= before


@contextmanager
def _nameless() -> Iterator[None]:
    """Hides which program this is: every life would import it anew, for half a second, and needs nothing of it."""
    main = sys.modules["__main__"]
    known = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    main.__file__ = main.__spec__ = None
    try:
        yield
    finally:
        for name, value in known.items():
            setattr(main, name, value)


@dataclass(slots=True)
class Life:
    """A keeper's process, and what it has said."""

    process: BaseProcess
    pipe: Connection
    said: list[tuple[int | None, str, str]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def alive(self) -> bool:
        return self.process.is_alive()

    def stopped(self) -> bool:
        """Whether it was suspended."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def listen(self, seconds: float = 0.0) -> bool:
        """Takes one message if there is one within so many seconds."""
        try:
            if self.pipe.poll(seconds):
                self.said.append(self.pipe.recv())
                return True
        except (EOFError, ConnectionError):
            self.process.join()
        return False

    def hear_of(self, block: int, seconds: float = _PATIENCE) -> bool:
        """Waits until it has dealt with a block, if only by a complaint. False if it died or was suspended first."""
        known = len(self.said)
        while self.listen():
            pass
        if any(number is not None and number >= block for number, _, _ in self.said[known:]):
            return True
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            if self.listen(0.02):
                number, status, _ = self.said[-1]
                if status == "failed" or (number is not None and number >= block):
                    return True
            elif not self.alive() or self.stopped():
                return False
        return False

    @property
    def memory(self) -> int:
        """Resident, kB."""
        return int(Path(f"/proc/{self.pid}/status").read_text().partition("VmRSS:")[2].split()[0])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the chain and the journal say when all is over. Anything but zeros and an empty list is a bug."""

    batches: int
    duplicates: int
    lost: int
    manual: int
    complaints: list[str]

    @property
    def ok(self) -> bool:
        return (self.duplicates, self.lost, self.manual) == (0, 0, 0)


class Arena:
    """A vault, its market, and the lives of its keepers."""

    key = Stage.key

    def __init__(self, devnet: Devnet, directory: Path, seed: int, **settings: Any) -> None:
        self.devnet, self.random = devnet, random.Random(seed)  # noqa: S311  no secret, but the same again for the same seed
        self.stage = Stage(devnet, directory)
        self.settings = SETTINGS | settings
        self.stage.configure(**self.settings)
        self.running = ExitStack()
        self.base = devnet.prices()
        self.clock = _forks.Value("d", self.stage.now(), lock=False)
        self.lives: list[Life] = []
        devnet.rpc("evm_setAutomine", False)

    def close(self) -> None:
        """Ends all lives, and leaves the node as it was found."""
        for life in self.lives:
            if life.alive():
                life.kill()
        self.running.close()
        self.lose()
        self.devnet.rpc("evm_setAutomine", True)

    # What is between a keeper and the chain

    def configure(self, **settings: Any) -> None:
        """Other settings for lives that start from now on."""
        self.settings |= settings
        self.stage.configure(**self.settings)

    def proxies(self, count: int, timeout: float = 0.5) -> list[FaultProxy]:
        """Lets keepers that start from now on reach the chain through so many nodes that misbehave on request."""
        found = [
            self.running.enter_context(FaultProxy(self.devnet.url, seed=self.random.randrange(2**32)))
            for _ in range(count)
        ]
        urls = [proxy.url for proxy in found]
        self.configure(chain={"rpc_urls": urls, "chain_id": 1, "timeout_seconds": timeout, "tolerance": TOLERANCE})
        return found

    def relay(self, habit: Habit, **routing: Any) -> LocalRelay:
        """Lets keepers that start from now on send by a private relay."""
        relay = self.running.enter_context(LocalRelay(self.devnet.url, habit))
        self.configure(routing={"relays": [{"url": relay.url}], **routing})
        return relay

    # Lives

    def start(self, fate: Fate | None = None) -> Life:
        """A new keeper; whether it takes the lease is its own business."""
        ours, theirs = _forks.Pipe(duplex=False)
        arguments = (self.stage.path, self.clock, theirs, fate or Fate())
        process = _forks.Process(target=live, args=arguments, daemon=True)
        _prepare()
        with _nameless():
            process.start()
        theirs.close()
        life = Life(process, ours)
        self.lives.append(life)
        return life

    def revive(self, fate: Fate | None = None, within: int = 400) -> tuple[Life, int]:
        """What a supervisor does: starts the keeper again until it gets the lease.

        Returns:
            The life, and how many blocks it took until its first tick was over; the last one if it never came to that.
        """
        for blocks in range(1, within):
            self.mine()
            life = self.start(fate)
            if life.hear_of(self.head) or life.process.exitcode != LOST:
                return life, blocks
        raise AssertionError("no keeper got the lease")

    # The chain

    @property
    def head(self) -> int:
        return self.devnet.endpoint.header().number

    def mine(self, blocks: int = 1, seconds: int | None = None) -> int:
        """Returns the number of the head. With ``seconds`` the first block is that much later than the one before."""
        head = self.devnet.mine(blocks, seconds=seconds)
        self.clock.value = float(head.timestamp)
        return head.number

    def move(self) -> None:
        """Some prices go elsewhere, within a fifth of where they were at first; no feed is stale afterwards."""
        self.devnet.rpc("evm_setAutomine", True)
        names = self.random.sample(MOVING, 2)
        factors = {
            name: 1 + Decimal(self.random.choice((-1, 1)) * self.random.randrange(500, 2_000)) / 10_000
            for name in names
        }
        self.devnet.refresh_feeds()
        self.devnet.move_prices({name: round(self.base[name] * factor, 8) for name, factor in factors.items()})
        self.devnet.rpc("evm_setAutomine", False)
        self.clock.value = self.stage.now()

    def reorganise(self, depth: int, raw: str | None = None) -> None:
        """Takes blocks back and puts empty ones in their place, or ones the last of which holds a transaction."""
        self.devnet.rpc("anvil_reorg", depth, [] if raw is None else [[raw, depth - 1]])

    def lose(self) -> None:
        """Nobody has any transaction any more that is not mined."""
        self.devnet.rpc("anvil_dropAllTransactions")

    def foreign(self, nonce: int) -> str:
        """A transaction of the keeper's key that no keeper made, as bytes."""
        fields = {
            "type": 2,
            "chainId": 1,
            "nonce": nonce,
            "to": self.stage.signer.address,
            "value": 0,
            "gas": 21_000,
            "maxFeePerGas": 10**12,
            "maxPriorityFeePerGas": 10**10,
        }
        return str(Account.sign_transaction(fields, self.stage.key).raw_transaction.to_0x_hex())

    # The end

    def journal(self) -> Journal:
        """To look at."""
        deployment = self.stage.deployment
        journal_store = Store(f"sqlite:///{self.stage.journal_file}")
        return Journal(
            journal_store, deployment.chain_id, deployment.vault, deployment.deployment_block.hash, lambda: 0
        )

    def intents(self) -> list[Intent]:
        """Oldest first."""
        journal = self.journal()
        try:
            return list(reversed(journal.intents(10**6)))
        finally:
            journal.store.close()

    def finish(self, life: Life | None = None, *, amnesia: bool = False) -> Verdict:
        """Lets a keeper in good health see everything through, and judges.

        ``amnesia``: the journal was replaced by an old one, so it cannot know every batch of the chain.
        """
        complaints = []
        if life is None or not life.alive():
            life, _ = self.revive()
        for _ in range(60):
            life.hear_of(self.mine())
            if life.said and life.said[-1][1] == "hold" and not any(i.state in OPEN for i in self.intents()):
                break
        else:
            complaints.append(f"the keeper does not come to rest: {life.said[-1:]}")
        manual = len(complaints)
        life.kill()
        asked = {reason for life in self.lives for _, status, reason in life.said if "keeper resume" in reason}
        complaints += asked
        manual += len(asked)

        batches, intents = self.stage.batches(), self.intents()
        by_transaction = {attempt.hash: intent for intent in intents for attempt in intent.attempts}
        executed = Counter(
            by_transaction[batch["transaction"]].id for batch in batches if batch["transaction"] in by_transaction
        )
        nonces = Counter(batch["nonce"] for batch in batches)
        duplicates = sum(count - 1 for count in (executed + Counter()).values())
        duplicates += sum(count - 1 for count in nonces.values())
        unknown = len(batches) - sum(executed.values())
        done = {intent.id for intent in intents if intent.order and intent.state in (State.DONE, State.FAILED)}
        misjudged = done ^ set(executed)
        unexplained = [intent for intent in intents if intent.state not in OPEN and not intent.why]
        if misjudged:
            complaints.append(f"intents {sorted(misjudged)} are not what the chain says")
        if unknown and not amnesia:
            complaints.append(f"the journal does not know {unknown} batches")
        lost = len(misjudged) + len(unexplained) + (0 if amnesia else unknown)
        return Verdict(len(batches), duplicates, lost, manual, complaints)


def suspend(life: Life) -> None:
    os.kill(life.pid, signal.SIGSTOP)


def wake(life: Life) -> None:
    os.kill(life.pid, signal.SIGCONT)


__all__ = ["KEEPER", "LEASE_BLOCKS", "Arena", "Life", "Verdict", "suspend", "wake"]
