"""From an order to a receipt: simulate, prepare, sign, broadcast, confirm, and read what really moved.

Each step is a function of its own, because what is written down between them decides what a crash can lose.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from keeper.chain import bindings
from keeper.chain.errors import NodeError, RpcError
from keeper.chain.fields import Strict
from keeper.chain.lens import Reading
from keeper.chain.rpc import Endpoint
from keeper.domain.decision import Decision
from keeper.domain.errors import InputError
from keeper.domain.snapshot import Block
from keeper.submit.errors import SendError, SimulationError
from keeper.submit.signer import SignedTransaction, Signer, check_may_sign
from keeper.units import BPS, format_units, mul_div_up, percent


class Sending(Strict):
    """How a transaction is sent. Times in seconds."""

    deadline_seconds: int = Field(default=300, gt=0)
    """An order expires this long after the block it was made for."""
    gas_margin_bps: int = Field(default=2_000, ge=0, le=20_000)
    """Gas limit over the node's estimate."""
    timeout_blocks: int = Field(default=25, gt=0)
    """Stop waiting for a receipt after this many blocks."""
    timeout_seconds: float = Field(default=600, gt=0)
    """Stop waiting for a receipt after this long, should blocks stop coming."""
    poll_seconds: float = Field(default=1, gt=0)
    """How often to ask for the receipt."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An unsigned EIP-1559 transaction. Fees in wei per gas."""

    chain_id: int
    sender: str
    to: str
    data: bytes
    nonce: int
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int

    def fields(self) -> dict[str, Any]:
        """What is signed."""
        return {
            "type": 2,
            "chainId": self.chain_id,
            "nonce": self.nonce,
            "to": self.to,
            "value": 0,
            "data": self.data,
            "gas": self.gas,
            "maxFeePerGas": self.max_fee_per_gas,
            "maxPriorityFeePerGas": self.max_priority_fee_per_gas,
        }


@dataclass(frozen=True, slots=True)
class Realised:
    """What a confirmed batch did. Amounts are raw units by token, NAV in USD WAD, drift in WAD, gas price in wei.

    `predicted` and `realised` are the net changes of the vault's balances: by the decision, and by the receipt's
    events. `nav_*` and `drift_*` are the vault's own measurements. `*_cost` is the value lost in the pools, USD WAD:
    what was planned, at the prices read, and what the vault measured.
    """

    transaction: str
    block_number: int
    gas_used: int
    gas_price: int
    nav_before: int
    nav_after: int
    drift_before: int
    drift_after: int
    predicted: dict[str, int]
    realised: dict[str, int]
    predicted_cost: int
    realised_cost: int


def check_role(reading: Reading, signer: str) -> None:
    """Raises `InputError` unless `signer` is the vault's keeper."""
    if reading.vault.keeper != signer:
        raise InputError(f"{signer} is not the keeper of the vault {reading.vault.address}: {reading.vault.keeper} is")


def simulate(endpoint: Endpoint, reading: Reading, sender: str, order: bytes) -> None:
    """Runs the batch at the block that was read, as `sender`. Raises `SimulationError` if the vault refuses it."""
    try:
        endpoint.request("eth_call", _call(reading, sender, order), reading.tag)
    except NodeError as error:
        raise _refused(error) from None


def prepare(
    endpoint: Endpoint, reading: Reading, sender: str, order: bytes, *, sending: Sending, max_gas_price: int | None
) -> Transaction:
    """The transaction that carries the order, with its account nonce, gas limit and fees.

    Raises `SendError` if the account has another transaction under way or cannot pay for this one.
    """
    nonce = endpoint.quantity("eth_getTransactionCount", sender, "latest")
    pending = endpoint.quantity("eth_getTransactionCount", sender, "pending")
    if pending > nonce:
        raise SendError(f"{sender} has {pending - nonce} transaction(s) under way: wait until they are mined")
    try:
        estimate = endpoint.quantity("eth_estimateGas", _call(reading, sender, order), reading.tag)
    except NodeError as error:
        raise _refused(error) from None
    max_fee, priority_fee = fees(reading.block, max_gas_price)
    transaction = Transaction(
        chain_id=reading.chain_id,
        sender=sender,
        to=reading.vault.address,
        data=_calldata(order),
        nonce=nonce,
        gas=mul_div_up(estimate, BPS + sending.gas_margin_bps, BPS),
        max_fee_per_gas=max_fee,
        max_priority_fee_per_gas=priority_fee,
    )
    balance = endpoint.quantity("eth_getBalance", sender, "latest")
    if balance < transaction.gas * max_fee:
        raise SendError(
            f"{sender} holds {format_units(balance, 18)} of the native token, and gas may cost "
            f"{format_units(transaction.gas * max_fee, 18)}: send it some"
        )
    return transaction


def fees(block: Block, max_gas_price: int | None) -> tuple[int, int]:
    """Maximum fee and priority fee, wei per gas: good for six full blocks in a row, never above `max_gas_price`."""
    max_fee = 2 * block.base_fee_per_gas + block.priority_fee_per_gas
    if max_gas_price is not None:
        max_fee = min(max_fee, max_gas_price)
    return max_fee, min(block.priority_fee_per_gas, max_fee)


