"""The rules of keeper/submit/engine.py, one by one, on a real node: what is on disk, on the wire, and on the chain."""

import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes
from stage import KEEPER, OWNER, STRANGER, Stage
from theatre import Theatre, theatre_at

from keeper.chain import bindings
from keeper.chain.endpoints import ChainEndpoints
from keeper.chain.errors import NodeError, RpcError, WrongChainError
from keeper.chain.rpc import Endpoint, Header
from keeper.devnet import Devnet
from keeper.devnet.faults import Garbage, NoLogs
from keeper.loop import Service, run, tick
from keeper.ops.alerts import AlertsConfig
from keeper.ops.watch import Watch
from keeper.submit.errors import JournalError, LostLease, SendError
from keeper.submit.journal import State
from keeper.submit.relay import PublicMempool
from keeper.submit.sender import Sending, Transaction, sign

DEADLINE = Sending().deadline_seconds
PATIENCE = Sending().replace_after_blocks


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    """A node of its own: one whose chain was often taken back does not reorganise it as it should."""
    with Devnet.start() as node:
        yield node


@pytest.fixture(scope="module")
def deployed(devnet, tmp_path_factory) -> Iterator[Stage]:
    """A vault that is out of balance; taken back after this file."""
    with devnet.isolated():
        stage = Stage(devnet, tmp_path_factory.mktemp("stage"))
        devnet.move_prices({"LINK": "29", "WBTC": "130000", "UNI": "6"})
        yield stage


class Node(Endpoint):
    """A node in front of the real one, that subclasses give a weakness."""

    def __init__(self, node: Endpoint) -> None:
        self.node, self.name = node, node.name

    def request(self, method: str, *params: Any) -> Any:
        return self.node.request(method, *params)


class Forgetful(Node):
    """Keeps no state but that of its head."""

    def request(self, method: str, *params: Any) -> Any:
        head = self.node.header()
        if method == "eth_call" and params[1] not in ("latest", hex(head.number), head.tag):
            raise NodeError(f"{self.name} refused {method}: missing trie node", -32000, None)
        return super().request(method, *params)


class Doubtful(Node):
    """Calls a block final when eight more are on top of it."""

    def request(self, method: str, *params: Any) -> Any:
        if params[:1] == ("finalized",):
            params = (hex(self.node.header().number - 8), *params[1:])
        return super().request(method, *params)


class Garbled(Node):
    """Answers one method with what is no answer to it."""

    def __init__(self, node: Endpoint, method: str, answer: Any) -> None:
        super().__init__(node)
        self.method, self.answer = method, answer

    def request(self, method: str, *params: Any) -> Any:
        return self.answer if method == self.method else super().request(method, *params)


def fields_of(raw: bytes) -> dict[str, Any]:
    """What was signed."""
    return TypedTransaction.from_bytes(HexBytes(raw)).as_dict()


@pytest.fixture
def theatre(deployed, tmp_path, monkeypatch) -> Iterator[Theatre]:
    monkeypatch.setenv("KEEPER_KEY", deployed.key)
    with theatre_at(deployed.at(tmp_path)) as theatre:
        yield theatre


# Written down first


def test_an_intent_is_on_disk_before_it_is_signed(theatre, monkeypatch):
    seen = []

    def crash(fields: dict[str, Any]) -> None:
        seen.append(theatre.intent)
        raise SendError("the signer is gone")

    monkeypatch.setattr(theatre.engine, "signer", SimpleNamespace(address=KEEPER.address, sign=crash))
    with pytest.raises(SendError, match="the signer is gone"):
        theatre.tick()
    (found,) = seen
    assert (found.state, found.attempts) == (State.COMMITTED, [])
    assert (found.account_nonce, found.vault_nonce) == (theatre.stage.account_nonce(), 1)


def test_an_intent_of_which_nothing_was_signed_is_abandoned_and_planned_anew(theatre, monkeypatch):
    def crash(fields: dict[str, Any]) -> None:
        raise SendError("the signer is gone")

    with monkeypatch.context() as patch:
        patch.setattr(theatre.engine, "signer", SimpleNamespace(address=KEEPER.address, sign=crash))
        with pytest.raises(SendError):
            theatre.tick()
    assert theatre.tick().status == "sent"
    assert [intent.state for intent in theatre.intents()] == [State.ABANDONED, State.SIGNED]


def test_bytes_are_on_disk_before_they_are_sent(theatre):
    seen = []

    def look(raw: bytes, *_: int) -> str:
        seen.append((raw, [attempt.raw for attempt in theatre.intent.attempts], theatre.intent.state))
        return "a test"

    theatre.engine._broadcast = look
    theatre.tick()
    assert seen == [(theatre.intent.attempts[0].raw, [theatre.intent.attempts[0].raw], State.SIGNED)]


