"""From an order to signed bytes, and from a receipt to what really moved. The order of steps is the engine's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from pydantic import Field

from keeper.chain import bindings
from keeper.chain.errors import NodeError
from keeper.chain.fields import Strict
from keeper.chain.lens import Reading
from keeper.chain.rpc import Endpoint, Header
from keeper.domain.decision import Decision
from keeper.domain.errors import InputError
from keeper.policy.guard import Outcome as MeasuredBatch
from keeper.submit.errors import SendError, SimulationError
from keeper.submit.signer import SignedTransaction, Signer, check_may_sign
from keeper.units import BPS, WAD, format_units, mul_div_up


class Sending(Strict):
    """How a transaction is sent. Times in seconds."""

    deadline_seconds: int = Field(default=300, gt=0)
    """An order expires this long after the block it was made for."""
    gas_margin_bps: int = Field(default=2_000, ge=0, le=20_000)
    """Gas limit over the node's estimate."""
    timeout_seconds: float = Field(default=60, ge=0)
    """How long a tick waits for the receipt of what it has sent; later ticks look for it as well."""
    poll_seconds: float = Field(default=1, gt=0)
    """How often to ask for the receipt."""
    replace_after_blocks: int = Field(default=5, gt=0)
    """Offer higher fees when a transaction has waited for so many blocks."""
    budget_percent: int = Field(default=400, ge=100, le=10_000)
    """What all that is tried for one batch may cost at most, as a part of what the first try may cost. What cancelling
    costs stays in reserve."""
    finality: Literal["finalized", "safe"] = "finalized"
    """The block that is taken for final."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does: who calls whom on which chain, and with what."""

    chain_id: int
    sender: str
    to: str
    data: bytes


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
    endpoint: Endpoint,
    reading: Reading,
    sender: str,
    order: bytes,
    *,
    sending: Sending,
    max_gas_price: int | None,
    above: tuple[int, int] = (0, 0),
) -> Transaction:
    """The transaction that carries an order; see `prepare_call`. Raises `SimulationError` if the vault refuses it."""
    block = reading.block
    call = Call(reading.chain_id, sender, reading.vault.address, order_call(order))
    try:
        return prepare_call(
            endpoint, Header(block.number, block.hash, block.timestamp, block.base_fee_per_gas), call,
            block.priority_fee_per_gas, sending=sending, max_gas_price=max_gas_price, above=above,
        )  # fmt: skip
    except NodeError as error:
        raise _refused(error) from None


def prepare_call(
    endpoint: Endpoint,
    head: Header,
    call: Call,
    priority_fee: int,
    *,
    sending: Sending,
    max_gas_price: int | None,
    above: tuple[int, int] = (0, 0),
) -> Transaction:
    """The transaction of a call as it stands at the block ``head``, with its account nonce, gas limit and fees.

    ``above`` are the least fees (maximum, priority) that replace what was sent before with the same account nonce. The
    ceiling holds for them too: a node that still has those bytes then refuses these, until a cancel has ended both.

    Raises `SendError` if the account has another transaction under way or cannot pay for this one, and `NodeError` if
    the call reverts.
    """
    nonce = endpoint.quantity("eth_getTransactionCount", call.sender, "latest")
    pending = endpoint.quantity("eth_getTransactionCount", call.sender, "pending")
    if pending > nonce and above == (0, 0):
        raise SendError(f"{call.sender} has {pending - nonce} transaction(s) under way: wait until they are mined")
    asked = {"from": call.sender, "to": call.to, "data": "0x" + call.data.hex()}
    estimate = endpoint.quantity("eth_estimateGas", asked, head.tag)
    max_fee, tip = fees(head.base_fee_per_gas, priority_fee, max_gas_price, above)
    transaction = Transaction(
        chain_id=call.chain_id,
        sender=call.sender,
        to=call.to,
        data=call.data,
        nonce=nonce,
        gas=mul_div_up(estimate, BPS + sending.gas_margin_bps, BPS),
        max_fee_per_gas=max_fee,
        max_priority_fee_per_gas=tip,
    )
    balance = endpoint.quantity("eth_getBalance", call.sender, "latest")
    if balance < transaction.gas * max_fee:
        raise SendError(
            f"{call.sender} holds {format_units(balance, 18)} of the native token, and gas may cost "
            f"{format_units(transaction.gas * max_fee, 18)}: send it some"
        )
    return transaction


def fees(base_fee: int, priority_fee: int, ceiling: int | None, above: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Maximum fee and priority fee, wei per gas: good for six full blocks in a row, and at least ``above``.

    Never more than the ceiling, whatever the rest asks for.
    """
    max_fee = max(2 * base_fee + priority_fee, above[0])
    if ceiling is not None:
        max_fee = min(max_fee, ceiling)
    return max_fee, min(max(priority_fee, above[1]), max_fee)


def sign(endpoint: Endpoint, signer: Signer, transaction: Transaction) -> SignedTransaction:
    """Signs, unless this key must not sign on this node: asked anew each time, for a URL can lead elsewhere."""
    if signer.address != transaction.sender:
        raise InputError(f"the key is that of {signer.address}, but the transaction is from {transaction.sender}")
    check_may_sign(signer.address, development_node=endpoint.is_development_node())
    endpoint.check_chain_id(transaction.chain_id)
    return signer.sign(transaction.fields())


def contents_of(raw: bytes) -> tuple[str, bytes]:
    """To whom signed bytes go, and with what data."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return to_checksum_address(fields["to"]), bytes(fields["data"])


def cost_of(reading: Reading, changes: Mapping[str, int]) -> int:
    """Value lost by net changes of the vault's balances at the prices read, USD WAD."""
    return reading.priced.nav - _measured(reading, changes).nav


def turnover_of(reading: Reading, changes: Mapping[str, int]) -> int:
    """What net changes of the vault's balances turn over, both legs, WAD of NAV, at the prices read."""
    outcome = _measured(reading, changes)
    return mul_div_up(outcome.sold + outcome.bought, WAD, reading.priced.nav)


def _measured(reading: Reading, changes: Mapping[str, int]) -> MeasuredBatch:
    """Net changes of the vault's balances as its guard would value them at the prices read."""
    basket = reading.priced
    after = [
        balance + changes.get(facts.token.address, 0)
        for facts, balance in zip(reading.basket, basket.balances, strict=True)
    ]
    return basket.measure(after)


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


def rebalanced(vault: str, receipt: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event of the batch in a receipt; None if it is not there."""
    abi = bindings.interface("IndexVault")
    topic = abi.topic("Rebalanced")
    for log in receipt.get("logs") or ():
        if log["address"].lower() == vault.lower() and log["topics"][:1] == [topic]:
            return abi.decode_log("Rebalanced", log)
    return None


def order_call(order: bytes) -> bytes:
    """The call of the vault that carries an order."""
    return bindings.interface("IndexVault").encode("rebalance", order)


def _call(reading: Reading, sender: str, order: bytes) -> dict[str, str]:
    return {"from": sender, "to": reading.vault.address, "data": "0x" + order_call(order).hex()}


def _refused(error: NodeError) -> SendError | NodeError:
    """In the vault's own words where it was the vault that refused; otherwise the node failed."""
    if error.data is None:
        return error
    return SimulationError(f"the vault would refuse the batch: {bindings.explain(error.data)}")
