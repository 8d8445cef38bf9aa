"""When the benchmark of many vaults calls a block dealt with."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.vaults import _Lookout
from keeper.chain.rpc import Header
from keeper.ops.alerts import AlertsConfig


@pytest.fixture
def lookout() -> Iterator[_Lookout]:
    with closing(_Lookout(None, AlertsConfig(), ["first", "second"], "test")) as watch:
        yield watch


ENDED = threading.Thread()
"""Loops that are over: who is waited for will never come."""


def header(block: int) -> Header:
    return Header(block, "0x00", 12 * block, 10**9)


def tick(lookout: _Lookout, name: str, block: int) -> None:
    lookout.ticked(name, 1, header(block), "hold", "nothing to do", None, 0.1)


def test_a_vault_that_another_ones_batch_took_past_the_block_has_dealt_with_it(lookout):
    tick(lookout, "first", 7)
    tick(lookout, "second", 8)
    lookout.through(lambda: header(7), ENDED)


def test_a_vault_that_is_still_at_the_block_before_is_waited_for(lookout):
    tick(lookout, "first", 7)
    tick(lookout, "second", 6)
    with pytest.raises(SystemExit, match="block 7: 1 vaults have not ticked"):
        lookout.through(lambda: header(7), ENDED)


def test_a_vault_that_failed_at_the_block_has_dealt_with_it(lookout):
    def mine() -> Header:
        lookout.complained("second", "endpoint", "no answer")
        return header(7)

    tick(lookout, "first", 7)
    lookout.through(mine, ENDED)


def test_a_vault_that_failed_before_the_block_is_waited_for(lookout):
    lookout.complained("second", "endpoint", "no answer")
    tick(lookout, "first", 7)
    with pytest.raises(SystemExit, match="1 vaults have not ticked"):
        lookout.through(lambda: header(7), ENDED)