def test_bytes_that_no_route_took_are_sent_again_as_they_are(theatre):
    sent = theatre.break_wires()
    outcome = theatre.tick()
    assert (outcome.status, theatre.pool()) == ("sent", [])
    assert "the wire is cut" in outcome.reason
    theatre.mend_wires()
    assert theatre.tick().status == "waiting"
    assert theatre.pool() == [theatre.intent.attempts[0].hash]
    assert sent == [attempt.raw for attempt in theatre.intent.attempts]
    theatre.settle()
    assert theatre.intent.state == State.DONE
    assert [batch["nonce"] for batch in theatre.stage.batches()] == [1]


def test_bytes_that_the_pool_forgot_are_sent_again_as_they_are(theatre):
    theatre.tick()
    theatre.drop_pool()
    theatre.tick()
    assert theatre.pool() == [attempt.hash for attempt in theatre.intent.attempts]


def test_a_keeper_that_starts_anew_sends_what_the_one_before_signed(theatre):
    theatre.break_wires()
    theatre.tick()
    theatre.restart()
    theatre.tick()
    assert theatre.pool() == [attempt.hash for attempt in theatre.intent.attempts]


# Finality


def test_an_intent_is_closed_by_a_finalised_block_and_not_before(theatre):
    theatre.tick()
    states = []
    for _ in range(3):
        theatre.mine()
        outcome = theatre.tick()
        states.append((theatre.intent.state, outcome.status))
    assert states[:2] == [(State.MINED, "waiting")] * 2
    assert states[2] == (State.DONE, "hold")
    receipt = theatre.intent.attempts[0].receipt
    assert receipt is not None
    assert receipt.block_number == theatre.stage.batches()[0]["block"]


def test_an_outcome_is_what_the_vault_measured(theatre):
    theatre.tick()
    theatre.settle()
    (event,) = theatre.stage.batches()
    outcome = theatre.intent.outcome
    assert outcome is not None
    assert (outcome.nav_before, outcome.nav_after) == (event["nav0"], event["nav1"])
    assert (outcome.drift_before, outcome.drift_after) == (event["drift0"], event["drift1"])
    assert json.loads(outcome.realised) == json.loads(theatre.intent.predicted)


def test_nothing_is_planned_while_an_intent_is_open(theatre):
    theatre.tick()
    theatre.mine()
    theatre.move({"WBTC": "110000"})
    assert theatre.tick().status == "waiting"
    assert len(theatre.intents()) == 1


def test_a_batch_that_reverted_is_closed_as_reverted(theatre):
    theatre.tick()
    # The owner is quicker: what the order relied on has changed when it is mined.
    theatre.devnet.rpc("anvil_setNextBlockBaseFeePerGas", "0x1")
    data = bindings.interface("VaultAdmin").encode("setPaused", True)
    pause = {"from": OWNER.address, "to": theatre.stage.deployment.vault, "data": "0x" + data.hex()}
    theatre.devnet.rpc("anvil_impersonateAccount", OWNER.address)
    theatre.devnet.rpc("eth_sendTransaction", pause | {"gas": hex(10**6), "gasPrice": hex(10**12)})
    outcome = theatre.settle()
    assert theatre.intent.state == State.REVERTED
    assert theatre.stage.batches() == []
    assert (outcome.status, "paused" in outcome.reason) == ("refused", True)


def test_a_batch_after_which_drift_had_not_fallen_is_failed(theatre, monkeypatch):
    theatre.tick()
    # The vault itself would refuse it, so the node is made to say so.
    honest = bindings.Interface.decode_log

    def tilted(self: bindings.Interface, event: str, log: Any) -> dict[str, Any]:
        found = honest(self, event, log)
        return found | {"drift1": found["drift0"]} if event == "Rebalanced" else found

    monkeypatch.setattr(bindings.Interface, "decode_log", tilted)
    theatre.settle()
    assert theatre.intent.state == State.FAILED


def test_a_node_that_keeps_no_old_state_is_enough(theatre):
    # A full node forgets what held 128 blocks ago; a keeper that slept through that must still find its feet.
    theatre.tick()
    theatre.engine.endpoint = Forgetful(theatre.endpoint)
    theatre.settle()
    assert theatre.intent.state == State.DONE
    assert theatre.intent.outcome is not None


@pytest.mark.parametrize(
    "answer", ["garbage", {}, {"blockNumber": "0x1"}, {"blockNumber": None, "blockHash": 1}, [], 7], ids=str
)
def test_a_receipt_that_is_none_is_the_nodes_fault_and_changes_nothing(theatre, answer):
    theatre.tick()
    theatre.finalise()
    theatre.engine.endpoint = Garbled(theatre.endpoint, "eth_getTransactionReceipt", answer)
    with pytest.raises(RpcError):
        theatre.tick()
    assert theatre.intent.state == State.SIGNED


