"""A live keeper whose oracle prices an ERC-4626 share: who moves its checkpoint, and what if that goes wrong."""

from collections.abc import Iterator

import pytest
from eth_utils.address import to_checksum_address
from stage import Stage
from theatre import Theatre, theatre_at

from keeper.chain.bindings import ERC20, constructor_call, interface
from keeper.chain.shares import Share, read_shares
from keeper.devnet import DEV_KEYS, FEEDS, TOKENS, Devnet
from keeper.devnet.world import transact
from keeper.submit.checkpoints import Checkpoints
from keeper.submit.deployer import FeedConfig, ShareConfig
from keeper.submit.engine import Engine
from keeper.submit.errors import SendError
from keeper.submit.history import history_of
from keeper.submit.journal import State
from keeper.submit.sender import Sending, contents_of

DEPOSITOR = DEV_KEYS[0].address
USDC = TOKENS["USDC"].address
DEPOSIT = 10**12


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    with Devnet.start() as node:
        yield node


@pytest.fixture(scope="module")
def deployed(devnet, tmp_path_factory) -> Iterator[tuple[Stage, str]]:
    """A vault at its targets, and a share that its oracle prices: in the middle of its corridor of 2%, 1% a day."""
    with devnet.isolated():
        share = to_checksum_address(
            transact(devnet.endpoint, None, constructor_call("DevShare", USDC, 0))["contractAddress"]
        )
        devnet.deal(USDC, DEPOSITOR, DEPOSIT)
        transact(devnet.endpoint, USDC, ERC20.encode("approve", share, DEPOSIT), sender=DEPOSITOR)
        transact(devnet.endpoint, share, interface("DevShare").encode("deposit", DEPOSIT, DEPOSITOR), sender=DEPOSITOR)
        feed = FeedConfig(
            token=share,
            feed=FEEDS["USDC"].address,
            heartbeat=259_200,
            min_price="0.9",
            max_price="1.1",
            share=ShareConfig(max_above="0.02", max_below="0.02", max_drift_per_day="0.01"),
        )
        yield Stage(devnet, tmp_path_factory.mktemp("stage"), (feed,)), share


