"""Simulated price paths: geometric Brownian motion, jumps, regimes of volatility, and crashes.

A path is given by its parameters and its seed alone: rows are drawn one after the other from streams of random numbers
that do not know how many rows there will be, so a longer path begins with the shorter one, whatever is drawn at a time.
"""

from collections.abc import Iterator
from math import exp, log, sqrt
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from keeper.market.source import Row
from keeper.pools.base import Model
from keeper.units import Number

Regime = Literal["gbm", "jumps", "regimes", "crash"]
"""gbm: log-normal with constant volatility and correlation. jumps: gbm with Merton's jumps, common and each asset's
own. regimes: calm and turbulent times by a Markov chain. crash: quiet, broken at random by falls of everything together
and partial recoveries."""

Floats = NDArray[np.float64]

YEAR = 365 * 24 * 3600
"""Seconds; markets of tokens do not close."""

_BLOCK = 512
"""Rows drawn at a time; changes no number."""


class Asset(Model):
    """How the price of one symbol moves."""

    price: Annotated[Number, Field(gt=0)] = Field(default=100.0, description="at the start, USD for one whole token")
    drift: Number = Field(default=0.0, description="expected growth a year, continuous: E[S] = S0 exp(drift t)")
    volatility: Annotated[Number, Field(ge=0)] = Field(default=1.0, description="of log price a year, calm times")
    reversion: Annotated[Number, Field(ge=0)] = Field(
        default=0.0,
        description="pull of the log price towards its start, 1 a year; above 0 for a peg, which has no drift then",
    )


ASSETS: dict[str, Asset] = {
    symbol: asset
    for symbols, asset in (
        (("BTC", "WBTC"), Asset(price=30_000.0, volatility=0.65)),
        (("ETH", "WETH"), Asset(price=2_000.0, volatility=0.8)),
        (("STETH", "WSTETH"), Asset(price=2_000.0, volatility=0.8)),
        (("LINK",), Asset(price=15.0, volatility=1.0)),
        (("UNI",), Asset(price=8.0, volatility=1.05)),
        (("AAVE",), Asset(price=100.0, volatility=1.05)),
        (("MKR",), Asset(price=1_500.0, volatility=0.95)),
        (("SNX",), Asset(price=5.0, volatility=1.2)),
        (("USDC", "USDT", "DAI"), Asset(price=1.0, volatility=0.02, reversion=100.0)),
    )
    for symbol in symbols
}
"""What is assumed of symbols that nothing is said about, of the size of what these assets did in 2019 to 2022."""


class Spell(Model):
    """A state of the market; how long it lasts is exponential with the given mean."""

    mean_days: Annotated[Number, Field(gt=0)]
    volatility: Annotated[Number, Field(ge=0)] = Field(default=1.0, description="times each asset's own")
    correlation: Annotated[Number, Field(ge=0, le=1)] | None = Field(
        default=None, description="of every pair; the path's own if absent"
    )
    depth: Number = Field(
        default=0.0,
        description="log move of everything over a spell of mean length, in units of the asset's volatility a year;"
        " not compensated elsewhere",
    )


SPELLS: dict[Regime, tuple[Spell, ...]] = {
    "gbm": (Spell(mean_days=1.0),),
    "jumps": (Spell(mean_days=1.0),),
    "regimes": (Spell(mean_days=90.0, volatility=0.7), Spell(mean_days=20.0, volatility=2.0, correlation=0.8)),
    "crash": (
        Spell(mean_days=120.0, volatility=0.8),
        Spell(mean_days=2.0, volatility=3.0, correlation=0.98, depth=-0.5),
        Spell(mean_days=20.0, volatility=1.5, correlation=0.8, depth=0.25),
    ),
}
"""The states that a regime goes through, in turn and round again."""


class Jumps(Model):
    """Merton's jumps: they come at random, and their log size is normal. Drift is compensated for them."""

    common_a_year: Annotated[Number, Field(ge=0)] = Field(default=6.0, description="that hit every asset at once")
    own_a_year: Annotated[Number, Field(ge=0)] = Field(default=12.0, description="of each asset alone")
    mean: Number = Field(default=-0.05, description="of the log jump, in units of the asset's volatility a year")
    deviation: Annotated[Number, Field(ge=0)] = Field(default=0.08, description="of the log jump, in the same units")


