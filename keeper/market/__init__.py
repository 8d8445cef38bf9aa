"""Prices that move: history from files, simulated paths, and what they are cut into."""

from keeper.market.history import PriceFile
from keeper.market.paths import Asset, PricePath, Regime
from keeper.market.source import Prices, Row, Window

__all__ = ["Asset", "PriceFile", "PricePath", "Prices", "Regime", "Row", "Window"]
