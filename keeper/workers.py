"""Work for more than one process: at each block a dispatcher queues vaults, and workers tick them (taskiq, Redis).

What is queued is only which vaults to look at, so whoever writes to the queue can cause a look and nothing else, and a
task that is lost costs a block: the next one queues the vaults again. What must not happen twice is seen to by the
journal, as for keepers of one process: a worker takes the lease of a vault's signer for the tick, so a signer has one
writer at a time wherever its vaults are queued, and a worker that dies in the middle is succeeded under the rules of
that lease. The dispatcher signs nothing. It reads in the journal what workers write, and tells people and Prometheus.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq.receiver import Receiver
from taskiq_redis import ListQueueBroker

from keeper.chain.errors import RpcError
from keeper.chain.rpc import Header
from keeper.chain.shared import share
from keeper.domain.errors import InputError
from keeper.fleet import Crew
from keeper.loop import Keeper, Outcome, Service, tick
from keeper.ops.alerts import What
from keeper.ops.watch import Watch
from keeper.submit.errors import LostLease, SendError
from keeper.submit.journal import Journal, Leases, Store

Mode = Literal["dry", "live"]

_TASK = "tick"
_ASKED_AGAIN = 60
"""Seconds after which vaults are queued again although no worker has taken them: the task may have been lost."""
_PATIENCE = 1.0
"""Seconds between tries to reach a queue that is away."""
_STOP_POLL = 0.1
_AT_ONCE = threading.Event()
_AT_ONCE.set()
"""A worker does not wait for a batch that is out, or the other vaults of its task would wait with it: ticks follow."""


def name_of(keeper: Keeper) -> str:
    """What a vault is called in the queue."""
    return f"{keeper.deployment.chain_id}:{keeper.deployment.vault}"


def portions(keepers: Sequence[Keeper], most: int, mode: Mode) -> list[tuple[Keeper, ...]]:
    """Vaults to be ticked as one task: of one market, so that they are read together, and at most so many.

    The vaults of one signer stay together, however many: apart they would only wait for each other.
    """
    of_signer: dict[tuple[object, ...], list[Keeper]] = {}
    for keeper in keepers:
        alone = name_of(keeper) if mode == "dry" else keeper.config.signer
        of_signer.setdefault((keeper.config.chain, keeper.lens.market, alone), []).append(keeper)
    found: list[list[Keeper]] = []
    room: dict[tuple[object, ...], list[Keeper]] = {}
    for (*market, _), those in of_signer.items():
        portion = room.get(tuple(market))
        if portion is None or len(portion) + len(those) > most:
            portion = room[tuple(market)] = []
            found.append(portion)
        portion += those
    return [tuple(portion) for portion in found]


def check_shared(keepers: Sequence[Keeper], mode: Mode) -> None:
    """Raises `InputError` unless all workers see one journal: a lease in a file is seen on one machine only."""
    for keeper in keepers:
        if keeper.config.journal_url(mode).startswith("sqlite"):
            raise InputError(
                f"the journal of the vault {keeper.deployment.vault} is a file: workers need one that all of them see,"
                " so set journal to the URL of a Postgres database"
            )


# Workers


@dataclass(slots=True)
class Worker:
    """Ticks the vaults that it is given, if they are among its `crews`."""

    crews: Sequence[Crew]
    mode: Mode
    report: Callable[[Outcome], None]
    complain: Callable[[str], None]
    _portions: dict[tuple[str, ...], list[Crew]] = field(default_factory=dict)

    def tick(self, names: Sequence[str]) -> None:
        """One tick of each vault at the head. What goes wrong with one is complained about and harms no other."""
        leases = Leases()
        with ExitStack() as opened:
            services = []
            for keeper, signer in self._portion(tuple(names)):
                try:
                    service = Service.open(keeper, signer, leases=leases)
                except LostLease:
                    continue  # another worker is at it; the next block comes round
                except (InputError, SendError) as error:
                    self.complain(f"{keeper.name}: {error}")
                    continue
                opened.callback(service.close)
                services.append(service)
            for service in services:
                try:
                    self.report(tick(service, service.keeper.endpoint.header(), _AT_ONCE))
                except (RpcError, SendError, InputError) as error:
                    self.complain(f"{service.keeper.name}: {error}")

    def _portion(self, names: tuple[str, ...]) -> list[Crew]:
        """The crews of these vaults, which read together; the dispatcher asks for the same ones at every block."""
        if names not in self._portions:
            known = {name_of(keeper): (keeper, signer) for keeper, signer in self.crews}
            if unknown := [name for name in names if name not in known]:
                self.complain(f"no configuration of {', '.join(unknown)}: workers need all that the dispatcher has")
            crews = [known[name] for name in names if name in known]
            lenses = share([keeper.config.lens(keeper.deployment) for keeper, _ in crews])
            self._portions[names] = [
                (replace(keeper, lens=lens), signer) for (keeper, signer), lens in zip(crews, lenses, strict=True)
            ]
        return self._portions[names]


def work(url: str, worker: Worker, stop: threading.Event) -> None:
    """Takes tasks from the queue, one at a time, until `stop` is set; the one under way is finished first."""
    asyncio.run(_work(url, worker, stop))


async def _work(url: str, worker: Worker, stop: threading.Event) -> None:
    with ThreadPoolExecutor(1) as executor:
        while not stop.is_set():
            broker = _broker(url, worker.mode)
            async with _client(url) as redis:
                broker.register_task(_taker(worker, executor, redis), task_name=_TASK)
                broker.is_worker_process = True
                await _listen(Receiver(broker, max_async_tasks=1), stop, worker.complain)
            await broker.shutdown()


def _taker(worker: Worker, executor: Executor, redis: Redis) -> Callable[[list[str]], Awaitable[None]]:
    async def take(names: list[str]) -> None:
        with suppress(RedisError):  # then they are queued again a little later
            await redis.delete(_mark(worker.mode, names))
        try:
            await asyncio.get_running_loop().run_in_executor(executor, worker.tick, names)
        except Exception as error:
            worker.complain(f"a tick ended in a way that nobody foresaw: {type(error).__name__}: {error}")
            raise

    return take


async def _listen(receiver: Receiver, stop: threading.Event, complain: Callable[[str], None]) -> None:
    """Until `stop` is set or the queue goes away."""
    finish = asyncio.Event()
    listening = asyncio.create_task(receiver.listen(finish))
    while not stop.is_set() and not listening.done():
        await asyncio.wait([listening], timeout=_STOP_POLL)
    finish.set()
    try:
        await listening
    except Exception as error:  # whatever the engine makes of a queue that went away
        complain(f"the queue is away: {_root(error)}")
        await _pause(stop, _PATIENCE)


# Dispatcher


@dataclass(slots=True)
class Dispatcher:
    """Queues the vaults at each block, and tells what becomes of them."""

    keepers: Sequence[Keeper]
    mode: Mode
    watch: Watch
    complain: Callable[[str], None]
    at_once: int = 10
    """Vaults of different signers in one task."""
    _seen: dict[str, str] = field(default_factory=dict)
    _told: dict[str, tuple[int, int]] = field(default_factory=dict)
    _stores: dict[str, Store] = field(default_factory=dict)
    _signers: dict[str, str] = field(default_factory=dict)

    def head(self, portion: Sequence[Keeper]) -> Header | None:
        """The head of these vaults' chain, if they were not queued for it yet."""
        header = portion[0].endpoint.header()
        return None if self._seen.get(name_of(portion[0])) == header.hash else header

    def queued(self, portion: Sequence[Keeper], header: Header) -> None:
        """They are in the queue for this head."""
        self._seen[name_of(portion[0])] = header.hash

    def look(self, keeper: Keeper, header: Header) -> None:
        """Tells what workers have written down of a vault since the last look. Reads only."""
        deployment, name = keeper.deployment, keeper.name
        url = keeper.config.journal_url(self.mode)
        if url not in self._stores:
            try:
                self._stores[url] = Store(url, create=False)
            except InputError:
                return  # no worker has begun yet
        journal = Journal(
            self._stores[url], deployment.chain_id, deployment.vault, deployment.deployment_block.hash, self.watch.clock
        )
        for latest in journal.decisions(1):
            if self._told.get(name) == (latest.id, latest.ticks):
                continue
            self._told[name] = (latest.id, latest.ticks)
            if latest.status == "failed":
                self.watch.complained(name, "batch", latest.reason)
            else:
                self.watch.ticked(name, deployment.chain_id, header, latest.status, latest.reason, None, 0)
        if self.mode == "live" and name not in self._signers:
            self._signers[name] = keeper.lens.read_at(keeper.endpoint, header).vault.keeper
        least = keeper.config.breakers.min_signer_balance_wei
        self.watch.looked(name, journal, self._signers.get(name), keeper.endpoint, least)

    def close(self) -> None:
        """Gives the connections to journals back."""
        for store in self._stores.values():
            store.close()


