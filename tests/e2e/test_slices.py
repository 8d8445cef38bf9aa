"""A rebalance in slices, with a real journal on a real node: each is a batch, and a restart goes on with the next."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from stage import Stage

from keeper.cli import main
from keeper.devnet import Devnet
from keeper.domain import load_snapshot
from keeper.loop import Outcome, Service, tick
from keeper.policy import decide
from keeper.submit.errors import SendError
from keeper.submit.journal import State

INTERVAL = 240
SLICES = 3
POLICY = {
    "trigger": {"kind": "band", "absolute": 0.02},
    "tracking_penalty": 50,
    "extent": "target",
    "schedule": {"kind": "twap", "slices": SLICES, "interval_seconds": INTERVAL, "deadline_seconds": 4 * INTERVAL},
}
FINAL = 3
"""Blocks until what was mined is final."""


@pytest.fixture(scope="module")
def deployed(devnet, tmp_path_factory) -> Iterator[Stage]:
    """A vault that is out of balance; taken back after this file."""
    with devnet.isolated():
        stage = Stage(devnet, tmp_path_factory.mktemp("stage"))
        devnet.move_prices({"LINK": "29", "WBTC": "130000", "UNI": "6"})
        yield stage


class Keeper:
    """A live keeper whose process can die."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.devnet = stage, stage.devnet
        self.services: list[Service] = []
        self.start()

    def start(self) -> None:
        # A lease of one that died runs out; this one comes after that.
        late = 1000.0 * len(self.services)
        self.service = self.stage.service(lambda: self.stage.now() + late)
        self.services.append(self.service)

    def die(self) -> None:
        """Nothing is closed or given back; all that is left is what is on the disk."""
        self.start()

    def tick(self) -> Outcome:
        self.devnet.refresh_feeds()
        return tick(self.service, self.stage.endpoint.header())

    def finish(self) -> None:
        self.devnet.mine(FINAL)

    def wait(self, seconds: int = INTERVAL) -> None:
        self.devnet.mine(seconds=seconds)

    def break_wires(self) -> None:
        def broken(*_: object) -> str:
            raise SendError("the wire is cut")

        assert self.service.engine is not None
        self.service.engine._broadcast = broken

    @property
    def drifts(self) -> list[float]:
        """Drift after each batch, as the vault says, and before the first."""
        batches = self.stage.batches()
        return [batch["drift0"] / 1e18 for batch in batches[:1]] + [batch["drift1"] / 1e18 for batch in batches]


@pytest.fixture
def keeper(deployed: Stage, devnet: Devnet, tmp_path, monkeypatch) -> Iterator[Keeper]:
    monkeypatch.setenv("KEEPER_KEY", deployed.key)
    stage = deployed.at(tmp_path)
    stage.configure(policy=POLICY, sending={"timeout_seconds": 10, "poll_seconds": 0.01})
    keeper = Keeper(stage)
    yield keeper
    for service in keeper.services:
        service.close()


def sliced(keeper: Keeper, number: int) -> Outcome:
    """Ticks, and takes it that this slice was mined; then lets it become final."""
    outcome = keeper.tick()
    assert outcome.status == "confirmed", outcome.reason
    assert f"; slice {number} of {SLICES}" in outcome.reason
    keeper.finish()
    return outcome


def test_a_rebalance_is_made_in_slices_of_about_the_same_size(keeper):
    for number in range(1, SLICES + 1):
        sliced(keeper, number)
        keeper.wait()
    drifts = keeper.drifts
    steps = [before - after for before, after in pairwise(drifts)]
    assert len(steps) == SLICES
    assert max(steps) < 1.15 * min(steps)
    assert drifts[-1] < 0.03 * drifts[0]


def test_between_slices_it_holds_with_the_seconds_that_are_missing(keeper):
    sliced(keeper, 1)
    outcome = keeper.tick()
    assert outcome.status == "hold"
    assert outcome.reason.startswith("slice 2 of 3 is due in ")
    keeper.wait()
    sliced(keeper, 2)


