"""The journal's tables. SQLite and Postgres hold the same; integers that pass 64 bits are decimal text in both.

vault 1─n decision n─1 snapshot        what was decided, and on which facts
decision n─1 past                      what these knew of the time before; decisions share it until it changes
vault 1─n intent 1─n attempt 1─1 receipt    what was to be done, the bytes that were signed for it, what became of them
intent 1─1 outcome                     what the batch did
lease                                  who may write, by number of reign (epoch)
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Wide(TypeDecorator[int]):
    """An integer of any size, as decimal text."""

    impl = String(80)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:
        del dialect
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:
        del dialect
        return None if value is None else int(value)


_LONGEST = 2000


def storable(said: str) -> str:
    """What both databases store of a text: no NUL, no half of a UTF-16 pair, nothing endless."""
    plain = said.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


class Line(TypeDecorator[str]):
    """Text that nodes and tokens had a part in, as far as it is `storable`: a journal must not choke on an error."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        del dialect
        return None if value is None else storable(value)


# SQLite counts rows by itself only in a column of this exact type.
_Id = BigInteger().with_variant(Integer, "sqlite")


class State(StrEnum):
    """Where an intent stands.

    `committed`: written down, nothing signed. `signed`: bytes exist, and from here on they may turn up on the chain at
    any time. `mined`: a receipt was seen, in a block that may still be reorganised. The rest is final: `done` (the
    batch was executed and drift fell), `failed` (it was executed and drift did not fall), `reverted`, `cancelled` (a
    self-transfer took its account nonce), `superseded` (another transaction took its account nonce), `expired` (past
    its deadline by a finalised block), `abandoned` (nothing was ever signed).
    """

    COMMITTED = "committed"
    SIGNED = "signed"
    MINED = "mined"
    DONE = "done"
    FAILED = "failed"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    ABANDONED = "abandoned"


OPEN = (State.COMMITTED, State.SIGNED, State.MINED)
"""States in which an intent may still have an effect."""


class Base(DeclarativeBase):
    """All tables."""


