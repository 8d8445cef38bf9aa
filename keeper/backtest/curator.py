"""A curator who proposes new targets now and then, and a vault that glides to them; each from past prices only."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keeper.policy.targets import DAY, MAX_GLIDE, Method, closes_needed, least_glide, propose
from keeper.pools.base import Model

Floats = NDArray[np.float64]


class Curation(Model):
    """How targets change over time. Until there is enough history, those of the basket stand."""

    method: Method
    every_days: Annotated[int, Field(ge=1)] = Field(default=30, description="between two proposals")
    timelock_seconds: Annotated[int, Field(ge=0)] = Field(
        default=3 * DAY, description="from a proposal to the beginning of the glide"
    )
    glide_seconds: Annotated[int, Field(ge=0, le=MAX_GLIDE)] = Field(
        default=0, description="of the glide; the vault's least where that is longer"
    )


@dataclass(frozen=True, slots=True)
class _Glide:
    """As the vault moves its targets: linear in time, each rounded down."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    start: int
    end: int

    def at(self, time: int) -> tuple[int, ...]:
        if time >= self.end:
            return self.after
        left, length = self.end - time, self.end - self.start
        return tuple(
            (old * left + new * (length - left)) // length for old, new in zip(self.before, self.after, strict=True)
        )


class Curator:
    """Targets that a method proposes from past prices, wait in a timelock and glide, as the vault lets them.

    For CPPI, the value of a share is that of the basket brought back to its targets at every row.
    """

    def __init__(self, curation: Curation, symbols: Sequence[str], targets: Sequence[int]) -> None:
        self._curation, self._symbols = curation, tuple(symbols)
        self._closes: deque[Floats] = deque(maxlen=closes_needed(curation.method))
        self._closed_at: int | None = None
        self._proposed_at: int | None = None
        self._pending: tuple[int, tuple[int, ...]] | None = None
        self._glide = _Glide(tuple(targets), tuple(targets), 0, 0)
        self._seen_at = 0
        self._value = 1.0
        self._before: Floats | None = None

    def at(self, time: int) -> tuple[int, ...]:
        """The targets at a time after the last row, WAD."""
        return self._glide.at(time)

    def look(self, time: int, prices: Floats) -> bool:
        """Takes in a row, each in its turn; whether the vault is given other targets now, to which it begins to glide.

        ``prices`` are USD by index of the basket.

        Raises:
            InputError: the method does not fit the basket.
        """
        if self._before is not None:
            held = np.array(self._glide.at(self._seen_at), dtype=np.float64)
            self._value *= float(held @ (prices / self._before)) / float(held.sum())
        self._before, self._seen_at = prices, time
        if self._closed_at is None or time - self._closed_at >= DAY:
            self._closes.append(prices.copy())
            self._closed_at = time
        self._propose(time)
        if self._pending is None or time < self._pending[0]:
            return False
        now, weights = self._glide.at(time), self._pending[1]
        length = max(self._curation.glide_seconds, least_glide(weights, now))
        self._glide, self._pending = _Glide(now, weights, time, time + length), None
        return True

    def _propose(self, time: int) -> None:
        due = self._proposed_at is None or time - self._proposed_at >= self._curation.every_days * DAY
        if not due or self._pending is not None or len(self._closes) < closes_needed(self._curation.method):
            return
        weights = propose(self._curation.method, self._symbols, np.array(self._closes), self._value)
        self._proposed_at = time
        self._pending = time + self._curation.timelock_seconds, weights


def check_curation(curation: Curation, symbols: Sequence[str]) -> None:
    """Raises `InputError` if the method does not fit a basket of ``symbols``, before a run begins."""
    size = closes_needed(curation.method)
    # Made-up prices: whether the method fits does not depend on them.
    walk = np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, (size, len(symbols))), axis=0))
    propose(curation.method, symbols, walk)
