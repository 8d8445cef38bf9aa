"""What else befalls a keeper, by name. Each takes an arena with a batch to be made, and leaves it to the verdict."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Literal
from unittest.mock import patch

from chaos.arena import Arena, Life, Verdict, wake
from chaos.life import LOST, Fate
from keeper.devnet import faults
from keeper.devnet.relay import Forget, Include, Late, LocalRelay
from keeper.devnet.tables import BLOCK_TIME
from keeper.submit.journal import State

Fault = Callable[[Arena], Verdict]


def _live(arena: Arena, fate: Fate | None = None, blocks: int = 6) -> Life:
    """A keeper with a batch to make, for so many blocks or until it dies or is suspended."""
    arena.move()
    life, _ = arena.revive(fate)
    for _ in range(blocks):
        if not life.alive() or life.stopped():
            break
        life.hear_of(arena.mine())
    return life


# Leaders that sleep


HASTY = {"timeout_seconds": 0, "poll_seconds": 0.01, "deadline_seconds": 8 * BLOCK_TIME, "replace_after_blocks": 3}
"""How to send, so that replacing and cancelling come soon."""


def _paused(point: tuple[str, str], during: Literal["batch", "replacement", "cancel"]) -> Fault:
    """A leader is suspended in mid-work, past its lease; another one takes over; then the first wakes up."""

    def fault(arena: Arena) -> Verdict:
        arena.configure(sending=HASTY)
        arena.move()
        leader, _ = arena.revive(Fate(point=point, during=during, signal=signal.SIGSTOP))
        for _ in range(20):
            if leader.stopped():
                break
            arena.lose()  # whatever it has sent
            leader.hear_of(arena.mine())
        assert leader.stopped(), f"the leader never came to {point} of a {during}: {leader.said[-1:]}"
        standby, _ = arena.revive()
        wake(leader)
        leader.process.join(30)
        assert leader.process.exitcode == LOST, "the first keeper went on"
        return arena.finish(standby)

    return fault


# Transactions that wait


def _raise_base_fee(arena: Arena) -> None:
    """The next block costs ten times as much as anybody offers."""
    base_fee = arena.devnet.endpoint.header().base_fee_per_gas
    arena.devnet.rpc("anvil_setNextBlockBaseFeePerGas", hex(min(10 * base_fee, 10**12)))


def stuck(arena: Arena) -> Verdict:
    """The base fee rises tenfold with every block, while the batch waits; then it falls again."""
    arena.move()
    life, _ = arena.revive()
    for _ in range(12):
        _raise_base_fee(arena)
        life.hear_of(arena.mine())
    arena.devnet.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    return arena.finish(life)


def unmined(arena: Arena) -> Verdict:
    """Every pool forgets the batch, block after block."""
    arena.configure(sending={"timeout_seconds": 0, "poll_seconds": 0.01, "replace_after_blocks": 3})
    arena.move()
    life, _ = arena.revive()
    for _ in range(12):
        arena.lose()
        life.hear_of(arena.mine())
    (intent,) = arena.intents()
    assert len(intent.attempts) > 1, "it was never replaced"
    return arena.finish(life)


def foreign(arena: Arena) -> Verdict:
    """Somebody else uses the account nonce of a batch that waits."""
    nonce = arena.stage.account_nonce()
    life = _live(arena, Fate(point=("broadcast", "before")))
    arena.devnet.rpc("eth_sendRawTransaction", arena.foreign(nonce))
    arena.mine()
    verdict = arena.finish(life)
    assert any(intent.state == State.SUPERSEDED for intent in arena.intents())
    return verdict


# What a keeper lives on


def restored(arena: Arena) -> Verdict:
    """The journal is replaced by a copy from an hour ago, and there were batches in that hour."""
    arena.move()
    arena.finish()
    copy = arena.stage.directory / "copy.sqlite"
    with (
        closing(sqlite3.connect(arena.stage.journal_file)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    hour = arena.stage.now() + 3600
    for _ in range(2):
        _live(arena).kill()
        arena.mine(4, seconds=int(hour - arena.stage.now()) // 2)
    before = len(arena.stage.batches())
    for file in arena.stage.directory.glob("journal-live.sqlite*"):
        file.unlink()
    shutil.move(copy, arena.stage.journal_file)
    verdict = arena.finish(amnesia=True)
    assert any(intent.state == State.CANCELLED for intent in arena.intents()), "it did not use up the account nonce"
    assert before >= 2
    assert before == verdict.batches, "it traded although there was nothing to trade"
    return verdict


def poor(arena: Arena) -> Verdict:
    """The signer cannot pay; later somebody sends it money."""
    address = arena.stage.signer.address
    balance = arena.devnet.rpc("eth_getBalance", address, "latest")
    arena.devnet.rpc("anvil_setBalance", address, "0x1")
    life = _live(arena, blocks=3)
    assert any("send it some" in reason for _, _, reason in life.said), life.said
    arena.devnet.rpc("anvil_setBalance", address, balance)
    return arena.finish(life)


def locked(arena: Arena) -> Verdict:
    """Something else writes to the database for longer than anybody waits."""
    arena.move()
    life, _ = arena.revive(Fate(busy_seconds=0.1))
    with closing(sqlite3.connect(arena.stage.journal_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        life.hear_of(arena.mine())
        assert "database is locked" in life.said[-1][2], life.said
        other.execute("ROLLBACK")
    return arena.finish(life)


def full(arena: Arena) -> Verdict:
    """The disk is full in the middle of a batch; later somebody makes room."""
    arena.move()
    life, _ = arena.revive(Fate(file_limit=arena.random.randrange(1_000, 40_000)))
    for _ in range(4):
        life.hear_of(arena.mine())
    assert any("refused" in reason for _, status, reason in life.said if status == "failed"), life.said
    resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return arena.finish(life)


def _clock(seconds: float) -> Fault:
    """A keeper whose clock is wrong, beside one whose clock is right."""

    def fault(arena: Arena) -> Verdict:
        wrong = _live(arena, Fate(clock_off=seconds), 3)
        right = arena.start()  # it stands by for as long as the other one's clock is ahead
        for _ in range(6):
            mined = arena.mine()
            for life in (wrong, right):
                if life.alive():
                    life.hear_of(mined)
        if wrong.alive():
            wrong.kill()
        if not right.alive():
            arena.mine(seconds=max(BLOCK_TIME, round(seconds)))
        return arena.finish(right if right.alive() else None)

    return fault


# The chain, and whoever is between it and the keeper


def _reorganised(depth: int, what: Literal["before", "comes back", "is sent again", "is replaced"]) -> Fault:
    """Blocks are taken back: before the batch was mined, or with the batch in the last one of them.

    Then the batch is mined again in their place, or only the keeper still has it, or its account nonce is used by
    another transaction.
    """

    def fault(arena: Arena) -> Verdict:
        arena.move()
        arena.mine(6)  # so that what calls for a batch is not taken back too
        nonce = arena.stage.account_nonce()
        life, _ = arena.revive()
        wanted = State.SIGNED if what == "before" else State.MINED
        for _ in range(8):
            if any(intent.state == wanted for intent in arena.intents()):
                break
            life.hear_of(arena.mine())
        (intent,) = arena.intents()
        assert intent.state == wanted
        if what == "before":
            arena.lose()
        again = {"comes back": intent.attempts[0].raw.hex(), "is replaced": arena.foreign(nonce)[2:]}.get(what)
        arena.reorganise(depth, None if again is None else "0x" + again)
        verdict = arena.finish(life)
        assert verdict.ok, verdict.complaints
        states = [intent.state for intent in arena.intents()]
        assert states == ([State.SUPERSEDED, State.DONE] if what == "is replaced" else [State.DONE]), states
        assert verdict.batches == 1
        return verdict

    return fault


def _nodes(kind: str) -> Fault:
    """Nothing but one fault for three blocks and until it befell one, then for a third of all calls, then none."""

    def befall(arena: Arena) -> Verdict:
        (node,) = arena.proxies(1)
        fault = NODE_FAULTS[kind]
        behind = fault.blocks if isinstance(fault, faults.StaleHead) else 0
        life, _ = arena.revive()
        arena.move()
        for probability, least, most in ((1.0, 3, 20), (0.33, 12, 12)):
            node.clear()
            node.set("*", fault, probability=probability)
            for block in range(most):
                # Some only befall a batch, and when one is sent is the keeper's to say.
                if block >= least and node.faults.total() > 0:
                    break
                life.hear_of(arena.mine() - behind)
        assert node.faults.total() > 0
        assert life.alive(), f"the keeper ended: {life.said[-2:]}"
        node.clear()
        arena.move()  # one more batch at least
        return arena.finish(life)

    return befall


def _failover(kind: str) -> Fault:
    """Nothing but one fault from the first of two nodes, and the keeper trades all the same."""

    def fault(arena: Arena) -> Verdict:
        sick, _ = arena.proxies(2)
        life, _ = arena.revive()
        sick.set("*", NODE_FAULTS[kind])
        arena.move()
        for _ in range(12):
            life.hear_of(arena.mine())
            if arena.stage.batches():
                break
        assert arena.stage.batches(), f"it waited for the first node: {life.said[-2:]}"
        assert sick.faults.total() > 0
        return arena.finish(life)

    return fault


def _late(when: Literal["mined", "replaced", "expired"]) -> Fault:
    """A private relay keeps a batch for so long that meanwhile it was mined publicly, replaced, or given up."""

    def fault(arena: Arena) -> Verdict:
        patience = {"mined": 6, "replaced": 1, "expired": 12}[when]
        public = "later" if when == "mined" else "never"
        relay = arena.relay(Late(patience), public=public, relay_blocks=2)
        arena.configure(sending=HASTY)
        arena.move()
        life, _ = arena.revive()
        for _ in range(30):
            mined = arena.mine()
            life.hear_of(mined)
            first = arena.intents()[0]
            if first.state == State.EXPIRED:
                relay.habit = Forget()  # what is signed from now on does not come before it
            due = [held.raw for held in relay.held if held.is_due(mined)]
            relay.deliver()
            if due:
                break
        assert due[:1] == ["0x" + first.attempts[0].raw.hex()], "nothing surfaced"
        assert len(relay.delivered) == (when != "mined"), "the node took what was mined already"
        assert first.state == (State.DONE if when == "mined" else State.EXPIRED if when == "expired" else State.SIGNED)
        assert len(first.attempts) > 1 or when != "replaced"
        relay.habit = Include()
        arena.running.enter_context(_delivering(arena, relay))
        return arena.finish(life)

    return fault


@contextmanager
def _delivering(arena: Arena, relay: LocalRelay) -> Iterator[None]:
    """The relay passes on what it has before each block."""
    mine = arena.mine

    def deliver_and_mine(blocks: int = 1) -> int:
        relay.deliver()
        return mine(blocks)

    with patch.object(arena, "mine", deliver_and_mine):
        yield


NODE_FAULTS: dict[str, faults.Fault] = {
    "slow": faults.Delay(0.05),
    "too slow": faults.Delay(0.6),
    "no answer": faults.Drop(),
    "no answer, but done": faults.Drop(after=True),
    "429": faults.RateLimited(),
    "500": faults.ServerError(),
    "garbage": faults.Garbage(),
    "half an answer": faults.Truncated(),
    "stale heads": faults.StaleHead(5),
    "another chain id": faults.WrongChain(5),
    "receipts that vanish": faults.NoReceipt(),
    "receipts without logs": faults.NoLogs(),
    "refuses what it took": faults.TakenButRefused(),
    "takes what it drops": faults.Swallowed(),
}
_ONE_OF_TWO = (
    "too slow", "no answer", "429", "500", "garbage", "half an answer", "stale heads", "another chain id",
    "receipts that vanish", "receipts without logs",
)  # fmt: skip

FAULTS: dict[str, Fault] = {
    **{
        f"paused while signing a {during}, then woken": _paused(("sign", "after"), during)
        for during in ("batch", "replacement", "cancel")
    },
    **{
        f"paused while sending a {during}, then woken": _paused(("broadcast", "before"), during)
        for during in ("batch", "replacement", "cancel")
    },
    "journal restored from an hour ago": restored,
    "never mined, block after block": unmined,
    "base fee tenfold, block after block": stuck,
    "nonce used by a foreign transaction": foreign,
    "relay surfaces late, mined meanwhile": _late("mined"),
    "relay surfaces late, replaced meanwhile": _late("replaced"),
    "relay surfaces late, expired meanwhile": _late("expired"),
    "signer out of funds": poor,
    "database locked": locked,
    "disk full": full,
    "clock an hour ahead": _clock(3600),
    "clock an hour behind": _clock(-3600),
    **{f"reorganisation of {depth} before inclusion": _reorganised(depth, "before") for depth in range(1, 7)},
    **{
        f"reorganisation of {depth}, the batch {what}": _reorganised(depth, what)
        for what in ("comes back", "is sent again", "is replaced")
        for depth in range(1, 7)
    },
    **{f"node: {kind}": _nodes(kind) for kind in NODE_FAULTS},
    **{f"one node of two: {kind}": _failover(kind) for kind in _ONE_OF_TWO},
}
