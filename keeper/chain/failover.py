"""Which of several endpoints of one chain to ask, and which to leave alone: decisions only, no clock and no network.

Times are in seconds. `now` is of a clock that only runs forward, and starts anywhere; `wall` is Unix time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import Field

from keeper.chain.errors import UnansweredError
from keeper.chain.fields import Strict
from keeper.chain.rpc import Header

_Answer = TypeVar("_Answer")

# A wrong answer to "for how long" must not switch an endpoint off for good.
_LONGEST_RETRY_AFTER = 600.0
# How long a head that was seen is held against endpoints that are behind it, should its own endpoint fall silent.
_HEAD_MEMORY = 60.0
# A block may be stamped this far ahead of our clock (the yellow paper leaves it to the clients; Geth allows 15 s).
_AHEAD = 30.0


class Tolerance(Strict):
    """When an endpoint is passed over. Times in seconds."""

    max_lag_blocks: int = Field(default=3, ge=0)
    """An endpoint whose head is more blocks behind the best head is passed over."""
    max_head_age_seconds: float | None = Field(default=120, gt=0)
    """An endpoint whose head is older is passed over, and so is a block; null: never. Not applied to development nodes,
    which have their own time."""
    backoff_first_seconds: float = Field(default=0.5, gt=0)
    """After a failure an endpoint is left alone this long, after another one twice as long, and so on,"""
    backoff_cap_seconds: float = Field(default=30, gt=0)
    """but no longer than this, unless it asks for more (Retry-After)."""
    wrong_chain_seconds: float = Field(default=300, gt=0)
    """How long an endpoint of another chain is left alone. It may be a gateway that was set wrong for a while."""
    quorum: int = Field(default=1, ge=1)
    """So many endpoints must agree on the block that is read and on what is read there. Take more than half of them."""
    patience_seconds: float = Field(default=1, ge=0)
    """How much longer to wait for the others when enough endpoints have said what their head is."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one endpoint. `excluded` is why it does not count at all, until `retry_at`.

    `checked`: it was asked for its chain, and has not failed since. `own_time`: a development node. `stale` is why its
    head was too old when it was seen.
    """

    name: str
    checked: bool = False
    own_time: bool = False
    excluded: str | None = None
    last_failure: str | None = None
    failures: int = 0
    retry_at: float = 0.0
    head: Header | None = None
    head_seen_at: float = 0.0
    stale: str | None = None

    def answered(self) -> Health:
        """It answered something, be it an error of its own."""
        return replace(self, failures=0, last_failure=None)

    def failed(self, error: UnansweredError, now: float, tolerance: Tolerance) -> Health:
        """It gave no usable answer: it is left alone for a while, then asked for its chain and its head again."""
        failures = self.failures + 1
        wait = backoff(failures, error.retry_after, tolerance)
        return replace(
            self,
            checked=False,
            last_failure=str(error),
            failures=failures,
            # Of several requests under way that fail together, the longest wait counts.
            retry_at=max(self.retry_at, now + wait),
        )

    def saw(self, head: Header, now: float, wall: float, tolerance: Tolerance) -> Health:
        """It said what its head is."""
        # Judged once: a head that was new when it was seen says nothing against the endpoint an hour later.
        stale = None if self.own_time else age_refusal(head, wall, tolerance)
        return replace(self, head=head, head_seen_at=now, stale=stale)

    def admitted(self, *, own_time: bool) -> Health:
        """It follows the right chain."""
        return replace(self, checked=True, own_time=own_time, excluded=None)

    def exclude(self, reason: str, now: float, tolerance: Tolerance) -> Health:
        """It follows another chain."""
        return replace(self, checked=False, excluded=reason, head=None, retry_at=now + tolerance.wrong_chain_seconds)


@dataclass(frozen=True, slots=True)
class Choice:
    """Indexes of the endpoints to ask, in this order, and why each of the others is passed over."""

    order: tuple[int, ...]
    passed_over: Mapping[int, str]


def backoff(failures: int, retry_after: float | None, tolerance: Tolerance) -> float:
    """How long to leave an endpoint alone after so many failures in a row (≥ 1)."""
    # The exponent is bounded first: an endpoint may be down for weeks.
    wait = min(tolerance.backoff_first_seconds * 2.0 ** min(failures - 1, 60), tolerance.backoff_cap_seconds)
    return wait if retry_after is None else max(wait, min(retry_after, _LONGEST_RETRY_AFTER))


def silence(health: Health, now: float) -> str | None:
    """Why an endpoint is not to be asked anything now; None if it may be."""
    if now >= health.retry_at:
        return None
    reason = health.excluded or health.last_failure
    return f"{reason} (asked again in {health.retry_at - now:.0f} s)"


def best_head(endpoints: Sequence[Health], now: float, quorum: int) -> int | None:
    """The highest block number that `quorum` endpoints have reached; None while fewer have said."""
    heads = sorted((head.number for health in endpoints if (head := known_head(health, now)) is not None), reverse=True)
    return heads[quorum - 1] if len(heads) >= quorum else None


def known_head(health: Health, now: float) -> Header | None:
    """An endpoint's head, unless it was seen too long ago to say anything."""
    return health.head if now - health.head_seen_at <= _HEAD_MEMORY else None


def staleness(health: Health, best: int | None, now: float, tolerance: Tolerance) -> str | None:
    """Why an endpoint's head is not good enough; None if it is, or is not known."""
    head = known_head(health, now)
    if head is None:
        return None
    if best is not None and best - head.number > tolerance.max_lag_blocks:
        return f"{health.name} is {best - head.number} blocks behind"
    return health.stale and f"{health.name}: {health.stale}"


def age_refusal(header: Header, wall: float, tolerance: Tolerance) -> str | None:
    """Why a block is too old to act on, or from the future; None if it is neither."""
    if tolerance.max_head_age_seconds is None:
        return None
    age = wall - header.timestamp
    if age > tolerance.max_head_age_seconds:
        return f"block {header.number} is {age:.0f} s old"
    if age < -_AHEAD:
        return f"block {header.number} is {-age:.0f} s ahead of our clock"
    return None


def choose(
    endpoints: Sequence[Health],
    *,
    now: float,
    tolerance: Tolerance,
    holders: frozenset[int] = frozenset(),
) -> Choice:
    """Whom to ask, in the configured order.

    `holders` are endpoints known to have the block that is asked for: they come first, and being behind with other
    blocks does not matter for this one.
    """
    best = best_head(endpoints, now, tolerance.quorum)
    order, passed_over = [], {}
    for index, health in enumerate(endpoints):
        reason = silence(health, now)
        if reason is None and index not in holders:
            reason = staleness(health, best, now, tolerance)
        if reason is None:
            order.append(index)
        else:
            passed_over[index] = reason
    order.sort(key=lambda index: index not in holders)  # stable: otherwise as configured
    return Choice(tuple(order), passed_over)


def agreed(answers: Mapping[int, _Answer], quorum: int) -> _Answer | None:
    """The answer that at least `quorum` endpoints gave, and more than gave any other; None if there is none."""
    ranking = Counter(answers.values()).most_common(2)
    if not ranking or ranking[0][1] < quorum:
        return None
    return None if len(ranking) == 2 and ranking[1][1] == ranking[0][1] else ranking[0][0]
