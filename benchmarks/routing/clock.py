"""Times and their spread.

All times are CPU time of one thread, so that whatever else the machine does hardly counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

Result = TypeVar("Result")


class Spread(NamedTuple):
    """Least, lower quartile, median, upper quartile and most of some numbers."""

    least: float
    lower: float
    median: float
    upper: float
    most: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Of one number at least."""
        return cls(*(float(level) for level in np.quantile(np.asarray(numbers, dtype=float), (0, 0.25, 0.5, 0.75, 1))))

    def as_json(self) -> dict[str, float]:
        """Six digits are more than any of it is worth."""
        return {name: float(f"{level:.6g}") for name, level in self._asdict().items()}


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Milliseconds of CPU time, and what was returned."""
    start = time.process_time()
    result = call()
    return (time.process_time() - start) * 1e3, result


def repeated(call: Callable[[], object], most: int, seconds: float) -> list[float]:
    """Milliseconds of each call, after one that does not count; no more than ``most``, and none after ``seconds``."""
    call()
    found: list[float] = []
    end = time.process_time() + seconds
    while len(found) < most and (not found or time.process_time() < end):
        found.append(timed(call)[0])
    return found
