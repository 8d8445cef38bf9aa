"""What a simulated vault lives in: its basket, the pools around it, the feeds, gas, and what is in the way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from keeper.backtest.curator import Curation, check_curation
from keeper.domain import InputError
from keeper.domain.errors import explain
from keeper.domain.limits import LimitsConfig
from keeper.domain.parse import read_yaml
from keeper.market.feeds import FeedTerms
from keeper.market.gas import ConstantGas, GasFile
from keeper.market.venues import Frictions, Venue
from keeper.pools.base import Model
from keeper.units import WAD, Fraction, Number, to_wad

BASKET = {
    "WETH": Decimal("0.25"),
    "WBTC": Decimal("0.2"),
    "USDC": Decimal("0.15"),
    "LINK": Decimal("0.1"),
    "UNI": Decimal("0.1"),
    "AAVE": Decimal("0.1"),
    "MKR": Decimal("0.05"),
    "SNX": Decimal("0.05"),
}

DECIMALS = {"USDC": 6, "USDT": 6, "WBTC": 8, "BTC": 8}
"""Where they are not 18."""

DOLLARS = frozenset({"USDC", "USDT", "DAI"})

_BLUE = FeedTerms(deviation=Decimal("0.005"), heartbeat=3600)
FEEDS = {
    "WETH": _BLUE,
    "ETH": _BLUE,
    "WBTC": _BLUE,
    "BTC": _BLUE,
    **dict.fromkeys(DOLLARS, FeedTerms(deviation=Decimal("0.0025"), heartbeat=86_400)),
}
"""As Chainlink's on mainnet; the others have a deviation threshold of 1% and a heartbeat of an hour."""

_DEPTH_USD = {"WETH": 60e6, "ETH": 60e6, "WBTC": 40e6, "BTC": 40e6, **dict.fromkeys(DOLLARS, 30e6)}
_OTHER_DEPTH_USD = 12e6


class Setup(Model):
    """A vault and its surroundings, ready to be moved by prices."""

    basket: Annotated[dict[str, Fraction], Field(min_length=1)] = Field(
        default=BASKET, description="target weights by symbol; fractions that sum to 1"
    )
    decimals: dict[str, Annotated[int, Field(ge=0, le=36)]] = Field(
        default={}, description="of tokens by symbol; where not given, those of mainnet's, else 18"
    )
    native: str = Field(
        default="WETH", description="symbol of what gas is paid in, and the hub of pools that are not given"
    )
    dollar: str = Field(default="USDC", description="the other hub, at one dollar where the prices do not say")
    capital_usd: Annotated[Number, Field(ge=1, le=1e12)] = Field(
        default=1_000_000.0, description="what the vault is worth at first, on its targets; USD, 1 to 10^12"
    )
    depth: tuple[Venue, ...] = Field(
        default=(), description="the pools; if there are none, some twenty around the two hubs (`default_venues`)"
    )
    depth_scale: Annotated[Number, Field(gt=0, le=1e6)] = Field(
        default=1.0, description="times the depth of every pool; above 0 to a million"
    )
    frictions: Frictions = Field(default=Frictions())
    feeds: dict[str, FeedTerms] = Field(
        default={}, description="by symbol; where not given, as Chainlink's on mainnet: `FEEDS`, else 1% and an hour"
    )
    gas: ConstantGas | GasFile = Field(
        default=ConstantGas(), description="base_fee_wei and priority_fee_wei, or the file of a series"
    )
    latency_steps: Annotated[int, Field(ge=0)] = Field(
        default=1, description="steps from a decision to its batch; 0 fills at the prices that were seen"
    )
    latency_seconds: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="in place of steps: seconds from a decision to its batch, on a seeded path between two rows;"
        " shorter than their distance",
    )
    limits: LimitsConfig | None = Field(default=LimitsConfig(), description="the vault's; null: none")
    curation: Curation | None = Field(
        default=None,
        alias="targets",
        description="a curator who proposes others now and then; without one those of the basket stand",
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=1, description="of noise flow, intrabar paths and feed phases")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        total = sum(self.basket.values())
        if total != 1:
            raise ValueError(f"basket: the targets sum to {total}, they must sum to 1")
        for field, given in (("decimals", self.decimals), ("feeds", self.feeds)):
            if strange := [symbol for symbol in given if symbol not in self.symbols]:
                raise ValueError(f"{field}: {strange[0]} is neither in the basket nor in a pool: correct or remove it")
        if self.curation is not None:
            check_curation(self.curation, tuple(self.basket))
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every token there is: the basket in order, then those that are only traded through or paid for gas."""
        others = [symbol for venue in self.venues for symbol in venue.tokens]
        return tuple(dict.fromkeys((*self.basket, *others, self.native)))

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Symbol and made-up address of each asset, by index of the basket."""
        listed = addresses(self.symbols)
        return tuple((symbol, listed[symbol]) for symbol in self.basket)

    @property
    def venues(self) -> tuple[Venue, ...]:
        """The pools, with their depth as scaled."""
        venues = self.depth or default_venues(tuple(self.basket), self.native, self.dollar)
        if self.depth_scale == 1:
            return venues
        return tuple(venue.model_copy(update={"usd": venue.usd * self.depth_scale}) for venue in venues)

    @property
    def targets(self) -> tuple[int, ...]:
        """Target weights in WAD, by index of the basket."""
        weights = [to_wad(weight) for weight in self.basket.values()]
        weights[0] += WAD - sum(weights)
        return tuple(weights)

    def decimals_of(self, symbol: str) -> int:
        """Decimals of a token."""
        return self.decimals.get(symbol, DECIMALS.get(symbol, 18))

    def feed_of(self, symbol: str) -> FeedTerms:
        """When a token's feed answers."""
        return self.feeds.get(symbol, FEEDS.get(symbol, FeedTerms()))


