"""Pytest fixtures for tests of whatever talks to a chain: an offline mainnet, and nodes that misbehave.

They are not loaded by themselves. In the `conftest.py` at the root of your tests:

    pytest_plugins = ["keeper.devnet.fixtures"]

and then

    def test_my_client_tries_again(fault_proxy):
        node = fault_proxy("http://127.0.0.1:8545", seed=7)         # any node; or offline_mainnet.url
        node.set("eth_call", RateLimited(retry_after=1), times=3)   # from keeper.devnet.faults, which lists them all
        assert my_client(node.url).answer() == 42
        assert node.faults["RateLimited"] == 3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from keeper.devnet import Devnet
from keeper.devnet.faults import FaultProxy


class NewFaultProxy(Protocol):
    """Starts a proxy in front of the node at ``upstream``; the seed decides which requests a probability picks."""

    def __call__(self, upstream: str, *, seed: int = 0, port: int = 0) -> FaultProxy: ...


@pytest.fixture(scope="session")
def offline_mainnet() -> Iterator[Devnet]:
    """An offline mainnet, started once; `with offline_mainnet.isolated():` takes back what happens inside."""
    with Devnet.start() as node:
        yield node


@pytest.fixture
def fault_proxy() -> Iterator[NewFaultProxy]:
    """Starts proxies that misbehave on request, as many as asked for; they end with the test."""
    with ExitStack() as running:

        def start(upstream: str, *, seed: int = 0, port: int = 0) -> FaultProxy:
            return running.enter_context(FaultProxy(upstream, seed=seed, port=port))

        yield start
