"""From a configured key to a signer.

A key never leaves its signer: no representation, message or log of these modules holds one.
"""

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.address import is_hex_address, to_checksum_address

from keeper.domain.errors import InputError
from keeper.submit.keys import AnySigner, ApeAccount, AwsKms, EnvironmentKey, Keystore
from keeper.submit.signer import LocalSigner, Signer


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