def test_a_receipt_that_vanishes_is_waited_for(theatre):
    theatre.tick()
    theatre.finalise()
    theatre.engine.endpoint = Garbled(theatre.endpoint, "eth_getTransactionReceipt", None)
    outcome = theatre.tick()
    assert (outcome.status, theatre.intent.state) == ("waiting", State.SIGNED)
    assert "waiting for a node that has its receipt" in outcome.reason
    theatre.engine.endpoint = theatre.endpoint
    theatre.tick()
    assert theatre.intent.state == State.DONE


def test_a_batch_whose_receipt_lost_its_logs_is_neither_concluded_nor_sent_again(theatre, faulty):
    proxy = faulty()
    theatre.tick()
    theatre.engine.endpoint = ChainEndpoints(rpc_url=proxy.url, chain_id=1).connect()
    proxy.set("*", NoLogs())
    theatre.finalise()
    for _ in range(3):
        outcome = theatre.tick()
        assert outcome.status == "waiting"
        assert "its receipt comes without what the vault logged" in outcome.reason
        theatre.mine()
    assert (theatre.intent.state, len(theatre.intent.attempts), theatre.pool()) == (State.MINED, 1, [])
    proxy.clear()
    theatre.tick()
    assert theatre.intent.state == State.DONE
    assert len(theatre.stage.batches()) == 1


def test_logs_that_one_node_lost_are_found_at_another(theatre, faulty):
    first, second = faulty(), faulty()
    first.set("*", NoLogs())
    theatre.tick()
    theatre.engine.endpoint = ChainEndpoints(rpc_urls=(first.url, second.url), chain_id=1).connect()
    theatre.settle()
    assert first.faults["NoLogs"] > 0
    assert theatre.intent.state == State.DONE
    assert theatre.intent.outcome is not None


@pytest.mark.parametrize("answer", [b"null", b'"0x"', b"{}", b'{"blockHash": "0x00", "logs": []}'])
def test_what_is_no_receipt_of_that_block_has_no_logs_to_give(theatre, faulty, answer):
    first, second = faulty(), faulty()
    first.set("*", NoLogs())
    second.set("eth_getTransactionReceipt", Garbage(b'{"jsonrpc": "2.0", "id": 1, "result": ' + answer + b"}"))
    theatre.tick()
    theatre.engine.endpoint = ChainEndpoints(rpc_urls=(first.url, second.url), chain_id=1).connect()
    assert theatre.settle().status == "waiting"
    assert second.faults["Garbage"] > 0


def test_logs_that_no_node_has_are_the_nodes_failure_in_the_end(theatre, faulty):
    proxy = faulty()
    theatre.tick()
    theatre.engine.endpoint = ChainEndpoints(rpc_url=proxy.url, chain_id=1).connect()
    proxy.set("*", NoLogs())
    theatre.mine(40)
    with pytest.raises(RpcError, match="from every node: add one to rpc_urls that has it"):
        theatre.tick()
    assert theatre.intent.state == State.MINED


def test_what_a_batch_did_is_not_known_without_its_logs(theatre, faulty):
    proxy = faulty()
    theatre.tick()
    theatre.mine()
    theatre.engine.endpoint = ChainEndpoints(rpc_url=proxy.url, chain_id=1).connect()
    proxy.set("*", NoLogs(), times=2)  # asked for once, and once more in case another node has them
    assert theatre.engine.realised(theatre.intent) is None
    assert theatre.engine.realised(theatre.intent) is not None


# Replacing and cancelling


def test_a_dearer_batch_has_the_same_nonces_and_offers_13_percent_more_of_both_fees(theatre):
    theatre.swallow()
    theatre.tick()
    for _ in range(2):
        theatre.mine(PATIENCE - 1)
        theatre.tick()
        count = len(theatre.intent.attempts)
        theatre.mine()
        theatre.tick()
        assert len(theatre.intent.attempts) == count + 1
    attempts = theatre.intent.attempts
    assert [attempt.kind for attempt in attempts] == ["batch"] * 3
    for before, after in pairwise(attempts):
        assert 100 * after.max_fee >= 113 * before.max_fee
        assert 100 * after.priority_fee >= 113 * before.priority_fee
    signed = [fields_of(attempt.raw) for attempt in attempts]
    assert {fields["nonce"] for fields in signed} == {theatre.intent.account_nonce}
    assert len({fields["data"] for fields in signed}) == 1
    assert [fields["maxFeePerGas"] for fields in signed] == [attempt.max_fee for attempt in attempts]


def test_a_node_takes_the_dearer_batch_in_place_of_the_one_it_has(theatre):
    theatre.swallow()
    theatre.tick()
    first = theatre.intent.attempts[0]
    theatre.mine(PATIENCE)
    PublicMempool(theatre.endpoint).send(first.raw, max_block=0)
    theatre.mend_wires()
    theatre.tick()
    assert theatre.pool() == [theatre.intent.attempts[1].hash] != [first.hash]


