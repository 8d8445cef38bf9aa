"""Where a configuration says that the keeper's key lies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from keeper.chain.fields import Strict, Url


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
