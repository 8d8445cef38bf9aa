"""A key in AWS KMS, as moto plays it: in this process, behind the real client.

moto signs the SHA-256 of whatever it is given. The fixture adds what it lacks and the KMS does: with the message type
DIGEST it signs what it is given.
"""

import builtins
import logging

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.constants import SECPK1_N
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from moto.kms.responses import KmsResponse
from moto.kms.utils import ECDSAPrivateKey

from keeper.domain import InputError
from keeper.submit.errors import SendError
from keeper.submit.keys import AwsKms
from keeper.submit.kms import public_point
from keeper.submit.sender import Transaction, sign
from keeper.submit.unlock import address_of, unlock

REGION = "eu-central-1"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # noqa: S105  of AWS's documentation
TRANSACTION = {
    "type": 2,
    "chainId": 1,
    "nonce": 7,
    "to": "0x" + "22" * 20,
    "value": 0,
    "data": b"\x01\x02",
    "gas": 21_000,
    "maxFeePerGas": 2,
    "maxPriorityFeePerGas": 1,
}


@pytest.fixture
def kms(monkeypatch):
    """A client of an account with no keys in it yet."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    sign = KmsResponse.sign

    def sign_digest(key, message, _algorithm):
        r, s = decode_dss_signature(key.private_key.sign(message, ec.ECDSA(Prehashed(hashes.SHA256()))))
        return encode_dss_signature(r, max(s, SECPK1_N - s))  # the one that Ethereum refuses; the KMS gives either

    def respond(response):
        with monkeypatch.context() as patch:
            if response._get_param("MessageType") == "DIGEST":
                patch.setattr(ECDSAPrivateKey, "sign", sign_digest)
            return sign(response)

    monkeypatch.setattr(KmsResponse, "sign", respond)
    with mock_aws():
        yield boto3.client("kms", region_name=REGION)


def new_key(kms, spec="ECC_SECG_P256K1", usage="SIGN_VERIFY"):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]


def named(key):
    return AwsKms(kind="aws_kms", key=key, region=REGION)


def test_a_key_in_the_kms_signs_a_transaction(kms):
    signer = unlock(named(new_key(kms)))
    signed = signer.sign(TRANSACTION)
    assert Account.recover_transaction(signed.raw) == signer.address
    assert signed.hash == "0x" + keccak(signed.raw).hex()


def test_what_it_signs_is_what_a_local_key_would_sign(kms):
    signed = unlock(named(new_key(kms))).sign(TRANSACTION).raw
    local = Account.from_key("0x" + "5e" * 32).sign_transaction(TRANSACTION).raw_transaction
    # All that differs is the signature, at the end: its parity, and r and s of 33 bytes each with their prefix.
    assert signed[2:-67] == local[2:-67]


def test_of_the_two_signatures_it_takes_the_one_that_ethereum_takes(kms):
    raw = unlock(named(new_key(kms))).sign(TRANSACTION).raw
    _, _, s = TypedTransaction.from_bytes(HexBytes(raw)).vrs()
    assert 0 < s <= SECPK1_N // 2


def test_an_alias_names_a_key(kms):
    key = new_key(kms)
    kms.create_alias(AliasName="alias/ballast", TargetKeyId=key)
    assert address_of(named("alias/ballast")) == unlock(named(key)).address


def test_an_alias_that_is_moved_does_not_change_the_address_of_a_running_keeper(kms):
    kms.create_alias(AliasName="alias/ballast", TargetKeyId=new_key(kms))
    signer = unlock(named("alias/ballast"))
    kms.update_alias(AliasName="alias/ballast", TargetKeyId=new_key(kms))
    assert Account.recover_transaction(signer.sign(TRANSACTION).raw) == signer.address


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
def test_a_key_of_another_spec_is_refused(kms, spec):
    with pytest.raises(InputError, match=f"is {spec} for SIGN_VERIFY: a keeper needs one of key spec ECC_SECG_P256K1"):
        unlock(named(new_key(kms, spec)))


def test_a_key_that_does_not_sign_is_refused(kms):
    with pytest.raises(InputError, match="SYMMETRIC_DEFAULT for ENCRYPT_DECRYPT"):
        unlock(named(new_key(kms, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")))


def test_a_disabled_key_is_refused(kms):
    key = new_key(kms)
    kms.disable_key(KeyId=key)
    with pytest.raises(InputError, match="is Disabled: enable it"):
        unlock(named(key))


def test_a_key_that_is_not_there_is_named(kms):
    with pytest.raises(InputError, match=r"the KMS refuses the key alias/gone: NotFoundException"):
        unlock(named("alias/gone"))


def test_missing_credentials_are_said(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(InputError, match="Unable to locate credentials"):
        unlock(named("alias/ballast"))


def test_a_missing_library_is_named(monkeypatch):
    find = builtins.__import__

    def without_boto3(name, *rest):
        if name == "boto3":
            raise ImportError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_boto3)
    with pytest.raises(InputError, match=r"needs boto3: pip install 'ballast\[kms\]'"):
        unlock(named("alias/ballast"))


def test_a_key_that_is_gone_meanwhile_signs_nothing(kms):
    signer = unlock(named(new_key(kms)))
    signer._key = signer._key[:-4] + "dead"
    with pytest.raises(SendError, match=r"the KMS refuses the key .* NotFoundException"):
        signer.sign(TRANSACTION)


def test_a_kms_that_cannot_be_reached_is_no_bad_configuration_once_it_runs(kms, monkeypatch):
    signer = unlock(named(new_key(kms)))

    def silent(*_, **__):
        raise EndpointConnectionError(endpoint_url="https://kms")

    monkeypatch.setattr(type(signer._client), "_make_api_call", silent)
    with pytest.raises(SendError, match="cannot ask the KMS"):
        signer.sign(TRANSACTION)


def test_a_signature_of_another_key_is_not_taken(kms):
    signer, other = unlock(named(new_key(kms))), unlock(named(new_key(kms)))
    signer._key = other._key
    with pytest.raises(SendError, match=f"no signature of {signer.address}: nothing was sent"):
        signer.sign(TRANSACTION)


@pytest.mark.parametrize("signature", [b"", b"\x30\x00", b"\x30\x06\x02\x01\x00\x02\x01\x00", b"\xff" * 70])
def test_garbage_is_not_taken_for_a_signature(kms, monkeypatch, signature):
    signer = unlock(named(new_key(kms)))
    monkeypatch.setattr(type(signer._client), "_make_api_call", lambda *_: {"Signature": signature})
    with pytest.raises(SendError, match="nothing was sent"):
        signer.sign(TRANSACTION)


def test_it_is_not_asked_to_sign_on_a_development_node(kms, devnet, monkeypatch):
    signer = unlock(named(new_key(kms)))
    asked = []
    monkeypatch.setattr(KmsResponse, "sign", asked.append)
    fields = {"nonce": 0, "gas": 21_000, "max_fee_per_gas": 2 * 10**9, "max_priority_fee_per_gas": 1}
    transaction = Transaction(chain_id=1, sender=signer.address, to=signer.address, data=b"", **fields)
    with pytest.raises(InputError, match="may not sign on a development node"):
        sign(devnet.endpoint, signer, transaction)
    assert not asked


def test_no_credential_is_shown(kms, caplog):
    with caplog.at_level(logging.DEBUG):
        signer = unlock(named(new_key(kms)))
        logging.getLogger("keeper").warning("%s %r", signer, signer)
        with pytest.raises(InputError) as refused:
            unlock(named("alias/gone"))
    shown = f"{signer!r} {refused.value} {caplog.text}"
    assert signer.address in shown
    assert SECRET not in shown


@given(st.binary(max_size=120))
def test_no_bytes_but_a_public_key_are_taken_for_one(encoded):
    with pytest.raises((ValueError, IndexError)):
        public_point(encoded)


@given(st.integers(1, SECPK1_N - 1))
def test_the_point_of_every_public_key_is_read(number):
    key = ec.derive_private_key(number, ec.SECP256K1()).public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    numbers = key.public_numbers()
    assert public_point(encoded) == numbers.x.to_bytes(32) + numbers.y.to_bytes(32)