def test_of_all_that_was_signed_for_an_intent_any_may_be_mined_and_one_is(theatre):
    theatre.swallow()
    theatre.tick()
    theatre.mine(PATIENCE)
    theatre.tick()
    early, late = theatre.intent.attempts
    PublicMempool(theatre.endpoint).send(early.raw, max_block=0)
    theatre.mine()
    with pytest.raises(SendError, match="nonce too low"):
        PublicMempool(theatre.endpoint).send(late.raw, max_block=0)
    theatre.settle()
    assert theatre.intent.state == State.DONE
    assert [batch["transaction"] for batch in theatre.stage.batches()] == [early.hash]


def test_replacing_stops_at_the_budget_and_leaves_what_a_cancel_costs(theatre):
    theatre.stage.configure(sending={"timeout_seconds": 0, "deadline_seconds": 10**5, "budget_percent": 150})
    theatre.restart()
    theatre.swallow()
    theatre.tick()
    for _ in range(5):
        theatre.mine(PATIENCE)
        outcome = theatre.tick()
    assert "a dearer one would pass the budget" in outcome.reason
    attempts = theatre.intent.attempts
    budget = attempts[0].gas * attempts[0].max_fee * 150 // 100
    last = attempts[-1]
    assert len(attempts) > 1
    assert last.gas * last.max_fee + 21_000 * last.max_fee * 113 // 100 <= budget
    assert last.gas * last.max_fee * 113 // 100 + 21_000 * last.max_fee * 113**2 // 100**2 > budget

    theatre.refresh()
    theatre.mine(seconds=10**5)
    theatre.tick()
    cancel = theatre.intent.attempts[-1]
    assert cancel.kind == "cancel"
    assert cancel.gas * cancel.max_fee <= budget


def test_a_dearer_batch_stays_below_the_gas_price_ceiling(theatre):
    theatre.swallow()
    theatre.tick()
    theatre.engine.max_gas_price = theatre.intent.attempts[0].max_fee
    theatre.mine(PATIENCE)
    assert "a dearer one would pass the budget" in theatre.tick().reason
    assert len(theatre.intent.attempts) == 1


def test_a_batch_past_its_deadline_is_cancelled_with_its_account_nonce(theatre):
    theatre.swallow()
    theatre.tick()
    theatre.mine(seconds=DEADLINE)
    theatre.tick()
    assert len(theatre.intent.attempts) == 1  # the vault still takes it
    theatre.mine()
    theatre.mend_wires()
    theatre.tick()
    batch, cancel = theatre.intent.attempts
    fields = fields_of(cancel.raw)
    assert (cancel.kind, theatre.intent.state) == ("cancel", State.SIGNED)
    assert (fields["nonce"], fields["data"]) == (theatre.intent.account_nonce, b"")
    assert fields["to"].hex() == KEEPER.address[2:].lower()
    assert 100 * cancel.max_fee >= 113 * batch.max_fee
    assert theatre.pool() == [cancel.hash]
    theatre.settle()
    assert theatre.intents()[0].state == State.CANCELLED
    assert theatre.stage.batches() == []


def test_a_batch_that_no_finalised_block_could_hold_any_more_is_expired(theatre):
    theatre.swallow()
    theatre.tick()
    theatre.mine(3, seconds=DEADLINE + 1)
    theatre.mend_wires()
    theatre.tick()
    first, second = theatre.intents()
    assert (first.state, len(first.attempts)) == (State.EXPIRED, 1)
    # What was signed may still turn up: the next batch takes its place in any pool, and the same account nonce.
    assert second.account_nonce == first.account_nonce
    assert 100 * second.attempts[0].max_fee >= 113 * first.attempts[0].max_fee


def test_expired_bytes_that_surface_late_are_harmless(theatre):
    theatre.swallow()
    theatre.tick()
    theatre.mine(3, seconds=DEADLINE + 1)
    theatre.tick()
    first, second = theatre.intents()
    PublicMempool(theatre.endpoint).send(first.attempts[0].raw, max_block=0)
    theatre.settle()
    assert theatre.stage.batches() == []
    assert [intent.state for intent in theatre.intents()][:2] == [State.EXPIRED, State.SUPERSEDED]
    assert second.id == theatre.intents()[1].id


def test_a_batch_in_the_place_of_an_expired_one_stays_below_the_gas_price_ceiling(theatre):
    theatre.swallow()
    theatre.tick()
    ceiling = theatre.intent.attempts[0].max_fee
    theatre.mine(3, seconds=DEADLINE + 1)
    theatre.engine.max_gas_price = ceiling
    theatre.tick()
    _, second = theatre.intents()
    assert second.attempts[0].max_fee == ceiling


# A node that is not to be believed


