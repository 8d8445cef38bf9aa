"""A dispatcher and workers on a real Redis and a real Postgres: every vault is looked after, and nothing twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import redis_server
from redis import Redis
from sqlalchemy import select
from town import Town

from keeper.config import Config
from keeper.devnet import Devnet
from keeper.domain import InputError
from keeper.fleet import man, muster
from keeper.loop import Keeper, Outcome, Service
from keeper.ops.alerts import AlertsConfig
from keeper.ops.health import HealthLimits
from keeper.ops.watch import Watch
from keeper.submit.journal import Intent, Journal, State, Store
from keeper.submit.journal.models import Lease
from keeper.workers import Dispatcher, Worker, check_shared, dispatch, name_of, portions, work

PATIENCE = 60


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    if redis_server.binary() is None:
        pytest.skip(redis_server.MISSING)
    with redis_server.server() as url:
        yield url


@pytest.fixture
def queue(redis_url) -> Iterator[Redis]:
    """The queue, empty."""
    with Redis.from_url(redis_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def build(devnet: Devnet, tmp_path, monkeypatch, request) -> Callable[..., Town]:
    """Builds a town whose keepers have one journal, in Postgres."""

    def build(settings=None, **options) -> Town:
        town = Town(devnet, tmp_path, **options)
        for name, value in town.environment.items():
            monkeypatch.setenv(name, value)
        url = request.getfixturevalue("postgres")().render_as_string(hide_password=False)
        town.configure(journal=url + "&application_name={mode}", **(settings or {}))
        return town

    return build


def keepers_of(town: Town) -> list[Keeper]:
    return muster([Config.load(path) for path in town.paths])


def drift(devnet: Devnet) -> None:
    devnet.move_prices({"LINK": "27.50", "UNI": "9.50", "WBTC": "108000"})


def until(condition: Callable[[], object], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Returns when the condition holds; an assertion says that it never did."""
    give_up_at = time.monotonic() + PATIENCE
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < give_up_at, "it never came to that"
        meanwhile()
        waiting.wait(0.02)