class PricePath(Model):
    """A simulated market: `keeper.market.Prices`.

    Every asset's log price x follows dx = (drift - v²/2) dt + v dW, v = volatility times that of the state the market
    is in, with the W of every pair correlated alike; an asset with ``reversion`` r > 0 obeys dx = r (x0 - x) dt + v dW
    instead. Both are drawn by their exact law over a step; the state changes between steps only.
    """

    regime: Regime = "gbm"
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)] = 1
    steps: Annotated[int, Field(ge=1)] = Field(default=365 * 24, description="rows, the first of them at the start")
    step: Annotated[int, Field(ge=1)] = Field(default=3600, description="seconds between rows")
    start: Annotated[int, Field(ge=0)] = Field(default=1_577_836_800, description="unix seconds; 2020-01-01")
    assets: dict[str, Asset] = Field(default={}, description="by symbol; what is not named is taken from `ASSETS`")
    correlation: Annotated[Number, Field(ge=0, le=1)] = Field(default=0.6, description="of every pair in calm times")
    jumps: Jumps = Field(default=Jumps(), description="of the regime jumps")
    spells: tuple[Spell, ...] | None = Field(default=None, description="in place of those of the regime")

    @model_validator(mode="after")
    def _symbols_are_distinct(self) -> Self:
        twice = next((symbol for symbol in self.symbols if self.symbols.count(symbol) > 1), None)
        if twice is not None:
            raise ValueError(f"the symbol {twice} is listed twice")
        unknown = next((symbol for symbol in self.assets if symbol not in self.symbols), None)
        if unknown is not None:
            raise ValueError(f"assets names {unknown}, which is not among the symbols")
        if self.spells is not None and not self.spells:
            raise ValueError("spells is empty: leave it out, or give one at least")
        return self

    def __length_hint__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Row]:  # type: ignore[override]  # a model iterates over its fields, which none needs
        return self._rows(_BLOCK)

    def _rows(self, block: int) -> Iterator[Row]:
        """The rows, drawn ``block`` at a time."""
        assets = [self.assets.get(symbol) or ASSETS.get(symbol, Asset()) for symbol in self.symbols]
        dt = self.step / YEAR
        start = np.array([log(asset.price) for asset in assets])
        pull = np.array([asset.reversion for asset in assets])
        own = np.array([asset.volatility for asset in assets])
        pegged = pull > 0
        # The law of a step of the reverting process; the limit of both for no reversion is a plain walk.
        decay = np.exp(-pull * dt)
        safe = np.where(pegged, pull, 1.0)
        spread = np.sqrt(np.where(pegged, -np.expm1(-2 * pull * dt) / (2 * safe), dt))
        growth = np.where(pegged, 0.0, np.array([asset.drift for asset in assets]) * dt)
        jumping = self.regime == "jumps"
        if jumping:
            growth = growth - np.where(pegged, 0.0, self._jumped(own) * dt)
        spells = SPELLS[self.regime] if self.spells is None else self.spells
        leave = [1 - exp(-self.step / (spell.mean_days * 86_400)) for spell in spells]
        moves = [
            growth
            + np.where(pegged, 0.0, -((own * spell.volatility) ** 2) * dt / 2)
            + own * spell.depth * (self.step / (spell.mean_days * 86_400))
            for spell in spells
        ]
        scales = [own * spell.volatility * spread for spell in spells]
        shares = [self.correlation if spell.correlation is None else spell.correlation for spell in spells]
        loads = [(sqrt(share), sqrt(1 - share)) for share in shares]

        # One stream for each kind of number, so that none shifts another, however much is drawn at a time.
        noise, changes, times, sizes = map(np.random.default_rng, np.random.SeedSequence(self.seed).spawn(4))
        x, state = start.copy(), 0
        yield self.start, np.exp(x)
        for first in range(1, self.steps, block):
            count = min(block, self.steps - first)
            normals = noise.standard_normal((count, 1 + len(assets)))
            uniforms = changes.random(count)
            jumps = self._jumps(times, sizes, count, own, dt) if jumping else None
            for row in range(count):
                if uniforms[row] < leave[state] and len(spells) > 1:
                    state = (state + 1) % len(spells)
                common, single = loads[state]
                z = common * normals[row, 0] + single * normals[row, 1:]
                x = start + (x - start) * decay + moves[state] + scales[state] * z
                if jumps is not None:
                    x += jumps[row]
                yield self.start + (first + row) * self.step, np.exp(x)

    def _jumped(self, own: Floats) -> Floats:
        """What jumps add to expected growth a year: rate times (E[exp(jump)] - 1)."""
        mean, deviation = self.jumps.mean * own, self.jumps.deviation * own
        rate = self.jumps.common_a_year + self.jumps.own_a_year
        added: Floats = rate * np.expm1(mean + deviation**2 / 2)
        return added

    def _jumps(
        self, times: np.random.Generator, sizes: np.random.Generator, count: int, own: Floats, dt: float
    ) -> Floats:
        """Log jumps by row and asset: the sum of n normals is normal, with n times their mean and variance."""
        rates = np.array([self.jumps.common_a_year] + [self.jumps.own_a_year] * len(own)) * dt
        numbers = times.poisson(rates, (count, len(rates)))
        normals = sizes.standard_normal((count, len(rates)))
        common, single = numbers[:, :1], numbers[:, 1:]
        size = self.jumps.mean * (common + single)
        # A common jump has one size for all, in units of each asset's volatility.
        spread = self.jumps.deviation * (np.sqrt(common) * normals[:, :1] + np.sqrt(single) * normals[:, 1:])
        jumps: Floats = own * (size + spread)
        return jumps
