"""What Prometheus may ask of a keeper: counters and gauges in a registry of their own, updated by event.

Names follow Prometheus' conventions: the prefix `ballast_`, base units at the end, `_total` on counters. Integers come
in as the keeper holds them (WAD, wei) and become floats only here, to be looked at. No label holds more than a name:
`vault` is what the keeper calls a vault, unique in this process whatever the chain; `endpoint` is an address without
its path, query and user.
"""

from __future__ import annotations

from typing import Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from keeper.ops.log import Redactor
from keeper.units import WAD

CONTENT_TYPE = CONTENT_TYPE_LATEST

Action = Literal["hold", "rebalance", "refused"]
AlertOutcome = Literal["sent", "failed", "dropped"]

_TICK_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 120)
_REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
_WEI = 10**18


class Metrics:
    """The metrics of one keeper process. Every method may be called from any thread and returns at once."""

    def __init__(self, version: str) -> None:
        """`version` is the keeper's own, a label of `ballast_build_info`."""
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge(
            "ballast_build_info", "Always 1; the label is the keeper's version.", ["version"], registry=registry
        )
        build.labels(version).set(1)
        self._redactor = Redactor()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"ballast_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"ballast_{name}", text, labels, registry=registry)

        # The loop
        self._ticks = Histogram(
            "ballast_tick_duration_seconds",
            "Time from a new block to the end of its tick, one observation per tick.",
            ["vault"],
            buckets=_TICK_BUCKETS,
            registry=registry,
        )
        self._last_tick = gauge("last_tick_timestamp_seconds", "When the last tick ended, Unix time.", "vault")
        self._decisions = counter("decisions", "Decisions by what they came to.", "vault", "action")
        self._breakers = counter(
            "breaker_trips",
            "Ticks that a breaker refused; no vault where it stands for the whole keeper.",
            "breaker",
            "vault",
        )
        self._halted = gauge("halted", "1 while the keeper was told to halt: it watches and sends nothing.", "vault")

        # The vault
        self._drift = gauge("drift_ratio", "Sum of distances from the targets over NAV, 0 to 2.", "vault")
        self._nav = gauge("nav_usd", "Value of the basket at the oracle's prices, US dollars.", "vault")

        # Batches
        self._sent = counter("batches_sent", "Batches broadcast; a replacement of one is not another.", "vault")
        self._confirmed = counter("batches_confirmed", "Batches mined that did what they should.", "vault")
        self._failed = counter("batches_failed", "Batches that reverted, expired or did not reduce drift.", "vault")
        self._gas = counter("gas_used", "Gas units used by mined transactions, reverted ones too.", "vault")
        self._fees = counter("gas_fees_native", "Fees paid for gas, in the chain's native token.", "vault")
        self._intents = gauge("intents_open", "Intents written down and not yet closed.")
        self._oldest = gauge(
            "oldest_intent_timestamp_seconds", "When the oldest open intent was made, Unix time; 0 if none is open."
        )
        self._balance = gauge(
            "signer_balance_native", "What the signer can pay gas with, in the native token.", "signer"
        )

        # The chain
        self._base_fee = gauge("base_fee_wei", "Base fee of the head, wei per unit of gas.", "chain")
        self._head = gauge("head_number", "Number of the newest block seen.", "chain")
        self._head_time = gauge("head_timestamp_seconds", "Timestamp of the newest block seen, Unix time.", "chain")
        self._requests = Histogram(
            "ballast_rpc_request_duration_seconds",
            "Time of requests to an endpoint that were answered.",
            ["endpoint"],
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self._errors = counter("rpc_errors", "Requests that an endpoint did not answer, or not usably.", "endpoint")
        self._lag = gauge("rpc_head_lag_blocks", "How far an endpoint is behind the newest head of all.", "endpoint")

        # Alerts
        self._alerts = counter("alerts", "Alerts by what became of them.", "outcome")

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    # The loop

    def tick_done(self, vault: str, seconds: float, now: float) -> None:
        """A tick ended at `now` (Unix time) after `seconds`."""
        self._ticks.labels(vault).observe(seconds)
        self._last_tick.labels(vault).set(now)

    def decided(self, vault: str, action: Action) -> None:
        """A decision was made."""
        self._decisions.labels(vault, action).inc()

    def breaker(self, name: str, vault: str = "") -> None:
        """The breaker `name` refused; without a vault, for all of them."""
        self._breakers.labels(name, vault).inc()

    def halted(self, vault: str, halted: bool) -> None:
        """Whether the vault's keeper is halted."""
        self._halted.labels(vault).set(halted)

    # The vault

    def drift(self, vault: str, value: int) -> None:
        """The drift now, WAD."""
        self._drift.labels(vault).set(value / WAD)

    def nav(self, vault: str, value: int) -> None:
        """The NAV now, USD WAD."""
        self._nav.labels(vault).set(value / WAD)

    # Batches

    def sent(self, vault: str) -> None:
        """A batch was broadcast."""
        self._sent.labels(vault).inc()

    def confirmed(self, vault: str) -> None:
        """A batch was mined and did what it should."""
        self._confirmed.labels(vault).inc()

    def failed(self, vault: str) -> None:
        """A batch came to nothing, or to something else."""
        self._failed.labels(vault).inc()

    def gas(self, vault: str, used: int, price: int) -> None:
        """A transaction was mined: gas units, and wei paid for each."""
        self._gas.labels(vault).inc(used)
        self._fees.labels(vault).inc(used * price / _WEI)

    def intents_open(self, count: int, oldest: float | None = None) -> None:
        """How many intents are open, and when the oldest of them was made (Unix time)."""
        self._intents.set(count)
        self._oldest.set(oldest or 0)

    def signer_balance(self, signer: str, wei: int) -> None:
        """What the address that signs can pay gas with."""
        self._balance.labels(signer).set(wei / _WEI)

    # The chain

    def head(self, chain: int, number: int, timestamp: int, base_fee: int) -> None:
        """A new head was seen; its timestamp in Unix time, its base fee in wei per gas."""
        self._head.labels(str(chain)).set(number)
        self._head_time.labels(str(chain)).set(timestamp)
        self._base_fee.labels(str(chain)).set(base_fee)

    def rpc_answered(self, endpoint: str, seconds: float) -> None:
        """An endpoint answered a request."""
        self._requests.labels(self._name(endpoint)).observe(seconds)

    def rpc_error(self, endpoint: str) -> None:
        """An endpoint did not answer a request, or not usably."""
        self._errors.labels(self._name(endpoint)).inc()

    def rpc_lag(self, endpoint: str, blocks: int) -> None:
        """How many blocks an endpoint is behind the newest head of all."""
        self._lag.labels(self._name(endpoint)).set(blocks)

    # Alerts

    def alert(self, outcome: AlertOutcome) -> None:
        """An alert was delivered, could not be, or was held back by the limits."""
        self._alerts.labels(outcome).inc()

    def _name(self, endpoint: str) -> str:
        # An endpoint's name holds no credential; the URL that a caller passes by mistake does.
        return self._redactor.text(endpoint)
