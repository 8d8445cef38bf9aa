"""A vault, its keeper and a market that moves, without a chain."""

from keeper.backtest.engine import Fill, Step, simulate
from keeper.backtest.setup import Setup, load_setup

__all__ = ["Fill", "Setup", "Step", "load_setup", "simulate"]
