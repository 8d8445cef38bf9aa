"""Bad days, moment by moment: what assets are truly worth, and what their feeds say. Pure and seeded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

Prices = Mapping[str, Decimal]
"""USD for one whole token, by symbol."""

_MINUTE, _HOUR = 60, 3_600
_PLACES = 8
"""Decimals of a USD feed."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is true `seconds` after the moment before, and what feeds say; a feed that is not named is silent."""

    seconds: int
    true: dict[str, Decimal]
    feeds: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: every asset's price when it begins, the victim, the stable coin (if the basket has one), by how much a
    wrong feed is wrong (a fraction), and the seed of whatever is random."""

    start: dict[str, Decimal]
    victim: str
    stable: str | None
    delta: Decimal
    seed: int

    @property
    def volatile(self) -> list[str]:
        """All but the stable coin."""
        return [symbol for symbol in self.start if symbol != self.stable]

    def at(self, factors: Mapping[str, float | Decimal]) -> dict[str, Decimal]:
        """Every price, times its factor."""
        return {symbol: _times(price, factors.get(symbol, 1)) for symbol, price in self.start.items()}


def frozen_feed(cast: Cast) -> Iterator[Moment]:
    """The victim's feed falls silent in the middle of a fall by half, and the others swing."""
    for step, true in enumerate(_swinging(cast, 19, 0.01)):
        fallen = cast.at({cast.victim: max(Decimal("0.5"), Decimal("0.8") - Decimal(4 * step) / 100)})
        true[cast.victim] = fallen[cast.victim]
        if step == 0:
            yield Moment(_HOUR, true, true | {cast.victim: _times(cast.start[cast.victim], Decimal("0.85"))})
        else:
            yield Moment(10 * _MINUTE, true, _without(true, cast.victim))
    yield Moment(10 * _MINUTE, true, true)


def wrong_feed(cast: Cast) -> Iterator[Moment]:
    """The victim falls by two fifths, and its feed is off by delta for a day: too high at first, then too low."""
    for hour in range(1, 25):
        sign = 1 if hour <= 12 else -1
        true = cast.at({cast.victim: Decimal("0.6")})
        yield Moment(_HOUR, true, true | {cast.victim: _times(true[cast.victim], 1 + sign * cast.delta)})
    yield Moment(_HOUR, true, true)


def depeg(cast: Cast) -> Iterator[Moment]:
    """Everything else rallies by a third, the stable coin falls to a half and comes back; its feed says all of it."""
    for percent in (100, 98, 95, 91, 86, 75, 60, 50, 55, 70, 85, 93, 97, 99):
        true = cast.at(dict.fromkeys(cast.volatile, Decimal("1.33")) | {str(cast.stable): Decimal(percent) / 100})
        yield Moment(30 * _MINUTE, true, true)


def unseen_depeg(cast: Cast) -> Iterator[Moment]:
    """Everything else rallies by two thirds, the stable coin is worth half, and its feed quotes it at its peg."""
    for _ in range(24):
        true = cast.at(dict.fromkeys(cast.volatile, Decimal("1.66")) | {str(cast.stable): Decimal("0.5")})
        yield Moment(_HOUR, true, true | {str(cast.stable): cast.start[str(cast.stable)]})


def swings(cast: Cast) -> Iterator[Moment]:
    """A week in which everything but the stable coin swings by some 3% an hour around its price; feeds are right."""
    for true in _swinging(cast, 7 * 24):
        yield Moment(_HOUR, true, true)


def everything(cast: Cast) -> Iterator[Moment]:
    """The week of swings, every feed off by delta in the way that the hour makes worse, the victim's feed silent every
    other hour, and the stable coin worth half while its feed quotes the peg."""
    for hour, true in enumerate(_swinging(cast, 7 * 24)):
        if cast.stable is not None:
            true[cast.stable] = _times(cast.start[cast.stable], Decimal("0.5"))
        feeds = {
            symbol: cast.start[symbol] if symbol == cast.stable else _times(price, 1 + _towards(cast, symbol, price))
            for symbol, price in true.items()
        }
        yield Moment(_HOUR, true, _without(feeds, cast.victim) if hour % 2 else feeds)


def _towards(cast: Cast, symbol: str, price: Decimal) -> Decimal:
    """What has risen is sold, so its feed says too little; what has fallen is bought, so its feed says too much."""
    return -cast.delta if price > cast.start[symbol] else cast.delta


def _swinging(cast: Cast, steps: int, noise: float = 0.03) -> Iterator[dict[str, Decimal]]:
    """Log prices that revert to where they began, with this noise a step."""
    chance = np.random.default_rng(cast.seed)
    logs = np.zeros(len(cast.volatile))
    for _ in range(steps):
        logs = 0.97 * logs + chance.normal(0, noise, len(logs))
        yield cast.at(dict(zip(cast.volatile, map(float, np.exp(logs)), strict=True)))


def _times(price: Decimal, factor: float | Decimal) -> Decimal:
    return round(price * Decimal(factor), _PLACES)


def _without(prices: Prices, symbol: str) -> dict[str, Decimal]:
    return {name: price for name, price in prices.items() if name != symbol}
