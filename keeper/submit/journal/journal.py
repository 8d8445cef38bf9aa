"""What the keeper has seen, decided, signed and sent: written down before it matters."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Select, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from keeper.domain import Decision, Past, Policy, Snapshot
from keeper.domain.errors import InputError
from keeper.submit.errors import InTheWay, JournalError
from keeper.submit.journal import models
from keeper.submit.journal.models import OPEN, Attempt, Intent, Outcome, Receipt, State, Vault, storable
from keeper.submit.journal.store import Reign, Store
from keeper.submit.signer import SignedTransaction

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long holds are kept as they were, and what time one of them stands for afterwards, without its facts.

    Seconds. Trades are kept for ever.
    """

    holds: int = 2 * DAY
    merged: int = 3600


@dataclass(frozen=True, slots=True)
class Mined:
    """What a receipt says: block, status, gas, and wei per gas that was paid."""

    block_number: int
    block_hash: str
    status: int
    gas_used: int
    gas_price: int


class Journal:
    """The journal of one vault, in one database that other vaults may share. ``clock`` gives seconds since 1970."""

    def __init__(
        self, store: Store, chain_id: int, vault: str, deployment_hash: str, clock: Callable[[], float]
    ) -> None:
        """Raises `InputError` if the journal knows this vault from another chain, `JournalError`."""
        self.store, self.clock = store, clock
        self._key = (chain_id, vault, deployment_hash)
        self._vault_id: int | None = None
        with store.read() as session:
            self._known(session)

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    # The vault

    def vault(self) -> Vault | None:
        """The vault's row; None before the first write."""
        with self.store.read() as session:
            vault_id = self._known(session)
            return None if vault_id is None else session.get_one(Vault, vault_id)

    def _known(self, session: Session) -> int | None:
        """The vault's id. Asked in a read, for what a write has inserted may yet be rolled back."""
        if self._vault_id is None:
            row = self._row(session)
            self._vault_id = None if row is None else row.id
        return self._vault_id

    def _own(self, session: Session) -> int:
        """The vault's id, in a write: the first one inserts it."""
        if self._vault_id is not None:
            return self._vault_id
        row = self._row(session)
        if row is None:
            chain_id, address, deployment_hash = self._key
            row = Vault(chain_id=chain_id, address=address, deployment_hash=deployment_hash)
            session.add(row)
            session.flush()
        return row.id

    def _row(self, session: Session) -> Vault | None:
        chain_id, address, deployment_hash = self._key
        row = session.scalar(select(Vault).where(Vault.chain_id == chain_id, Vault.address == address))
        if row is not None and row.deployment_hash != deployment_hash:
            raise InputError(
                f"journal: {self.store.name} knows the vault {address} from a chain where block"
                f" {row.deployment_hash} deployed it, here it was {deployment_hash}: use another journal"
            )
        return row

    def halt(self, why: str) -> None:
        """Trade no more until `resume`; watching goes on."""
        with self.store.control() as session:
            row = session.get_one(Vault, self._own(session))
            row.halted_at, row.halted_why = self.now, why

    def resume(self) -> None:
        """Take a halt back, and with it the breakers that ask for a person."""
        with self.store.control() as session:
            row = session.get_one(Vault, self._own(session))
            row.halted_at = row.halted_why = None
            row.resumed_at = self.now

    def know(self, vault_nonce: int, block: int) -> None:
        """Take note how far the chain is known; never backwards."""
        with self.store.write() as session:
            row = session.get_one(Vault, self._own(session))
            row.known_vault_nonce = max(row.known_vault_nonce or 0, vault_nonce)
            row.known_block = max(row.known_block or 0, block)

    # Decisions

    def record(
        self, status: str, reason: str, block: int, facts: tuple[Snapshot, Policy, Decision] | None, intent_id: int = 0
    ) -> int:
        """Write a tick down. A hold for the same reason as the one before adds to that one's count.

        ``intent_id`` is the last intent that the past among the facts knows of.

        Returns:
            The decision's id.
        """
        packed = (
            None
            if facts is None
            else (
                _pack(facts[0].model_dump_json(exclude={"past"})),
                *(_pack(part.model_dump_json()) for part in facts[1:]),
            )
        )
        gist = _gist(reason)
        with self.store.write() as session:
            vault_id = self._own(session)
            row: models.Decision | None = session.scalar(_latest(vault_id).limit(1))
            if row is not None and row.status in _QUIET and (row.status, row.gist) == (status, gist):
                row.ticks += 1
                row.until, row.reason = self.now, reason
            else:
                row = models.Decision(
                    vault_id=vault_id,
                    at=self.now,
                    until=self.now,
                    block_number=block,
                    status=status,
                    reason=reason,
                    gist=gist,
                    ticks=1,
                )
                session.add(row)
            if facts is not None and packed is not None:
                body, row.policy, row.body = packed
                seen = None if row.snapshot_id is None else session.get(models.Snapshot, row.snapshot_id)
                if seen is None:
                    seen = models.Snapshot(vault_id=vault_id)
                    session.add(seen)
                seen.block_number, seen.block_hash, seen.body = facts[0].block.number, facts[0].block.hash, body
                session.flush()
                row.snapshot_id = seen.id
                row.past_id = None if facts[0].past is None else _past_id(session, vault_id, facts[0].past, intent_id)
            session.flush()
            return row.id

    def past(self) -> tuple[Past | None, int]:
        """The past that the latest decision knew, and the last intent in it; None and 0 if there is none to read."""
        with self.store.read() as session:
            row: models.Past | None = session.scalar(_latest_past(self._known(session)))
        if row is None:
            return None, 0
        try:
            return Past.model_validate_json(_unpack(row.body)), row.intent_id
        except (ValidationError, zlib.error):
            return None, row.intent_id

    def executed_since(self, intent_id: int) -> Intent | None:
        """The latest batch after this intent that a finalised block executed; None if there is none."""
        with self.store.read() as session:
            own = (Intent.vault_id == self._known(session), Intent.id > intent_id, Intent.order != b"")
            done = Intent.state.in_((State.DONE, State.FAILED))
            found: Intent | None = session.scalar(select(Intent).where(*own, done).order_by(Intent.id.desc()).limit(1))
            return found

    def decisions(self, limit: int) -> Sequence[models.Decision]:
        """The latest ones, newest first."""
        with self.store.read() as session:
            return session.scalars(_latest(self._known(session)).limit(limit)).all()

    def last_snapshot(self) -> Snapshot | None:
        """What the latest tick that saw the vault's facts has seen; None if that is not kept."""
        with self.store.read() as session:
            seen = models.Decision.snapshot_id.is_not(None)
            row = session.scalar(_latest(self._known(session)).where(seen).limit(1))
        if row is None:
            return None
        try:
            return self.facts(row.id)[0]
        except InputError:
            return None

    def facts(self, decision_id: int) -> tuple[Snapshot, Policy, Decision]:
        """What a decision was made from, and what it was.

        Raises:
            InputError: that is not kept, or another version of Ballast wrote it.
        """
        with self.store.read() as session:
            row = session.get(models.Decision, decision_id)
            if row is None or row.vault_id != self._known(session):
                raise InputError(f"the journal has no decision {decision_id}: see `keeper history`")
            snapshot = None if row.snapshot_id is None else session.get(models.Snapshot, row.snapshot_id)
            past = None if row.past_id is None else session.get(models.Past, row.past_id)
            if snapshot is None or row.policy is None or row.body is None:
                raise InputError(
                    f"the facts of decision {decision_id} are not kept: old holds go without,"
                    " and so does what was refused before the vault could be read"
                )
        try:
            seen = Snapshot.model_validate_json(_unpack(snapshot.body))
            if past is not None:
                seen = seen.model_copy(update={"past": Past.model_validate_json(_unpack(past.body))})
            return (
                seen,
                Policy.model_validate_json(_unpack(row.policy)),
                Decision.model_validate_json(_unpack(row.body)),
            )
        except (ValidationError, zlib.error):
            raise InputError(
                f"another version of Ballast wrote decision {decision_id}: this one cannot read it"
            ) from None

    def decision_of(self, intent: Intent) -> Decision | None:
        """The decision that a batch carried out; None if it cannot be read any more."""
        try:
            return None if intent.decision_id is None else self.facts(intent.decision_id)[2]
        except InputError:
            return None

    # Intents

    def open_intent(self, signer: str) -> Intent | None:
        """The intent of this signer on this chain that may still have an effect; there is at most one."""
        with self.store.read() as session:
            intent: Intent | None = session.scalar(self._open(signer))
            return intent

    def _open(self, signer: str) -> Select[Any]:
        return (
            select(Intent)
            .join(Vault)
            .where(Intent.signer == signer, Intent.state.in_(OPEN), Vault.chain_id == self._key[0])
            .order_by(Intent.id)
            .limit(1)
        )

    def commit(self, intent: Intent, pools: Collection[str] = (), timestamp: int = 0) -> Intent:
        """Write an intent down, before anything of it is signed.

        For a batch through ``pools``, planned at the block of this ``timestamp``, no other one that goes through one of
        them is on its way then, whichever process sends it.

        Raises:
            InTheWay: another one is.
            JournalError: another intent of this signer is open.
        """
        with self.store.write() as session:
            open_id = session.scalar(self._open(intent.signer).with_only_columns(Intent.id))
            if open_id is not None:
                raise JournalError(f"intent {open_id} of {intent.signer} is still open: there is one at a time")
            if pools:
                self.store.alone(session, f"pools:{self._key[0]}")
                self._give_way(session, pools, intent.created_block, timestamp)
            intent.vault_id = self._own(session)
            intent.state = State.COMMITTED
            intent.created_at = self.now
            session.add(intent)
            session.flush()
            session.refresh(intent)
            return intent

    def signed(  # noqa: PLR0917  one column each
        self, intent: Intent, kind: str, transaction: SignedTransaction, block: int,
        gas: int, max_fee: int, priority_fee: int,
    ) -> None:  # fmt: skip
        """Write signed bytes down, before they are sent anywhere."""
        with self.store.write() as session:
            row = session.get_one(Intent, intent.id)
            row.state = State.SIGNED if row.state == State.COMMITTED else row.state
            session.add(
                Attempt(
                    intent_id=row.id,
                    kind=kind,
                    hash=transaction.hash,
                    raw=transaction.raw,
                    gas=gas,
                    max_fee=max_fee,
                    priority_fee=priority_fee,
                    signed_at=self.now,
                    signed_block=block,
                )
            )

    def sent(self, attempt: Attempt, route: str | None, error: str | None) -> None:
        """Write down where bytes were sent, or why they were not."""
        with self.store.write() as session:
            row = session.get_one(Attempt, attempt.id)
            if route is not None:
                row.sent_at, row.route = self.now, route
            row.error = error

    def mined(self, attempt: Attempt, mined: Mined) -> None:
        """Write a receipt down; it may replace one from before a reorganisation."""
        with self.store.write() as session:
            row = session.get_one(Attempt, attempt.id)
            row.receipt = Receipt(
                block_number=mined.block_number,
                block_hash=mined.block_hash,
                status=mined.status,
                gas_used=mined.gas_used,
                gas_price=mined.gas_price,
            )
            session.get_one(Intent, row.intent_id).state = State.MINED

    def unmined(self, attempt: Attempt) -> None:
        """A reorganisation took the block away: the intent is open again."""
        with self.store.write() as session:
            row = session.get_one(Attempt, attempt.id)
            row.receipt = None
            session.get_one(Intent, row.intent_id).state = State.SIGNED

    def close(self, intent: Intent, state: State, why: str, outcome: Outcome | None = None) -> None:
        """The intent can have no more effect than it had."""
        with self.store.write() as session:
            row = session.get_one(Intent, intent.id)
            row.state, row.why, row.closed_at = state, why, self.now
            if outcome is not None:
                outcome.intent_id, outcome.at = row.id, self.now
                session.merge(outcome)

    def give_way(self, pools: Collection[str], block: int, timestamp: int) -> None:
        """Raises `InTheWay` while the batch of another vault will move one of these pools.

        That is one that a reading of ``block`` does not show yet: not mined as far as this journal knows, or in a later
        block. What can no longer be executed at ``timestamp`` does not count.
        """
        with self.store.read() as session:
            self._give_way(session, pools, block, timestamp)

    def _give_way(self, session: Session, pools: Collection[str], block: int, timestamp: int) -> None:
        chain_id, vault, _ = self._key
        later = select(Attempt.id).join(Receipt).where(Attempt.intent_id == Intent.id, Receipt.block_number > block)
        sent = and_(Intent.state.in_((State.COMMITTED, State.SIGNED)), Intent.deadline >= timestamp)
        rows = session.execute(
            select(Vault.address, models.Decision.body)
            .join(Intent, Intent.vault_id == Vault.id)
            .join(models.Decision, Intent.decision_id == models.Decision.id)
            .where(
                Vault.chain_id == chain_id,
                Vault.address != vault,
                models.Decision.body.is_not(None),
                or_(sent, later.exists()),
            )
        ).all()
        for address, body in rows:
            with suppress(ValidationError, zlib.error):  # of another version, which this one cannot read
                swaps = Decision.model_validate_json(_unpack(body or b"")).swaps
                if not {swap.pool for swap in swaps}.isdisjoint(pools):
                    raise InTheWay(f"a batch of the vault {address} is on its way through the same pools")

    def intents(self, limit: int) -> Sequence[Intent]:
        """The latest ones of this vault, newest first."""
        with self.store.read() as session:
            own = select(Intent).where(Intent.vault_id == self._known(session))
            return session.scalars(own.order_by(Intent.id.desc()).limit(limit)).all()

    def knows_transaction(self, transaction_hash: str) -> bool:
        """Whether these bytes were signed here."""
        with self.store.read() as session:
            return session.scalar(select(Attempt.id).where(Attempt.hash == transaction_hash)) is not None

    def highest_fees(self, signer: str, account_nonce: int) -> tuple[int, int]:
        """The highest fees that any bytes with this account nonce offered, wei per gas; zeros if there are none."""
        with self.store.read() as session:
            rows = session.execute(
                select(Attempt.max_fee, Attempt.priority_fee)
                .join(Intent)
                .join(Vault)
                .where(
                    Intent.signer == signer,
                    Intent.account_nonce == account_nonce,
                    Vault.chain_id == self._key[0],
                    Vault.deployment_hash == self._key[2],
                )
            ).all()
        return max((row[0] for row in rows), default=0), max((row[1] for row in rows), default=0)

    # Size

    def compact(self, retention: Retention) -> int:
        """Merge old holds: of an hour's for the same reason one stays, with the count of all and without its facts.

        What was merged before is not touched again, so this costs as much as there is to do.

        Returns:
            How many rows went.
        """
        decision = models.Decision
        with self.store.write() as session:
            vault_id = self._own(session)
            old = (
                decision.vault_id == vault_id,
                decision.until < self.now - retention.holds,
                decision.status.in_((*_QUIET, "planned")),
            )
            stripped = session.scalars(
                select(decision.snapshot_id).where(*old, decision.snapshot_id.is_not(None))
            ).all()
            session.execute(
                update(decision)
                .where(*old, decision.snapshot_id.is_not(None))
                .values(snapshot_id=None, past_id=None, body=None, policy=None)
            )
            newest = select(func.max(models.Past.id)).where(models.Past.vault_id == vault_id).scalar_subquery()
            used = select(decision.id).where(decision.past_id == models.Past.id).exists()
            unused = delete(models.Past).where(models.Past.vault_id == vault_id, models.Past.id < newest, ~used)
            session.execute(unused.execution_options(synchronize_session=False))
            for part in _parts(stripped):
                session.execute(delete(models.Snapshot).where(models.Snapshot.id.in_(part)))
            hour = decision.until // retention.merged
            groups = session.execute(
                select(hour, decision.status, decision.gist, func.min(decision.id), func.sum(decision.ticks),
                       func.max(decision.until))
                .where(*old)
                .group_by(hour, decision.status, decision.gist)
                .having(func.count() > 1)
            ).all()  # fmt: skip
            gone = 0
            for when, status, gist, first, ticks, until in groups:
                span = (decision.until >= when * retention.merged, decision.until < (when + 1) * retention.merged)
                same = (decision.status == status, decision.gist == gist, decision.id != first)
                ids = session.scalars(select(decision.id).where(*old, *span, *same)).all()
                for part in _parts(ids):
                    session.execute(delete(decision).where(decision.id.in_(part)))
                session.execute(update(decision).where(decision.id == first).values(ticks=int(ticks), until=until))
                gone += len(ids)
        self.store.shrink()
        return gone + len(stripped)