@pytest.mark.parametrize("answer", ["0x5", hex(137)])
def test_a_node_that_follows_another_chain_by_now_ends_no_intent(theatre, answer):
    theatre.swallow()
    theatre.tick()
    foreign(theatre)
    theatre.finalise()
    theatre.engine.endpoint = Garbled(theatre.endpoint, "eth_chainId", answer)
    with pytest.raises(WrongChainError, match=f"follows chain {int(answer, 16)}"):
        theatre.tick()
    assert theatre.intent.state == State.SIGNED


def test_a_node_that_follows_another_chain_by_now_gets_nothing_signed(theatre):
    theatre.engine.endpoint = Garbled(theatre.endpoint, "eth_chainId", "0x5")
    with pytest.raises(WrongChainError):
        theatre.tick()
    assert (theatre.intent.state, theatre.intent.attempts, theatre.pool()) == (State.COMMITTED, [], [])


def test_a_node_that_is_behind_what_the_keeper_has_seen_is_not_planned_on(theatre):
    theatre.tick()
    theatre.settle()
    head = theatre.endpoint.header()
    final = theatre.intent.attempts[0].receipt.block_number
    with pytest.raises(RpcError, match="the node is behind"):
        tick(theatre.service, theatre.endpoint.header(final - 1))
    assert len(theatre.intents()) == 1
    assert tick(theatre.service, head).status == "hold"


# Others at the same account nonce


def foreign(theatre: Theatre) -> str:
    """Somebody else uses the key: sends a transaction with the next account nonce."""
    fields = Transaction(
        1, KEEPER.address, STRANGER.address, b"", theatre.stage.account_nonce(), 21_000, 10**12, 10**10
    )
    signed = sign(theatre.endpoint, theatre.stage.signer, fields)
    PublicMempool(theatre.endpoint).send(signed.raw, max_block=0)
    theatre.mine()
    return signed.hash


def test_a_foreign_transaction_on_the_account_nonce_supersedes_once_it_is_final(theatre):
    theatre.swallow()
    theatre.tick()
    foreign(theatre)
    outcome = theatre.tick()
    assert (outcome.status, theatre.intent.state) == ("waiting", State.SIGNED)
    assert "used by another transaction" in outcome.reason
    theatre.mend_wires()
    theatre.mine(2)
    assert theatre.tick().status == "sent"
    first, second = theatre.intents()
    assert (first.state, second.account_nonce) == (State.SUPERSEDED, first.account_nonce + 1)
    theatre.settle()
    assert [intent.state for intent in theatre.intents()] == [State.SUPERSEDED, State.DONE]


# Reorganisations


@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("back", [True, False], ids=["it comes back", "it does not come back"])
def test_a_reorganisation_after_inclusion_opens_the_intent_again(theatre, depth, back):
    theatre.engine.endpoint = Doubtful(theatre.endpoint)
    theatre.tick()
    theatre.mine(depth)
    theatre.tick()
    assert theatre.intent.state == State.MINED
    raw = "0x" + theatre.intent.attempts[0].raw.hex()
    theatre.devnet.rpc("anvil_reorg", depth, [[raw, depth - 1]] if back else [])
    assert len(theatre.stage.batches()) == back
    theatre.tick()
    after = theatre.intent.attempts[0].receipt
    if back:
        assert theatre.intent.state == State.MINED
        assert after.block_hash == theatre.endpoint.header(after.block_number).hash
    else:
        assert (theatre.intent.state, after) == (State.SIGNED, None)
    for _ in range(10):
        theatre.mine()
        theatre.tick()
    assert [intent.state for intent in theatre.intents()] == [State.DONE]
    assert [batch["nonce"] for batch in theatre.stage.batches()] == [1]


@pytest.mark.parametrize("depth", range(1, 7))
def test_a_reorganisation_before_inclusion_changes_nothing(theatre, depth):
    theatre.mine(depth)
    theatre.swallow()
    theatre.tick()
    theatre.devnet.rpc("anvil_reorg", depth, [])
    theatre.mend_wires()
    theatre.tick()
    theatre.settle()
    assert theatre.intent.state == State.DONE
    assert [batch["nonce"] for batch in theatre.stage.batches()] == [1]


def test_a_reorganisation_that_puts_a_cancel_in_the_batchs_place_leaves_one_receipt(theatre):
    theatre.engine.endpoint = Doubtful(theatre.endpoint)
    theatre.swallow()
    theatre.tick()
    theatre.mine(seconds=DEADLINE - 12)
    PublicMempool(theatre.endpoint).send(theatre.intent.attempts[0].raw, max_block=0)
    theatre.mine()
    theatre.tick()
    assert theatre.intent.attempts[0].receipt is not None
    theatre.devnet.rpc("anvil_reorg", 1, [])
    theatre.mine(seconds=DEADLINE)
    theatre.mend_wires()
    theatre.tick()
    theatre.mine()
    theatre.tick()
    batch, cancel = theatre.intent.attempts
    assert (batch.receipt, cancel.kind, cancel.receipt is None) == (None, "cancel", False)


# A journal that was lost


