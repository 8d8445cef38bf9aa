"""What a running keeper tells the outside: logs, metrics, health and alerts, fed from what its ticks came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from keeper.chain.endpoints import Endpoints
from keeper.ops.alerts import Alerts, AlertsConfig, What
from keeper.ops.health import HealthConfig, HealthServer, Pulse
from keeper.ops.metrics import Action, Metrics
from keeper.units import WAD

if TYPE_CHECKING:
    from keeper.chain.rpc import Endpoint, Header
    from keeper.domain.decision import Decision
    from keeper.submit.journal import Journal
    from keeper.submit.sender import Realised

_log = structlog.get_logger()

_ACTIONS: dict[str, Action] = {"hold": "hold", "refused": "refused"}
_OVER: tuple[What, ...] = ("breaker", "halted", "endpoint", "crash")
"""What a tick that came through shows to be over."""


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
        self.server = None
        if health is not None:
            self.server = HealthServer(health.port, self.pulse, self.metrics, health, health.bind)
            self.server.start()

    def close(self) -> None:
        """Stops serving, and waits a little for alerts that are under way."""
        if self.server is not None:
            self.server.stop()
        self.alerts.close()

    def ticked(  # noqa: PLR0917  what a tick knows
        self,
        name: str,
        header: Header,
        status: str,
        reason: str,
        decision: Decision | None,
        realised: Realised | None,
        seconds: float,
    ) -> None:
        """A tick came to something."""
        now = self.clock()
        _log.info("tick", vault=name, block=header.number, status=status, reason=reason)
        self.pulse.loop_tick(now, name)
        self.pulse.saw_head(header.number, header.timestamp, name)
        self.metrics.tick_done(name, seconds, now)
        if status != "waiting":
            self.metrics.decided(name, _ACTIONS.get(status, "rebalance"))
        if decision is not None:
            self.metrics.nav(name, round(decision.estimate.nav_usd * WAD))
            self.metrics.drift(name, round(decision.estimate.drift_before * WAD))
        halted = reason.startswith("halted: ")
        self.metrics.halted(name, halted)
        if status == "refused":
            self.metrics.breaker("halted" if halted else "policy", name)
            if halted:
                self.alerts.notify("halted", name, reason, "`keeper resume`")
            else:
                self.alerts.notify("breaker", name, reason, "see `keeper history`")
        elif status != "waiting":
            for over in _OVER:
                self.alerts.resolve(over, name)
        if status in ("sent", "confirmed"):
            self.metrics.sent(name)
        if realised is not None:
            self.metrics.confirmed(name)
            self.metrics.gas(name, realised.gas_used, realised.gas_price)

    def complained(self, name: str, what: What, reason: str) -> None:
        """A tick failed."""
        _log.warning("tick failed", vault=name, what=what, reason=reason)
        self.pulse.loop_tick(self.clock(), name)
        self.alerts.notify(what, name, reason, "see docs/operations.md")

    def looked(self, name: str, journal: Journal, signer: str | None, endpoint: Endpoint) -> None:
        """After each tick: the oldest open intent, and how the endpoints are."""
        intent = None if signer is None else journal.open_intent(signer)
        created = None if intent is None else float(intent.created_at)
        self.pulse.oldest_intent(created, name)
        self.metrics.intents_open(0 if intent is None else 1, created)
        if isinstance(endpoint, Endpoints):
            for status in endpoint.status():
                if status.lag_blocks is not None:
                    self.metrics.rpc_lag(status.name, status.lag_blocks)