class Hands:
    """Workers in threads of this process, with what they said."""

    def __init__(self, url: str) -> None:
        self.url, self.stop = url, threading.Event()
        self.outcomes: list[Outcome] = []
        self.complaints: list[str] = []
        self.threads: list[threading.Thread] = []

    def hire(self, town: Town) -> Worker:
        worker = Worker(man(keepers_of(town), live=True), "live", self.outcomes.append, self.complaints.append)
        self.threads.append(threading.Thread(target=work, args=(self.url, worker, self.stop)))
        self.threads[-1].start()
        return worker

    def dismiss(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def hands(redis_url, queue) -> Iterator[Hands]:
    hands = Hands(redis_url)
    yield hands
    hands.dismiss()


@contextmanager
def dispatching(town: Town, url: str, at_once: int = 1) -> Iterator[tuple[Dispatcher, list[str]]]:
    keepers = keepers_of(town)
    complaints: list[str] = []
    stop = threading.Event()
    watch = Watch(None, AlertsConfig(), [keeper.deployment.vault for keeper in keepers], "test")
    with closing(watch), closing(Dispatcher(keepers, "live", watch, complaints.append, at_once)) as dispatcher:
        thread = threading.Thread(target=dispatch, args=(url, dispatcher, stop))
        thread.start()
        try:
            yield dispatcher, complaints
        finally:
            stop.set()
            thread.join()


# What goes together


def test_vaults_of_one_signer_are_one_task(build):
    keepers = keepers_of(build(keepers=(1, 2, 1)))
    assert portions(keepers, 1, "live") == [(keepers[0], keepers[2]), (keepers[1],)]


def test_vaults_of_several_signers_are_one_task_as_far_as_they_fit(build):
    keepers = keepers_of(build(keepers=(1, 2, 3)))
    assert [len(portion) for portion in portions(keepers, 2, "live")] == [2, 1]


def test_a_dry_run_has_no_signer_to_wait_for(build):
    keepers = keepers_of(build(keepers=(1, 1)))
    assert [len(portion) for portion in portions(keepers, 1, "dry")] == [1, 1]


def test_vaults_of_other_markets_are_other_tasks(build):
    town = build(keepers=(1, 2))
    first, second = (Config.load(path) for path in town.paths)
    keepers = muster([first, second.model_copy(update={"tick_words": 2})])
    assert [len(portion) for portion in portions(keepers, 10, "live")] == [1, 1]


def test_a_journal_in_a_file_is_refused(devnet, tmp_path, monkeypatch):
    town = Town(devnet, tmp_path, keepers=(1,))
    monkeypatch.setenv("KEY_1", town.environment["KEY_1"])
    with pytest.raises(InputError, match="is a file: workers need one that all of them see"):
        check_shared(keepers_of(town), "live")


def test_what_is_no_redis_url_is_bad_input(build):
    town = build(keepers=(1,))
    with pytest.raises(InputError, match="no Redis URL"):
        work("http://nowhere", Worker([], "live", print, print), threading.Event())
    del town


# The queue


def test_every_vault_is_rebalanced_by_some_worker_and_none_twice(build, devnet, redis_url, hands):
    town = build(keepers=(1, 1, 2, 3))
    drift(devnet)
    for _ in range(3):
        hands.hire(town)
    with dispatching(town, redis_url):
        until(lambda: all(town.batches(index) for index in range(4)), devnet.mine)
    hands.dismiss()
    services = [Service.open(*crew) for crew in man(keepers_of(town), live=True)[1:]]
    with ExitStack() as opened:
        for service in services:
            opened.callback(service.close)
        for index, service in enumerate(services, start=1):
            intents = service.journal.intents(100)
            sent = sum(intent.state in {State.DONE, State.MINED, State.SIGNED} for intent in intents)
            assert town.batches(index) <= sent


def test_one_signer_never_has_two_transactions_in_flight(build, devnet, redis_url, hands, monkeypatch):
    """Three workers are given the vaults of one signer at the same time, over and over."""
    town = build(keepers=(1, 1, 1))
    drift(devnet)
    keepers = keepers_of(town)
    committed, commit = [], Journal.commit

    def counted(journal, intent, *rest):
        committed.append(commit(journal, intent, *rest))
        return committed[-1]

    monkeypatch.setattr(Journal, "commit", counted)
    workers = [
        Worker(man(keepers, live=True), "live", hands.outcomes.append, hands.complaints.append) for _ in range(3)
    ]
    devnet.endpoint.request("evm_setAutomine", False)
    try:
        for _ in range(3):
            threads = [
                threading.Thread(target=worker.tick, args=([name_of(keeper)],))
                for worker, keeper in zip(workers, keepers, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        pool = devnet.rpc("txpool_content")["pending"]
    finally:
        devnet.endpoint.request("evm_setAutomine", True)
    assert sum(len(nonces) for nonces in pool.values()) == 1
    assert len(committed) == 1


def test_workers_whose_vaults_want_the_same_pools_send_one_batch_after_the_other(build, devnet, hands, monkeypatch):
    """Both look before either has committed, and then commit at the same moment."""
    town = build(keepers=(1, 2))
    drift(devnet)
    looked, look = threading.Barrier(2), Journal._give_way

    def together(*arguments):
        look(*arguments)
        with suppress(threading.BrokenBarrierError):
            looked.wait(2)  # in vain where one waits for the other's transaction

    monkeypatch.setattr(Journal, "_give_way", together)
    workers = [
        (Worker([crew], "live", hands.outcomes.append, hands.complaints.append), name_of(crew[0]))
        for crew in man(keepers_of(town), live=True)
    ]

    def tick_all():
        threads = [threading.Thread(target=worker.tick, args=([name],)) for worker, name in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    devnet.endpoint.request("evm_setAutomine", False)
    try:
        tick_all()
        pool = devnet.rpc("txpool_content")["pending"]
    finally:
        devnet.endpoint.request("evm_setAutomine", True)
    assert sum(len(nonces) for nonces in pool.values()) == 1
    assert sorted(outcome.status for outcome in hands.outcomes) == ["hold", "sent"]
    until(lambda: tick_all() or all(town.batches(index) for index in range(2)), devnet.mine)
    assert [intents_of(town, index)[0].state in {State.SIGNED, State.MINED, State.DONE} for index in range(2)] == [
        True
    ] * 2
    assert [len(intents_of(town, index)) for index in range(2)] == [1, 1]
    assert not hands.complaints


def test_a_vault_in_the_queue_is_not_queued_again(build, devnet, redis_url, queue):
    """Without workers the queue must not grow with the chain."""
    town = build(keepers=(1, 2))
    with dispatching(town, redis_url) as (dispatcher, _):
        until(lambda: queue.llen("ballast:ticks:live") == 2)
        for _ in range(3):
            header = devnet.mine()
            until(lambda header=header: set(dispatcher._seen.values()) == {header.hash})
        assert queue.llen("ballast:ticks:live") == 2


def test_a_task_that_was_lost_is_queued_again_by_a_later_block(build, devnet, redis_url, queue, hands):
    town = build(keepers=(1,))
    with dispatching(town, redis_url):
        until(lambda: queue.llen("ballast:ticks:live") == 1)
        queue.flushall()  # as a worker that takes it and dies
        hands.hire(town)
        until(lambda: hands.outcomes, devnet.mine)


def test_what_is_in_the_queue_is_no_secret_and_no_command(build, redis_url, queue):
    town = build(keepers=(1,))
    with dispatching(town, redis_url):
        until(lambda: queue.llen("ballast:ticks:live") == 1)
    (task,) = queue.lrange("ballast:ticks:live", 0, -1)
    assert town.deployments[0].vault.encode() in task
    for secret in (town.environment["KEY_1"][2:], "password", "postgres"):
        assert secret.encode() not in task


def test_a_vault_that_a_worker_does_not_know_is_complained_about(build, hands):
    town = build(keepers=(1,))
    worker = Worker(man(keepers_of(town), live=True), "live", hands.outcomes.append, hands.complaints.append)
    worker.tick(["1:0x" + "ab" * 20, name_of(keepers_of(town)[0])])
    assert "no configuration of 1:0xabab" in hands.complaints[0]
    assert len(hands.outcomes) == 1


def test_one_vault_that_fails_does_not_keep_a_worker_from_the_others(build, hands):
    town = build(keepers=(1, 2))
    town.deployments[0].model_copy(update={"vault": "0x" + "ab" * 20}).save(town.directory / "vault-0.json")
    crews = man(keepers_of(town), live=True)
    Worker(crews, "live", hands.outcomes.append, hands.complaints.append).tick([name_of(k) for k, _ in crews])
    assert "cannot read the vault" in hands.complaints[0] or "does not answer" in hands.complaints[0]
    assert [outcome.status for outcome in hands.outcomes] == ["hold"]


def test_a_batch_that_waits_to_be_mined_keeps_a_worker_from_no_other_vault(build, devnet, hands):
    town = build({"sending": {"timeout_seconds": 3600}}, keepers=(1, 2))
    drift(devnet)
    crews = man(keepers_of(town), live=True)
    worker = Worker(crews, "live", hands.outcomes.append, hands.complaints.append)
    devnet.endpoint.request("evm_setAutomine", False)
    try:
        thread = threading.Thread(target=worker.tick, args=([name_of(keeper) for keeper, _ in crews],), daemon=True)
        thread.start()
        thread.join(PATIENCE)
    finally:
        devnet.endpoint.request("evm_setAutomine", True)
    assert [outcome.status for outcome in hands.outcomes] == ["sent", "hold"]


def test_a_worker_leaves_a_signer_to_whoever_has_its_lease(build, hands):
    town = build(keepers=(1, 2))
    crews = man(keepers_of(town), live=True)
    with closing(Service.open(*crews[0])):
        Worker(crews, "live", hands.outcomes.append, hands.complaints.append).tick([name_of(k) for k, _ in crews])
    assert len(hands.outcomes) == 1
    assert not hands.complaints


def test_a_queue_that_goes_away_is_waited_for(build, devnet):
    if redis_server.binary() is None:
        pytest.skip(redis_server.MISSING)
    town = build(keepers=(1,))
    port = redis_server.free_port()
    hands = Hands(f"redis://127.0.0.1:{port}")
    try:
        with redis_server.server(port) as url, dispatching(town, url):
            hands.hire(town)
            until(lambda: hands.outcomes, devnet.mine)
        until(lambda: any("the queue is away" in line for line in hands.complaints))
        before = len(hands.outcomes)
        with redis_server.server(port) as url, dispatching(town, url):
            until(lambda: len(hands.outcomes) > before, devnet.mine)
    finally:
        hands.dismiss()


# What the dispatcher tells


def test_the_dispatcher_tells_what_workers_have_done(build, devnet, redis_url, hands):
    town = build(keepers=(1,))
    vault = town.deployments[0].vault
    hands.hire(town)
    with dispatching(town, redis_url) as (dispatcher, _):
        metrics = dispatcher.watch.metrics
        until(lambda: f'decisions_total{{action="hold",vault="{vault}"}}' in metrics.render().decode(), devnet.mine)


def test_a_vault_that_no_worker_looks_after_becomes_unhealthy(build, devnet, redis_url, queue):
    town = build(keepers=(1,))
    with dispatching(town, redis_url) as (dispatcher, _):
        header = devnet.mine()
        until(lambda: set(dispatcher._seen.values()) == {header.hash})
        dispatcher.watch.pulse.clock = lambda: time.time() + 300
        reasons = dispatcher.watch.pulse.health(HealthLimits()).reasons
    assert any("the loop last came round" in reason for reason in reasons)


# The commands


@pytest.fixture
def processes() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `keeper` with arguments, in a process that first runs ``before`` and writes its errors to a file."""
    with ExitStack() as running:

        def start(*arguments: str, before: str = "", errors: Path | None = None) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", f"{before}\nfrom keeper.cli import main; main()", *arguments]
            said = subprocess.PIPE if errors is None else running.enter_context(errors.open("w"))
            process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=said)  # noqa: S603
            running.callback(process.communicate)
            running.callback(partial(_kill, process))
            return process

        yield start


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()


def test_a_worker_that_is_killed_in_the_middle_is_succeeded_by_another(build, devnet, redis_url, queue, processes):
    """Killed while its transaction waits to be mined: the other worker follows that one and sends no second."""
    town = build(keepers=(1,))
    drift(devnet)
    options = ["--config", str(town.paths[0]), "--queue", redis_url, "--live"]
    devnet.endpoint.request("evm_setAutomine", False)
    try:
        processes("dispatch", *options)
        first = processes("work", *options)
        until(lambda: any(intent.state == State.SIGNED for intent in intents_of(town)))
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        processes("work", *options)
        until(lambda: any(intent.state == State.DONE for intent in intents_of(town)), devnet.mine)
    finally:
        devnet.endpoint.request("evm_setAutomine", True)
    assert town.batches(0) == 1
    (done,) = [intent for intent in intents_of(town) if intent.state == State.DONE]
    assert len({attempt.hash for attempt in done.attempts}) == len(done.attempts)


SUSPENDED = """
import os, signal
from keeper.submit.engine import Engine

work = Engine.{method}

def suspended(self, *arguments):
    Engine.{method} = work
    os.kill(os.getpid(), signal.SIGSTOP)
    return work(self, *arguments)

Engine.{method} = suspended
"""
"""A worker that stops itself the first time it comes to a method of its engine."""


@pytest.mark.parametrize("method", ["_sign_and_send", "_send"])
def test_a_worker_that_was_suspended_past_its_lease_sends_nothing_when_it_wakes(  # noqa: PLR0917  fixtures
    build, devnet, redis_url, queue, processes, method, tmp_path
):
    """Suspended with an intent on disk and nothing signed, or with signed bytes on disk and nothing sent."""
    town = build({"lease_seconds": 10}, keepers=(1,))
    drift(devnet)
    options = ["--config", str(town.paths[0]), "--queue", redis_url, "--live"]
    said = tmp_path / "said"
    processes("dispatch", *options)
    first = processes("work", *options, before=SUSPENDED.format(method=method), errors=said)
    until(lambda: _is_suspended(first.pid), devnet.refresh_feeds)  # which makes a block each time
    (planned,) = intents_of(town)
    until(lambda: _lease_of(town).expires_at < time.time())
    second = processes("work", *options)
    until(lambda: any(intent.state == State.DONE for intent in intents_of(town)), devnet.refresh_feeds)

    second.send_signal(signal.SIGTERM)
    assert second.wait(PATIENCE) == 0

    def sent() -> tuple[int, int]:
        return town.batches(0), devnet.endpoint.quantity("eth_getTransactionCount", planned.signer, "pending")

    before = sent()
    first.send_signal(signal.SIGCONT)
    until(lambda: "another keeper has taken over" in said.read_text())
    assert sent() == before
    alike = [intent.state for intent in intents_of(town) if intent.vault_nonce == planned.vault_nonce]
    assert alike.count(State.DONE) == 1  # another one may have been cancelled: many blocks go by here

    # And it is of use again.
    devnet.move_prices({"LINK": "18", "UNI": "6", "WBTC": "85000"})
    until(lambda: town.batches(0) > before[0], devnet.refresh_feeds)


def intents_of(town: Town, index: int = 0) -> Sequence[Intent]:
    """Newest first."""
    deployment = town.deployments[index]
    try:
        store = Store(Config.load(town.paths[index]).journal_url("live"), create=False)
    except InputError:  # no worker has begun yet
        return []
    with closing(store):
        return Journal(store, 1, deployment.vault, deployment.deployment_block.hash, time.time).intents(10)


def _lease_of(town: Town) -> Lease:
    with closing(Store(Config.load(town.paths[0]).journal_url("live"), create=False)) as store, store.read() as session:
        return session.scalars(select(Lease)).one()


def _is_suspended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_both_commands_end_when_told_to(build, redis_url, queue, processes):
    town = build(keepers=(1,))
    options = ["--config", str(town.paths[0]), "--queue", redis_url]
    started = [processes("dispatch", *options), processes("work", *options)]
    until(lambda: queue.exists("ballast:queued:dry:" + f"1:{town.deployments[0].vault}") == 0 and _ticked(town))
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        assert process.wait(PATIENCE) == 0, process.stderr and process.stderr.read()


def _ticked(town: Town) -> bool:
    config, deployment = Config.load(town.paths[0]), town.deployments[0]
    try:
        store = Store(config.journal_url("dry"), create=False)
    except InputError:
        return False
    with closing(store):
        journal = Journal(store, 1, deployment.vault, deployment.deployment_block.hash, time.time)
        return bool(journal.decisions(1))


def test_the_commands_refuse_a_journal_in_a_file(devnet, tmp_path, monkeypatch, capsys):
    from keeper.cli import main  # noqa: PLC0415

    town = Town(devnet, tmp_path, keepers=(1,))
    monkeypatch.setenv("KEY_1", town.environment["KEY_1"])
    for command in ("dispatch", "work"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--config", str(Path(town.paths[0])), "--queue", "redis://127.0.0.1:1"])
        assert ended.value.code == 2
        assert "workers need one that all of them see" in capsys.readouterr().err
