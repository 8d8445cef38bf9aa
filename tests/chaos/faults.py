"""What else befalls a keeper, by name. Each takes an arena with a batch to be made, and leaves it to the verdict."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

from chaos.arena import Arena, Life, Verdict, wake
from chaos.life import KINDS, LOST, Fate
from eth_account import Account

from keeper.submit.journal import State

Fault = Callable[[Arena], Verdict]


def _live(arena: Arena, fate: Fate, blocks: int) -> Life:
    """A keeper with a batch to make, for so many blocks or until it dies or is suspended."""
    arena.move()
    life, _ = arena.revive(fate)
    for _ in range(blocks):
        if not life.alive() or life.stopped():
            break
        life.hear_of(arena.mine())
    return life


def _paused(point: tuple[str, str], *, stuck: bool = False) -> Fault:
    """A leader is suspended in mid-work, past its lease; another one takes over; then the first wakes up."""

    def fault(arena: Arena) -> Verdict:
        arena.move()
        leader, _ = arena.revive(Fate(point=point, signal=signal.SIGSTOP))
        for _ in range(30):
            if leader.stopped():
                break
            if stuck:
                _raise_base_fee(arena)
            leader.hear_of(arena.mine())
        assert leader.stopped(), f"the leader never came to {point}: {leader.said[-1:]}"
        standby, _ = arena.revive()
        wake(leader)
        leader.process.join(30)
        assert leader.process.exitcode == LOST, "the first keeper went on"
        return arena.finish(standby)

    return fault


def _raise_base_fee(arena: Arena) -> None:
    """The next block costs ten times as much as anybody offers."""
    base_fee = arena.devnet.endpoint.header().base_fee_per_gas
    arena.devnet.rpc("anvil_setNextBlockBaseFeePerGas", hex(min(10 * base_fee, 10**12)))


def restored(arena: Arena) -> Verdict:
    """The journal is replaced by a copy from before the last batches."""
    arena.finish()
    copy = arena.stage.directory / "copy.sqlite"
    with (
        closing(sqlite3.connect(arena.stage.journal_file)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    life = _live(arena, Fate(), 6)
    life.kill()
    before = len(arena.stage.batches())
    for file in arena.stage.directory.glob("journal-live.sqlite*"):
        file.unlink()
    shutil.move(copy, arena.stage.journal_file)
    verdict = arena.finish(amnesia=True)
    assert any(intent.state == State.CANCELLED for intent in arena.intents()), "it did not use up the account nonce"
    assert before == verdict.batches, "it traded although there was nothing to trade"
    return verdict


def stuck(arena: Arena) -> Verdict:
    """The base fee rises tenfold with every block, while the batch waits; then it falls again."""
    arena.move()
    life, _ = arena.revive()
    for _ in range(12):
        _raise_base_fee(arena)
        life.hear_of(arena.mine())
    arena.devnet.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    return arena.finish(life)


def foreign(arena: Arena) -> Verdict:
    """Somebody else uses the account nonce of a batch that waits."""
    nonce = arena.stage.account_nonce()
    life = _live(arena, Fate(point=("broadcast", "before")), 6)
    fields = {
        "type": 2,
        "chainId": 1,
        "nonce": nonce,
        "to": arena.stage.signer.address,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 10**12,
        "maxPriorityFeePerGas": 10**10,
    }
    raw = Account.sign_transaction(fields, arena.stage.key).raw_transaction
    arena.devnet.rpc("eth_sendRawTransaction", raw.to_0x_hex())
    arena.mine()
    verdict = arena.finish(life)
    assert any(intent.state == State.SUPERSEDED for intent in arena.intents())
    return verdict


def poor(arena: Arena) -> Verdict:
    """The signer cannot pay; later somebody sends it money."""
    address = arena.stage.signer.address
    balance = arena.devnet.rpc("eth_getBalance", address, "latest")
    arena.devnet.rpc("anvil_setBalance", address, "0x1")
    life = _live(arena, Fate(), 3)
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
        right = arena.start()
        for _ in range(6):
            mined = arena.mine()
            for life in (wrong, right):
                if life.alive():
                    life.hear_of(mined)
        if wrong.alive():
            wrong.kill()
        return arena.finish(right if right.alive() else None)

    return fault


def _reorganised(depth: int) -> Fault:
    """The block with the batch is taken back, and others before it."""

    def fault(arena: Arena) -> Verdict:
        arena.move()
        arena.mine(6)  # so that what calls for a batch is not taken back too
        life, _ = arena.revive()
        for _ in range(8):
            if any(intent.state == State.MINED for intent in arena.intents()):
                arena.reorganise(depth)
                break
            life.hear_of(arena.mine())
        verdict = arena.finish(life)
        assert verdict.batches == 1, "the batch did not come back"
        return verdict

    return fault


def _node(kind: str) -> Fault:
    """A third of all calls fails in one way."""

    def fault(arena: Arena) -> Verdict:
        seed = arena.random.randrange(2**32)
        life = _live(arena, Fate(fault_rate=0.33, fault_kinds=(kind,), seed=seed), 25)
        assert life.alive(), f"the keeper ended: {life.said[-2:]}"
        life.kill()
        return arena.finish()

    return fault


FAULTS: dict[str, Fault] = {
    "paused before signing is written, then woken": _paused(("signed", "before")),
    "paused between signing and sending, then woken": _paused(("broadcast", "before")),
    "paused while replacing or cancelling, then woken": _paused(("sent", "before"), stuck=True),
    "journal restored": restored,
    "base fee tenfold, block after block": stuck,
    "nonce used by a foreign transaction": foreign,
    "signer out of funds": poor,
    "database locked": locked,
    "disk full": full,
    "clock an hour ahead": _clock(3600),
    "clock an hour behind": _clock(-3600),
    **{f"reorganisation of {depth}": _reorganised(depth) for depth in range(1, 7)},
    **{f"node: {kind}": _node(kind) for kind in KINDS},
}
