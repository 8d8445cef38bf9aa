"""The keeper's configuration: one YAML file. Paths in it are relative to it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from keeper.chain.deployment import Deployment
from keeper.chain.fields import Address, Strict
from keeper.chain.lens import Lens
from keeper.chain.venues import Venue
from keeper.domain.decision import Decision
from keeper.domain.errors import InputError
from keeper.domain.parse import explain, load_decision, load_policy, load_snapshot
from keeper.domain.policy import Policy
from keeper.domain.snapshot import Snapshot
from keeper.submit.sender import Sending
from keeper.submit.signer import Keystore, SignerConfig

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class Chain(Strict):
    """Which node to ask, and which chain it must follow. `${NAME}` in the URL is read from the environment."""

    rpc_url: str
    chain_id: int = Field(gt=0)
    timeout_seconds: float = Field(default=20, gt=0)

    @field_validator("rpc_url", mode="after")
    @classmethod
    def _expand(cls, url: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = os.environ.get(match[1])
            if not found:
                raise ValueError(f"the environment variable {match[1]} is not set")
            return found

        url = _VARIABLE.sub(value, url)
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("must be an http:// or https:// URL")
        return url


class Config(Strict):
    """Everything `keeper` needs to know to look after one vault."""

    chain: Chain
    deployment: Path
    venues: tuple[Venue, ...] = Field(min_length=1)
    connectors: tuple[Address, ...] = ()
    tick_words: int = Field(default=4, ge=1, le=64)
    """Bitmap words (256 tick spacings each) of a V3 pool to read on either side of its price."""
    policy: Policy
    signer: SignerConfig | None = None
    sending: Sending = Sending()
    interval_seconds: float = Field(default=4, gt=0)
    """How often `run` looks for a new block."""

    @field_validator("deployment", mode="after")
    @classmethod
    def _beside_this_file(cls, path: Path, info: ValidationInfo) -> Path:
        return _resolve(path, info)

    @field_validator("signer", mode="after")
    @classmethod
    def _keystore_beside_this_file(cls, signer: SignerConfig | None, info: ValidationInfo) -> SignerConfig | None:
        if isinstance(signer, Keystore):
            return signer.model_copy(update={"path": _resolve(signer.path, info)})
        return signer

    @field_validator("policy", mode="plain")
    @classmethod
    def _inline_or_file(cls, value: Any, info: ValidationInfo) -> Policy:
        if isinstance(value, str):
            return read_policy(_resolve(Path(value), info))
        try:
            return Policy.model_validate(value)
        except ValidationError as error:
            raise ValueError(explain(error)) from None

    @classmethod
    def load(cls, path: Path) -> Config:
        """Reads a configuration file and the policy it names. Raises `InputError`."""
        text = read_text(path, "configuration")
        try:
            return cls.model_validate(yaml.safe_load(text), context={"directory": path.parent})
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error)}") from None
        except yaml.YAMLError as error:
            raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None

    def lens(self, deployment: Deployment) -> Lens:
        """What to read of the chain for this vault."""
        return Lens(
            chain_id=self.chain.chain_id,
            vault=deployment.vault,
            native_token=deployment.native_token,
            connectors=self.connectors,
            venues=self.venues,
            tick_words=self.tick_words,
        )


def read_policy(path: Path) -> Policy:
    """Reads a policy file. Raises `InputError`."""
    text = read_text(path, "policy")
    try:
        return load_policy(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_snapshot(path: Path) -> Snapshot:
    """Reads a snapshot file. Raises `InputError`."""
    text = read_text(path, "snapshot")
    try:
        return load_snapshot(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_plan(path: Path) -> Decision:
    """Reads a decision that `keeper plan --json` printed. Raises `InputError`."""
    text = read_text(path, "plan")
    try:
        return load_decision(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_text(path: Path, what: str) -> str:
    """The text of a file that a person named. Raises `InputError`."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read the {what} file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"the {what} file {path} is not text") from None


def _resolve(path: Path, info: ValidationInfo) -> Path:
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / path.expanduser()