class Vault(Base):
    """A vault that this journal is about, bound to the chain it was deployed on by the hash of that block."""

    __tablename__ = "vault"
    __table_args__ = (UniqueConstraint("chain_id", "address"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    chain_id: Mapped[int] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(42))
    deployment_hash: Mapped[str] = mapped_column(String(66))
    # How far the chain is known: what a journal that was lost or restored has missed lies beyond.
    known_vault_nonce: Mapped[int] = mapped_column(BigInteger, default=0)
    known_block: Mapped[int] = mapped_column(BigInteger, default=0)
    halted_at: Mapped[int | None] = mapped_column(BigInteger)
    halted_why: Mapped[str | None] = mapped_column(Line)
    resumed_at: Mapped[int | None] = mapped_column(BigInteger)


class Snapshot(Base):
    """The facts of one block, compressed JSON."""

    __tablename__ = "snapshot"

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    vault_id: Mapped[int] = mapped_column(ForeignKey("vault.id"))
    block_number: Mapped[int] = mapped_column(BigInteger)
    block_hash: Mapped[str] = mapped_column(String(66))
    body: Mapped[bytes] = mapped_column(LargeBinary)


class Past(Base):
    """What decisions knew of the time before, compressed JSON; ``intent_id`` is the last intent that is in it, or 0."""

    __tablename__ = "past"
    __table_args__ = (Index("past_by_vault", "vault_id", "id"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    vault_id: Mapped[int] = mapped_column(ForeignKey("vault.id"))
    intent_id: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)


class Decision(Base):
    """One decision with its reason; ``policy`` and ``body`` are compressed JSON.

    Holds in a row for the same reason are one row: ``ticks`` counts them, ``at`` and ``block_number`` are of the first,
    ``until``, ``reason`` and the facts of the last. ``gist`` is the reason without its numbers.
    """

    __tablename__ = "decision"
    __table_args__ = (
        Index("decision_by_vault", "vault_id", "id"),
        Index("decision_by_age", "vault_id", "until"),
        # Without it, each snapshot that goes would have all decisions searched for it.
        Index("decision_by_snapshot", "snapshot_id"),
        Index("decision_by_past", "past_id"),
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    vault_id: Mapped[int] = mapped_column(ForeignKey("vault.id"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshot.id"))
    past_id: Mapped[int | None] = mapped_column(BigInteger)
    at: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[int] = mapped_column(BigInteger)
    block_number: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Line)
    gist: Mapped[str] = mapped_column(Line)
    ticks: Mapped[int] = mapped_column(Integer, default=1)
    policy: Mapped[bytes | None] = mapped_column(LargeBinary)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


class Intent(Base):
    """A batch that was decided on; or, without an order, a call that keeps the oracle up, or the end of a nonce.

    All its attempts have its account nonce, and its order its vault nonce: at most one of them can take effect, once.
    """

    __tablename__ = "intent"
    __table_args__ = (
        Index("intent_by_state", "state", "signer"),
        Index("intent_by_vault", "vault_id", "id"),
        Index("intent_by_decision", "decision_id"),
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    vault_id: Mapped[int] = mapped_column(ForeignKey("vault.id"))
    decision_id: Mapped[int | None] = mapped_column(ForeignKey("decision.id"))
    signer: Mapped[str] = mapped_column(String(42))
    account_nonce: Mapped[int] = mapped_column(BigInteger)
    vault_nonce: Mapped[int] = mapped_column(BigInteger)
    deadline: Mapped[int] = mapped_column(BigInteger)
    order: Mapped[bytes] = mapped_column(LargeBinary)
    predicted: Mapped[str] = mapped_column(Text)
    predicted_cost: Mapped[int] = mapped_column(Wide)
    turnover: Mapped[int] = mapped_column(Wide)
    state: Mapped[str] = mapped_column(String(12))
    why: Mapped[str | None] = mapped_column(Line)
    created_at: Mapped[int] = mapped_column(BigInteger)
    created_block: Mapped[int] = mapped_column(BigInteger)
    closed_at: Mapped[int | None] = mapped_column(BigInteger)

    attempts: Mapped[list[Attempt]] = relationship(order_by="Attempt.id", lazy="selectin")
    outcome: Mapped[Outcome | None] = relationship(lazy="selectin")
    vault: Mapped[Vault] = relationship(lazy="joined")


class Attempt(Base):
    """Signed bytes. ``kind`` is `batch`, `cancel` or `upkeep`. Written before they are sent anywhere."""

    __tablename__ = "attempt"
    __table_args__ = (Index("attempt_by_intent", "intent_id"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    intent_id: Mapped[int] = mapped_column(ForeignKey("intent.id"))
    kind: Mapped[str] = mapped_column(String(8))
    hash: Mapped[str] = mapped_column(String(66), unique=True)
    raw: Mapped[bytes] = mapped_column(LargeBinary)
    gas: Mapped[int] = mapped_column(BigInteger)
    max_fee: Mapped[int] = mapped_column(Wide)
    priority_fee: Mapped[int] = mapped_column(Wide)
    signed_at: Mapped[int] = mapped_column(BigInteger)
    signed_block: Mapped[int] = mapped_column(BigInteger)
    sent_at: Mapped[int | None] = mapped_column(BigInteger)
    route: Mapped[str | None] = mapped_column(Line)
    error: Mapped[str | None] = mapped_column(Line)

    receipt: Mapped[Receipt | None] = relationship(lazy="selectin", cascade="all, delete-orphan")


class Receipt(Base):
    """What a node says of an attempt that was mined; gone again if its block was."""

    __tablename__ = "receipt"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempt.id"), primary_key=True)
    block_number: Mapped[int] = mapped_column(BigInteger)
    block_hash: Mapped[str] = mapped_column(String(66))
    status: Mapped[int] = mapped_column(Integer)
    gas_used: Mapped[int] = mapped_column(BigInteger)
    gas_price: Mapped[int] = mapped_column(Wide)


class Outcome(Base):
    """What a batch did, as the vault measured it. NAV and cost in USD WAD, drift in WAD; amounts as JSON by token."""

    __tablename__ = "outcome"

    intent_id: Mapped[int] = mapped_column(ForeignKey("intent.id"), primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)
    block_number: Mapped[int] = mapped_column(BigInteger)
    nav_before: Mapped[int] = mapped_column(Wide)
    nav_after: Mapped[int] = mapped_column(Wide)
    drift_before: Mapped[int] = mapped_column(Wide)
    drift_after: Mapped[int] = mapped_column(Wide)
    realised: Mapped[str] = mapped_column(Text)


class Lease(Base):
    """Who reigns. Every write of a reign carries its ``epoch``, which only ever rises; times in seconds."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    holder: Mapped[str] = mapped_column(String(120))
    epoch: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)
