"""One tick: settle, read, decide, send. And ticks one after another, until told to stop."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from keeper.chain import bindings
from keeper.chain.deployment import Deployment
from keeper.chain.errors import Refused, RpcError, WrongChainError
from keeper.chain.lens import Lens, Reading
from keeper.chain.rpc import Endpoint, Header
from keeper.config import Config
from keeper.domain import Past, Policy, Snapshot
from keeper.domain.decision import Decision
from keeper.domain.errors import InputError
from keeper.ops.alerts import What
from keeper.ops.watch import Watch
from keeper.policy import decide, executed, remember
from keeper.policy.breakers import tripped
from keeper.submit.checkpoints import Checkpoints
from keeper.submit.engine import Engine, Waiting
from keeper.submit.errors import InTheWay, JournalError, LostLease, SendError, SimulationError
from keeper.submit.history import history_of
from keeper.submit.journal import DAY, Intent, Journal, Leases, Retention
from keeper.submit.order import Order
from keeper.submit.program import build_order
from keeper.submit.relay import broadcaster
from keeper.submit.sender import Realised, check_role, simulate
from keeper.submit.signer import Signer


@dataclass(frozen=True, slots=True)
class Keeper:
    """A configuration with what it names: the deployment, the node, and what to read of the chain."""

    config: Config
    deployment: Deployment
    endpoint: Endpoint
    lens: Lens
    name: str
    """What logs, metrics, health and alerts call the vault: its address, which its process makes unique."""

    @classmethod
    def assemble(cls, config: Config) -> Keeper:
        """Loads the deployment; asks the node nothing yet. Raises `InputError`."""
        deployment = Deployment.load(config.deployment)
        if deployment.chain_id != config.chain.chain_id:
            raise InputError(
                f"{config.deployment} is a deployment on chain {deployment.chain_id}, "
                f"but the configuration says chain_id {config.chain.chain_id}"
            )
        block = deployment.deployment_block
        endpoint = config.chain.connect(anchor=(block.number, block.hash))
        return cls(config, deployment, endpoint, config.lens(deployment), deployment.vault)

    def check_chain(self) -> None:
        """Raises `WrongChainError` unless the node follows the chain deployed to, and `InputError` unless the deployed
        code stands there."""
        self.deployment.check_chain(self.endpoint)
        self.deployment.check_code(self.endpoint)

    def read(self) -> Reading:
        """Everything at the latest block."""
        return self.lens.read(self.endpoint)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tick came to.

    `hold`: nothing to do. `refused`: a breaker refused. `waiting`: an earlier transaction is not final yet. `planned`:
    a dry run, the batch passed its simulation. `sent`: the batch is out, and not mined yet. `confirmed`: the batch was
    mined and did what it should; it is not final yet.
    """

    status: Literal["hold", "refused", "waiting", "planned", "sent", "confirmed"]
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


@dataclass(frozen=True, slots=True)
class Service:
    """A keeper with its journal; with an engine it is live, without one it sends nothing."""

    keeper: Keeper
    journal: Journal
    engine: Engine | None
    checkpoints: Checkpoints
    leases: Leases
    clock: Callable[[], float] = time.time

    @classmethod
    def open(
        cls,
        keeper: Keeper,
        signer: Signer | None,
        clock: Callable[[], float] = time.time,
        leases: Leases | None = None,
    ) -> Service:
        """Opens the journal of the mode and takes its lease, unless one of the process's ``leases`` is it.

        Raises:
            InputError: the journal is not usable.
            LostLease: another keeper holds the lease.
        """
        config, deployment = keeper.config, keeper.deployment
        mode: Literal["dry", "live"] = "dry" if signer is None else "live"
        who = deployment.vault if signer is None else signer.address
        leases = leases or Leases()
        lease = f"{mode}:{deployment.chain_id}:{who}"
        store = leases.take(config.journal_url(mode), lease, config.lease_seconds, clock)
        try:
            journal = Journal(store, deployment.chain_id, deployment.vault, deployment.deployment_block.hash, clock)
        except BaseException:
            leases.give_back(store)
            raise
        endpoint = keeper.endpoint
        checkpoints = Checkpoints(endpoint, deployment.vault)
        if signer is None:
            return cls(keeper, journal, None, checkpoints, leases, clock)
        engine = Engine(
            endpoint,
            deployment,
            journal,
            signer,
            config.sending,
            config.policy.max_gas_price_wei,
            broadcaster(config.routing, endpoint, signer.address),
        )
        return cls(keeper, journal, engine, checkpoints, leases, clock)

    def close(self) -> None:
        """Gives the lease back."""
        self.leases.give_back(self.journal.store)


