"""Steps of a made-up run, for tests of what is made of them."""

from typing import Any

import numpy as np

from keeper.backtest import Fill, Step
from keeper.backtest.engine import Costs


def made_step(time: int, nav: float, **changes: Any) -> Step:
    """A step at which two assets are on their targets and nothing is done."""
    fields = {
        "time": time,
        "prices": np.array([2_000.0, 1.0]),
        "oracle": np.array([2_000.0, 1.0]),
        "nav_usd": nav,
        "balances": (10**18, 500 * 10**6),
        "weights": np.array([0.5, 0.5]),
        "drift": 0.0,
        "targets": (5 * 10**17, 5 * 10**17),
        "snapshot": None,
        "decision": None,
        "executed": None,
        "hold_value_usd": nav,
        "ideal_value_usd": nav,
        "arbitrage_trades": 0,
        "flows": (),
        "gas_price_wei": 10**10,
    }
    return Step(**(fields | changes))


def made_fill(turnover: float = 0.0, *, failed: str | None = None, **costs: float) -> Fill:
    """A batch with these costs, USD; others are 0."""
    names = ("off_oracle", "fees", "impact", "gas", "shortfall")
    return Fill((), turnover, Costs(**(dict.fromkeys(names, 0.0) | costs)), 0, 0, failed)
