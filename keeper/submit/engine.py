"""One transaction at a time, never twice: intents, attempts, and what became of them.

The rules (docs/operations.md has them for people):

- An intent is on disk before anything of it is signed, and signed bytes are on disk before they are sent.
- All attempts of an intent share its account nonce and its vault nonce, so at most one can take effect, once.
- Whatever else the keeper sends (upkeep of the oracle, self-transfers) is an intent too: nothing has an account nonce
  beside the one that is open.
- Bytes that were signed may turn up at any time. An intent is over only when a *finalised* block says so: its account
  nonce is used, or its deadline has passed. Until then the same bytes are sent again, replaced at higher fees, or
  cancelled by a self-transfer with the same account nonce; nothing else is planned for this signer.
- What a reorganisation takes away is open again.
- A journal that does not know what its own key did on chain was lost or is an old copy. It learns the past from the
  vault's events, uses up the account nonce, which kills all bytes that it does not know, waits for finality, and only
  then plans.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eth_utils.address import to_checksum_address

from keeper.chain import bindings
from keeper.chain.deployment import Deployment
from keeper.chain.errors import NodeError, RpcError
from keeper.chain.lens import Reading
from keeper.chain.rpc import Endpoint, Header
from keeper.domain.decision import Decision
from keeper.submit.errors import SendError
from keeper.submit.journal import Attempt, Intent, Journal, Mined, Outcome, State, amounts
from keeper.submit.sender import (
    Call,
    Realised,
    Sending,
    Transaction,
    contents_of,
    cost_of,
    fees,
    predicted_changes,
    prepare,
    prepare_call,
    realised_changes,
    rebalanced,
    sign,
    turnover_of,
)
from keeper.submit.signer import Signer
from keeper.units import mul_div_up, percent

CANCEL_GAS = 21_000
_BUMP = 113
"""Percent of both fees that a replacement must offer; nodes ask for 110."""
_LOG_SPAN = 5_000
"""Blocks whose events are asked for at once."""

_UNTOLD_BLOCKS = 32
"""Blocks past a final batch, by the finalised head, after which a receipt without its logs is the node's failure."""

Broadcast = Callable[[bytes, int, int, int], str]
"""Sends raw bytes that were first sent at one block, at another one now, to be mined by a third.

Returns the route that took them, or raises `SendError`.
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why nothing new may be planned now."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the chain says of a signer: headers, and its account nonce at both."""

    head: Header
    final: Header
    nonce: int
    final_nonce: int


