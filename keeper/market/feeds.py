"""Price feeds that lag: Chainlink's two rules, and the path that prices take inside a long step.

A feed answers anew once the market has left its last answer by the deviation threshold, or when the last answer is as
old as the heartbeat (https://docs.chain.link/data-feeds). Between two rows more than an hour apart, the market is not
looked at only where it ends up: it takes a Brownian bridge between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import sqrt
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keeper.pools.base import Model
from keeper.units import Fraction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR = 3600
ANSWER = 10**8
"""Answers of USD feeds have eight decimals."""
_ANSWER_TO_WAD = 10**10

_DECAY = 0.94
"""Of the moving average that a bridge takes its variance from (RiskMetrics)."""
_COMMON = 0.6
"""Correlation of any two assets inside a step."""


class FeedTerms(Model):
    """When a feed answers anew."""

    deviation: Annotated[Fraction, Field(gt=0, lt=1)] = Field(
        default=Decimal("0.01"), description="once the market is this far from the last answer; fraction, above 0"
    )
    heartbeat: Annotated[int, Field(gt=0)] = Field(
        default=HOUR, description="and at the latest after so many seconds, above 0"
    )


class Path:
    """The way of log prices between rows, in legs of at most an hour.

    Rows no more than an hour apart are taken as they are, unless somebody wants to know a price between them. Else the
    way is a Brownian bridge whose variance is a moving average of past squared moves and the move itself, so that
    nothing depends on later rows.
    """

    def __init__(self, time: int, log_prices: Floats, seed: np.random.SeedSequence) -> None:
        self.time, self.log_prices = time, log_prices
        self._random = np.random.default_rng(seed)
        self._variance: Floats | None = None  # of log price, a second
        self._seen = time

    def to(self, time: int, log_prices: Floats) -> Iterator[tuple[int, Floats]]:
        """The ends of the legs on the way to the next row: (unix seconds, log prices), the row itself last."""
        start, span = self.time, time - self.time
        legs = -(-span // HOUR)
        for leg in range(1, legs):
            at = start + span * leg // legs
            yield at, self.through(at, time, log_prices)
        self.time, self.log_prices, self._seen = time, log_prices, time
        yield time, log_prices

    def through(self, at: int, time: int, log_prices: Floats) -> Floats:
        """The log prices at a moment before the next row, to which the way has come then."""
        past, left = at - self.time, time - at
        variance = self._variance_to(time, log_prices) * (past * left / (past + left))
        normals = self._random.standard_normal(1 + len(log_prices))
        normals = sqrt(_COMMON) * normals[0] + sqrt(1 - _COMMON) * normals[1:]
        here: Floats = self.log_prices + (log_prices - self.log_prices) * (past / (past + left))
        here = here + np.sqrt(variance) * normals
        self.time, self.log_prices = at, here
        return here

    def _variance_to(self, time: int, log_prices: Floats) -> Floats:
        """Of log price, a second, including the move to the next row; once for each row."""
        if self._seen != time:
            variance = (log_prices - self.log_prices) ** 2 / (time - self.time)
            self._variance = variance if self._variance is None else _DECAY * self._variance + (1 - _DECAY) * variance
            self._seen = time
        if self._variance is None:
            raise ValueError(f"no row after {self.time} is known")
        return self._variance


class Feeds:
    """What the oracle says of every token, and since when.

    ``answers`` are integers of eight decimals, ``updated_at`` unix seconds, ``prices`` USD WAD; by place of the token.
    """

    def __init__(self, terms: Sequence[FeedTerms], time: int, log_prices: Floats, phases: Floats) -> None:
        """``phases``: how much of its heartbeat each feed's first answer has behind it, from 0 to 1."""
        self._deviation = np.array([float(term.deviation) for term in terms])
        self._heartbeat = np.array([term.heartbeat for term in terms], dtype=np.int64)
        self.frozen = np.zeros(len(terms), dtype=bool)
        self.bias = np.ones(len(terms))
        self.answers = [max(round(price * ANSWER), 1) for price in np.exp(log_prices).tolist()]
        self.updated_at = [time - int(behind) for behind in phases * self._heartbeat]
        self._load()

    @classmethod
    def as_read(cls, terms: Sequence[FeedTerms], answers: Sequence[int], updated_at: Sequence[int]) -> Feeds:
        """Feeds whose last answers (eight decimals) and their times are known."""
        feeds = cls(terms, 0, np.zeros(len(terms)), np.zeros(len(terms)))
        feeds.answers, feeds.updated_at = list(answers), list(updated_at)
        feeds._load()
        return feeds

    def _load(self) -> None:
        self._last = np.array(self.answers, dtype=np.float64) / ANSWER
        self._due = np.array(self.updated_at, dtype=np.int64) + self._heartbeat
        self.prices = [answer * _ANSWER_TO_WAD for answer in self.answers]

    def look(self, time: int, prices: Floats) -> list[int]:
        """Lets every feed answer that has reason to. ``prices`` are USD for one whole token.

        ``frozen`` feeds do not answer, and each answers the market's price times its ``bias``.

        Returns:
            The places of those that did.
        """
        seen = prices * self.bias
        due = (np.abs(seen - self._last) >= self._deviation * self._last) | (time >= self._due)
        due &= ~self.frozen
        places: list[int] = np.flatnonzero(due).tolist()
        for place in places:
            answer = max(round(float(seen[place]) * ANSWER), 1)
            self.answers[place], self.prices[place], self.updated_at[place] = answer, answer * _ANSWER_TO_WAD, time
            self._last[place] = answer / ANSWER
            self._due[place] = time + self._heartbeat[place]
        return places