def test_a_lost_journal_uses_up_the_account_nonce_and_waits_before_it_plans_again(theatre):
    theatre.tick()
    theatre.settle()
    theatre.service.close()
    theatre.stage.journal_file.unlink()
    theatre.service = theatre.start()
    theatre.move({"WBTC": "110000"})
    nonce = theatre.stage.account_nonce()
    outcome = theatre.tick()
    assert outcome.status == "waiting"
    assert "the journal does not know 1 of this key's batches" in outcome.reason
    assert [attempt.kind for attempt in theatre.intent.attempts] == ["cancel"]
    assert "it was lost, or is an old copy" in theatre.intent.why
    theatre.mine(2)
    assert theatre.tick().status == "waiting"
    assert len(theatre.intents()) == 1
    theatre.mine()
    assert theatre.tick().status == "sent"
    cancelled, planned = theatre.intents()
    assert (cancelled.state, cancelled.account_nonce) == (State.CANCELLED, nonce)
    assert (planned.account_nonce, planned.vault_nonce) == (nonce + 1, 2)


def test_a_keeper_that_dies_while_it_catches_up_uses_up_one_account_nonce(theatre, monkeypatch):
    theatre.tick()
    theatre.settle()
    theatre.service.close()
    theatre.stage.journal_file.unlink()
    theatre.service = theatre.start()
    nonce = theatre.stage.account_nonce()

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(2):  # wherever it takes note of what it has learnt
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(theatre.service.journal, "know", die)
            theatre.tick()
        theatre.restart()
        theatre.finalise()
    assert theatre.tick().status == "hold"
    assert [intent.state for intent in theatre.intents()] == [State.CANCELLED]
    assert theatre.stage.account_nonce() == nonce + 1


def test_a_keeper_that_catches_up_waits_until_the_account_nonce_is_used_however_long_that_takes(theatre):
    theatre.tick()
    theatre.settle()
    theatre.service.close()
    theatre.stage.journal_file.unlink()
    theatre.service = theatre.start()
    theatre.swallow()
    for _ in range(5):
        assert theatre.tick().status == "waiting"
        theatre.finalise()
    theatre.mend_wires()
    assert theatre.tick().status == "waiting"
    theatre.settle()
    assert [intent.state for intent in theatre.intents()] == [State.CANCELLED]


def test_an_old_copy_of_the_journal_sends_nothing_twice(theatre):
    theatre.service.close()
    copy = theatre.stage.directory / "copy.sqlite"
    shutil.copy(theatre.stage.journal_file, copy)
    theatre.service = theatre.start()
    theatre.tick()
    theatre.settle()
    theatre.service.close()
    shutil.move(copy, theatre.stage.journal_file)
    theatre.service = theatre.start()
    assert theatre.tick().status == "waiting"
    theatre.settle()
    assert theatre.intents()[0].state == State.CANCELLED
    assert [batch["nonce"] for batch in theatre.stage.batches()] == [1]


def test_an_old_copy_with_an_intent_that_has_ended_meanwhile_finds_its_end(theatre):
    theatre.break_wires()
    theatre.tick()
    theatre.service.close()
    copy = theatre.stage.directory / "copy.sqlite"
    shutil.copy(theatre.stage.journal_file, copy)
    theatre.service = theatre.start()
    theatre.tick()
    theatre.settle()
    theatre.service.close()
    shutil.move(copy, theatre.stage.journal_file)
    theatre.service = theatre.start()
    theatre.tick()
    assert [intent.state for intent in theatre.intents()] == [State.DONE]


def test_bytes_of_a_lost_journal_that_still_wait_are_not_joined_by_others(theatre):
    theatre.tick()
    theatre.service.close()
    theatre.stage.journal_file.unlink()
    theatre.service = theatre.start()
    with pytest.raises(SendError, match=r"1 transaction\(s\) under way"):
        theatre.tick()
    theatre.mine()
    assert theatre.tick().status == "waiting"
    assert len(theatre.stage.batches()) == 1


def test_settings_that_move_the_vaults_nonce_are_no_lost_journal(theatre):
    theatre.tick()
    theatre.settle()
    theatre.change("setKeeper", KEEPER.address)
    assert theatre.vault_nonce() == 2
    theatre.move({"WBTC": "110000"})
    assert theatre.tick().status == "sent"
    theatre.settle()
    first, second = theatre.intents()
    assert (first.state, second.state, second.vault_nonce) == (State.DONE, State.DONE, 3)


# Who may write


