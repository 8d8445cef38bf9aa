"""The ground that Ape's fork gives: the same tests hold on the offline mainnet and on the real one."""

from decimal import Decimal

import pytest
from ape import Contract
from ape.api import AccountAPI
from ape.managers.accounts import TestAccountManager
from ape.managers.chain import ChainManager
from ape.types import ContractType
from eth_abi.abi import encode
from eth_utils.abi import function_signature_to_4byte_selector

from keeper.chain import artifacts
from keeper.devnet import FACTORIES, FEEDS, TOKENS, Devnet


def contract(address: str, name: str) -> Contract:
    return Contract(address, contract_type=ContractType(abi=artifacts.load(name).abi, contractName=name))


def test_the_fork_is_mainnet_by_chain_id(chain: ChainManager) -> None:
    assert chain.chain_id == 1


def test_the_next_block_has_a_base_fee(chain: ChainManager) -> None:
    chain.mine()
    assert chain.blocks.head.base_fee > 0
