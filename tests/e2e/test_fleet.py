"""Several vaults in one process: what they share, and what they keep apart."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest
from town import Town

from keeper.chain.errors import RpcError
from keeper.chain.shared import SharedLens
from keeper.config import Config
from keeper.devnet import DEV_KEYS, Devnet
from keeper.devnet.faults import FaultProxy, ServerError, WrongChain
from keeper.domain import InputError
from keeper.fleet import man, muster, serve_all
from keeper.loop import Service, tick
from keeper.ops.alerts import AlertsConfig
from keeper.ops.watch import Watch
from keeper.submit.errors import InTheWay, LostLease
from keeper.submit.journal import Journal, Leases, State

OUT = ("sent", "confirmed")
"""What a tick that sent a batch comes to; the devnet mines at once."""


@pytest.fixture
def build(devnet: Devnet, tmp_path, monkeypatch):
    """Builds a town whose keys are in the environment."""

    def build(**options) -> Town:
        town = Town(devnet, tmp_path, **options)
        for name, value in town.environment.items():
            monkeypatch.setenv(name, value)
        return town

    return build


@pytest.fixture
def opened():
    """Opens the services of a town's vaults in one process, by the chain's clock."""
    with ExitStack() as running:

        def opened(town: Town) -> list[Service]:
            leases = Leases()
            services = []
            for keeper, signer in man(muster([Config.load(path) for path in town.paths]), live=True):
                services.append(Service.open(keeper, signer, town.now, leases))
                running.callback(services[-1].close)
            return services

        yield opened


def drift(devnet: Devnet) -> None:
    devnet.move_prices({"LINK": "27.50", "UNI": "9.50", "WBTC": "108000"})


def test_vaults_of_one_chain_share_their_connections(build):
    town = build(keepers=(1, 2))
    first, second = muster([Config.load(path) for path in town.paths])
    assert first.endpoint is second.endpoint


def test_vaults_of_other_endpoints_do_not(build, devnet):
    town = build(keepers=(1, 2))
    first, second = (Config.load(path) for path in town.paths)
    elsewhere = second.chain.model_copy(update={"timeout_seconds": 5.0})
    first, second = muster([first, second.model_copy(update={"chain": elsewhere})])
    assert first.endpoint is not second.endpoint
    assert not isinstance(second.lens, SharedLens)


def test_one_read_is_for_all_vaults_of_a_block(build, devnet):
    town = build(keepers=(1, 2, 3), small=(1,))
    with FaultProxy(devnet.url) as proxy:
        town.configure(chain={"rpc_url": proxy.url, "chain_id": 1})
        keepers = muster([Config.load(path) for path in town.paths])
        header = keepers[0].endpoint.header()
        keepers[0].lens.read_at(keepers[0].endpoint, header)
        before = proxy.asked("eth_call")
        for keeper in keepers:
            reading = keeper.lens.read_at(keeper.endpoint, header)
            assert reading.vault.address == keeper.deployment.vault
        assert proxy.asked("eth_call") == before


def test_a_read_that_fails_fails_once_for_all_of_them(build, devnet):
    town = build(keepers=(1, 2, 3))
    with FaultProxy(devnet.url) as proxy:
        town.configure(chain={"rpc_url": proxy.url, "chain_id": 1})
        keepers = muster([Config.load(path) for path in town.paths])
        header = keepers[0].endpoint.header()
        proxy.set("eth_call", ServerError())
        for keeper in keepers:
            with pytest.raises(RpcError, match="HTTP status 500"):
                keeper.lens.read_at(keeper.endpoint, header)
        assert proxy.faults["ServerError"] == 1


def test_the_head_is_asked_for_once_by_loops_that_ask_together(build, devnet):
    town = build(keepers=(1, 2))
    with FaultProxy(devnet.url) as proxy:
        town.configure(chain={"rpc_url": proxy.url, "chain_id": 1}, interval_seconds=3600)
        first, second = muster([Config.load(path) for path in town.paths])
        head = first.endpoint.header()
        asked = proxy.asked("eth_getBlockByNumber")
        assert second.endpoint.header() == head
        assert proxy.asked("eth_getBlockByNumber") == asked


def test_a_head_that_cannot_be_had_is_asked_for_once_too(build, devnet):
    town = build(keepers=(1, 2))
    with FaultProxy(devnet.url) as proxy:
        town.configure(chain={"rpc_url": proxy.url, "chain_id": 1}, interval_seconds=3600)
        first, second = muster([Config.load(path) for path in town.paths])
        proxy.set("*", ServerError())
        for keeper in (first, second):
            with pytest.raises(RpcError, match="HTTP status 500"):
                keeper.endpoint.header()
        assert proxy.faults["ServerError"] == 1


def test_a_quiet_tick_asks_for_nothing_but_the_shared_reading(build, devnet, opened):
    town = build(keepers=(1, 2))
    with FaultProxy(devnet.url) as proxy:
        town.configure(chain={"rpc_url": proxy.url, "chain_id": 1})
        services = opened(town)
        header = services[0].keeper.endpoint.header()
        assert [tick(service, header).status for service in services] == ["hold", "hold"]
        devnet.mine()
        header = services[0].keeper.endpoint.header()
        before = len(proxy.log)
        assert [tick(service, header).status for service in services] == ["hold", "hold"]
        # The priority fee, the market, the vaults.
        assert [event.method for event in proxy.log[before:]] == ["eth_maxPriorityFeePerGas", "eth_call", "eth_call"]


def test_a_vault_waits_for_a_batch_on_its_way_through_the_same_pools(build, devnet, opened):
    """Planned on the same reading, the second batch would be refused for the prices that the first one leaves."""
    town = build(keepers=(1, 2))
    drift(devnet)
    first, second = opened(town)
    header = town.endpoint.header()
    assert tick(first, header).status in OUT
    held = tick(second, header)
    assert held.status == "hold"
    assert f"a batch of the vault {first.keeper.deployment.vault} is on its way" in held.reason
    devnet.mine()
    tick(first, town.endpoint.header())  # sees its own batch mined
    assert tick(second, town.endpoint.header()).status in OUT


def test_a_batch_that_was_mined_after_the_block_that_was_read_is_waited_for_too(build, devnet, opened):
    town = build(keepers=(1, 2))
    drift(devnet)
    first, second = opened(town)
    older = town.endpoint.header()
    assert tick(first, older).status in OUT
    devnet.mine()
    tick(first, town.endpoint.header())
    assert "is on its way through the same pools" in tick(second, older).reason


def test_a_batch_through_other_pools_is_not_waited_for(build, devnet, opened):
    town = build(keepers=(1, 2))
    drift(devnet)
    first, second = opened(town)
    header = town.endpoint.header()
    outcome = tick(first, header)
    assert outcome.status in OUT
    second.journal.give_way({"0x" + "77" * 20}, header.number, header.timestamp)
    with pytest.raises(InTheWay, match=first.keeper.deployment.vault):
        second.journal.give_way(outcome.decision.pools, header.number, header.timestamp)


def test_of_vaults_that_decide_at_the_same_moment_one_sends_and_the_others_wait(build, devnet, opened, monkeypatch):
    """Each has looked before any has committed: that one is on its way shows in the transaction that commits."""
    town = build(keepers=(1, 2, 3))
    drift(devnet)
    services = opened(town)
    header = town.endpoint.header()
    monkeypatch.setattr(Journal, "give_way", lambda *_: None)
    statuses = [tick(service, header).status for service in services]
    assert [status in OUT for status in statuses] == [True, False, False]
    held = services[1].journal.decisions(1)[0]
    assert (held.status, services[1].journal.intents(10)) == ("hold", [])
    assert f"a batch of the vault {services[0].keeper.deployment.vault} is on its way" in held.reason


def test_vaults_of_one_signer_send_one_after_the_other(build, devnet, opened):
    town = build(keepers=(1, 1))
    drift(devnet)
    first, second = opened(town)
    assert tick(first, town.endpoint.header()).status in OUT
    waiting = tick(second, town.endpoint.header())
    assert waiting.status == "waiting"
    assert f"has a batch of the vault {first.keeper.deployment.vault} under way" in waiting.reason
    devnet.mine(4)
    assert tick(first, town.endpoint.header()).status in ("hold", "waiting")  # concludes its own
    assert first.journal.intents(1)[0].state == State.DONE
    assert tick(second, town.endpoint.header()).status in OUT


def test_a_batch_of_another_vault_is_left_to_that_vault(build, devnet, opened):
    """Another engine would write down what became of it under the wrong vault."""
    town = build(keepers=(1, 1))
    drift(devnet)
    first, second = opened(town)
    tick(first, town.endpoint.header())
    devnet.mine(4)
    assert tick(second, town.endpoint.header()).status == "waiting"
    assert first.journal.intents(1)[0].closed_at is None


def test_vaults_of_one_signer_share_its_lease(build, opened):
    first, second = opened(build(keepers=(1, 1)))
    assert first.journal.store is second.journal.store


def test_a_lease_ends_with_the_last_vault_that_needs_it(build, opened):
    town = build(keepers=(1, 1))
    leases = Leases()
    crews = man(muster([Config.load(path) for path in town.paths]), live=True)
    first, second = (Service.open(keeper, signer, town.now, leases) for keeper, signer in crews)
    first.close()
    tick(second, town.endpoint.header())
    with pytest.raises(LostLease, match="this one stands by"):
        Service.open(*crews[0], town.now)
    second.close()
    Service.open(*crews[0], town.now).close()


def test_a_lease_that_was_lost_is_not_shared_on(build, opened):
    town = build(keepers=(1, 1))
    leases = Leases()
    crews = man(muster([Config.load(path) for path in town.paths]), live=True)
    first = Service.open(*crews[0], town.now, leases)
    later = town.now() + 10_000
    other = Service.open(*crews[0], lambda: later)
    with pytest.raises(LostLease, match="another keeper has taken over"):
        Service.open(*crews[1], town.now, leases)
    first.close()
    other.close()


def test_one_signer_with_two_journals_is_refused(build):
    town = build(keepers=(1, 1))
    first, second = (Config.load(path) for path in town.paths)
    apart = second.model_copy(update={"journal": "sqlite:///other-{mode}.sqlite"})
    with pytest.raises(InputError, match=f"the vaults of {DEV_KEYS[1].address} have different journals"):
        man(muster([first, apart]), live=True)


def test_one_vault_with_two_configurations_is_refused(build):
    town = build(keepers=(1, 2))
    with pytest.raises(InputError, match="has two configurations"):
        muster([Config.load(town.paths[0])] * 2)


def test_each_vault_is_traded_by_a_loop_of_its_own(build, devnet):
    """Four vaults of three signers, all of which drift: each is rebalanced, and none is refused for another's trade."""
    town = build(keepers=(1, 1, 2, 3))
    drift(devnet)
    crews = man(muster([Config.load(path) for path in town.paths]), live=True)
    watch = Watch(None, AlertsConfig(), [keeper.deployment.vault for keeper, _ in crews], "test")
    stop, ticked, complaints = threading.Event(), threading.Event(), []
    options = {"stop": stop, "report": lambda _: ticked.set(), "complain": complaints.append, "watch": watch}
    thread = threading.Thread(target=serve_all, args=(crews,), kwargs=options)
    thread.start()
    try:
        for _ in range(200):
            assert ticked.wait(20), complaints
            ticked.clear()
            if all(town.batches(index) for index in range(4)):
                break
            devnet.mine()
    finally:
        stop.set()
        thread.join()
        watch.close()
    assert [min(town.batches(index), 1) for index in range(4)] == [1, 1, 1, 1], complaints
    for crew in crews:
        with closing(Service.open(*crew)) as service:
            assert State.REVERTED not in {intent.state for intent in service.journal.intents(100)}