class Rising(Theatre):
    """A theatre in whose world a share gains."""

    share: str

    def gain(self, per_mille: int) -> None:
        """So much of what the share holds, and a day goes by."""
        self.devnet.rpc("evm_setAutomine", True)
        self.devnet.deal(USDC, self.share, DEPOSIT * per_mille // 1000)
        self.mine(seconds=86_400)
        self.devnet.refresh_feeds()
        self.devnet.rpc("evm_setAutomine", False)

    def corridor(self) -> Share:
        (found,) = read_shares(self.endpoint, self.stage.deployment.oracle, "latest")
        return found

    def due(self) -> bool:
        return self.corridor().due(self.endpoint.header().timestamp)


@pytest.fixture
def rising(deployed, tmp_path, monkeypatch) -> Iterator[Rising]:
    stage, share = deployed
    monkeypatch.setenv("KEEPER_KEY", stage.key)
    with theatre_at(stage.at(tmp_path), Rising) as rising:
        rising.share = share
        yield rising


def test_a_due_checkpoint_is_moved_in_a_transaction_of_its_own(rising):
    rising.gain(15)
    assert rising.due()
    outcome = rising.tick()
    assert outcome.status == "waiting"
    assert outcome.reason.startswith(f"moves the checkpoint of {rising.share}, with account nonce ")
    assert [attempt.kind for attempt in rising.intent.attempts] == ["upkeep"]
    assert rising.settle().status == "hold"
    assert not rising.due()
    assert rising.intent.state == State.DONE
    assert rising.intent.why.startswith(f"moves the checkpoint of {rising.share}: 0x")


def test_a_checkpoint_is_moved_although_its_price_is_refused(rising):
    rising.gain(25)  # out of the corridor
    assert rising.tick().status == "waiting"
    rising.settle()
    assert rising.intent.state == State.DONE


def test_a_checkpoint_that_is_not_due_is_left_alone(rising):
    rising.gain(5)
    assert rising.tick().status == "hold"
    assert rising.intents() == []


def test_a_batch_waits_until_the_checkpoint_is_final(rising):
    rising.gain(15)
    rising.move({"WBTC": "150000"})
    rising.tick()
    rising.mine()
    assert rising.tick().status == "waiting"
    rising.mine(2)
    assert rising.tick().status == "sent"
    upkeep, batch = rising.intents()
    assert (upkeep.state, batch.account_nonce) == (State.DONE, upkeep.account_nonce + 1)
    rising.settle()
    assert [batch["nonce"] for batch in rising.stage.batches()] == [1]


def test_a_keeper_that_died_before_sending_moves_the_checkpoint_once(rising):
    rising.gain(15)
    sent = rising.break_wires()
    rising.tick()
    rising.restart()
    assert rising.tick().status == "waiting"
    assert rising.pool() == [attempt.hash for attempt in rising.intent.attempts]
    assert [attempt.raw for attempt in rising.intent.attempts] == sent
    rising.settle()
    moved = rising.endpoint.request(
        "eth_getLogs",
        {
            "address": rising.stage.deployment.oracle,
            "topics": [interface("PriceOracle").topic("CheckpointMoved")],
            "fromBlock": hex(rising.stage.deployment.deployment_block.number),
        },
    )
    assert len(moved) == 1


def test_a_dearer_checkpoint_says_the_same(rising):
    rising.gain(15)
    rising.swallow()
    rising.tick()
    rising.mine(Sending().replace_after_blocks)
    rising.tick()
    first, second = rising.intent.attempts
    assert (second.kind, contents_of(second.raw)) == ("upkeep", contents_of(first.raw))
    assert 100 * second.max_fee >= 113 * first.max_fee


def test_a_checkpoint_that_nobody_mines_holds_up_no_batch_for_longer_than_its_deadline(rising):
    rising.gain(15)
    rising.swallow()
    rising.tick()
    rising.mine(3, seconds=Sending().deadline_seconds + 1)
    rising.mend_wires()
    rising.move({"WBTC": "150000"})
    assert rising.tick().status == "sent"
    upkeep, batch = rising.intents()
    assert (upkeep.state, batch.account_nonce) == (State.EXPIRED, upkeep.account_nonce)
    assert 100 * batch.attempts[0].max_fee >= 113 * upkeep.attempts[0].max_fee


def test_a_halted_keeper_moves_no_checkpoint(rising):
    rising.gain(15)
    rising.service.journal.halt("we look into something")
    rising.tick()
    assert rising.intents() == []


def test_a_checkpoint_is_not_worth_more_than_the_gas_price_ceiling(rising):
    rising.gain(15)
    rising.engine.max_gas_price = rising.endpoint.header().base_fee_per_gas - 1
    rising.tick()
    assert rising.intents() == []


def test_a_share_that_does_not_answer_holds_nothing_up(rising):
    rising.gain(15)
    rising.devnet.rpc("evm_setAutomine", True)
    transact(rising.endpoint, rising.share, interface("DevShare").encode("setDead", True))
    rising.devnet.rpc("evm_setAutomine", False)
    assert rising.tick().status == "hold"


def test_a_checkpoint_that_cannot_be_moved_costs_one_tick_and_no_batch(rising, monkeypatch):
    rising.gain(15)
    rising.move({"WBTC": "150000"})

    def refuse(*_: object) -> None:
        raise SendError("no")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "keep_up", refuse)
        with pytest.raises(SendError, match="no"):
            rising.tick()
    rising.mine()
    assert rising.tick().status == "sent"


def test_shares_are_looked_at_every_ten_minutes(rising):
    checkpoints = Checkpoints(rising.service.keeper.endpoint, rising.stage.deployment.vault)
    rising.service.keeper.check_chain()
    asked = []
    rising.service.keeper.endpoint.observe = lambda *_: asked.append(1)
    checkpoints.next_due(rising.endpoint.header())
    first = len(asked)
    rising.mine(seconds=599)
    checkpoints.next_due(rising.endpoint.header())
    assert len(asked) == first > 0
    rising.mine(seconds=1)
    checkpoints.next_due(rising.endpoint.header())
    assert first < len(asked) < 2 * first  # what never changes is not asked for again


def test_upkeep_is_no_batch_to_the_breakers(rising):
    rising.gain(15)
    rising.swallow()
    rising.tick()
    rising.mine(3, seconds=Sending().deadline_seconds + 1)
    rising.tick()
    assert rising.intents()[0].state == State.EXPIRED
    assert history_of(rising.service.journal, None).batches == ()