_QUIET = ("hold", "waiting", "refused", "failed")
"""Ticks that changed nothing: those in a row for the same reason are one row."""


def reign(store: Store, name: str, seconds: int, clock: Callable[[], float]) -> Reign:
    """Take the lease ``name``. Raises `LostLease` while another keeper holds it."""
    taken = Reign(store, name, seconds, clock)
    taken.begin()
    return taken


def _latest(vault_id: int | None) -> Select[Any]:
    return select(models.Decision).where(models.Decision.vault_id == vault_id).order_by(models.Decision.id.desc())


def _latest_past(vault_id: int | None) -> Select[Any]:
    return select(models.Past).where(models.Past.vault_id == vault_id).order_by(models.Past.id.desc()).limit(1)


def _past_id(session: Session, vault_id: int, past: Past, intent_id: int) -> int:
    """The row of this past: the latest one if that is the same, so that one stays for as long as nothing changes."""
    body = _pack(past.model_dump_json())
    row: models.Past | None = session.scalar(_latest_past(vault_id))
    if row is None or row.body != body or row.intent_id != intent_id:
        row = models.Past(vault_id=vault_id, intent_id=intent_id, body=body)
        session.add(row)
        session.flush()
    return row.id


def _parts(ids: Sequence[int | None]) -> Iterator[Sequence[int | None]]:
    """So many at a time as fit into one statement."""
    return (ids[start : start + 500] for start in range(0, len(ids), 500))


def _gist(reason: str) -> str:
    """A reason without its numbers: two holds for the same one differ in nothing else."""
    return "".join(character for character in storable(reason) if not (character.isdigit() or character in ".,-"))[:200]


def _pack(body: str) -> bytes:
    return zlib.compress(body.encode(), 9)


def _unpack(body: bytes) -> str:
    return zlib.decompress(body).decode()


def amounts(changes: dict[str, int]) -> str:
    """Raw amounts by token as JSON text."""
    return json.dumps({token: str(amount) for token, amount in changes.items()})
