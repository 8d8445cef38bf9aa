"""Price feeds that lag: Chainlink's two rules, and the path that prices take between two rows.

A feed answers anew once the market has left its last answer by the deviation threshold, or when the last answer is as
old as the heartbeat (https://docs.chain.link/data-feeds). It looks every five minutes at least; where rows are further
apart, at a Brownian bridge between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from math import exp, sqrt
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from keeper.pools.base import Model
from keeper.routing.jit import kernel
from keeper.units import Fraction

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

HOUR = 3600
_LEG = HOUR
"""Seconds of one leg of a path, at most."""
ANSWER = 10**8
"""Answers of USD feeds have eight decimals."""
_ANSWER_TO_WAD = 10**10

_GRAIN = 300
"""Seconds between two looks of a feed at the market, at most."""
_DECAY = 0.94
"""Of the moving average that a bridge takes its variance from (RiskMetrics)."""
_COMMON = 0.6
"""Correlation of any two assets inside a step."""
_ONLY = np.zeros(1, dtype=np.int64)


class FeedTerms(Model):
    """When a feed answers anew."""

    deviation: Annotated[Fraction, Field(gt=0, lt=1)] = Field(
        default=Decimal("0.01"), description="once the market is this far from the last answer; fraction, above 0"
    )
    heartbeat: Annotated[int, Field(gt=0)] = Field(
        default=HOUR, description="and at the latest after so many seconds, above 0"
    )


class Way(NamedTuple):
    """The way to a row, or as far as a moment before it, in legs of at most an hour: the times and log prices that are
    known of it, of shapes (points,) and (points, tokens), in order, and which points end a leg, shape (legs,)."""

    times: Ints
    log_prices: Floats
    ends: Ints


class Path:
    """The way of log prices between rows: a Brownian bridge in points at most `_GRAIN` seconds apart.

    Its variance is a moving average of past squared moves and the move itself, so that nothing depends on later rows.
    Rows no further apart than that are taken as they are, unless somebody wants to know a price between them.
    """

    def __init__(self, time: int, log_prices: Floats, seed: np.random.SeedSequence) -> None:
        self.time, self.log_prices = time, log_prices
        self._random = np.random.default_rng(seed)
        self._variance: Floats | None = None  # of log price, a second
        self._seen = time

    def to(self, time: int, log_prices: Floats) -> Way:
        """The way to the next row."""
        now, ends = self.time, []
        while time - now > _LEG:
            now += (time - now) // -(-(time - now) // _LEG)
            ends.append(now)
        way = self._walk([*ends, time], time, log_prices)
        self._seen = time
        return way

    def through(self, at: int, time: int, log_prices: Floats) -> Way:
        """The way to a moment before the next row, in one leg."""
        return self._walk([at], time, log_prices)

    def _walk(self, ends: Sequence[int], time: int, log_prices: Floats) -> Way:
        """The legs that end at these times, the last of them no later than the next row."""
        points = [-(-(end - start) // _GRAIN) for start, end in pairwise((self.time, *ends))]
        if points == [1] and ends[0] == time:
            way = Way(np.array([time]), log_prices[None, :], _ONLY)
        else:
            # One for where a leg ends, if that is not known; one for each point that a bridge leads through.
            draws = sum(points) - points.count(1) + sum(end < time for end in ends)
            normals = self._random.standard_normal((draws, 1 + len(log_prices)))
            variance = self._variance_to(time, log_prices)
            times, prices = _legs(
                self.time, np.array(ends), np.array(points), time, self.log_prices, log_prices, variance, normals
            )
            way = Way(times, prices, np.cumsum(points) - 1)
        self.time, self.log_prices = ends[-1], way.log_prices[-1]
        return way

    def _variance_to(self, time: int, log_prices: Floats) -> Floats:
        """Of log price, a second, including the move to the next row; once for each row."""
        if self._seen != time:
            variance = (log_prices - self.log_prices) ** 2 / (time - self.time)
            self._variance = variance if self._variance is None else _DECAY * self._variance + (1 - _DECAY) * variance
            self._seen = time
        if self._variance is None:
            raise ValueError(f"no row after {self.time} is known")
        return self._variance


@kernel
def _legs(  # noqa: PLR0917  a kernel takes no keywords
    now: int,
    ends: Ints,
    counts: Ints,
    time: int,
    before: Floats,
    there: Floats,
    variance: Floats,
    normals: Floats,
) -> tuple[Ints, Floats]:
    """Legs from ``now`` to each of ``ends`` in ``counts`` points, on the way to ``there`` at ``time``.

    ``variance`` is that of log price, a second. Returns times and log prices of shape (points,) and (points, tokens).
    """
    times = np.empty(counts.sum(), dtype=np.int64)
    way = np.empty((len(times), len(before)))
    first = row = 0
    for leg in range(len(ends)):
        at, points = ends[leg], counts[leg]
        span, left = at - now, time - at
        end = there
        if left > 0:
            between = variance * (span * left / (span + left))
            end = before + (there - before) * (span / (span + left)) + np.sqrt(between) * _correlated(normals[row])
            row += 1
        if points > 1:
            deviation = np.sqrt(variance * (span / points))
            _bridge(before, end, deviation, normals[row : row + points], way[first : first + points])
            row += points
        way[first + points - 1] = end
        for k in range(points):
            times[first + k] = now + span * (k + 1) // points
        first += points
        now, before = at, end
    return times, way


@kernel
def _correlated(normals: Floats) -> Floats:
    """Standard normal numbers any two of which are correlated, from a common one and each one's own."""
    mixed: Floats = sqrt(_COMMON) * normals[0] + sqrt(1 - _COMMON) * normals[1:]
    return mixed