def dispatch(url: str, dispatcher: Dispatcher, stop: threading.Event) -> None:
    """Queues every vault at every block until `stop` is set."""
    asyncio.run(_dispatch(url, dispatcher, stop))


async def _dispatch(url: str, dispatcher: Dispatcher, stop: threading.Event) -> None:
    everything = portions(dispatcher.keepers, dispatcher.at_once, dispatcher.mode)
    broker = _broker(url, dispatcher.mode)

    async def take(names: list[str]) -> None:
        raise NotImplementedError("the workers have it")

    queue = broker.register_task(take, task_name=_TASK)
    await broker.startup()
    try:
        async with _client(url) as redis:
            while not stop.is_set():
                for portion in everything:
                    await _queue(dispatcher, portion, redis, queue.kiq)
                await _pause(stop, min(keeper.config.interval_seconds for keeper in dispatcher.keepers))
    finally:
        await broker.shutdown()


async def _queue(
    dispatcher: Dispatcher,
    portion: Sequence[Keeper],
    redis: Redis,
    kick: Callable[[list[str]], Awaitable[object]],
) -> None:
    """Queues a portion if its chain has a new head and no worker still has to take it from before."""
    names = [name_of(keeper) for keeper in portion]
    try:
        header = await asyncio.to_thread(dispatcher.head, portion)
        if header is None:
            return
        if await redis.set(_mark(dispatcher.mode, names), "1", nx=True, ex=_ASKED_AGAIN):
            await kick(names)
        dispatcher.queued(portion, header)
        for keeper in portion:
            await asyncio.to_thread(dispatcher.look, keeper, header)
    except (RpcError, SendError, InputError) as error:
        dispatcher.complain(str(error))
        for keeper in portion:
            what: What = "journal" if isinstance(error, SendError) else "endpoint"
            dispatcher.watch.complained(keeper.name, what, str(error))
    except Exception as error:
        if not isinstance(_root(error), RedisError | OSError):
            raise
        dispatcher.complain(f"the queue is away: {_root(error)}")


# The queue


def _broker(url: str, mode: Mode) -> ListQueueBroker:
    try:
        return ListQueueBroker(url, queue_name=f"ballast:ticks:{mode}")
    except ValueError:
        raise InputError("the queue is no Redis URL: use redis://HOST:PORT or rediss://…") from None


def _client(url: str) -> Redis:
    return Redis.from_url(url)


def _mark(mode: Mode, names: Sequence[str]) -> str:
    """The key that says that vaults are queued. A vault is in one portion only."""
    return f"ballast:queued:{mode}:{names[0]}"


def _root(error: BaseException) -> BaseException:
    """What is behind an error: engines wrap it, and groups of tasks gather several."""
    while True:
        inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        if inner is None:
            return error
        error = inner


async def _pause(stop: threading.Event, seconds: float) -> None:
    """Returns after so many seconds, or when `stop` is set."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not stop.is_set() and (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, _STOP_POLL))