def tick(service: Service, header: Header, stop: threading.Event | None = None) -> Outcome:
    """Settles what is open, reads one block, decides, and carries the decision out; all of it is written down.

    Once ``stop`` is set it waits no longer for a batch that it has sent: the journal has it, and the next tick follows.

    Raises `RpcError`, `InputError`, or `SendError`.
    """
    with service.journal.store.turn:
        return _tick_in_turn(service, header, stop or threading.Event())


def _tick_in_turn(service: Service, header: Header, stop: threading.Event) -> Outcome:
    if service.journal.store.reign is not None:
        service.journal.store.reign.renew()
    seen = _Seen()
    try:
        outcome = _tick(service, header, seen, stop)
    except (LostLease, JournalError):
        raise
    except (RpcError, SendError, InputError) as error:
        service.journal.record("failed", str(error), header.number, seen.facts, seen.intent_id)
        raise
    if outcome.status not in ("sent", "confirmed"):
        service.journal.record(outcome.status, outcome.reason, header.number, seen.facts, seen.intent_id)
    return outcome


@dataclass(slots=True)
class _Seen:
    """What a tick has read and decided by the time it ends, and the last batch that it knew of, however it ends."""

    facts: tuple[Snapshot, Policy, Decision] | None = None
    intent_id: int = 0


def _tick(  # noqa: PLR0911  each way out has its own reason
    service: Service, header: Header, seen: _Seen, stopped: threading.Event
) -> Outcome:
    keeper, engine = service.keeper, service.engine
    read = cache(lambda: keeper.lens.read_at(keeper.endpoint, header))
    if engine is not None and (waiting := engine.settle(header, lambda: read().vault.nonce)) is not None:
        return Outcome("waiting", waiting.reason, header.number)
    if engine is not None and (moving := _keep_up(service, engine, header)) is not None:
        return Outcome("waiting", moving.reason, header.number)
    try:
        reading = read()
        snapshot = facts_for_trade(reading)
    except Refused as refusal:
        return Outcome("refused", str(refusal), header.number)
    past, seen.intent_id = past_of(service, snapshot)
    snapshot = snapshot.model_copy(update={"past": past})
    decision = decide(snapshot, keeper.config.policy)
    seen.facts = (snapshot, keeper.config.policy, decision)

    def stop(status: Literal["hold", "refused"], reason: str) -> Outcome:
        return Outcome(status, reason, header.number, decision)

    if decision.refused:
        return stop("refused", decision.reason)
    if decision.action == "hold":
        return stop("hold", decision.reason)
    if (reason := _tripped(service, snapshot)) is not None:
        return stop("refused", reason)
    if reading.block.timestamp < reading.vault.ready_at:
        wait = reading.vault.ready_at - reading.block.timestamp
        return stop("hold", f"the vault is cooling down for another {wait} s")

    order = plan(reading, snapshot, decision, keeper.config.sending.deadline_seconds).encode()
    if engine is None:
        simulate(keeper.endpoint, reading, reading.vault.keeper, order)
        return Outcome("planned", decision.reason, header.number, decision, order)
    check_role(reading, engine.signer.address)
    try:
        service.journal.give_way(decision.pools, header.number, header.timestamp)
        simulate(keeper.endpoint, reading, engine.signer.address, order)
        keeper.endpoint.refuse_old(header)
        decision_id = service.journal.record("rebalance", decision.reason, header.number, seen.facts, seen.intent_id)
        intent = engine.submit(reading, decision, decision_id, order, reading.vault.nonce + 1)
    except InTheWay as other:
        return stop("hold", str(other))
    sent = Outcome("sent", decision.reason, header.number, decision, order)
    return _await(service, engine, intent, sent, stopped)


