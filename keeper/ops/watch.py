"""What a running keeper tells the outside: logs, metrics, health and alerts, fed from what its ticks came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from keeper.chain.endpoints import Endpoints
from keeper.chain.errors import RpcError
from keeper.ops.alerts import Alerts, AlertsConfig, What
from keeper.ops.health import HealthConfig, HealthServer, Pulse
from keeper.ops.metrics import Action, Metrics
from keeper.submit.journal import State
from keeper.units import WAD, format_units

if TYPE_CHECKING:
    from keeper.chain.rpc import Endpoint, Header
    from keeper.domain.decision import Decision
    from keeper.submit.journal import Intent, Journal

_log = structlog.get_logger()

_ACTIONS: dict[str, Action] = {"hold": "hold", "refused": "refused"}
_OVER: tuple[What, ...] = ("breaker", "endpoint", "crash")
"""What a tick that came through shows to be over."""
_RECENT = 20
"""Intents that may have ended between two looks, and more."""
_BALANCE_SECONDS = 300
"""How often to ask for the signer's balance."""


@dataclass(slots=True)
class _Remembered:
    """What the last look at a vault's journal saw: the latest intent that had ended; the open one, and its block."""

    ended: int | None = None
    open_id: int | None = None
    mined_in: str | None = None


class Watch:
    """One process's eyes and voice, for all of its vaults. `names` are the vaults' addresses."""

    def __init__(
        self,
        health: HealthConfig | None,
        alerts: AlertsConfig,
        names: Sequence[str],
        version: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is served without `health`.

        Raises:
            InputError: the port is taken, or an alert's URL is of no known kind.
        """
        self.clock = clock
        self.metrics = Metrics(version)
        self.pulse = Pulse(clock, names)
        self.alerts = Alerts(alerts, count=self.metrics.alert)
        self._remembered: dict[str, _Remembered] = {}
        self._open: dict[str, float | None] = {}
        self._weighed_at: dict[str, float] = {}
        self.server = None
        if health is not None:
            self.server = HealthServer(health.port, self.pulse, self.metrics, health, health.bind)
            self.server.start()

    def close(self) -> None:
        """Stops serving, and waits a little for alerts that are under way."""
        if self.server is not None:
            self.server.stop()
        self.alerts.close()

    def follow(self, endpoint: Endpoint) -> None:
        """Counts what an endpoint's nodes answer from now on."""
        if isinstance(endpoint, Endpoints):
            endpoint.observe = self._observed

    def _observed(self, endpoint: str, seconds: float, trouble: str | None) -> None:
        if trouble is None:
            self.metrics.rpc_answered(endpoint, seconds)
        else:
            self.metrics.rpc_error(endpoint)

    # Who reigns

    def stood_by(self, name: str, why: str, chain_id: int, header: Header) -> None:
        """Another keeper has the lease, and this one watches."""
        _log.info("standing by", vault=name, block=header.number, reason=why)
        now = self.clock()
        self.pulse.stand_by(why, name)
        self.pulse.loop_tick(now, name)
        self.metrics.tick_done(name, 0, now)
        self._saw(name, chain_id, header)

    def leads(self, name: str, *, took_over: bool) -> None:
        """This keeper has the lease."""
        self.pulse.stand_by(None, name)
        if took_over:
            _log.warning("took over", vault=name)
            self.alerts.notify("takeover", name, "this keeper stood by, and has the lease now", "look at the other one")

    def _saw(self, name: str, chain_id: int, header: Header) -> None:
        self.pulse.saw_head(header.number, header.timestamp, name)
        self.metrics.head(chain_id, header.number, header.timestamp, header.base_fee_per_gas)

    # What ticks come to

    def ticked(  # noqa: PLR0917  what a tick knows
        self,
        name: str,
        chain_id: int,
        header: Header,
        status: str,
        reason: str,
        decision: Decision | None,
        seconds: float,
    ) -> None:
        """A tick came to something."""
        now = self.clock()
        _log.info("tick", vault=name, block=header.number, status=status, reason=reason)
        self.pulse.loop_tick(now, name)
        self._saw(name, chain_id, header)
        self.metrics.tick_done(name, seconds, now)
        if status != "waiting":
            self.metrics.decided(name, _ACTIONS.get(status, "rebalance"))
        if decision is not None:
            self.metrics.nav(name, round(decision.estimate.nav_usd * WAD))
            self.metrics.drift(name, round(decision.estimate.drift_before * WAD))
        halted = reason.startswith("halted: ")
        if status == "refused":
            self.metrics.breaker("halted" if halted else "policy", name)
            if not halted:
                self.alerts.notify("breaker", name, reason, "see `keeper history`")
        elif status != "waiting":
            for over in _OVER:
                self.alerts.resolve(over, name)
        if status in ("sent", "confirmed"):
            self.metrics.sent(name)

    def complained(self, name: str, what: What, reason: str) -> None:
        """A tick failed."""
        _log.warning("tick failed", vault=name, what=what, reason=reason)
        self.pulse.loop_tick(self.clock(), name)
        self.alerts.notify(what, name, reason, "see docs/operations.md")

    # What is on disk

    def looked(
        self, name: str, journal: Journal, signer: str | None, endpoint: Endpoint, least_balance: int | None = None
    ) -> None:
        """After each tick: whether a person halted it, what became of batches, the signer's purse, the endpoints.

        ``least_balance`` is what the signer must hold, wei. Raises `JournalError`.
        """
        vault = journal.vault()
        halted = None if vault is None or vault.halted_at is None else vault.halted_why or "for no reason given"
        self.pulse.halt(halted, name)
        self.metrics.halted(name, halted is not None)
        if halted is None:
            self.alerts.resolve("halted", name)
        else:
            self.alerts.notify("halted", name, halted, "`keeper resume`")
        if signer is not None:
            self._look_at(name, journal.intents(_RECENT))
            self._weigh(name, signer, endpoint, least_balance)
        if isinstance(endpoint, Endpoints):
            for status in endpoint.status():
                if status.lag_blocks is not None:
                    self.metrics.rpc_lag(status.name, status.lag_blocks)

    def _look_at(self, name: str, intents: Sequence[Intent]) -> None:
        """The latest intents, newest first: what has happened to them since the last look."""
        before = self._remembered.setdefault(name, _Remembered())
        ended = [intent for intent in intents if intent.closed_at is not None]
        if before.ended is not None:  # what ended before this process began was told by another one
            for intent in reversed(ended):
                if intent.id > before.ended and intent.order:
                    self._ended(name, intent)
        before.ended = ended[0].id if ended else before.ended or 0
        current = next((intent for intent in intents if intent.closed_at is None), None)
        mined_in = None
        if current is not None:
            mined_in = next((a.receipt.block_hash for a in current.attempts if a.receipt is not None), None)
            if current.id == before.open_id and before.mined_in is not None and mined_in != before.mined_in:
                self.alerts.notify("reorg", name, f"block {before.mined_in} is gone, and a batch with it", "nothing")
            if mined_in is None and len(current.attempts) > 1:
                why = f"account nonce {current.account_nonce} waits, after {len(current.attempts)} attempts"
                self.alerts.notify("stuck", name, why, "look at gas and the signer's balance")
            else:
                self.alerts.resolve("stuck", name)
        before.open_id, before.mined_in = (None if current is None else current.id), mined_in
        created = None if current is None else float(current.created_at)
        self.pulse.oldest_intent(created, name)
        self._open[name] = created
        times = [opened for opened in self._open.values() if opened is not None]
        self.metrics.intents_open(len(times), min(times, default=None))

    def _ended(self, name: str, intent: Intent) -> None:
        for attempt in intent.attempts:
            if attempt.receipt is not None:
                self.metrics.gas(name, attempt.receipt.gas_used, attempt.receipt.gas_price)
        if intent.state == State.DONE:
            self.metrics.confirmed(name)
            self.alerts.resolve("batch", name)
            self.alerts.resolve("drift", name)
        else:
            self.metrics.failed(name)
            what: What = "drift" if intent.state == State.FAILED else "batch"
            self.alerts.notify(what, name, intent.why or intent.state, "see `keeper history`")

    def _weigh(self, name: str, signer: str, endpoint: Endpoint, least: int | None) -> None:
        now = self.clock()
        if now - self._weighed_at.get(signer, 0) < _BALANCE_SECONDS:
            return
        try:
            balance = endpoint.quantity("eth_getBalance", signer, "latest")
        except RpcError:  # the next tick says more about that
            return
        self._weighed_at[signer] = now
        self.metrics.signer_balance(signer, balance)
        if least is not None and balance < least:
            why = f"{signer} holds {format_units(balance, 18)} of the native token, less than {format_units(least, 18)}"
            self.alerts.notify("balance", name, why, "send it some")
        else:
            self.alerts.resolve("balance", name)
