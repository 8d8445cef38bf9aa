"""A little of `make chaos`: enough to see that it bites."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from chaos.arena import Arena
from chaos.faults import FAULTS
from chaos.kills import massacre
from chaos.soak import soak
from keeper.devnet import Devnet


@pytest.fixture
def arena(devnet, request, tmp_path, monkeypatch) -> Iterator[Arena]:
    monkeypatch.setenv("KEEPER_KEY", Arena.key)
    with ExitStack() as running:
        if "reorganisation" in request.node.name:
            # A node whose chain was often taken back does not reorganise it as it should: receipts come without logs.
            devnet = running.enter_context(Devnet.start())
        arena = Arena(devnet, tmp_path, seed=7)
        yield arena
        arena.close()


def test_a_keeper_that_is_killed_again_and_again_sends_everything_once(arena):
    outcome = massacre(arena, 15)
    assert (outcome.kills, outcome.verdict.complaints, outcome.verdict.ok) == (15, [], True)
    assert outcome.verdict.batches > 0


@pytest.mark.parametrize(
    "name",
    [
        "paused while signing a batch, then woken",
        "paused while sending a replacement, then woken",
        "paused while signing a cancel, then woken",
        "journal restored from an hour ago",
        "never mined, block after block",
        "base fee tenfold, block after block",
        "nonce used by a foreign transaction",
        "relay surfaces late, mined meanwhile",
        "relay surfaces late, expired meanwhile",
        "signer out of funds",
        "database locked",
        "disk full",
        "clock an hour ahead",
        "clock an hour behind",
        "reorganisation of 1 before inclusion",
        "reorganisation of 3, the batch is sent again",
        "reorganisation of 5, the batch is replaced",
        "reorganisation of 6, the batch comes back",
        "node: no answer, but done",
        "node: 429",
        "node: garbage",
        "node: stale heads",
        "node: another chain id",
        "node: receipts that vanish",
        "node: receipts without logs",
        "node: takes what it drops",
        "one node of two: 500",
        "one node of two: too slow",
    ],
)
def test_a_fault_leaves_no_trace(arena, name):
    verdict = FAULTS[name](arena)
    assert (verdict.complaints, verdict.ok) == ([], True)


def test_a_node_that_fails_now_and_then_only_costs_time(arena):
    outcome = soak(arena, 30)
    assert (outcome.verdict.complaints, outcome.verdict.ok, outcome.silent) == ([], True, 0)
    assert outcome.waits


@pytest.mark.parametrize("lie", ["update intent set state = 'cancelled'", "update attempt set hash = '0x00'"])
def test_a_journal_that_is_wrong_about_the_chain_is_found_out(arena, lie):
    arena.move()
    arena.finish()
    with closing(sqlite3.connect(arena.stage.journal_file)) as journal, journal:
        journal.execute(lie)
    assert arena.finish().lost > 0


def test_two_intents_that_did_the_same_are_found_out(arena, monkeypatch):
    arena.move()
    arena.finish()
    once = arena.stage.batches()
    monkeypatch.setattr(arena.stage, "batches", lambda: once * 2)
    assert arena.finish().duplicates > 0