def past_of(service: Service, snapshot: Snapshot) -> tuple[Past, int]:
    """What the journal knows of the time before, with this snapshot; and the last batch in it.

    A batch counts once a finalised block has it, at that block's time, so a restart finds the same past.
    """
    journal, policy = service.journal, service.keeper.config.policy
    past, intent_id = journal.past()
    batch = journal.executed_since(intent_id)
    if batch is not None:
        past = past or remember(None, snapshot, policy)
        assert batch.outcome is not None  # noqa: S101  the engine writes it with the state
        at = service.keeper.endpoint.header(batch.outcome.block_number).timestamp
        past, intent_id = executed(past, journal.decision_of(batch), at), batch.id
    return remember(past, snapshot, policy), intent_id


def _keep_up(service: Service, engine: Engine, header: Header) -> Waiting | None:
    """Moves a checkpoint of the oracle where one is due: a price that has left its corridor stops every batch."""
    vault = service.journal.vault()
    if vault is not None and vault.halted_at is not None:
        return None
    ceiling = engine.max_gas_price
    if ceiling is not None and header.base_fee_per_gas > ceiling:
        return None
    if (due := service.checkpoints.next_due(header)) is None:
        return None
    oracle, share = due
    call = bindings.interface("PriceOracle").encode("checkpoint", share.token)
    return engine.keep_up(header, oracle, call, f"moves the checkpoint of {share.token}")


def _await(service: Service, engine: Engine, intent: Intent, sent: Outcome, stopped: threading.Event) -> Outcome:
    """The outcome once the batch is mined; `sent` as it is if that takes longer than a tick may."""
    sending = service.keeper.config.sending
    give_up_at = time.monotonic() + sending.timeout_seconds
    while True:
        try:
            done = engine.realised(intent)
        except RpcError:  # the bytes are out: a node that stumbles changes nothing about it
            done = None
        if done is not None:
            return replace(sent, status="confirmed", realised=done)
        if time.monotonic() >= give_up_at or stopped.wait(sending.poll_seconds):
            attempt = intent.attempts[-1] if intent.attempts else None
            why = f"; {attempt.error}" if attempt is not None and attempt.error else ""
            return replace(sent, reason=f"{sent.reason}; not mined yet, the next tick looks for it{why}")


def _tripped(service: Service, snapshot: Snapshot) -> str | None:
    """Why the past, or the signer's purse, forbids a trade; None if nothing does."""
    journal, breakers = service.journal, service.keeper.config.breakers
    vault = journal.vault()
    if vault is not None and vault.halted_at is not None:
        return f"halted: {vault.halted_why}; `keeper resume` takes it back"
    balance = None
    if service.engine is not None:
        balance = service.keeper.endpoint.quantity("eth_getBalance", service.engine.signer.address, "latest")
    return tripped(history_of(journal, balance), snapshot, breakers)


def facts_for_trade(reading: Reading) -> Snapshot:
    """What a decision rests on. Raises `Refused` if the vault or its oracle leaves nothing to decide."""
    if reading.vault.paused:
        raise Refused(f"rebalancing is paused; the owner {reading.vault.owner} can resume it")
    return reading.snapshot()


def plan(reading: Reading, snapshot: Snapshot, decision: Decision, deadline_seconds: int) -> Order:
    """The order that carries out a decision made on this reading's snapshot. Raises `SimulationError` if none could."""
    deadline = reading.block.timestamp + deadline_seconds
    try:
        basket = [facts.token.address for facts in reading.basket]
        return build_order(snapshot, decision, basket=basket, epoch=reading.vault.epoch, deadline=deadline)
    except ValueError as error:
        raise SimulationError(f"the plan cannot be carried out: {error}") from None


def serve(
    keeper: Keeper,
    signer: Signer | None,
    *,
    stop: threading.Event,
    report: Callable[[Outcome], None],
    complain: Callable[[str], None],
    watch: Watch,
    clock: Callable[[], float] = time.time,
    leases: Leases | None = None,
) -> None:
    """Runs while it has the lease, and stands by while another keeper has it, until `stop` is set.

    Raises `InputError` where the configuration cannot be worked with from the start, `WrongChainError` where the nodes
    follow another chain by then, and `JournalError`.
    """
    watch.follow(keeper.endpoint)
    if not meet(keeper, stop=stop, complain=complain, watch=watch):
        return
    while not stop.is_set():
        service = stand_by(
            keeper, signer, stop=stop, complain=complain, watch=watch, clock=clock, leases=leases or Leases()
        )
        if service is None:
            return
        try:
            run(service, stop, report, complain, watch)
        except LostLease as lost:
            complain(str(lost))
            watch.complained(keeper.name, "takeover", str(lost))
        finally:
            service.close()


