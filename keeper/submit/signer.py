"""What signs, and what may sign where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from eth_account import Account

from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

# The accounts that anvil and hardhat fund at start. Everybody has these keys.
DEVELOPMENT_MNEMONIC = "test test test test test test test test test test test junk"
DEVELOPMENT_ACCOUNTS = 20


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Bytes ready to broadcast, and the hash they will have."""

    raw: bytes
    hash: str


class Signer(Protocol):
    """Something that signs transactions of one address."""

    @property
    def address(self) -> str:
        """The checksummed address that signs."""

    def sign(self, transaction: Mapping[str, Any]) -> SignedTransaction:
        """Signs a complete transaction in JSON-RPC's field names, numbers as ints."""


class LocalSigner:
    """Signs with a key held in memory."""

    __slots__ = ("_account",)

    def __init__(self, account: LocalAccount) -> None:
        self._account = account

    def __repr__(self) -> str:
        return f"LocalSigner({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a signer holds a key and is not to be copied or stored")

    @property
    def address(self) -> str:
        return str(self._account.address)

    def sign(self, transaction: Mapping[str, Any]) -> SignedTransaction:
        signed = self._account.sign_transaction(dict(transaction))
        return SignedTransaction(raw=bytes(signed.raw_transaction), hash="0x" + signed.hash.hex())


@lru_cache(maxsize=1)
def development_addresses() -> frozenset[str]:
    """Addresses whose keys everybody has."""
    Account.enable_unaudited_hdwallet_features()
    paths = (f"m/44'/60'/0'/0/{index}" for index in range(DEVELOPMENT_ACCOUNTS))
    return frozenset(Account.from_mnemonic(DEVELOPMENT_MNEMONIC, account_path=path).address for path in paths)


def check_may_sign(address: str, *, development_node: bool) -> None:
    """Raises `InputError` unless a development node meets a well-known development key, and a real one any other.

    The devnet has mainnet's chain id, so a signature made there by a real key would be valid on mainnet.
    """
    well_known = address in development_addresses()
    if development_node and not well_known:
        raise InputError(
            f"{address} may not sign on a development node: its signature would be valid on the real chain too; "
            f'use an account of the mnemonic "{DEVELOPMENT_MNEMONIC}"'
        )
    if well_known and not development_node:
        raise InputError(f"{address} is a development account: everybody has its key, so it signs only on a devnet")