class Engine:
    """Carries intents through for one vault and one signer."""

    def __init__(  # noqa: PLR0917  named by the one caller
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        journal: Journal,
        signer: Signer,
        sending: Sending,
        max_gas_price: int | None,
        broadcast: Broadcast,
    ) -> None:
        self.endpoint, self.deployment, self.journal, self.signer = endpoint, deployment, journal, signer
        self.sending, self.max_gas_price, self._broadcast = sending, max_gas_price, broadcast

    # Before planning

    def settle(self, head: Header, vault_nonce: Callable[[], int] | None = None) -> Waiting | None:
        """Find out what became of the open intent and do what it needs. None if something new may be planned.

        ``vault_nonce`` gives the vault's nonce at ``head``, of a caller that reads it anyway; asked if it is needed.

        Raises:
            LostLease: another keeper reigns.
            RpcError: the node failed, is behind or follows another chain; nothing was decided.
        """
        vault = self.journal.vault()
        if vault is not None and vault.known_block is not None and head.number < vault.known_block:
            raise RpcError(
                f"{self.endpoint.name} is at block {head.number}, and this keeper has seen block {vault.known_block}:"
                " the node is behind"
            )
        intent = self.journal.open_intent(self.signer.address)
        if intent is None:
            return self._catch_up(head, vault_nonce)
        if intent.vault.address != self.deployment.vault:
            # Only that vault's own engine knows all there is to know of it.
            return Waiting(
                f"{self.signer.address} has a batch of the vault {intent.vault.address} under way: one at a time"
            )
        # What another chain says of an account nonce must not end an intent.
        self.deployment.check_chain(self.endpoint)
        facts = self._facts(head)
        if intent.state == State.COMMITTED:
            self.journal.close(intent, State.ABANDONED, "the keeper stopped before anything was signed")
            return self._catch_up(head, vault_nonce)
        if (waiting := self._follow(intent, facts)) is not None:
            return waiting
        return self._catch_up(head, vault_nonce)

    def _facts(self, head: Header) -> _Facts:
        final = self.endpoint.header(self.sending.finality)
        address = self.signer.address
        return _Facts(
            head=head,
            final=final,
            nonce=self.endpoint.quantity("eth_getTransactionCount", address, "latest"),
            final_nonce=self.endpoint.quantity("eth_getTransactionCount", address, hex(final.number)),
        )

    def _follow(self, intent: Intent, facts: _Facts) -> Waiting | None:
        """One step of an intent of which bytes exist."""
        if (found := self._receipt(intent)) is not None:
            attempt, receipt = found
            mined = _mined(receipt)
            for other in intent.attempts:
                if other.receipt is not None and other.id != attempt.id:
                    self.journal.unmined(other)  # a reorganisation put this attempt in that one's place
            if attempt.receipt is None or attempt.receipt.block_hash != mined.block_hash:
                self.journal.mined(attempt, mined)
            if mined.block_number > facts.final.number:
                left = mined.block_number - facts.final.number
                return Waiting(
                    f"{attempt.kind} {attempt.hash} is in block {mined.block_number}, final in {left} blocks"
                )
            return self._conclude(intent, attempt, receipt, facts)
        for attempt in intent.attempts:
            if attempt.receipt is not None:
                self.journal.unmined(attempt)
        if facts.final_nonce > intent.account_nonce:
            return self._lost(intent, facts)
        # A self-transfer has no deadline: where it came first, only a used nonce will do.
        if facts.final.timestamp > intent.deadline and intent.attempts[0].kind != "cancel":
            self.journal.close(
                intent, State.EXPIRED, "its deadline passed in a finalised block, and it was never mined"
            )
            return None
        if facts.nonce > intent.account_nonce:
            return Waiting(
                f"account nonce {intent.account_nonce} is used by another transaction; waiting until that is final"
            )
        return self._push(intent, facts)

    def _receipt(self, intent: Intent) -> tuple[Attempt, dict[str, Any]] | None:
        """The attempt that is in the canonical chain, with its receipt."""
        for attempt in intent.attempts:
            receipt = self.endpoint.request("eth_getTransactionReceipt", attempt.hash)
            if receipt is None:
                continue
            mined = _mined(receipt)
            if self.endpoint.header(mined.block_number).hash == mined.block_hash:
                return attempt, receipt
        return None

    def _conclude(self, intent: Intent, attempt: Attempt, receipt: Mapping[str, Any], facts: _Facts) -> Waiting | None:
        """Close an intent of which one attempt is final, unless no node shows what it did."""
        block = int(receipt["blockNumber"], 16)
        where = f"in block {block}"
        executed = attempt.kind == "batch" and int(receipt["status"], 16) == 1
        told = self._told(intent, receipt) if executed else None
        if executed and told is None:
            reason = f"{attempt.hash} succeeded {where}, but its receipt comes without what the vault logged"
            if facts.final.number - block < _UNTOLD_BLOCKS:
                return Waiting(f"{reason}; asking again")
            raise RpcError(f"{reason}, from every node: add one to rpc_urls that has it")
        self._learnt(intent)
        if int(receipt["status"], 16) != 1:
            self.journal.close(intent, State.REVERTED, f"{attempt.kind} {attempt.hash} reverted {where}")
        elif attempt.kind == "cancel":
            self.journal.close(intent, State.CANCELLED, f"cancelled by {attempt.hash} {where}")
        elif attempt.kind == "upkeep":
            self.journal.close(intent, State.DONE, f"{intent.why}: {attempt.hash} {where}")
        elif told is not None:
            outcome, event = self._outcome(intent, *told)
            fell = event["drift1"] < event["drift0"]
            drift = f"drift {percent(event['drift0'])} -> {percent(event['drift1'])}"
            state = State.DONE if fell else State.FAILED
            self.journal.close(intent, state, f"{attempt.hash} {where}: {drift}", outcome)
            self.journal.know(intent.vault_nonce, block)
        return None

    def _told(self, intent: Intent, receipt: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]] | None:
        """The receipt of a batch that was executed, from a node that shows its logs, with the vault's event in it.

        There are nodes that lose logs. Without them nobody knows what the batch did, and nothing may be made of that.
        """
        vault = intent.vault.address
        if (event := rebalanced(vault, receipt)) is not None:
            return receipt, event
        for other in self.endpoint.each("eth_getTransactionReceipt", receipt["transactionHash"]):
            if not isinstance(other, dict) or other.get("blockHash") != receipt["blockHash"]:
                continue  # of another fork, or no receipt
            if (event := rebalanced(vault, other)) is not None:
                return other, event
        return None

    def _outcome(
        self, intent: Intent, receipt: Mapping[str, Any], event: dict[str, Any]
    ) -> tuple[Outcome, dict[str, Any]]:
        vault = intent.vault.address
        # As it is now: a node that keeps no old state has forgotten what the basket was in that block.
        basket = bindings.view(self.endpoint, "IndexVault", vault, "assets", block="latest")
        tokens = {to_checksum_address(token) for token in (*basket, *json.loads(intent.predicted))}
        outcome = Outcome(
            block_number=int(receipt["blockNumber"], 16),
            nav_before=event["nav0"],
            nav_after=event["nav1"],
            drift_before=event["drift0"],
            drift_after=event["drift1"],
            realised=amounts(realised_changes(vault, sorted(tokens), receipt)),
        )
        return outcome, event

    def _lost(self, intent: Intent, facts: _Facts) -> Waiting | None:
        """The account nonce is used in a finalised block, but not by bytes of ours that the node has a receipt of."""
        event = self._event_of(intent, facts)
        if event is not None and self.journal.knows_transaction(event["transactionHash"]):
            # A batch of ours did it, and the node keeps its receipt back.
            return Waiting(f"{event['transactionHash']} took effect; waiting for a node that has its receipt")
        self._learnt(intent)
        self.journal.close(
            intent, State.SUPERSEDED, f"another transaction used account nonce {intent.account_nonce}, finally"
        )
        return None

    def _learnt(self, intent: Intent) -> None:
        """What a journal that was behind had to find out counts as known when its intent ends, and not before."""
        if intent.attempts[0].kind == "cancel":
            self.journal.know(intent.vault_nonce, intent.created_block)

    def _event_of(self, intent: Intent, facts: _Facts) -> dict[str, Any] | None:
        for log in self._batches(intent.created_block, facts.final.number):
            event = bindings.interface("IndexVault").decode_log("Rebalanced", log)
            if event["nonce"] == intent.vault_nonce:
                return log
        return None

    def _push(self, intent: Intent, facts: _Facts) -> Waiting:
        """Nothing is mined yet: send the same bytes again, replace them at higher fees, or cancel."""
        last = intent.attempts[-1]
        waited = facts.head.number - last.signed_block
        late = facts.head.timestamp > intent.deadline
        if late and last.kind != "cancel":
            return self._replace(intent, facts, "cancel")
        if waited >= self.sending.replace_after_blocks:
            return self._replace(intent, facts, "cancel" if late else intent.attempts[0].kind)
        known = self.endpoint.request("eth_getTransactionByHash", last.hash)
        if known is None:
            self._send(intent, last, facts.head)
        return Waiting(f"{last.kind} {last.hash} waits to be mined, for {waited} blocks by now")

    def _replace(self, intent: Intent, facts: _Facts, kind: str) -> Waiting:
        """New bytes with the same nonces and higher fees, inside the budget; what a cancel costs stays in reserve."""
        head = facts.head
        priority = self.endpoint.quantity("eth_maxPriorityFeePerGas")
        max_fee, tip = fees(head.base_fee_per_gas, priority, None, self._dearer(intent.account_nonce))
        first = intent.attempts[0]
        budget = first.gas * first.max_fee * self.sending.budget_percent // 100
        reserve = CANCEL_GAS * mul_div_up(max_fee, _BUMP, 100)
        gas = CANCEL_GAS if kind == "cancel" else first.gas
        over_price = self.max_gas_price is not None and max_fee > self.max_gas_price
        if kind != "cancel" and (gas * max_fee + reserve > budget or over_price):
            last = intent.attempts[-1]
            return Waiting(f"{last.kind} {last.hash} waits to be mined; a dearer one would pass the budget")
        if kind == "cancel" and gas * max_fee > budget:
            return Waiting(f"account nonce {intent.account_nonce} is stuck and cancelling it would pass the budget")
        transaction = self._self_transfer(intent.account_nonce, max_fee, tip)
        if kind != "cancel":
            to, data = contents_of(first.raw)
            transaction = replace(transaction, to=to, data=data, gas=gas)
        self._sign_and_send(intent, kind, transaction, head)
        return Waiting(f"sent a dearer {kind} with account nonce {intent.account_nonce}: {max_fee} wei per gas at most")

    def _dearer(self, account_nonce: int) -> tuple[int, int]:
        """The least fees that replace whatever was signed for an account nonce; zeros if nothing was."""
        max_fee, tip = self.journal.highest_fees(self.signer.address, account_nonce)
        return mul_div_up(max_fee, _BUMP, 100), mul_div_up(tip, _BUMP, 100)

    def _self_transfer(self, nonce: int, max_fee: int, tip: int) -> Transaction:
        """Uses up an account nonce and does nothing else."""
        return Transaction(
            chain_id=self.deployment.chain_id,
            sender=self.signer.address,
            to=self.signer.address,
            data=b"",
            nonce=nonce,
            gas=CANCEL_GAS,
            max_fee_per_gas=max_fee,
            max_priority_fee_per_gas=tip,
        )

    # A journal that was lost

    def _catch_up(self, head: Header, vault_nonce: Callable[[], int] | None) -> Waiting | None:
        """Learn what this journal has missed. None if it has missed nothing."""
        vault = self.journal.vault()
        known = 0 if vault is None else vault.known_vault_nonce
        nonce = (
            bindings.view(self.endpoint, "IndexVault", self.deployment.vault, "nonce", block=head.tag)
            if vault_nonce is None
            else vault_nonce()
        )
        if nonce <= known:
            return None
        since = max(self.deployment.deployment_block.number, 0 if vault is None else vault.known_block)
        missed = []
        for log in self._batches(since, head.number):
            event = bindings.interface("IndexVault").decode_log("Rebalanced", log)
            own = event["by"].lower() == self.signer.address.lower()
            if own and not self.journal.knows_transaction(log["transactionHash"]):
                missed.append(event["nonce"])
        if not missed:
            # Settings move the vault's nonce on as well.
            self.journal.know(nonce, head.number)
            return None
        account_nonce = self.endpoint.quantity("eth_getTransactionCount", self.signer.address, "latest")
        intent = self.journal.commit(
            Intent(
                signer=self.signer.address,
                account_nonce=account_nonce,
                vault_nonce=nonce,
                deadline=head.timestamp,
                order=b"",
                predicted="{}",
                predicted_cost=0,
                turnover=0,
                created_block=head.number,
                why=f"the journal does not know the vault's batches {missed}: it was lost, or is an old copy",
            )
        )
        priority = self.endpoint.quantity("eth_maxPriorityFeePerGas")
        max_fee, tip = fees(head.base_fee_per_gas, priority, None, self._dearer(account_nonce))
        self._sign_and_send(intent, "cancel", self._self_transfer(account_nonce, max_fee, tip), head)
        return Waiting(
            f"the journal does not know {len(missed)} of this key's batches:"
            f" account nonce {account_nonce} is used up before anything is planned"
        )

    def _batches(self, first: int, last: int) -> list[dict[str, Any]]:
        """Logs of the vault's `Rebalanced` event in a span of blocks, ends included."""
        topic = bindings.interface("IndexVault").topic("Rebalanced")
        found: list[dict[str, Any]] = []
        for start in range(first, last + 1, _LOG_SPAN):
            span = {
                "address": self.deployment.vault,
                "topics": [topic],
                "fromBlock": hex(start),
                "toBlock": hex(min(start + _LOG_SPAN - 1, last)),
            }
            found += self.endpoint.request("eth_getLogs", span)
        return found

    # A new batch

    def submit(self, reading: Reading, decision: Decision, decision_id: int, order: bytes, vault_nonce: int) -> Intent:
        """Commit, sign, commit, send: a batch that was simulated at ``reading``.

        Returns:
            The intent, of which bytes are out.

        Raises:
            InTheWay: the batch of another vault is on its way through the same pools.
            SendError: nothing was signed, or no route took the bytes; the intent stays open in the second case.
        """
        nonce = self.endpoint.quantity("eth_getTransactionCount", self.signer.address, "latest")
        transaction = prepare(
            self.endpoint,
            reading,
            self.signer.address,
            order,
            sending=self.sending,
            max_gas_price=self.max_gas_price,
            above=self._dearer(nonce),
        )
        predicted = predicted_changes(decision)
        intent = self.journal.commit(
            Intent(
                decision_id=decision_id,
                signer=self.signer.address,
                account_nonce=transaction.nonce,
                vault_nonce=vault_nonce,
                deadline=reading.block.timestamp + self.sending.deadline_seconds,
                order=order,
                predicted=amounts(predicted),
                predicted_cost=cost_of(reading, predicted),
                turnover=turnover_of(reading, predicted),
                created_block=reading.block.number,
            ),
            decision.pools,
            reading.block.timestamp,
        )
        head = Header(reading.block.number, reading.block.hash, reading.block.timestamp, reading.block.base_fee_per_gas)
        self._sign_and_send(intent, "batch", transaction, head)
        again = self.journal.open_intent(self.signer.address)
        return again or intent

    # Upkeep

    def keep_up(self, head: Header, to: str, data: bytes, why: str) -> Waiting:
        """Commit, sign, commit, send: a call that does no harm whenever it is mined, and which no batch depends on.

        It is an intent like any other: it has its account nonce for itself, is followed, replaced and cancelled.

        Raises:
            SendError: nothing was signed, or the call would revert.
        """
        nonce = self.endpoint.quantity("eth_getTransactionCount", self.signer.address, "latest")
        call = Call(self.deployment.chain_id, self.signer.address, to, data)
        priority = self.endpoint.quantity("eth_maxPriorityFeePerGas")
        try:
            transaction = prepare_call(
                self.endpoint, head, call, priority,
                sending=self.sending, max_gas_price=self.max_gas_price, above=self._dearer(nonce),
            )  # fmt: skip
        except NodeError as error:
            if error.data is None:
                raise
            raise SendError(f"{why}: {bindings.explain(error.data)}") from None
        intent = self.journal.commit(
            Intent(
                signer=self.signer.address,
                account_nonce=transaction.nonce,
                vault_nonce=0,
                deadline=head.timestamp + self.sending.deadline_seconds,
                order=b"",
                predicted="{}",
                predicted_cost=0,
                turnover=0,
                created_block=head.number,
                why=why,
            )
        )
        self._sign_and_send(intent, "upkeep", transaction, head)
        return Waiting(f"{why}, with account nonce {transaction.nonce}")

    # Signing and sending

    def _sign_and_send(self, intent: Intent, kind: str, transaction: Transaction, head: Header) -> None:
        signed = sign(self.endpoint, self.signer, transaction)
        self.journal.signed(
            intent,
            kind,
            signed,
            head.number,
            transaction.gas,
            transaction.max_fee_per_gas,
            transaction.max_priority_fee_per_gas,
        )
        current = self.journal.open_intent(self.signer.address)
        if current is not None:
            self._send(current, current.attempts[-1], head)

    def _send(self, intent: Intent, attempt: Attempt, head: Header) -> None:
        """Send bytes that are on disk. That no route takes them is written down; the next tick tries again."""
        if self.journal.store.reign is not None:
            self.journal.store.reign.check()
        try:
            first = intent.attempts[0].signed_block
            last = head.number + self.sending.replace_after_blocks
            route = self._broadcast(attempt.raw, first, head.number, last)
        except (SendError, RpcError) as error:
            self.journal.sent(attempt, None, str(error))
        else:
            self.journal.sent(attempt, route, None)

    def realised(self, intent: Intent) -> Realised | None:
        """What the batch of an intent did, if it is mined; final or not."""
        found = self._receipt(intent)
        if found is None or found[0].kind != "batch" or int(found[1]["status"], 16) != 1:
            return None
        if (told := self._told(intent, found[1])) is None:
            return None
        receipt, event = told
        outcome, _ = self._outcome(intent, receipt, event)
        return Realised(
            transaction=receipt["transactionHash"],
            block_number=int(receipt["blockNumber"], 16),
            gas_used=int(receipt["gasUsed"], 16),
            gas_price=int(receipt["effectiveGasPrice"], 16),
            nav_before=event["nav0"],
            nav_after=event["nav1"],
            drift_before=event["drift0"],
            drift_after=event["drift1"],
            predicted={token: int(amount) for token, amount in json.loads(intent.predicted).items()},
            realised={token: int(amount) for token, amount in json.loads(outcome.realised).items()},
            predicted_cost=intent.predicted_cost,
            realised_cost=event["nav0"] - event["nav1"],
        )


def _mined(receipt: Any) -> Mined:
    """Raises `RpcError` for what is no receipt."""
    try:
        return Mined(
            block_number=int(receipt["blockNumber"], 16),
            block_hash=receipt["blockHash"],
            status=int(receipt["status"], 16),
            gas_used=int(receipt["gasUsed"], 16),
            gas_price=int(receipt["effectiveGasPrice"], 16),
        )
    except (KeyError, TypeError, ValueError):
        raise RpcError("the node gave a receipt that is none") from None
