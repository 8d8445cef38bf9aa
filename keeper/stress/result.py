"""What a scenario did, and whether the published bounds held in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from keeper.policy.bound import Bound
from keeper.policy.guard import Basket
from keeper.units import BPS, WAD, mul_div_up, to_float

Where = Literal["chain", "simulation"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that refused or stopped a trade: seconds since the scenario began, and who said what."""

    at: int
    who: Literal["policy", "breaker", "vault", "oracle", "keeper"]
    what: str


@dataclass(frozen=True, slots=True)
class Check:
    """A bound and what was measured against it, WAD fractions of NAV. `limit` is None where nothing is promised."""

    name: str
    limit: int | None
    measured: int

    @property
    def held(self) -> bool:
        return self.limit is None or self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """A scenario's outcome. Money in USD at true prices; drift is the sum of |weight - target| at true prices.

    `loss` is what batches lost, never what the market did to what was held; negative if they gained. `gas` is what
    their gas cost, paid by the operator. `seconds` is how long the scenario lasted.
    """

    scenario: str
    where: Where
    seconds: int
    nav: float
    loss: float
    gas: float
    drift_before: float
    drift_after: float
    trades: int
    events: tuple[Event, ...]
    checks: tuple[Check, ...]
    delta: float
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether every bound held."""
        return all(check.held for check in self.checks)

    @property
    def loss_bp(self) -> float:
        """The loss in basis points of NAV before the first batch."""
        return BPS * self.loss / self.nav if self.nav else 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; fractions as numbers."""
        return {
            "scenario": self.scenario,
            "where": self.where,
            "seconds": self.seconds,
            "nav_usd": self.nav,
            "loss_usd": self.loss,
            "loss_bp": self.loss_bp,
            "gas_usd": self.gas,
            "drift_before": self.drift_before,
            "drift_after": self.drift_after,
            "trades": self.trades,
            "delta": self.delta,
            "held": self.held,
            "checks": [
                {
                    "name": check.name,
                    "limit": None if check.limit is None else to_float(check.limit),
                    "measured": to_float(check.measured),
                    "held": check.held,
                }
                for check in self.checks
            ],
            "events": [{"at": event.at, "who": event.who, "what": event.what} for event in self.events],
            "note": self.note,
        }


@dataclass
class Ledger:
    """Adds up what batches cost, at the oracle's prices and at the true ones. All of one scenario."""

    nav: int | None = None
    loss: int = 0
    losses: int = 0
    shortfalls: int = 0
    turnover: int = 0
    delta: int = 0
    trades: int = 0
    first_at: int | None = None
    last_at: int = 0
    events: list[Event] = field(default_factory=list)

    def batch(self, at: int, oracle: Basket, true: Basket, after: Sequence[int], measured: tuple[int, int]) -> None:
        """Enters a batch: the basket before it at both prices, raw balances after it, NAV before and after as the vault
        measured them, USD WAD."""
        nav0, nav1 = measured
        self.losses += mul_div_up(max(nav0 - nav1, 0), WAD, nav0)
        moved = oracle.measure(after)
        self.turnover += mul_div_up(moved.sold + moved.bought, WAD, nav0)
        lost = true.nav - true.measure(after).nav
        self.loss += lost
        self.shortfalls += mul_div_up(max(lost, 0), WAD, true.nav)
        self.delta = max(self.delta, deviation(oracle, true))
        self.nav = true.nav if self.nav is None else self.nav
        self.trades += 1
        self.first_at = at if self.first_at is None else self.first_at
        self.last_at = at

    def checks(self, bound: Bound) -> tuple[Check, ...]:
        """The theorem's two forms and the turnover it rests on, over the span from the first batch to the last."""
        span = self.last_at - (self.first_at or 0)
        market = bound.shortfalls(span, self.delta) if self.delta < WAD else None
        return (
            Check("losses at oracle prices", bound.losses(span), self.losses),
            Check("losses at true prices", market, self.shortfalls),
            Check("turnover", bound.turnover(span), self.turnover),
        )

    def event(self, at: int, who: Literal["policy", "breaker", "vault", "oracle", "keeper"], what: str) -> None:
        """Notes who refused; the same words with other numbers only once."""
        kind = _without_numbers(what)
        if all(event.who != who or _without_numbers(event.what) != kind for event in self.events):
            self.events.append(Event(at, who, what))


def deviation(oracle: Basket, true: Basket) -> int:
    """The greatest |true price / oracle price - 1| of the basket, WAD, rounded up: the theorem's delta."""
    return max(mul_div_up(abs(t - p), WAD, p) for t, p in zip(true.prices, oracle.prices, strict=True))


def _without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.,]*(e[+-]?\d+)?", "#", text)
