"""Compiles the kernels ahead of their first use: `python -m keeper.routing.warm`."""

import numpy as np

from keeper.routing.goal import Goal
from keeper.routing.market import Market
from keeper.routing.selection import select


def warm() -> None:
    """Solve two empty problems, so that every kernel is compiled and kept on disk."""
    market = Market.of((), {"": 1.0})
    one = np.ones(1)
    for penalty in (np.ones((1, 1)), np.eye(1)):
        goal = Goal(1.0, one, one * 0, one * 0, one * 0, penalty, np.zeros((0, 1)), np.zeros(0))
        select(market, goal, np.zeros(0, dtype=np.int64), np.zeros(0))


if __name__ == "__main__":
    warm()