def test_a_keeper_that_dies_between_slices_goes_on_with_the_next(keeper):
    sliced(keeper, 1)
    keeper.die()
    keeper.wait()
    sliced(keeper, 2)
    keeper.die()
    assert "slice 3 of 3 is due in" in keeper.tick().reason
    keeper.wait()
    sliced(keeper, 3)
    keeper.wait()
    assert keeper.tick().status == "hold"
    assert len(keeper.stage.batches()) == SLICES
    assert keeper.service.journal.past()[0].programme is None


def test_a_keeper_that_dies_before_the_bytes_are_out_sends_that_slice_once(keeper):
    sliced(keeper, 1)
    keeper.wait()
    keeper.break_wires()
    assert keeper.tick().status == "sent"
    keeper.die()
    assert keeper.tick().status == "waiting"  # the same bytes go out again
    keeper.finish()
    assert "slice 3 of 3 is due in" in keeper.tick().reason
    keeper.wait()
    sliced(keeper, 3)
    assert len(keeper.stage.batches()) == SLICES


def test_a_slice_that_expired_is_made_again(keeper):
    sliced(keeper, 1)
    keeper.wait()
    keeper.break_wires()
    assert keeper.tick().status == "sent"
    keeper.service.journal.close(keeper.service.journal.intents(1)[0], State.EXPIRED, "as if its deadline had passed")
    keeper.die()
    sliced(keeper, 2)


def test_a_halted_keeper_does_not_go_on(keeper):
    sliced(keeper, 1)
    keeper.service.journal.halt("a person wants to look")
    keeper.wait()
    outcome = keeper.tick()
    assert (outcome.status, outcome.reason) == (
        "refused",
        "halted: a person wants to look; `keeper resume` takes it back",
    )
    keeper.service.journal.resume()
    sliced(keeper, 2)


def test_past_its_deadline_the_rest_is_given_up_and_the_trigger_decides_again(keeper):
    sliced(keeper, 1)
    keeper.wait(5 * INTERVAL)
    sliced(keeper, 1)


def test_it_ends_early_when_the_drift_is_gone(keeper, devnet):
    sliced(keeper, 1)
    # Prices go to where what is held is what was wanted.
    reading = keeper.stage.keeper.read()
    snapshot = reading.snapshot()
    prices = {
        snapshot.symbol(asset.token): asset.price * target / (value or 1) / 1e18
        for asset, value in zip(snapshot.vault.assets, snapshot.values, strict=True)
        for target in (snapshot.nav * asset.target_weight // 10**18,)
    }
    usdc = prices.pop("USDC")
    devnet.move_prices({symbol: f"{price / usdc:.6f}" for symbol, price in prices.items()})
    keeper.wait()
    outcome = keeper.tick()
    assert outcome.status == "hold"
    assert "slice" not in outcome.reason
    assert keeper.service.journal.past()[0].programme is None


def test_what_was_decided_between_slices_is_decided_again_from_the_journal(keeper):
    sliced(keeper, 1)
    keeper.wait()
    sliced(keeper, 2)
    keeper.tick()
    journal = keeper.service.journal
    rows = [row for row in journal.decisions(10) if row.snapshot_id is not None]
    assert {row.status for row in rows} == {"rebalance", "hold"}
    for row in rows:
        facts, policy, before = journal.facts(row.id)
        assert facts.past is not None
        assert decide(facts, policy) == before


def test_plan_and_snapshot_know_what_the_keeper_remembers(keeper, capsys, tmp_path):
    sliced(keeper, 1)
    keeper.tick()
    for command in ("plan", "snapshot"):
        with pytest.raises(SystemExit) as stopped:
            main([command, "--config", str(keeper.stage.path), "--json"])
        assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "slice 2 of 3 is due in " in said
    seen = load_snapshot(said[said.index('{\n  "version": 1') :])
    assert seen.past.programme == keeper.service.journal.past()[0].programme
    assert seen.past.rebalanced_at == keeper.stage.endpoint.header(keeper.stage.batches()[0]["block"]).timestamp


def test_without_a_journal_plan_decides_without_a_past(keeper, capsys):
    keeper.stage.configure(policy=POLICY, journal="elsewhere-{mode}.sqlite")
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--config", str(keeper.stage.path), "--json"])
    assert stopped.value.code == 0
    assert "slice 1 of 3" in capsys.readouterr().out
