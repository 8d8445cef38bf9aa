"""What a backtest runs on: rows of prices, one after the other, as often as they are asked for."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from operator import length_hint
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keeper.domain.errors import InputError

Row = tuple[int, NDArray[np.float64]]
"""Unix seconds, and USD for one whole token of each symbol at that moment; shape (symbols,), finite and above 0."""


class Prices(Protocol):
    """Prices of a few symbols at even steps of time, oldest first.

    Every ``iter()`` starts anew and gives the same rows; none holds more than a chunk of them in memory. A row never
    depends on how many rows come after it. ``operator.length_hint`` tells about how many rows there are, where known.
    """

    @property
    def symbols(self) -> tuple[str, ...]:
        """What the columns are, in order."""

    @property
    def step(self) -> int:
        """Seconds from one row to the next."""

    def __iter__(self) -> Iterator[Row]: ...


@dataclass(frozen=True)
class Window:
    """The rows of ``prices`` with ``start`` <= time < ``stop`` (unix seconds; None: no bound on that side)."""

    prices: Prices
    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start is not None and self.stop is not None and self.start >= self.stop:
            raise InputError(f"the window from {self.start} to {self.stop} is empty: stop must come after start")

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.prices.symbols

    @property
    def step(self) -> int:
        return self.prices.step

    def __length_hint__(self) -> int:
        whole = length_hint(self.prices, 0)
        if self.start is None or self.stop is None:
            return whole
        return min(whole, -(-(self.stop - self.start) // self.step)) if whole else whole

    def __iter__(self) -> Iterator[Row]:
        start, stop = self.start, self.stop
        rows = iter(self.prices)
        if start is not None:
            rows = dropwhile(lambda row: row[0] < start, rows)
        if stop is not None:
            rows = takewhile(lambda row: row[0] < stop, rows)
        return rows


def last_closes(prices: Prices, count: int, apart: int) -> tuple[int, NDArray[np.float64]]:
    """The last ``count`` prices that are ``apart`` seconds from each other.

    Returns:
        The time of the last one, and closes, oldest first, shape (count, symbols); fewer where there are no more.

    Raises:
        InputError: there are no prices at this distance.
    """
    if apart % prices.step:
        raise InputError(f"prices that are {prices.step} s apart have none that are {apart} s apart: give finer ones")
    every = apart // prices.step
    rows = deque(prices, maxlen=(count - 1) * every + 1)
    if not rows:
        raise InputError("there are no prices at all")
    kept = list(rows)[::-1][::every][::-1]
    return kept[-1][0], np.array([found for _, found in kept])