def default_venues(basket: Sequence[str], native: str, dollar: str) -> tuple[Venue, ...]:
    """A market around two hubs: 24 pools for eight assets, V2 and V3, of sizes as on mainnet in quiet years."""

    def pool(kind: str, a: str, b: str, fee: int, part: float) -> Venue:
        usd = min(_DEPTH_USD.get(symbol, _OTHER_DEPTH_USD) for symbol in (a, b)) * part
        pegged = DOLLARS.issuperset((a, b))
        return Venue.model_validate({"kind": kind, "tokens": (a, b), "fee_pips": fee, "usd": usd, "pegged": pegged})

    venues = [
        pool("uniswap_v2", native, dollar, 3000, 0.6),
        pool("uniswap_v3", native, dollar, 500, 1.5),
        pool("uniswap_v3", native, dollar, 3000, 1.0),
        pool("uniswap_v3", native, dollar, 10_000, 0.1),
    ]
    for symbol in basket:
        if symbol in (native, dollar):
            continue
        venues.append(pool("uniswap_v2", symbol, native, 3000, 0.25))
        venues.append(pool("uniswap_v3", symbol, native, 3000, 0.6))
        if symbol in DOLLARS:
            venues.append(pool("uniswap_v3", symbol, dollar, 100, 0.6))
            continue
        venues.append(pool("uniswap_v3", symbol, dollar, 3000, 0.15))
        if symbol in ("WBTC", "BTC"):
            venues.append(pool("uniswap_v3", symbol, native, 500, 0.5))
            venues.append(pool("uniswap_v2", symbol, dollar, 3000, 0.1))
    return tuple(venues)


def load_setup(text: str) -> Setup:
    """Read a setup (YAML or JSON).

    Raises:
        InputError: it is malformed, or a value is out of bounds.
    """
    return read_setup(read_yaml(text, "setup: it"))


def read_setup(found: Any) -> Setup:
    """As `load_setup`, of what a file says."""
    try:
        return Setup.model_validate_json(json.dumps(found, default=str))
    except ValidationError as error:
        raise InputError(f"setup: {explain(error)}") from None


def addresses(symbols: Sequence[str]) -> Mapping[str, str]:
    """A made-up address for each token, in order."""
    return {symbol: f"0x{0xA0000000 + place:040x}" for place, symbol in enumerate(symbols)}
