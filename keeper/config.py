"""The keeper's configuration: one YAML file. Paths in it are relative to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from keeper.chain.deployment import Deployment
from keeper.chain.endpoints import ChainEndpoints
from keeper.chain.fields import Address, Strict, from_environment
from keeper.chain.lens import Lens
from keeper.chain.venues import Venue
from keeper.domain.decision import Decision
from keeper.domain.errors import InputError, explain
from keeper.domain.parse import load_decision, load_policy, load_snapshot, read_yaml, with_models
from keeper.domain.policy import Policy
from keeper.domain.snapshot import Snapshot
from keeper.ops.alerts import AlertsConfig
from keeper.ops.health import HealthConfig
from keeper.policy.breakers import Breakers
from keeper.submit.keys import Keystore, SignerConfig
from keeper.submit.relay import Routing
from keeper.submit.sender import Sending


class Config(Strict):
    """Everything `keeper` needs to know to look after one vault."""

    chain: ChainEndpoints
    deployment: Path
    venues: tuple[Venue, ...] = Field(min_length=1)
    connectors: tuple[Address, ...] = ()
    tick_words: int = Field(default=4, ge=1, le=64)
    """Bitmap words (256 tick spacings each) of a V3 pool to read on either side of its price."""
    policy: Policy
    signer: SignerConfig | None = None
    sending: Sending = Sending()
    routing: Routing = Routing()
    """Private relays and the public mempool."""
    interval_seconds: float = Field(default=4, gt=0)
    """How often `run` looks for a new block."""
    breakers: Breakers = Breakers()
    health: HealthConfig | None = None
    """Where `/healthz` and `/metrics` are served; nowhere without it."""
    alerts: AlertsConfig = AlertsConfig()
    journal: str = Field(default="journal-{mode}.sqlite", validate_default=True)
    """A file, or the URL of a database; `{mode}` becomes dry or live, so that the two never mix."""
    lease_seconds: int = Field(default=120, ge=10)
    """How long a keeper that falls silent keeps its lease, before another may take over."""

    @field_validator("journal", mode="after")
    @classmethod
    def _one_for_each_mode(cls, journal: str, info: ValidationInfo) -> str:
        if "{mode}" not in journal:
            raise ValueError("must contain {mode}: what is rehearsed and what is sent are kept apart")
        journal = from_environment(journal)
        return journal if "://" in journal else f"sqlite:///{_resolve(Path(journal), info)}"

    def journal_url(self, mode: Literal["dry", "live"]) -> str:
        """Where the journal of a mode is, as a database URL."""
        return self.journal.replace("{mode}", mode)

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
            return Policy.model_validate(
                with_models(value, lambda name: read_text(_resolve(Path(name), info), "model"))
            )
        except ValidationError as error:
            raise ValueError(explain(error)) from None

    @classmethod
    def load(cls, path: Path) -> Config:
        """Reads a configuration file and the policy it names. Raises `InputError`."""
        found = read_yaml(read_text(path, "configuration"), str(path))
        try:
            return cls.model_validate(found, context={"directory": path.parent})
        except ValidationError as error:
            raise InputError(f"{path}: {explain(error)}") from None

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
        return load_policy(text, lambda name: read_text(path.parent / Path(name).expanduser(), "model"))
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
