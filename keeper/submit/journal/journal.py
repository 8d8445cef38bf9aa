"""What the keeper has seen, decided, signed and sent: written down before it matters."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, func, select, update

from keeper.domain import Decision, Policy, Snapshot
from keeper.domain.errors import InputError
from keeper.submit.journal import models
from keeper.submit.journal.models import OPEN, Attempt, Intent, Outcome, Receipt, State, Vault
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
        """Raises `InputError` if the journal knows this vault from another chain."""
        self.store, self.clock = store, clock
        self._key = (chain_id, vault, deployment_hash)
        self._vault_id: int | None = None
        with store.read() as session:
            known = session.scalar(select(Vault).where(Vault.chain_id == chain_id, Vault.address == vault))
            if known is not None:
                if known.deployment_hash != deployment_hash:
                    raise InputError(
                        f"journal: {store.name} knows the vault {vault} from a chain where block"
                        f" {known.deployment_hash} deployed it, here it was {deployment_hash}: use another journal"
                    )
                self._vault_id = known.id

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    # The vault

    def vault(self) -> Vault | None:
        """The vault's row; None before the first write."""
        if self._vault_id is None:
            return None
        with self.store.read() as session:
            return session.get_one(Vault, self._vault_id)

    def _own(self, session: Any) -> int:
        if self._vault_id is None:
            chain_id, address, deployment_hash = self._key
            row = Vault(chain_id=chain_id, address=address, deployment_hash=deployment_hash)
            session.add(row)
            session.flush()
            self._vault_id = row.id
        return self._vault_id

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

    def record(self, status: str, reason: str, block: int, facts: tuple[Snapshot, Policy, Decision] | None) -> int:
        """Write a tick down. A hold for the same reason as the one before adds to that one's count.

        Returns:
            The decision's id.
        """
        with self.store.write() as session:
            vault_id = self._own(session)
            last = session.scalar(
                select(models.Decision)
                .where(models.Decision.vault_id == vault_id)
                .order_by(models.Decision.id.desc())
                .limit(1)
            )
            quiet = status in ("hold", "waiting", "refused", "failed")
            if quiet and last is not None and (last.status, _gist(last.reason)) == (status, _gist(reason)):
                last.ticks += 1
                last.reason = reason
                return last.id
            row = models.Decision(
                vault_id=vault_id, at=self.now, block_number=block, status=status, reason=reason, ticks=1
            )
            if facts is not None:
                snapshot, policy, decision = facts
                stored = models.Snapshot(
                    vault_id=vault_id,
                    block_number=snapshot.block.number,
                    block_hash=snapshot.block.hash,
                    body=_pack(snapshot.model_dump_json()),
                )
                session.add(stored)
                session.flush()
                row.snapshot_id = stored.id
                row.policy, row.body = _pack(policy.model_dump_json()), _pack(decision.model_dump_json())
            session.add(row)
            session.flush()
            return row.id

    def decisions(self, limit: int) -> Sequence[models.Decision]:
        """The latest ones, newest first."""
        if self._vault_id is None:
            return ()
        with self.store.read() as session:
            return session.scalars(
                select(models.Decision)
                .where(models.Decision.vault_id == self._vault_id)
                .order_by(models.Decision.id.desc())
                .limit(limit)
            ).all()

    def facts(self, decision_id: int) -> tuple[Snapshot, Policy, Decision]:
        """What a decision was made from, and what it was. Raises `InputError` if that is not kept."""
        with self.store.read() as session:
            row = session.get(models.Decision, decision_id)
            if row is None or row.vault_id != self._vault_id:
                raise InputError(f"the journal has no decision {decision_id}: see `keeper history`")
            snapshot = None if row.snapshot_id is None else session.get(models.Snapshot, row.snapshot_id)
            if snapshot is None or row.policy is None or row.body is None:
                raise InputError(f"the facts of decision {decision_id} are not kept any more: it was a hold")
            return (
                Snapshot.model_validate_json(_unpack(snapshot.body)),
                Policy.model_validate_json(_unpack(row.policy)),
                Decision.model_validate_json(_unpack(row.body)),
            )

    # Intents

    def open_intent(self, signer: str) -> Intent | None:
        """The intent of this signer on this chain that may still have an effect; there is at most one."""
        with self.store.read() as session:
            return session.scalar(
                select(Intent)
                .join(Vault)
                .where(Intent.signer == signer, Intent.state.in_(OPEN), Vault.chain_id == self._key[0])
                .order_by(Intent.id)
                .limit(1)
            )

    def is_own(self, intent: Intent) -> bool:
        """Whether an intent is about this vault."""
        return intent.vault_id == self._vault_id

    def commit(self, intent: Intent) -> Intent:
        """Write an intent down, before anything of it is signed."""
        with self.store.write() as session:
            intent.vault_id = self._own(session)
            intent.state = State.COMMITTED
            intent.created_at = self.now
            session.add(intent)
            session.flush()
            session.refresh(intent)
            return intent

    def signed(  # noqa: PLR0917  one column each
        self, intent: Intent, kind: Literal["batch", "cancel"], transaction: SignedTransaction, block: int,
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

    def intents(self, limit: int) -> Sequence[Intent]:
        """The latest ones of this vault, newest first."""
        if self._vault_id is None:
            return ()
        with self.store.read() as session:
            return session.scalars(
                select(Intent).where(Intent.vault_id == self._vault_id).order_by(Intent.id.desc()).limit(limit)
            ).all()

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

    def closed_since(self, since: int) -> Sequence[Intent]:
        """Intents of this vault that were closed at or after a time, oldest first."""
        if self._vault_id is None:
            return ()
        with self.store.read() as session:
            return session.scalars(
                select(Intent).where(Intent.vault_id == self._vault_id, Intent.closed_at >= since).order_by(Intent.id)
            ).all()

    # Size

    def compact(self, retention: Retention) -> int:
        """Merge old holds: of each hour one stays, with the count of all, and without its snapshot.

        Returns:
            How many rows went.
        """
        horizon = self.now - retention.holds
        with self.store.write() as session:
            vault_id = self._own(session)
            kept = select(Intent.decision_id).where(Intent.decision_id.is_not(None))
            old = (
                models.Decision.vault_id == vault_id,
                models.Decision.at < horizon,
                models.Decision.status.in_(("hold", "waiting", "refused", "failed", "planned")),
                models.Decision.id.not_in(kept),
            )
            snapshots = select(models.Decision.snapshot_id).where(*old, models.Decision.snapshot_id.is_not(None))
            doomed = list(session.scalars(snapshots))
            session.execute(update(models.Decision).where(*old).values(snapshot_id=None, body=None, policy=None))
            for start in range(0, len(doomed), 500):
                session.execute(delete(models.Snapshot).where(models.Snapshot.id.in_(doomed[start : start + 500])))
            hour = models.Decision.at / retention.merged
            groups = session.execute(
                select(func.min(models.Decision.id), func.sum(models.Decision.ticks))
                .where(*old)
                .group_by(func.floor(hour), models.Decision.status)
            ).all()
            first = {row[0]: row[1] for row in groups}
            ids = set(session.scalars(select(models.Decision.id).where(*old))) - first.keys()
            for start in range(0, len(ids), 500):
                part = sorted(ids)[start : start + 500]
                session.execute(delete(models.Decision).where(models.Decision.id.in_(part)))
            for decision_id, ticks in first.items():
                session.execute(
                    update(models.Decision).where(models.Decision.id == decision_id).values(ticks=int(ticks))
                )
        return len(ids) + len(doomed)


def reign(store: Store, name: str, seconds: int, clock: Callable[[], float]) -> Reign:
    """Take the lease ``name``. Raises `LostLease` while another keeper holds it."""
    taken = Reign(store, name, seconds, clock)
    taken.begin()
    return taken


def _gist(reason: str) -> str:
    """A reason without its numbers: two holds for the same one differ in nothing else."""
    return "".join(character for character in reason if not (character.isdigit() or character in ".,-"))


def _pack(body: str) -> bytes:
    return zlib.compress(body.encode(), 9)


def _unpack(body: bytes) -> str:
    return zlib.decompress(body).decode()


def amounts(changes: dict[str, int]) -> str:
    """Raw amounts by token as JSON text."""
    return json.dumps({token: str(amount) for token, amount in changes.items()})