@kernel
def _bridge(before: Floats, there: Floats, deviation: Floats, normals: Floats, way: Floats) -> None:
    """Writes a Brownian bridge of shape (points, tokens); ``deviation`` is that of one point's step."""
    points = len(normals)
    walked = np.zeros(len(before))
    for k in range(points):
        for i in range(len(before)):
            walked[i] += deviation[i] * (sqrt(_COMMON) * normals[k, 0] + sqrt(1 - _COMMON) * normals[k, 1 + i])
            way[k, i] = walked[i]
    for k in range(points):
        for i in range(len(before)):
            way[k, i] += before[i] + (k + 1) / points * (there[i] - before[i] - walked[i])


class Feeds:
    """What the oracle says of every token, and since when, by place of the token.

    ``answers`` are integers of eight decimals, ``updated_at`` unix seconds, ``prices`` USD WAD. ``frozen`` feeds do not
    answer; each sees the market's price times its ``bias``.
    """

    def __init__(self, terms: Sequence[FeedTerms], answers: Sequence[int], updated_at: Sequence[int]) -> None:
        self._deviation = np.array([float(term.deviation) for term in terms])
        self._heartbeat = np.array([term.heartbeat for term in terms], dtype=np.int64)
        self.frozen = np.zeros(len(terms), dtype=np.bool_)
        self.bias = np.ones(len(terms))
        self._answers = np.array(answers, dtype=np.int64)
        self._updated_at = np.array(updated_at, dtype=np.int64)
        self._read()

    @classmethod
    def opened(cls, terms: Sequence[FeedTerms], time: int, log_prices: Floats, seed: np.random.SeedSequence) -> Feeds:
        """Feeds that are right at ``time``, each somewhere in its heartbeat."""
        behind = np.random.default_rng(seed).random(len(terms)) * [term.heartbeat for term in terms]
        return cls(terms, list(map(answer_of, log_prices.tolist())), (time - behind).astype(np.int64).tolist())

    def _read(self) -> None:
        self.answers: list[int] = self._answers.tolist()
        self.updated_at: list[int] = self._updated_at.tolist()
        self.prices = [answer * _ANSWER_TO_WAD for answer in self.answers]

    def look(self, way: Way) -> list[int]:
        """Lets every feed answer that has reason to on the way; returns the places of those that did."""
        answered = _look(
            way.times,
            way.log_prices,
            self.bias,
            self.frozen,
            self._deviation,
            self._heartbeat,
            self._answers,
            self._updated_at,
        )
        places: list[int] = answered.nonzero()[0].tolist()
        if places:
            self._read()
        return places


def answer_of(log_price: float) -> int:
    """What a feed says of a price: an integer of eight decimals, at least 1."""
    return max(round(exp(log_price) * ANSWER), 1)


@kernel
def _look(  # noqa: PLR0917  a kernel takes no keywords
    times: Ints,
    log_prices: Floats,
    bias: Floats,
    frozen: Flags,
    deviation: Floats,
    heartbeat: Ints,
    answers: Ints,
    updated_at: Ints,
) -> Flags:
    """Goes the way; writes ``answers`` and ``updated_at``, and returns which feeds answered."""
    answered = np.zeros(len(bias), dtype=np.bool_)
    for k in range(len(times)):
        for i in range(len(bias)):
            if frozen[i]:
                continue
            seen = np.exp(log_prices[k, i]) * bias[i] * ANSWER
            last = answers[i]
            if abs(seen - last) >= deviation[i] * last or times[k] - updated_at[i] >= heartbeat[i]:
                answers[i] = max(np.int64(np.rint(seen)), np.int64(1))
                updated_at[i] = times[k]
                answered[i] = True
    return answered
