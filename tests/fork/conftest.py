"""What the fork tests add to Ape's own fixtures."""

import os

import pytest
from ape.api import ProviderAPI
from ape.managers.chain import ChainManager

from keeper.devnet import Devnet


@pytest.fixture
def devnet(chain: ChainManager) -> Devnet:
    """Ape's fork of the offline mainnet; Ape itself takes back what a test does to it."""
    if "MAINNET_RPC_URL" in os.environ:
        pytest.skip("moves the market, which only the offline mainnet lets anyone do; unset MAINNET_RPC_URL")
    provider: ProviderAPI = chain.provider
    return Devnet.connect(str(provider.http_uri))
