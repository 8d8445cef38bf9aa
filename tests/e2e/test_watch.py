"""A running keeper, seen from outside."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from keeper import loop
from keeper.chain.errors import WrongChainError
from keeper.config import Config
from keeper.devnet.faults import FaultProxy, ServerError, WrongChain
from keeper.domain import InputError
from keeper.ops.alerts import AlertsConfig
from keeper.ops.health import HealthConfig
from keeper.ops.watch import Watch
from keeper.submit.journal import Journal, State, Store
from keeper.submit.journal.models import Lease
from keeper.submit.signer import Signer

pytestmark = pytest.mark.chain


class Running:
    """A keeper in a thread, with its watch; `outcomes` are its ticks so far. Dry without a signer."""

    def __init__(self, config: Path, signer: Signer | None = None) -> None:
        self.keeper, self.signer = loop.Keeper.assemble(Config.load(config)), signer
        self.name = self.keeper.deployment.vault
        self.failure: BaseException | None = None
        self.watch = Watch(HealthConfig(port=0, head_seconds=10**9), AlertsConfig(), [self.name], "test")
        self.outcomes: list[loop.Outcome] = []
        self.complaints: list[str] = []
        self.stop, self.news = threading.Event(), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            loop.serve(
                self.keeper,
                self.signer,
                stop=self.stop,
                report=self._report,
                complain=self._complain,
                watch=self.watch,
            )
        except BaseException as error:
            self.failure = error
            self.news.release()

    def journal(self) -> Journal:
        """To look at, or to halt."""
        deployment, mode = self.keeper.deployment, "dry" if self.signer is None else "live"
        store = Store(self.keeper.config.journal_url(mode))
        hash_ = deployment.deployment_block.hash
        return Journal(store, deployment.chain_id, deployment.vault, hash_, time.time)

    def has(self, state: State) -> bool:
        """Whether the latest batch stands there."""
        journal = self.journal()
        try:
            return [intent.state for intent in journal.intents(1)] == [state]
        finally:
            journal.store.close()

    def _report(self, outcome: loop.Outcome) -> None:
        self.outcomes.append(outcome)
        self.news.release()

    def _complain(self, reason: str) -> None:
        self.complaints.append(reason)
        self.news.release()

    def wait(self) -> None:
        """Until there is something new."""
        assert self.news.acquire(timeout=30)

    def wait_for(self, true: Callable[[], bool]) -> None:
        """Until something is so; whatever is new meanwhile is looked at by it."""
        give_up_at = time.monotonic() + 30
        while not true():
            assert time.monotonic() < give_up_at
            self.news.acquire(timeout=0.05)

    def get(self, path: str) -> tuple[int, str]:
        assert self.watch.server is not None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.watch.server.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def health(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/healthz")[1]))

    def metric(self, name: str, **labels: str) -> float | None:
        value: float | None = self.watch.metrics.registry.get_sample_value(name, labels)
        return value

    def close(self) -> None:
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        self.watch.close()


@pytest.fixture
def live(place, request) -> Iterator[Running]:
    # A node that mines by itself does so a moment after it has answered: a tick waits for that, or it ends as "sent".
    patience = 10
    if "manual_mining" in request.fixturenames:
        request.getfixturevalue("manual_mining")
        patience = 0
    place.configure(interval_seconds=0.01, sending={"timeout_seconds": patience, "poll_seconds": 0.01})
    found = Running(place.path, place.signer)
    yield found
    found.close()


@pytest.fixture
def running(place) -> Iterator[Running]:
    place.configure(signer=None, interval_seconds=0.01)
    found = Running(place.path)
    yield found
    found.close()


def test_a_keeper_that_ticks_is_healthy_and_counted(running):
    running.wait()
    running.stop.set()
    running.thread.join()
    assert [outcome.status for outcome in running.outcomes] == ["planned"]
    status, body = running.get("/healthz")
    assert (status, json.loads(body)["reasons"]) == (200, [])
    _, metrics = running.get("/metrics")
    assert f'ballast_decisions_total{{action="rebalance",vault="{running.name}"}} 1.0' in metrics
    assert f'ballast_nav_usd{{vault="{running.name}"}}' in metrics
    assert "ballast_intents_open 0.0" in metrics


def test_a_halted_keeper_goes_on_watching_and_says_so(running, devnet):
    running.wait()
    journal = running.journal()
    journal.halt("a person wants to look")
    devnet.mine()
    running.wait()
    assert running.outcomes[-1].status == "refused"
    assert "halted: a person wants to look" in running.outcomes[-1].reason
    journal.resume()
    devnet.mine()
    running.wait()
    assert running.outcomes[-1].status == "planned"
    journal.store.close()


def test_a_halted_keeper_that_has_nothing_to_do_says_that_it_is_halted_too(running, devnet, place):
    running.wait()
    journal = running.journal()
    journal.halt("a person wants to look")
    place.as_owner("setPaused", True)
    running.wait()
    running.wait_for(lambda: running.health()["halted"] == {running.name: "a person wants to look"})
    assert running.metric("ballast_halted", vault=running.name) == 1
    journal.resume()
    devnet.mine()
    running.wait_for(lambda: running.health()["halted"] == {})
    journal.store.close()


def test_a_node_that_fails_is_complained_about_and_asked_again(running, devnet, monkeypatch):
    running.wait()
    endpoint = running.keeper.endpoint
    header = endpoint.header

    def fail_once(*arguments: object) -> object:
        monkeypatch.setattr(endpoint, "header", header)
        return endpoint.quantity("no_such_method")

    monkeypatch.setattr(endpoint, "header", fail_once)
    running.wait()
    assert "no_such_method" in running.complaints[0]
    devnet.mine()
    running.wait()
    assert running.outcomes[-1].status == "planned"


def test_a_role_that_is_lost_while_the_keeper_runs_is_complained_about_and_does_not_end_it(live, place, devnet):
    live.wait()
    assert live.outcomes[0].status == "confirmed"
    place.as_owner("dropKeeper")
    devnet.move_prices({"LINK": "40"})
    devnet.mine(4, seconds=600)
    live.wait_for(lambda: any("is not the keeper" in complaint for complaint in live.complaints))
    assert live.thread.is_alive()


def test_a_role_that_was_never_there_ends_the_keeper(place, devnet):
    place.as_owner("dropKeeper")
    devnet.mine(seconds=600)
    keeper = Running(place.path, place.signer)
    keeper.wait()
    keeper.close()
    assert isinstance(keeper.failure, InputError)


# Nodes


@pytest.fixture
def node(place, faulty) -> FaultProxy:
    """What is between the keeper and the chain, and does as it is told."""
    proxy = faulty()
    quick = {"backoff_first_seconds": 0.01, "backoff_cap_seconds": 0.01, "wrong_chain_seconds": 0.01}
    place.configure(chain={"rpc_url": proxy.url, "chain_id": 1, "tolerance": quick}, interval_seconds=0.01)
    return proxy


def test_a_keeper_that_finds_no_node_at_its_start_waits_for_one(place, node):
    node.set("*", ServerError())
    keeper = Running(place.path)
    try:
        keeper.wait()
        assert "HTTP status 500" in keeper.complaints[0]
        assert keeper.health()["ok"]
        node.clear()
        keeper.wait_for(lambda: bool(keeper.outcomes))
        assert keeper.outcomes[0].status == "planned"
    finally:
        keeper.close()


def test_a_keeper_that_finds_another_chain_at_its_start_ends(place, node):
    node.set("*", WrongChain(5))
    keeper = Running(place.path)
    keeper.wait()
    keeper.close()
    assert isinstance(keeper.failure, WrongChainError)


def test_a_keeper_whose_only_node_follows_another_chain_by_now_watches_and_says_so(place, node, devnet):
    keeper = Running(place.path)
    told = []
    keeper.watch.alerts.notify = lambda what, _vault, why, _todo: told.append((what, why))
    try:
        keeper.wait_for(lambda: bool(keeper.outcomes))
        node.set("*", WrongChain(5))
        with suppress(WrongChainError):
            keeper.keeper.endpoint.check_chain_id(1)  # as before signing
        keeper.wait_for(lambda: any(what == "endpoint" and "follows chain 5" in why for what, why in told))
        assert keeper.thread.is_alive()
        node.clear()
        head = devnet.mine().number
        keeper.wait_for(lambda: keeper.outcomes[-1].block_number == head)
    finally:
        keeper.close()


# Another keeper


def test_a_standby_watches_says_so_and_takes_over_when_the_lease_is_free(place, devnet):
    leader = loop.Service.open(place.keeper, place.signer)
    standby = Running(place.path, place.signer)
    try:
        standby.wait()
        assert "this one stands by" in standby.complaints[0]
        head = devnet.mine().number
        standby.wait_for(lambda: standby.health()["head_number"] == {standby.name: head})
        health = standby.health()
        assert (health["ok"], list(health["standby"])) == (True, [standby.name])
        assert (standby.outcomes, len(standby.complaints)) == ([], 1)
        leader.close()
        standby.wait()
        assert standby.outcomes[0].status == "confirmed"
        assert standby.health()["standby"] == {}
    finally:
        leader.close()
        standby.close()


def test_a_single_tick_does_not_wait_for_the_lease(place):
    with closing(loop.Service.open(place.keeper, place.signer)):
        code, _, err = place.run("run", "--once", "--live")
    assert (code, err.count("\n")) == (1, 1)
    assert "this one stands by" in err


def test_a_standby_ends_when_it_is_told_to(place):
    with closing(loop.Service.open(place.keeper, place.signer)):
        standby = Running(place.path, place.signer)
        standby.wait()
        standby.close()
    assert (standby.failure, standby.outcomes) == (None, [])


def test_a_keeper_that_lost_its_lease_stands_by(live, place):
    live.wait()
    other = live.journal()
    with other.store.control() as session:
        lease = session.scalars(select(Lease)).one()
        lease.epoch, lease.holder, lease.expires_at = lease.epoch + 1, "another host", 2**40
    live.wait_for(lambda: any("another keeper has taken over" in complaint for complaint in live.complaints))
    live.wait_for(lambda: list(live.health()["standby"]) == [live.name])
    other.store.close()


# What became of batches


def test_a_keeper_that_is_told_to_stop_parks_a_batch_that_is_not_mined(place, manual_mining):
    place.configure(interval_seconds=0.01, sending={"timeout_seconds": 3600, "poll_seconds": 0.01})
    keeper = Running(place.path, place.signer)
    keeper.wait_for(lambda: keeper.has(State.SIGNED))
    keeper.close()
    assert [outcome.status for outcome in keeper.outcomes] == ["sent"]
    assert "not mined yet, the next tick looks for it" in keeper.outcomes[0].reason


def test_a_batch_that_is_final_is_counted_with_its_gas(live, devnet):
    live.wait()
    devnet.mine(4)
    live.wait_for(lambda: live.metric("ballast_batches_confirmed_total", vault=live.name) == 1)
    assert live.metric("ballast_gas_used_total", vault=live.name) > 100_000
    assert live.metric("ballast_batches_failed_total", vault=live.name) in (None, 0)
    live.wait_for(lambda: live.metric("ballast_signer_balance_native", signer=live.signer.address) is not None)
    live.wait_for(lambda: live.metric("ballast_head_number", chain="1") == devnet.endpoint.header().number)
    assert live.metric("ballast_rpc_request_duration_seconds_count", endpoint=live.keeper.endpoint.name) > 10


def test_alerts_tell_what_the_journal_says(live, place, devnet, manual_mining):
    told = []
    live.watch.alerts.notify = lambda what, *_: told.append(what)
    live.wait()
    assert live.outcomes[0].status == "sent"
    for _ in range(place.keeper.config.sending.replace_after_blocks + 1):
        devnet.rpc("anvil_dropAllTransactions")
        devnet.mine()
        live.wait()
    live.wait_for(lambda: "stuck" in told)
    devnet.mine(seconds=301)
    live.wait()
    devnet.mine(3)
    live.wait_for(lambda: "batch" in told)
    assert live.metric("ballast_batches_failed_total", vault=live.name) == 1


def test_a_reorganised_batch_is_told(live, devnet, manual_mining):
    told = []
    live.watch.alerts.notify = lambda what, *_: told.append(what)
    live.wait()
    devnet.mine()
    live.wait()
    live.wait_for(lambda: live.outcomes[-1].status == "waiting")
    devnet.rpc("anvil_reorg", 1, [])
    live.wait_for(lambda: "reorg" in told)
