"""How much one process can look after: 100 vaults of 8 assets among 60 pools, on one core.

    make bench-vaults

The vaults stand beside each other on the offline mainnet, which runs in a process of its own. Each has a live keeper
with a journal on disk; twenty development keys sign for five vaults each. A block is one tick of every vault: settle,
read, decide, write down, send. `wall` is how long that takes from the head to the last tick, one after the other in one
thread; `cpu` is this process's part of it, which leaves out the node's. Then the loops as `keeper run` runs them, in
threads and with alerts and metrics: from the moment a block is mined until the last vault has ticked at it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from eth_account import Account
from rich.console import Console
from rich.table import Table

from keeper import fleet, loop
from keeper.chain import artifacts
from keeper.chain.deployment import Deployment
from keeper.chain.errors import RpcError
from keeper.chain.lens import Group
from keeper.chain.rpc import Endpoint, Header
from keeper.config import Config
from keeper.devnet import FACTORIES, TOKENS, Devnet
from keeper.devnet.tables import BLOCK_TIME, POOL_MANAGER, Market
from keeper.devnet.world import open_market, transact
from keeper.ops.alerts import AlertsConfig, What
from keeper.ops.log import configure_logging
from keeper.ops.watch import Watch
from keeper.submit.deployer import AssetConfig, DeployConfig, deploy
from keeper.submit.engine import Engine
from keeper.submit.journal import Journal, Leases, Reign
from keeper.submit.signer import DEVELOPMENT_ACCOUNTS, DEVELOPMENT_MNEMONIC

RESULT = Path(__file__).with_name("vaults.json")
AIM = 3.0
"""Seconds for a block."""
NAV = 100_000
"""USD, of each vault."""
OFF = Decimal("0.15")
"""Of its NAV, in one token: what a vault is given to have something to trade."""

# So that there are 60: what the offline mainnet does not have already.
MORE_POOLS = (
    *(
        Market("uniswap_v2", base, quote, 3000, 2_000_000)
        for base, quote in (
            ("UNI", "USDC"),
            ("LINK", "USDC"),
            ("AAVE", "USDC"),
            ("WBTC", "USDC"),
            ("WBTC", "USDT"),
            ("DAI", "USDC"),
        )
    ),
    *(
        Market("uniswap_v3", base, quote, fee, 3_000_000)
        for base, quote, fee in (
            ("UNI", "USDC", 3000),
            ("UNI", "USDT", 3000),
            ("LINK", "USDT", 3000),
            ("AAVE", "USDT", 3000),
            ("AAVE", "WETH", 10000),
            ("WBTC", "USDC", 500),
            ("WBTC", "USDT", 500),
            ("WBTC", "DAI", 3000),
            ("LINK", "DAI", 3000),
            ("DAI", "USDT", 100),
            ("DAI", "USDT", 500),
            ("WETH", "DAI", 10000),
            ("WETH", "USDC", 100),
            ("WETH", "USDT", 100),
            ("LINK", "WBTC", 3000),
        )
    ),
)


@dataclass
class Meter:
    """What goes over the wire, and where the time goes. Seconds of wall time, in one thread."""

    requests: int = 0
    """HTTP requests."""
    calls: int = 0
    """JSON-RPC calls in them."""
    seconds: Counter[str] = field(default_factory=Counter)
    running: bool = False
    _within: list[str] = field(default_factory=list)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Counts while `running`; what is called from within another part belongs to that one."""
        with ExitStack() as undo:
            self._wrap(undo, Endpoint, "request", self._one)
            self._wrap(undo, Endpoint, "batch", self._many)
            for owner, name, part in (
                (Group, "read_at", "read"),
                (loop, "decide", "decide"),
                (Engine, "submit", "send"),
                (loop, "simulate", "send"),
                (Reign, "renew", "write"),
                *((Journal, name, "write") for name in ("vault", "open_intent", "record", "give_way")),
            ):
                self._wrap(undo, owner, name, self._timed(part))
            yield

    def _wrap(self, undo: ExitStack, owner: Any, name: str, around: Callable[..., Any]) -> None:
        inner = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            return around(inner, *arguments, **named)

        setattr(owner, name, wrapped)
        undo.callback(setattr, owner, name, inner)

    def _one(self, inner: Callable[..., Any], *arguments: Any) -> Any:
        if self.running:
            self.requests, self.calls = self.requests + 1, self.calls + 1
        return inner(*arguments)

    def _many(self, inner: Callable[..., Any], member: Endpoint, requests: Sequence[Any]) -> Any:
        # That of several endpoints asks one of them.
        if self.running and type(member) is Endpoint:
            self.requests, self.calls = self.requests + 1, self.calls + len(requests)
        return inner(member, requests)

    def _timed(self, part: str) -> Callable[..., Any]:
        def timed(inner: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
            if self._within or not self.running:
                return inner(*arguments, **named)
            self._within.append(part)
            started = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                self.seconds[part] += time.perf_counter() - started
                self._within.pop()

        return timed


def main() -> int:
    """Measures everything, writes `vaults.json`, prints the table; 1 if the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--vaults", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=10, help="of each kind; the median counts")
    options = parser.parse_args()
    console = Console(width=120)
    configure_logging(io.StringIO(), "warning")
    with Devnet.start(progress=console.print) as devnet, tempfile.TemporaryDirectory() as directory:
        bench = Bench(devnet, Path(directory), options.vaults, console)
        rows = {
            "read together, all quiet": bench.blocks(options.blocks, together=True),
            "each on its own, all quiet": bench.blocks(max(2, options.blocks // 3), together=False),
        }
        bench.disturb(max(1, options.vaults // 20))
        rows["read together, 5% to be traded"] = bench.blocks(options.blocks, together=True)
        bench.disturb(max(1, options.vaults // 20))
        rows["each on its own, 5% to be traded"] = bench.blocks(max(2, options.blocks // 3), together=False)
        loops = bench.loops(options.blocks)
    result = {
        "vaults": options.vaults,
        "assets": len(TOKENS),
        "pools": bench.pools,
        "aim_seconds": AIM,
        "blocks": rows,
        "loops": loops,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    _show(console, result)
    return 0 if all(row["wall_median"] < AIM for name, row in rows.items() if name.startswith("read together")) else 1


class Bench:
    """The vaults and their keepers."""

    def __init__(self, devnet: Devnet, directory: Path, count: int, console: Console) -> None:
        self.devnet, self.console = devnet, console
        for market in MORE_POOLS:
            open_market(devnet.endpoint, market, seed=1)
        self.keys = _keys(devnet)
        deployments = self._deploy(count, console)
        pools = devnet.pools()
        venues = [
            {"kind": "uniswap_v2", "factory": FACTORIES["uniswap_v2"]},
            {"kind": "uniswap_v3", "factory": FACTORIES["uniswap_v3"]},
            {"kind": "uniswap_v4", "manager": POOL_MANAGER},
            {
                "kind": "balancer_v2",
                "factories": [
                    {"address": FACTORIES["balancer_weighted"], "makes": "weighted"},
                    {"address": FACTORIES["balancer_stable"], "makes": "stable"},
                ],
                "pools": [pool.id for pool in pools if pool.kind.startswith("balancer")],
            },
        ]
        self.configs = []
        for index, deployment in enumerate(deployments):
            deployment.save(directory / f"vault-{index}.json")
            path = directory / f"keeper-{index}.yaml"
            path.write_text(
                yaml.safe_dump(
                    {
                        "chain": {"rpc_url": devnet.url, "chain_id": 1},
                        "deployment": f"vault-{index}.json",
                        "venues": venues,
                        "policy": {"trigger": {"kind": "band", "absolute": 0.02}, "tracking_penalty": 0.5},
                        "signer": {"kind": "environment", "variable": f"KEY_{index % len(self.keys)}"},
                        "sending": {"timeout_seconds": 0},
                        "breakers": {},
                        "interval_seconds": 0.5,
                        "lease_seconds": 86_400,
                    }
                )
            )
            self.configs.append(Config.load(path))
        keeper = fleet.muster(self.configs[:1])[0]
        self.pools = len(keeper.read().pools)

    def _deploy(self, count: int, console: Console) -> list[Deployment]:
        owner = self.keys[0]
        example = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
        assets = []
        for token in TOKENS.values():
            whole = (Decimal(NAV) / len(TOKENS) / token.price).quantize(Decimal(10) ** -token.decimals)
            assets.append(
                AssetConfig(
                    token=token.address,
                    feed=token.feed,
                    heartbeat=86_400,
                    min_price=Decimal("0.000001"),
                    max_price=Decimal(10_000_000),
                    weight=Decimal(1) / len(TOKENS),
                    amount=whole,
                )
            )
            self.devnet.deal(token.address, owner, int(whole.scaleb(token.decimals)) * count)
        limits = example.limits.model_copy(update={"cooldown": BLOCK_TIME, "turnover_budget": Decimal(1)})
        config = example.model_copy(update={"assets": tuple(assets), "feeds": (), "limits": limits})
        self.devnet.refresh_feeds()
        deployments: list[Deployment] = []
        for index in range(count):
            if index % 20 == 0:
                console.print(f"deploying vault {index + 1} of {count}")
            deployments.append(
                deploy(
                    self.devnet.endpoint,
                    config.model_copy(update={"keeper": self.keys[index % len(self.keys)]}),
                    owner,
                    lambda to, data: transact(self.devnet.endpoint, to, data, sender=owner),
                    lambda _: None,
                    beside=deployments[0] if deployments else None,
                )
            )
        return deployments

    def disturb(self, count: int) -> None:
        """Gives `count` vaults, of as many signers where there are so many, more of one token than they want."""
        token = TOKENS["USDC"]
        for index in range(count):
            vault = self.configs[index].deployment
            gift = int((NAV * OFF / token.price).scaleb(token.decimals))
            self.devnet.deal(token.address, Deployment.load(vault).vault, gift)
        self.devnet.mine()

    def blocks(self, count: int, *, together: bool) -> dict[str, Any]:
        """So many blocks after a first one that is not counted, each vault's tick after the other."""
        keepers = fleet.muster(self.configs) if together else [fleet.muster([config])[0] for config in self.configs]
        meter, leases = Meter(), Leases()
        walls, cpus, statuses = [], [], Counter[str]()
        with ExitStack() as running, meter.attached():
            services = []
            for keeper, signer in fleet.man(keepers, live=True):
                services.append(loop.Service.open(keeper, signer, leases=leases))
                running.callback(services[-1].close)
            for number in range(count + 1):
                self.devnet.refresh_feeds()
                self.devnet.mine()
                meter.running = number > 0
                started, cpu = time.perf_counter(), time.process_time()
                head = services[0].keeper.endpoint.header()
                for service in services:
                    # Loops that share their connections share the head as well.
                    try:
                        status: str = loop.tick(service, head if together else service.keeper.endpoint.header()).status
                    except RpcError:
                        # The node took the block that another vault's batch came in for this one; `run` looks again.
                        status = "failed"
                    if number:
                        statuses[status] += 1
                if number:
                    walls.append(time.perf_counter() - started)
                    cpus.append(time.process_time() - cpu)
                meter.running = False
        parts = {part: meter.seconds[part] / count for part in ("read", "decide", "send", "write")}
        wall = statistics.mean(walls)
        self.console.print(f"{'together' if together else 'each alone'}: {statistics.median(walls):.2f} s a block")
        return {
            "blocks": count,
            "wall_median": statistics.median(walls),
            "wall_worst": max(walls),
            "cpu_median": statistics.median(cpus),
            "requests_per_block": meter.requests / count,
            "calls_per_block": meter.calls / count,
            "parts_mean": parts | {"rest": wall - sum(parts.values())},
            "ticks": dict(statuses),
        }

    def loops(self, count: int) -> dict[str, Any]:
        """The loops of `keeper run`, in their threads: how long until each has dealt with a block."""
        crews = fleet.man(fleet.muster(self.configs), live=True)
        stop = threading.Event()
        names = [keeper.deployment.vault for keeper, _ in crews]
        walls, cpus = [], []
        with closing(_Lookout(None, AlertsConfig(), names, "bench")) as watch:
            options = {"stop": stop, "report": lambda _: None, "complain": lambda _: None, "watch": watch}
            thread = threading.Thread(target=fleet.serve_all, args=(crews,), kwargs=options)
            thread.start()
            try:
                for number in range(count + 1):
                    self.devnet.refresh_feeds()
                    watch.through(self.devnet.mine, thread)  # so that nothing of the past is counted
                    before = time.perf_counter(), time.process_time()
                    watch.through(self.devnet.mine, thread)
                    if number:
                        walls.append(time.perf_counter() - before[0])
                        cpus.append(time.process_time() - before[1])
            finally:
                stop.set()
                thread.join()
        self.console.print(f"as loops: {statistics.median(walls):.2f} s a block")
        return {
            "blocks": count,
            "interval_seconds": 0.5,
            "wall_median": statistics.median(walls),
            "wall_worst": max(walls),
            "cpu_median": statistics.median(cpus),
            "ticks": dict(watch.statuses),
            "complaints": dict(Counter(watch.complaints).most_common(3)),
        }


class _Lookout(Watch):
    """A watch that knows up to which block each vault has come."""

    def __init__(self, health: None, alerts: AlertsConfig, names: Sequence[str], version: str) -> None:
        super().__init__(health, alerts, names, version)
        self.statuses: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._reached = dict.fromkeys(names, 0)
        self._failed: set[str] = set()
        self._news = threading.Condition()

    def ticked(self, name: str, chain_id: int, header: Header, status: str, *rest: Any) -> None:
        super().ticked(name, chain_id, header, status, *rest)
        with self._news:
            self._reached[name] = header.number
            self.statuses[status] += 1
            self._news.notify_all()

    def complained(self, name: str, what: What, reason: str) -> None:
        super().complained(name, what, reason)
        with self._news:
            self._failed.add(name)
            self.complaints.append(reason)
            self._news.notify_all()

    def through(self, mine: Callable[[], Header], loops: threading.Thread) -> None:
        """Returns when each vault has ticked at the block that is mined, or a later one: its batch may have made one.

        Or has failed since. Exits with how many have not after five minutes, or when the loops have ended.
        """
        with self._news:
            self._failed.clear()
        block = mine().number
        give_up_at = time.monotonic() + 300
        with self._news:
            while late := [
                name for name, reached in self._reached.items() if reached < block and name not in self._failed
            ]:
                if not loops.is_alive() or time.monotonic() > give_up_at:
                    raise SystemExit(f"block {block}: {len(late)} vaults have not ticked; {self.complaints[-3:]}")
                self._news.wait(1)


def _keys(devnet: Devnet) -> list[str]:
    """Addresses of all development keys, funded, their keys in the environment."""
    Account.enable_unaudited_hdwallet_features()
    addresses = []
    for index in range(DEVELOPMENT_ACCOUNTS):
        account = Account.from_mnemonic(DEVELOPMENT_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        os.environ[f"KEY_{index}"] = "0x" + bytes(account.key).hex()
        devnet.endpoint.request("anvil_setBalance", account.address, hex(1_000 * 10**18))
        addresses.append(account.address)
    return addresses


def _show(console: Console, result: dict[str, Any]) -> None:
    title = f"{result['vaults']} vaults of {result['assets']} assets, {result['pools']} pools: one block"
    table = Table(title=title)
    for column in ("", "wall s", "worst", "cpu s", "HTTP", "calls", "read", "decide", "send", "write", "rest"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in result["blocks"].items():
        parts = row["parts_mean"]
        table.add_row(
            name,
            *(f"{row[key]:.2f}" for key in ("wall_median", "wall_worst", "cpu_median")),
            *(f"{row[key]:.0f}" for key in ("requests_per_block", "calls_per_block")),
            *(f"{parts[part]:.2f}" for part in ("read", "decide", "send", "write", "rest")),
        )
    loops = result["loops"]
    table.add_row("as loops in threads", *(f"{loops[key]:.2f}" for key in ("wall_median", "wall_worst", "cpu_median")))
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