def test_vaults_of_one_address_on_two_chains_are_told_apart(build):
    town = build(keepers=(1, 1, 1))
    for index in (1, 2):  # the first one's address, on another chain; and one that is only there
        vault = town.deployments[0 if index == 1 else 2].vault
        town.deployments[index].model_copy(update={"chain_id": 5, "vault": vault}).save(
            town.directory / f"vault-{index}.json"
        )
    configs = [Config.load(path) for path in town.paths]
    away = configs[1].chain.model_copy(update={"chain_id": 5})
    keepers = muster([configs[0], *(config.model_copy(update={"chain": away}) for config in configs[1:])])
    first, _, third = (deployment.vault for deployment in town.deployments)
    assert [keeper.name for keeper in keepers] == [f"1:{first}", f"5:{first}", third]


def test_vaults_of_two_chains_run_in_one_process_and_one_chain_s_node_fails_alone(build, devnet, tmp_path):
    town = build(keepers=(1,))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Devnet.start() as other, FaultProxy(other.url) as node:
        foreign = node.set("*", WrongChain(5))  # the offline mainnet is chain 1 by itself
        away = Town(other, elsewhere, keepers=(1,))
        away.deployments[0].model_copy(update={"chain_id": 5}).save(elsewhere / "vault-0.json")
        away.configure(chain={"rpc_url": node.url, "chain_id": 5})
        crews = man(muster([Config.load(path) for path in (*town.paths, *away.paths)]), live=False)
        watch = Watch(None, AlertsConfig(), [keeper.name for keeper, _ in crews], "test")
        stop, complaints = threading.Event(), []
        options = {"stop": stop, "report": lambda _: None, "complain": complaints.append, "watch": watch}
        thread = threading.Thread(target=serve_all, args=(crews,), kwargs=options)

        def until(so: Callable[[], object]) -> None:
            for _ in range(3000):
                if so():
                    return
                assert thread.is_alive(), complaints
                stop.wait(0.01)
            pytest.fail(f"it never came to that: {complaints[-3:]}")

        def reaches(chain: int, block: int) -> None:
            until(
                lambda: watch.metrics.registry.get_sample_value("ballast_head_number", {"chain": str(chain)}) == block
            )

        thread.start()
        try:
            reaches(1, devnet.mine().number)
            reaches(5, other.mine().number)
            node.set("*", ServerError())
            node.unset(foreign)
            until(lambda: any("HTTP status 500" in complaint for complaint in complaints))
            reaches(1, devnet.mine().number)
        finally:
            stop.set()
            thread.join()
            watch.close()


