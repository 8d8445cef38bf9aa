"""One tick: read, decide, send. And ticks one after another, until told to stop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from keeper.chain.deployment import Deployment
from keeper.chain.errors import Refused, RpcError
from keeper.chain.lens import Lens, Reading
from keeper.chain.rpc import Endpoint, Header
from keeper.config import Config
from keeper.domain.decision import Decision
from keeper.domain.errors import InputError
from keeper.policy import decide
from keeper.submit.errors import SimulationError
from keeper.submit.order import Order
from keeper.submit.program import build_order
from keeper.submit.sender import (
    Realised,
    broadcast,
    check_role,
    confirm,
    prepare,
    realised,
    sign,
    simulate,
)
from keeper.submit.signer import Signer


@dataclass(frozen=True, slots=True)
class Keeper:
    """A configuration with what it names: the deployment, the node, and what to read of the chain."""

    config: Config
    deployment: Deployment
    endpoint: Endpoint
    lens: Lens

    @classmethod
    def assemble(cls, config: Config) -> Keeper:
        """Loads the deployment; asks the node nothing yet. Raises `InputError`."""
        deployment = Deployment.load(config.deployment)
        if deployment.chain_id != config.chain.chain_id:
            raise InputError(
                f"{config.deployment} is a deployment on chain {deployment.chain_id}, "
                f"but the configuration says chain_id {config.chain.chain_id}"
            )
        endpoint = Endpoint(config.chain.rpc_url, config.chain.timeout_seconds)
        return cls(config, deployment, endpoint, config.lens(deployment))

    def check_chain(self) -> None:
        """Raises `InputError` unless the node follows the chain deployed to, and the deployed code stands there."""
        self.deployment.check_chain(self.endpoint)
        self.deployment.check_code(self.endpoint)

    def read(self) -> Reading:
        """Everything at the latest block."""
        return self.lens.read(self.endpoint)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tick came to.

    `hold`: nothing to do. `refused`: a breaker refused. `planned`: a dry run, the batch passed its simulation.
    `confirmed`: the batch was mined and did what it should.
    """

    status: Literal["hold", "refused", "planned", "confirmed"]
    reason: str
    block_number: int
    decision: Decision | None = None
    order: bytes | None = None
    realised: Realised | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; raw amounts, wei and WAD as decimal strings."""
        return {
            "status": self.status,
            "reason": self.reason,
            "block_number": self.block_number,
            "decision": None if self.decision is None else json.loads(self.decision.model_dump_json()),
            "order": None if self.order is None else "0x" + self.order.hex(),
            "realised": None if self.realised is None else _realised_json(self.realised),
        }


def tick(keeper: Keeper, header: Header, signer: Signer | None) -> Outcome:
    """Reads one block, decides, and carries the decision out; without a signer, as far as its simulation.

    Raises `RpcError`, `InputError`, or `SendError`.
    """
    try:
        reading = keeper.lens.read_at(keeper.endpoint, header)
        decision = evaluate(keeper, reading)
    except Refused as refusal:
        return Outcome("refused", str(refusal), header.number)
    if decision.refused:
        return Outcome("refused", decision.reason, header.number, decision)
    if decision.action == "hold":
        return Outcome("hold", decision.reason, header.number, decision)
    if reading.block.timestamp < reading.vault.ready_at:
        wait = reading.vault.ready_at - reading.block.timestamp
        return Outcome("hold", f"the vault is cooling down for another {wait} s", header.number, decision)

    sending = keeper.config.sending
    order = plan(reading, decision, sending.deadline_seconds).encode()
    if signer is None:
        simulate(keeper.endpoint, reading, reading.vault.keeper, order)
        return Outcome("planned", decision.reason, header.number, decision, order)
    check_role(reading, signer.address)
    simulate(keeper.endpoint, reading, signer.address, order)
    return Outcome(
        "confirmed",
        decision.reason,
        header.number,
        decision,
        order,
        _send(keeper, reading, decision, order, signer),
    )


def evaluate(keeper: Keeper, reading: Reading) -> Decision:
    """What to do at this reading. Raises `Refused` if the vault or its oracle leaves nothing to decide."""
    if reading.vault.paused:
        raise Refused(f"rebalancing is paused; the owner {reading.vault.owner} can resume it")
    return decide(reading.snapshot(), keeper.config.policy)


def plan(reading: Reading, decision: Decision, deadline_seconds: int) -> Order:
    """The order that carries out a decision made at this reading. Raises `SimulationError` if nothing could."""
    deadline = reading.block.timestamp + deadline_seconds
    try:
        basket = [facts.token.address for facts in reading.basket]
        return build_order(reading.snapshot(), decision, basket=basket, epoch=reading.vault.epoch, deadline=deadline)
    except ValueError as error:
        raise SimulationError(f"the plan cannot be carried out: {error}") from None


def run(
    keeper: Keeper,
    signer: Signer | None,
    stop: threading.Event,
    report: Callable[[Outcome], None],
    complain: Callable[[str], None],
) -> None:
    """Ticks once per new block until `stop` is set; a tick under way is finished first.

    A node that stumbles or a plan that is outrun by the market is complained about, and the next block tried. What
    may have cost gas is raised: sending on after an unexplained outcome would pay for it again.
    """
    seen = ""
    while not stop.is_set():
        try:
            header = keeper.endpoint.header()
            if header.hash != seen:
                seen = header.hash
                report(tick(keeper, header, signer))
        except (RpcError, SimulationError) as error:
            complain(str(error))
        stop.wait(keeper.config.interval_seconds)


def _send(keeper: Keeper, reading: Reading, decision: Decision, order: bytes, signer: Signer) -> Realised:
    config, endpoint = keeper.config, keeper.endpoint
    transaction = prepare(
        endpoint,
        reading,
        signer.address,
        order,
        sending=config.sending,
        max_gas_price=config.policy.max_gas_price_wei,
    )
    signed = sign(endpoint, signer, transaction)
    broadcast(endpoint, signed)
    return realised(reading, decision, confirm(endpoint, signed.hash, reading.block.number, config.sending))


def _realised_json(done: Realised) -> dict[str, Any]:
    return {
        "transaction": done.transaction,
        "block_number": done.block_number,
        "gas_used": done.gas_used,
        "gas_price": str(done.gas_price),
        "nav_before": str(done.nav_before),
        "nav_after": str(done.nav_after),
        "predicted_cost": str(done.predicted_cost),
        "realised_cost": str(done.realised_cost),
        "drift_before": str(done.drift_before),
        "drift_after": str(done.drift_after),
        "predicted": {token: str(amount) for token, amount in done.predicted.items()},
        "realised": {token: str(amount) for token, amount in done.realised.items()},
    }