def takeover(theatre: Theatre) -> Service:
    """The first keeper falls silent past its lease, and another one starts."""
    theatre.mine(theatre.service.keeper.config.lease_seconds // 12 + 1)
    return theatre.start()


def test_a_second_keeper_stands_by_while_the_first_holds_the_lease(theatre):
    theatre.mine(5)
    theatre.tick()
    theatre.mine(6)
    with pytest.raises(LostLease, match="this one stands by"):
        theatre.start()


def test_a_second_keeper_takes_over_after_the_lease_and_the_first_writes_no_more(theatre):
    theatre.tick()
    second = takeover(theatre)
    with pytest.raises(LostLease, match="another keeper has taken over"):
        theatre.tick()
    for write in (
        lambda: theatre.service.journal.know(1, 1),
        lambda: theatre.service.journal.record("hold", "", 1, None),
    ):
        with pytest.raises(LostLease):
            write()
    theatre.mine(3)
    theatre.tick(second)
    assert theatre.intent.state == State.DONE


def test_a_keeper_that_lost_its_lease_while_signing_writes_and_sends_nothing(theatre, monkeypatch):
    signer = theatre.engine.signer

    def slow(fields: dict[str, Any]) -> Any:
        takeover(theatre)
        return signer.sign(fields)

    monkeypatch.setattr(theatre.engine, "signer", SimpleNamespace(address=KEEPER.address, sign=slow))
    with pytest.raises(LostLease):
        theatre.tick()
    assert theatre.intent.attempts == []
    assert theatre.pool() == []


def test_a_keeper_that_lost_its_lease_between_signing_and_sending_sends_nothing(theatre, monkeypatch):
    write = theatre.service.journal.signed

    def slow(*arguments: Any) -> None:
        write(*arguments)
        takeover(theatre)

    monkeypatch.setattr(theatre.service.journal, "signed", slow)
    with pytest.raises(LostLease):
        theatre.tick()
    assert len(theatre.intent.attempts) == 1
    assert theatre.pool() == []


def test_a_lease_that_ran_out_and_that_nobody_took_is_kept(theatre):
    theatre.mine(20)
    assert theatre.tick().status == "sent"


def test_a_keeper_that_was_slower_than_its_lease_writes_nothing_until_it_has_renewed_it(theatre, monkeypatch):
    signer = theatre.engine.signer

    def slow(fields: dict[str, Any]) -> Any:
        theatre.mine(20)
        return signer.sign(fields)

    with monkeypatch.context() as patch:
        patch.setattr(theatre.engine, "signer", SimpleNamespace(address=KEEPER.address, sign=slow))
        with pytest.raises(JournalError, match="ran out"):
            theatre.tick()
    assert (theatre.intent.attempts, theatre.pool()) == ([], [])
    assert theatre.tick().status == "sent"


def run_through(theatre: Theatre, minutes: int, node: type[Node]) -> None:
    """The loop, while the clock goes on by a minute with every look at the chain, and the chain stands still."""
    stop = threading.Event()

    class Clock(node):
        def header(self, block: int | str = "latest") -> Header:
            theatre.clock += 60
            if theatre.clock >= theatre.stage.now() + 60 * minutes:
                stop.set()
            return super().header(block)

    theatre.clock = theatre.stage.now()
    theatre.service.close()
    theatre.service = theatre.start(lambda: theatre.clock)
    patient = replace(theatre.service.keeper, endpoint=Clock(theatre.endpoint))
    service = replace(theatre.service, keeper=patient)
    run(
        service,
        stop,
        lambda _: None,
        lambda _: None,
        Watch(None, AlertsConfig(), [service.keeper.deployment.vault], "test"),
    )


class Dead(Node):
    """Answers nothing."""

    def request(self, method: str, *params: Any) -> Any:
        raise RpcError(f"cannot reach the node at {self.name}: no connection")


def test_a_keeper_keeps_its_lease_while_the_chain_stands_still(theatre):
    run_through(theatre, 10, Node)
    with pytest.raises(LostLease, match="this one stands by"):
        theatre.start(lambda: theatre.clock)


def test_a_keeper_without_a_node_lets_another_one_have_the_lease(theatre):
    run_through(theatre, 10, Dead)
    theatre.tick(theatre.start(lambda: theatre.clock))


# Stopping it


def test_a_halted_keeper_watches_and_trades_no_more_until_it_is_resumed(theatre):
    theatre.service.journal.halt("we look into something")
    outcome = theatre.tick()
    assert (outcome.status, theatre.intents()) == ("refused", [])
    assert "we look into something" in outcome.reason
    assert theatre.service.journal.decisions(1)[0].reason == outcome.reason
    theatre.service.journal.resume()
    assert theatre.tick().status == "sent"


def test_a_halted_keeper_sees_what_is_open_through(theatre):
    theatre.tick()
    theatre.service.journal.halt("we look into something")
    theatre.settle()
    assert theatre.intent.state == State.DONE


def test_a_signer_that_is_nearly_out_of_money_is_a_breaker(theatre):
    theatre.stage.configure(breakers={"min_signer_balance_wei": str(10**30)})
    theatre.restart()
    outcome = theatre.tick()
    assert (outcome.status, theatre.intents()) == ("refused", [])
    assert outcome.reason.startswith("the signer holds ")


CHEAPER = "update intent set predicted_cost = 0"
FUTILE = "update intent set state = 'failed'"
MISSED = "update intent set state = 'reverted'"


@pytest.mark.parametrize(
    ("policy", "breakers", "history", "reason"),
    [
        ({"max_price_age": 30}, {}, None, r"the price of \w+ is \d+ s old, at most 30 s is allowed"),
        ({"max_oracle_divergence": 1e-9}, {}, None, r"the pools price \w+ \S+ off the oracle"),
        ({"max_gas_price_wei": "1"}, {}, None, r"gas costs \d+ wei, at most 1 wei is allowed"),
        ({}, {"max_price_jump": 0.01}, None, r"the price of WBTC went from \$130,000.00 to \$110,000.00 in one tick"),
        ({}, {"max_excess_loss": 1e-9}, CHEAPER, r"the last batch cost \S+, \$0.00 was simulated"),
        ({}, {"max_transactions_per_day": 1}, None, r"1 batches in 24 hours, at most 1 are allowed"),
        ({}, {"max_turnover_per_day": 1e-6}, None, r"\S+ of NAV turned over in 24 hours"),
        ({}, {"max_failures_in_a_row": 1}, MISSED, r"1 batches in a row were not executed"),
        ({}, {"max_futile_in_a_row": 1}, FUTILE, r"1 batches in a row did not reduce drift"),
        ({}, {"min_signer_balance_wei": str(10**30)}, None, r"the signer holds \S+ of the native token, less than"),
    ],
    ids=lambda value: next(iter(value), None) if isinstance(value, dict) else "",
)
def test_each_breaker_refuses_and_leaves_its_reason_in_the_journal(theatre, policy, breakers, history, reason):
    theatre.tick()
    theatre.settle()
    if history is not None:
        with closing(sqlite3.connect(theatre.stage.journal_file)) as journal, journal:
            journal.execute(history)
    band = {"trigger": {"kind": "band", "absolute": 0.02}, "tracking_penalty": 0.5}
    theatre.stage.configure(policy=band | policy, breakers=breakers)
    theatre.restart()
    theatre.move({"WBTC": "110000"})
    theatre.mine(4)
    outcome = theatre.tick()
    latest = theatre.service.journal.decisions(1)[0]
    assert outcome.status == latest.status == "refused"
    assert re.match(reason, latest.reason), latest.reason
    assert len(theatre.intents()) == 1


def test_three_batches_that_came_to_nothing_are_a_breaker_until_it_is_resumed(theatre):
    theatre.swallow()
    for _ in range(3):
        assert theatre.tick().status == "sent"
        theatre.mine(3, seconds=DEADLINE + 1)
        theatre.refresh()
    outcome = theatre.tick()
    assert (outcome.status, [intent.state for intent in theatre.intents()]) == ("refused", [State.EXPIRED] * 3)
    theatre.service.journal.resume()
    theatre.mine()
    assert theatre.tick().status == "sent"


def test_a_price_that_jumped_while_the_keeper_waited_is_a_breaker(theatre):
    theatre.stage.configure(breakers={"max_price_jump": 0.1})
    theatre.restart()
    theatre.tick()
    theatre.mine()
    assert theatre.tick().status == "waiting"
    theatre.move({"WBTC": "110000"})
    theatre.mine(2)
    outcome = theatre.tick()
    assert (outcome.status, len(theatre.intents())) == ("refused", 1)
    assert outcome.reason.startswith("the price of WBTC went from $130,000.00 to $110,000.00 in one tick")


def test_a_price_that_jumped_before_a_tick_failed_is_compared_with_what_that_tick_saw(theatre):
    theatre.stage.configure(breakers={"max_price_jump": 0.1})
    theatre.restart()
    theatre.devnet.rpc("anvil_setBalance", KEEPER.address, "0x1")
    with pytest.raises(SendError, match="send it some"):
        theatre.tick()
    assert theatre.service.journal.last_snapshot().block.hash == theatre.endpoint.header().hash
    theatre.move({"WBTC": "110000"})
    assert theatre.tick().reason.startswith("the price of WBTC went from $130,000.00 to $110,000.00 in one tick")


def test_a_block_that_is_too_old_by_the_time_it_was_planned_on_is_not_acted_on(theatre):
    def refuse(header: Header) -> None:
        raise RpcError(f"block {header.number} is too far from now to act on")

    theatre.service.keeper.endpoint.refuse_old = refuse
    with pytest.raises(RpcError, match="too far from now"):
        theatre.tick()
    assert theatre.intents() == []


def test_why_a_tick_failed_is_written_down(theatre):
    theatre.devnet.rpc("anvil_setBalance", KEEPER.address, "0x1")
    with pytest.raises(SendError, match="send it some"):
        theatre.tick()
    latest = theatre.service.journal.decisions(1)[0]
    assert latest.status == "failed"
    assert "send it some" in latest.reason
