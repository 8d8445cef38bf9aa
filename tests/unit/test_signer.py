import json
import logging
import pickle

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from keeper.domain import InputError
from keeper.submit.keys import ApeAccount, EnvironmentKey, Keystore
from keeper.submit.signer import DEVELOPMENT_ACCOUNTS, check_may_sign, development_addresses
from keeper.submit.unlock import address_of, unlock

KEY = "0x" + "5e" * 32
VARIABLE = "KEEPER_PASSWORD"
ADDRESS = Account.from_key(KEY).address
ANVILS_FIRST = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
TRANSACTION = {
    "type": 2,
    "chainId": 1,
    "nonce": 0,
    "to": ADDRESS,
    "value": 0,
    "data": b"",
    "gas": 21_000,
    "maxFeePerGas": 2,
    "maxPriorityFeePerGas": 1,
}


@pytest.fixture
def environment_key(monkeypatch):
    monkeypatch.setenv("KEEPER_KEY", KEY)
    return EnvironmentKey(kind="environment", variable="KEEPER_KEY")


@pytest.fixture
def keystore(tmp_path):
    path = tmp_path / "key.json"
    # One iteration: a test has nothing to protect.
    path.write_text(json.dumps(Account.encrypt(KEY, "correct horse", kdf="pbkdf2", iterations=1)))
    return Keystore(kind="keystore", path=path, password_env=VARIABLE)


def test_a_key_in_the_environment_signs(environment_key):
    signer = unlock(environment_key)
    signed = signer.sign(TRANSACTION)
    assert signer.address == address_of(environment_key) == ADDRESS
    assert Account.recover_transaction(signed.raw) == ADDRESS


def test_a_signed_transaction_knows_its_hash(environment_key):
    signed = unlock(environment_key).sign(TRANSACTION)
    assert signed.hash == "0x" + keccak(signed.raw).hex()


def test_a_keystore_signs_with_its_password(keystore, monkeypatch):
    monkeypatch.setenv(VARIABLE, "correct horse")
    assert unlock(keystore).address == ADDRESS


def test_the_address_of_a_keystore_needs_no_password(keystore, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert address_of(keystore) == ADDRESS


def test_a_wrong_password_is_refused(keystore, monkeypatch):
    monkeypatch.setenv(VARIABLE, "wrong horse")
    with pytest.raises(InputError, match="wrong password") as caught:
        unlock(keystore)
    assert "wrong horse" not in str(caught.value)


def test_a_password_that_is_not_set_is_asked_for_by_name(keystore, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(InputError, match=VARIABLE):
        unlock(keystore)


def test_a_password_is_never_waited_for_without_a_terminal(keystore):
    with pytest.raises(InputError, match="password_env"):
        unlock(Keystore(kind="keystore", path=keystore.path))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"crypto": {}, "version": 3}'])
def test_a_file_that_is_no_keystore_is_refused(tmp_path, monkeypatch, text):
    path = tmp_path / "key.json"
    path.write_text(text)
    monkeypatch.setenv(VARIABLE, "x")
    with pytest.raises(InputError, match="is no keystore"):
        unlock(Keystore(kind="keystore", path=path, password_env=VARIABLE))


def test_a_missing_keystore_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the keystore .*gone.json"):
        address_of(Keystore(kind="keystore", path=tmp_path / "gone.json"))


def test_an_ape_account_signs_with_its_passphrase(keystore, monkeypatch):
    import ape  # noqa: PLC0415 - takes seconds, and only this test needs it

    with ape.config.isolate_data_folder():
        folder = ape.accounts.containers["accounts"].data_folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ballast.json").write_text(keystore.path.read_text())
        monkeypatch.setenv(VARIABLE, "correct horse")
        config = ApeAccount(kind="ape", alias="ballast", password_env=VARIABLE)
        assert unlock(config).address == address_of(config) == ADDRESS


def test_an_ape_account_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="ape accounts import nobody-has-this"):
        unlock(ApeAccount(kind="ape", alias="nobody-has-this"))


def test_a_missing_key_is_named_by_its_variable(monkeypatch):
    monkeypatch.delenv("KEEPER_KEY", raising=False)
    with pytest.raises(InputError, match="KEEPER_KEY"):
        unlock(EnvironmentKey(kind="environment", variable="KEEPER_KEY"))


@pytest.mark.parametrize("key", ["0x1234", "5e" * 31, "zz" * 32, "5e" * 32 + "00", "00" * 32])
def test_a_malformed_key_is_refused_without_being_quoted(monkeypatch, key):
    monkeypatch.setenv("KEEPER_KEY", key)
    with pytest.raises(InputError, match="holds no private key") as caught:
        unlock(EnvironmentKey(kind="environment", variable="KEEPER_KEY"))
    assert key not in str(caught.value)
    assert caught.value.__suppress_context__


def test_no_representation_of_a_signer_holds_its_key(environment_key, caplog):
    signer = unlock(environment_key)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("keeper").warning("%s %r %s", signer, signer, [signer])
        signer.sign(TRANSACTION)
    shown = f"{signer} {signer!r} {environment_key!r} {caplog.text}"
    assert KEY[2:] not in shown.lower()
    assert ADDRESS in shown


def test_a_signer_cannot_be_stored(environment_key):
    with pytest.raises(TypeError, match="holds a key"):
        pickle.dumps(unlock(environment_key))


def test_the_development_accounts_are_anvils():
    assert ANVILS_FIRST in development_addresses()
    assert len(development_addresses()) == DEVELOPMENT_ACCOUNTS


def test_a_private_key_does_not_sign_on_a_development_node():
    with pytest.raises(InputError, match="may not sign on a development node"):
        check_may_sign(ADDRESS, development_node=True)


def test_a_development_key_does_not_sign_on_a_real_chain():
    with pytest.raises(InputError, match="everybody has its key"):
        check_may_sign(ANVILS_FIRST, development_node=False)


def test_each_key_signs_where_it_belongs():
    check_may_sign(ANVILS_FIRST, development_node=True)
    check_may_sign(ADDRESS, development_node=False)
