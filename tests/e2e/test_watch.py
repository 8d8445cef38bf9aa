"""A running keeper, seen from outside."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from keeper import loop
from keeper.chain import artifacts
from keeper.config import Config
from keeper.devnet import DEV_KEYS, Devnet
from keeper.devnet.world import transact
from keeper.ops.alerts import AlertsConfig
from keeper.ops.health import HealthConfig
from keeper.ops.watch import Watch
from keeper.submit.deployer import DeployConfig, deploy

pytestmark = pytest.mark.chain
OWNER = DEV_KEYS[0].address


class Running:
    """A dry keeper in a thread, with its watch; `outcomes` are its ticks so far."""

    def __init__(self, config: Path) -> None:
        self.service = loop.Service.open(loop.Keeper.assemble(Config.load(config)), None)
        self.name = self.service.keeper.deployment.vault
        self.watch = Watch(HealthConfig(port=0, head_seconds=10**9), AlertsConfig(), [self.name], "test")
        self.outcomes: list[loop.Outcome] = []
        self.complaints: list[str] = []
        self.stop, self.news = threading.Event(), threading.Semaphore(0)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        loop.run(self.service, self.stop, self._report, self._complain, self.watch)

    def _report(self, outcome: loop.Outcome) -> None:
        self.outcomes.append(outcome)
        self.news.release()

    def _complain(self, reason: str) -> None:
        self.complaints.append(reason)
        self.news.release()

    def wait(self) -> None:
        """Until there is something new."""
        assert self.news.acquire(timeout=30)

    def get(self, path: str) -> tuple[int, str]:
        assert self.watch.server is not None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.watch.server.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        self.watch.close()
        self.service.close()


@pytest.fixture
def running(devnet: Devnet, tmp_path: Path) -> Iterator[Running]:
    config = DeployConfig.load(artifacts.ROOT / "examples" / "deploy.yaml")
    devnet.refresh_feeds()
    deployment = deploy(
        devnet.endpoint,
        config,
        OWNER,
        lambda to, data: transact(devnet.endpoint, to, data, sender=OWNER),
        lambda _: None,
    )
    devnet.mine(seconds=config.limits.cooldown)
    devnet.move_prices({"LINK": "29", "WBTC": "130000", "UNI": "6"})
    deployment.save(tmp_path / "vault.json")
    example = yaml.safe_load((artifacts.ROOT / "examples" / "keeper.yaml").read_text())
    example |= {"chain": {"rpc_url": devnet.url, "chain_id": 1}, "deployment": "vault.json", "interval_seconds": 0.01}
    example["journal"] = "journal-{mode}.sqlite"
    del example["signer"]
    path = tmp_path / "ballast.yaml"
    path.write_text(yaml.safe_dump(example))
    found = Running(path)
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
    running.service.journal.halt("a person wants to look")
    devnet.mine()
    running.wait()
    assert running.outcomes[-1].status == "refused"
    assert "halted: a person wants to look" in running.outcomes[-1].reason
    running.service.journal.resume()
    devnet.mine()
    running.wait()
    assert running.outcomes[-1].status == "planned"


def test_a_node_that_fails_is_complained_about_and_asked_again(running, devnet, monkeypatch):
    running.wait()
    endpoint = running.service.keeper.endpoint
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