def meet(keeper: Keeper, *, stop: threading.Event, complain: Callable[[str], None], watch: Watch) -> bool:
    """Waits for a node that can show the chain and the vault. False if `stop` was set first; raises as `serve` does."""
    while not stop.is_set():
        try:
            keeper.check_chain()
        except WrongChainError:
            raise
        except RpcError as error:
            complain(str(error))
            watch.complained(keeper.name, "endpoint", str(error))
            stop.wait(keeper.config.interval_seconds)
        else:
            return True
    return False


def stand_by(
    keeper: Keeper,
    signer: Signer | None,
    *,
    stop: threading.Event,
    complain: Callable[[str], None],
    watch: Watch,
    leases: Leases,
    clock: Callable[[], float] = time.time,
) -> Service | None:
    """Waits for the lease, watching the chain meanwhile. None if `stop` was set first; raises as `serve` does."""
    name, why = keeper.name, ""
    while not stop.is_set():
        try:
            service = Service.open(keeper, signer, clock, leases)
        except LostLease as lost:
            if not why:
                complain(str(lost))
            why = str(lost)
        except (InputError, JournalError) as error:
            if not why:
                raise
            complain(str(error))  # the journal was there before: whoever stands by waits for it too
        else:
            watch.leads(name, took_over=bool(why))
            return service
        try:
            header = keeper.endpoint.header()
        except RpcError as error:
            complain(str(error))
            watch.complained(name, "endpoint", str(error))
        else:
            watch.stood_by(name, why, keeper.config.chain.chain_id, header)
        stop.wait(keeper.config.interval_seconds)
    return None


def run(
    service: Service,
    stop: threading.Event,
    report: Callable[[Outcome], None],
    complain: Callable[[str], None],
    watch: Watch,
) -> None:
    """Ticks once per new block until `stop` is set; a tick under way is finished first.

    What goes wrong is complained about, and the next block tried: what is open is settled first, so nothing is sent
    twice.

    Raises:
        LostLease: another keeper has taken over.
        InputError: the configuration is wrong. Once a tick has come through it is not: then the world has changed, and
            that is complained about too.
    """
    seen = ""
    compacted_at = 0.0
    worked = False
    config, endpoint, name = service.keeper.config, service.keeper.endpoint, service.keeper.name
    signer = None if service.engine is None else service.engine.signer.address
    while not stop.is_set():
        try:
            header = endpoint.header()
            if header.hash == seen:
                # A tick renews by itself; while the chain stands still nothing else does. Not while the node is gone:
                # a standby may have a better one.
                with service.journal.store.turn:
                    if service.journal.store.reign is not None:
                        service.journal.store.reign.renew()
            else:
                seen = header.hash
                started = time.monotonic()
                outcome = tick(service, header, stop)
                worked = True
                report(outcome)
                took = time.monotonic() - started
                chain_id = config.chain.chain_id
                watch.ticked(name, chain_id, header, outcome.status, outcome.reason, outcome.decision, took)
                watch.looked(name, service.journal, signer, endpoint, config.breakers.min_signer_balance_wei)
            if service.clock() - compacted_at > DAY:
                service.journal.compact(Retention())
                compacted_at = service.clock()
        except LostLease:
            raise
        except (RpcError, SendError, InputError) as error:
            if isinstance(error, InputError) and not worked:
                raise
            complain(str(error))
            watch.complained(name, _kind(error), str(error))
        stop.wait(config.interval_seconds)


def _kind(error: RpcError | SendError | InputError) -> What:
    """What an alert about a failed tick is about."""
    match error:
        case RpcError():
            return "endpoint"
        case JournalError():
            return "journal"
        case SendError():
            return "batch"
        case _:
            return "crash"


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