def sign(endpoint: Endpoint, signer: Signer, transaction: Transaction) -> SignedTransaction:
    """Signs, unless this key must not sign on this node: asked anew each time, for a URL can lead elsewhere."""
    if signer.address != transaction.sender:
        raise InputError(f"the key is that of {signer.address}, but the transaction is from {transaction.sender}")
    check_may_sign(signer.address, development_node=endpoint.is_development_node())
    endpoint.check_chain_id(transaction.chain_id)
    return signer.sign(transaction.fields())


def broadcast(endpoint: Endpoint, signed: SignedTransaction) -> None:
    """Hands the signed bytes to the node."""
    try:
        endpoint.request("eth_sendRawTransaction", "0x" + signed.raw.hex())
    except NodeError as error:
        raise SendError(f"the node refused transaction {signed.hash}: {error}") from None


def confirm(endpoint: Endpoint, transaction_hash: str, sent_at_block: int, sending: Sending) -> dict[str, Any]:
    """The receipt, once there is one. Raises `SendError` if none comes in time, or if the transaction reverted."""
    give_up_at = time.monotonic() + sending.timeout_seconds
    while True:
        try:
            receipt: dict[str, Any] | None = endpoint.request("eth_getTransactionReceipt", transaction_hash)
            if receipt is not None:
                break
            waited = endpoint.quantity("eth_blockNumber") - sent_at_block
        except RpcError:  # the transaction is out: a node that stumbles changes nothing about it
            waited = 0
        if waited >= sending.timeout_blocks or time.monotonic() >= give_up_at:
            raise SendError(
                f"transaction {transaction_hash} has no receipt after {waited} blocks; "
                "it may still be mined, so look for it before sending anything else"
            )
        time.sleep(sending.poll_seconds)
    if int(receipt["status"], 16) != 1:
        raise SendError(f"transaction {transaction_hash} reverted in block {int(receipt['blockNumber'], 16)}")
    return receipt


def realised(reading: Reading, decision: Decision, receipt: Mapping[str, Any]) -> Realised:
    """What a receipt says that the batch did. Raises `SendError` if there was no batch, or drift did not fall."""
    vault = reading.vault.address
    event = _rebalanced(vault, receipt)
    if event["drift1"] >= event["drift0"]:
        raise SendError(
            f"transaction {receipt['transactionHash']} did not reduce drift: "
            f"{percent(event['drift0'])} before, {percent(event['drift1'])} after"
        )
    predicted = predicted_changes(decision)
    return Realised(
        transaction=receipt["transactionHash"],
        block_number=int(receipt["blockNumber"], 16),
        gas_used=int(receipt["gasUsed"], 16),
        gas_price=int(receipt["effectiveGasPrice"], 16),
        nav_before=event["nav0"],
        nav_after=event["nav1"],
        drift_before=event["drift0"],
        drift_after=event["drift1"],
        predicted=predicted,
        realised=realised_changes(vault, [facts.token.address for facts in reading.basket], receipt),
        predicted_cost=_cost(reading, predicted),
        realised_cost=event["nav0"] - event["nav1"],
    )


def _cost(reading: Reading, changes: Mapping[str, int]) -> int:
    """Value lost by net changes of the vault's balances at the prices read, USD WAD."""
    basket = reading.priced
    after = [
        balance + changes.get(facts.token.address, 0)
        for facts, balance in zip(reading.basket, basket.balances, strict=True)
    ]
    return basket.nav - basket.measure(after).nav


def predicted_changes(decision: Decision) -> dict[str, int]:
    """Net change of the vault's balance of each token that the decision moves, raw units."""
    changes: Counter[str] = Counter()
    for buy in decision.buys:
        changes[buy.token] += buy.amount
    for sell in decision.sells:
        changes[sell.token] -= sell.amount
    return {token: change for token, change in changes.items() if change}


def realised_changes(vault: str, basket: list[str], receipt: Mapping[str, Any]) -> dict[str, int]:
    """Net change of the vault's balance of each asset by the `Transfer` events of a receipt, raw units."""
    topic = bindings.ERC20.topic("Transfer")
    tokens = {token.lower(): token for token in basket}
    changes: Counter[str] = Counter()
    for log in receipt["logs"]:
        token = tokens.get(log["address"].lower())
        if token is None or log["topics"][:1] != [topic]:
            continue
        transfer = bindings.ERC20.decode_log("Transfer", log)
        changes[token] += transfer["amount"] * (transfer["to"] == vault.lower())
        changes[token] -= transfer["amount"] * (transfer["from"] == vault.lower())
    return {token: change for token, change in changes.items() if change}


def _rebalanced(vault: str, receipt: Mapping[str, Any]) -> dict[str, Any]:
    abi = bindings.interface("IndexVault")
    topic = abi.topic("Rebalanced")
    for log in receipt["logs"]:
        if log["address"].lower() == vault.lower() and log["topics"][:1] == [topic]:
            return abi.decode_log("Rebalanced", log)
    raise SendError(f"transaction {receipt['transactionHash']} succeeded, but {vault} reports no rebalance")


def _calldata(order: bytes) -> bytes:
    return bindings.interface("IndexVault").encode("rebalance", order)


def _call(reading: Reading, sender: str, order: bytes) -> dict[str, str]:
    return {"from": sender, "to": reading.vault.address, "data": "0x" + _calldata(order).hex()}


def _refused(error: NodeError) -> SendError | NodeError:
    """In the vault's own words where it was the vault that refused; otherwise the node failed."""
    if error.data is None:
        return error
    return SimulationError(f"the vault would refuse the batch: {bindings.explain(error.data)}")