def test_a_reading_is_kept_for_a_loop_that_is_a_block_behind(build, devnet):
    town = build(keepers=(1, 2))
    with FaultProxy(devnet.url) as proxy:
        town.configure(chain={"rpc_url": proxy.url, "chain_id": 1})
        first, second = muster([Config.load(path) for path in town.paths])
        older = devnet.endpoint.header()
        first.lens.read_at(first.endpoint, older)
        devnet.mine()
        first.lens.read_at(first.endpoint, devnet.endpoint.header())
        before = proxy.asked("eth_call")
        assert second.lens.read_at(second.endpoint, older).block.hash == older.hash
        assert proxy.asked("eth_call") == before


def test_a_vault_that_cannot_be_read_fails_alone(build):
    town = build(keepers=(1, 2, 3))
    configs = [Config.load(path) for path in town.paths]
    broken = town.deployments[1].model_copy(update={"vault": "0x" + "ab" * 20})
    broken.save(town.directory / "vault-1.json")
    keepers = muster(configs)
    header = town.endpoint.header()
    with pytest.raises(InputError, match="cannot read the vault"):
        keepers[1].lens.read_at(keepers[1].endpoint, header)
    for index in (0, 2):
        keeper = keepers[index]
        alone = town.keeper(index).lens.read_at(town.endpoint, header)
        assert replace(keeper.lens.read_at(keeper.endpoint, header), pools=()) == replace(alone, pools=())
