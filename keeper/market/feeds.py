"""Price feeds that lag: Chainlink's two rules, and the path that prices take between two rows.

A feed answers anew once the market has left its last answer by the deviation threshold, or when the last answer is as
old as the heartbeat (https://docs.chain.link/data-feeds). It looks every five minutes at least; where rows are further
apart, at a Brownian bridge between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
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


class FeedTerms(Model):
    """When a feed answers anew."""

    deviation: Annotated[Fraction, Field(gt=0, lt=1)] = Field(
        default=Decimal("0.01"), description="once the market is this far from the last answer; fraction, above 0"
    )
    heartbeat: Annotated[int, Field(gt=0)] = Field(
        default=HOUR, description="and at the latest after so many seconds, above 0"
    )


class Leg(NamedTuple):
    """A part of the way between two rows, at most an hour long: the times and log prices that are known of it, of
    shapes (points,) and (points, tokens), in order; the last point is its end."""

    times: Ints
    log_prices: Floats


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

    def to(self, time: int, log_prices: Floats) -> Iterator[Leg]:
        """The legs of the way to the next row."""
        while time - self.time > _LEG:
            legs = -(-(time - self.time) // _LEG)
            yield self.through(self.time + (time - self.time) // legs, time, log_prices)
        yield self._walk(time, log_prices, time, log_prices)
        self._seen = time

    def through(self, at: int, time: int, log_prices: Floats) -> Leg:
        """The leg to a moment before the next row, at most an hour ahead."""
        past, left = at - self.time, time - at
        variance = self._variance_to(time, log_prices) * (past * left / (past + left))
        middle = self.log_prices + (log_prices - self.log_prices) * (past / (past + left))
        normals = _correlated(self._normals(1)[0])
        return self._walk(at, middle + np.sqrt(variance) * normals, time, log_prices)

    def _walk(self, at: int, there: Floats, time: int, log_prices: Floats) -> Leg:
        """The leg to where the way is known to lead."""
        span = at - self.time
        points = -(-span // _GRAIN)
        if points > 1:
            deviation = np.sqrt(self._variance_to(time, log_prices) * (span / points))
            way = _bridge(self.log_prices, there, deviation, self._normals(points))
            leg = Leg(self.time + span * np.arange(1, points + 1) // points, way)
        else:
            leg = Leg(np.array([at]), there[None, :])
        self.time, self.log_prices = at, there
        return leg

    def _normals(self, count: int) -> Floats:
        """Standard normal numbers of shape (count, 1 + tokens): what is common, and what is each token's own."""
        normals: Floats = self._random.standard_normal((count, 1 + len(self.log_prices)))
        return normals

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
def _correlated(normals: Floats) -> Floats:
    """Standard normal numbers any two of which are correlated, from a common one and each one's own."""
    mixed: Floats = sqrt(_COMMON) * normals[0] + sqrt(1 - _COMMON) * normals[1:]
    return mixed


@kernel
def _bridge(before: Floats, there: Floats, deviation: Floats, normals: Floats) -> Floats:
    """A Brownian bridge of shape (points, tokens); ``deviation`` is that of one point's step."""
    points = len(normals)
    way = np.empty((points, len(before)))
    walked = np.zeros(len(before))
    for k in range(points):
        walked += deviation * _correlated(normals[k])
        way[k] = walked
    for k in range(points):
        way[k] += before + (k + 1) / points * (there - before - walked)
    way[points - 1] = there
    return way


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

    def look(self, leg: Leg) -> list[int]:
        """Lets every feed answer that has reason to in this leg; returns the places of those that did."""
        answered = _look(
            leg.times,
            leg.log_prices,
            self.bias,
            self.frozen,
            self._deviation,
            self._heartbeat,
            self._answers,
            self._updated_at,
        )
        places: list[int] = np.flatnonzero(answered).tolist()
        for place in places:
            answer = int(self._answers[place])
            self.answers[place], self.prices[place] = answer, answer * _ANSWER_TO_WAD
            self.updated_at[place] = int(self._updated_at[place])
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
    """Goes through a leg; writes ``answers`` and ``updated_at``, and returns which feeds answered."""
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
