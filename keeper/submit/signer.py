"""Who signs: a key from the environment, a keystore, an Ape account or a cloud KMS, and on which nodes it may.

A key never leaves its signer: no representation, message or log of this module holds one.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from eth_account import Account
from eth_utils.address import is_hex_address, to_checksum_address
from pydantic import Field

from keeper.chain.fields import Strict, Url
from keeper.domain.errors import InputError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

# The accounts that anvil and hardhat fund at start. Everybody has these keys.
DEVELOPMENT_MNEMONIC = "test test test test test test test test test test test junk"
DEVELOPMENT_ACCOUNTS = 20


class EnvironmentKey(Strict):
    """A private key in hexadecimal in the environment variable `variable`."""

    kind: Literal["environment"]
    variable: str


class Keystore(Strict):
    """An encrypted keystore file (web3 secret storage). Without `password_env` the password is asked for."""

    kind: Literal["keystore"]
    path: Path
    password_env: str | None = None


class ApeAccount(Strict):
    """An account made by `ape accounts import`. Without `password_env` the passphrase is asked for."""

    kind: Literal["ape"]
    alias: str = Field(min_length=1)
    password_env: str | None = None


class AwsKms(Strict):
    """A key in AWS KMS, of key spec ECC_SECG_P256K1, by its id, ARN or alias. Credentials are found as boto3 does."""

    kind: Literal["aws_kms"]
    key: str = Field(min_length=1)
    region: str = Field(min_length=1)
    endpoint_url: Url | None = None
    """Of a VPC endpoint; the region's own without it."""


AnySigner = EnvironmentKey | Keystore | ApeAccount | AwsKms
SignerConfig = Annotated[AnySigner, Field(discriminator="kind")]


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


def unlock(config: AnySigner) -> Signer:
    """The configured signer, ready to sign. May ask for a password. Raises `InputError`."""
    match config:
        case EnvironmentKey(variable=variable):
            return _from_environment(variable)
        case Keystore(path=path, password_env=password_env):
            return _decrypt(path, password_env)
        case ApeAccount(alias=alias, password_env=password_env):
            return _decrypt(_ape_keyfile(alias), password_env)
        case AwsKms():
            # Only who signs there should wait for its libraries.
            from keeper.submit.kms import KmsSigner  # noqa: PLC0415

            return KmsSigner(config)


def address_of(config: AnySigner) -> str:
    """The address of the configured signer, without its password where its file names it. Raises `InputError`."""
    match config:
        case EnvironmentKey() | AwsKms():
            return unlock(config).address
        case Keystore(path=path):
            pass
        case ApeAccount(alias=alias):
            path = _ape_keyfile(alias)
    # The address in a keystore is optional, and written without its prefix.
    address = _read_keystore(path).get("address")
    return to_checksum_address(address) if is_hex_address(address) else unlock(config).address


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


def _from_environment(variable: str) -> LocalSigner:
    key = os.environ.get(variable)
    if not key:
        raise InputError(f"the environment variable {variable}, which should hold the keeper's key, is not set")
    try:
        account = Account.from_key(key.strip())
    except Exception:  # whatever went wrong, its message may quote the key
        raise InputError(f"the environment variable {variable} holds no private key (64 hexadecimal digits)") from None
    return LocalSigner(account)


def _decrypt(path: Path, password_env: str | None) -> LocalSigner:
    keystore = _read_keystore(path)
    password = _password(f"password of {path.name}: ", password_env)
    try:
        key = Account.decrypt(keystore, password)
    except ValueError:
        raise InputError(f"wrong password for the keystore {path}") from None
    except (KeyError, TypeError, NotImplementedError):
        raise InputError(f"{path} is no keystore") from None
    return LocalSigner(Account.from_key(key))


def _read_keystore(path: Path) -> dict[str, Any]:
    try:
        keystore = json.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the keystore {path}: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path} is no keystore") from None
    if not isinstance(keystore, dict):
        raise InputError(f"{path} is no keystore")
    return keystore


def _ape_keyfile(alias: str) -> Path:
    # Ape takes seconds to import and is needed for nothing else here.
    from ape import accounts  # noqa: PLC0415

    try:
        account = accounts.load(alias)
    except KeyError:
        raise InputError(f'there is no Ape account "{alias}": import it with `ape accounts import {alias}`') from None
    path: Path | None = getattr(account, "keyfile_path", None)
    if path is None:
        raise InputError(f'the Ape account "{alias}" has no key file on this machine')
    return path


def _password(prompt: str, variable: str | None) -> str:
    if variable is not None:
        password = os.environ.get(variable)
        if password is None:
            raise InputError(f"the environment variable {variable}, which should hold the password, is not set")
        return password
    if not sys.stdin.isatty():
        raise InputError("the keystore needs a password: set signer.password_env, or run in a terminal to be asked")
    return getpass.getpass(prompt)
