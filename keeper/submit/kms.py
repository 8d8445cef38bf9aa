"""A key that never leaves AWS KMS: it is asked for its address once, and for a signature each time."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from Crypto.Util.asn1 import DerBitString, DerObjectId, DerSequence
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.constants import SECPK1_N
from eth_keys.datatypes import PublicKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError as InvalidSignature
from hexbytes import HexBytes

from keeper.chain.errors import one_line
from keeper.domain.errors import InputError
from keeper.submit.errors import SendError
from keeper.submit.keys import AwsKms
from keeper.submit.signer import SignedTransaction

SPEC = "ECC_SECG_P256K1"
_CURVE = "1.3.132.0.10"
"""Of secp256k1 (SEC 2), as a public key names it."""

_T = TypeVar("_T")


class KmsSigner:
    """Signs with a key in AWS KMS. Holds no key, and no credential but in the client."""

    __slots__ = ("_client", "_key", "_name", "_public")

    def __init__(self, config: AwsKms) -> None:
        """Asks for the key. Raises `InputError` unless it is there, enabled, and one that Ethereum knows.

        The alias is resolved here: if it is pointed at another key later, the address does not change under a keeper.
        """
        self._name = config.key
        self._client = _client(config)
        described = self._asked(lambda: self._client.describe_key(KeyId=config.key))["KeyMetadata"]
        if not described["Enabled"]:
            raise InputError(f"the KMS key {config.key} is {described['KeyState']}: enable it, or name another")
        if (described["KeySpec"], described["KeyUsage"]) != (SPEC, "SIGN_VERIFY"):
            raise InputError(
                f"the KMS key {config.key} is {described['KeySpec']} for {described['KeyUsage']}: "
                f"a keeper needs one of key spec {SPEC} for SIGN_VERIFY"
            )
        self._key: str = described["Arn"]
        answer = self._asked(lambda: self._client.get_public_key(KeyId=self._key))
        try:
            self._public = PublicKey(public_point(answer["PublicKey"]))
        except (ValueError, IndexError, InvalidSignature):
            raise InputError(f"the KMS gave no secp256k1 key for {config.key}") from None

    def __repr__(self) -> str:
        return f"KmsSigner({self.address})"

    @property
    def address(self) -> str:
        return str(self._public.to_checksum_address())

    def sign(self, transaction: Mapping[str, Any]) -> SignedTransaction:
        """Raises `SendError` if the KMS does not sign; nothing is signed then."""
        fields = dict(transaction)
        digest = TypedTransaction.from_dict(fields).hash()
        # DIGEST: without it the KMS would hash the hash.
        try:
            answer = self._asked(
                lambda: self._client.sign(
                    KeyId=self._key, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256"
                )
            )
        except InputError as error:
            raise SendError(str(error)) from None
        v, r, s = self._recoverable(digest, answer["Signature"])
        raw = TypedTransaction.from_dict(fields | {"v": v, "r": r, "s": s}).encode()
        return SignedTransaction(raw=raw, hash="0x" + keccak(raw).hex())

    def _recoverable(self, digest: bytes, signature: bytes) -> tuple[int, int, int]:
        """A signature as Ethereum takes it: the lower `s` of the two that are valid (EIP-2), and the parity `v`."""
        try:
            r, s = _sequence(signature)
            s = min(s, SECPK1_N - s)
            for v in (0, 1):
                found = Signature(vrs=(v, r, s)).recover_public_key_from_msg_hash(HexBytes(digest))
                if found == self._public:
                    return v, r, s
        except (ValueError, TypeError, IndexError, BadSignature, InvalidSignature):
            pass
        raise SendError(f"the KMS signed with {self._name} what is no signature of {self.address}: nothing was sent")

    def _asked(self, ask: Callable[[], _T]) -> _T:
        """Raises `InputError` with what the KMS said, without what it was asked: that holds the request's signature."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - comes with boto3

        try:
            return ask()
        except ClientError as error:
            said = error.response.get("Error", {})
            reason = f"{said.get('Code', 'error')}: {said.get('Message', 'no message')}"
            raise InputError(f"the KMS refuses the key {self._name}: {one_line(reason)}") from None
        except BotoCoreError as error:
            raise InputError(f"cannot ask the KMS for the key {self._name}: {one_line(str(error))}") from None


def public_point(encoded: bytes) -> bytes:
    """x and y, 64 bytes, of a public key of secp256k1 in DER (SubjectPublicKeyInfo, RFC 5480).

    Raises `ValueError` or `IndexError` for anything else.
    """
    algorithm, point = _sequence(encoded)
    curve = DerObjectId().decode(_sequence(algorithm)[1])
    bits = DerBitString().decode(point).value
    if curve.value != _CURVE or len(bits) != 65 or bits[0] != 4:
        raise ValueError("not an uncompressed point of secp256k1")
    return bits[1:]


def _sequence(encoded: bytes) -> list[Any]:
    """What a DER sequence consists of: integers, and anything else as it is encoded. Raises `ValueError`."""
    sequence = DerSequence().decode(encoded)
    return [sequence[index] for index in range(len(sequence))]


def _client(config: AwsKms) -> Any:
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415 - comes with boto3
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - comes with boto3
    except ImportError:
        raise InputError("a signer of kind aws_kms needs boto3: pip install 'ballast[kms]'") from None
    # Few and short tries: a signature that comes late is for a market that has gone.
    patience = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
    try:
        # A session of its own: the shared one keeps the credentials that somebody else started it with.
        return boto3.session.Session().client(
            "kms", region_name=config.region, endpoint_url=config.endpoint_url, config=patience
        )
    except (BotoCoreError, ValueError) as error:
        raise InputError(f"cannot set up the KMS client: {one_line(str(error))}") from None
