"""When to look for a rebalance: the triggers that a policy can name."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from keeper.domain.basket import Basket
from keeper.domain.errors import InputError
from keeper.domain.forecast import DriftModel, Ewma, Forecast
from keeper.pools.base import Model
from keeper.units import Fraction, Number

Width = Annotated[Fraction, Field(lt=1)]


class Always(Model):
    """Look for a rebalance at every opportunity."""

    kind: Literal["always"] = "always"


class Edges(Model):
    """How far a weight w may be from its target t: no further than the nearer of the two edges."""

    absolute: Width | None = Field(
        default=None,
        exclude_if=lambda width: width is None,
        description="fires when |w - t| is above this; fraction of NAV, 0 to below 1",
    )
    relative: Fraction | None = Field(
        default=None,
        exclude_if=lambda width: width is None,
        description="fires when |w - t| is above this times t; fraction of the target, 0 or more",
    )

    @model_validator(mode="after")
    def _has_a_width(self) -> Self:
        if self.absolute is None and self.relative is None and not getattr(self, "assets", None):
            raise ValueError("a band needs absolute or relative, or both")
        return self


class Band(Edges):
    """Look for a rebalance once any asset's weight w has left the band around its target t."""

    kind: Literal["band"] = "band"
    assets: dict[str, Edges] = Field(
        default={},
        exclude_if=lambda assets: not assets,
        description="bands of single assets by symbol, in place of the two above; where only these are given, the other"
        " assets have none",
    )

    @model_validator(mode="after")
    def _names_each_asset_once(self) -> Self:
        names = [symbol.lower() for symbol in self.assets]
        if twice := [symbol for symbol in self.assets if names.count(symbol.lower()) > 1]:
            raise ValueError(f"assets: {' and '.join(twice)} are the same: keep one of them")
        return self

    def edges(self, basket: Basket) -> list[Edges]:
        """Those of each asset of a basket: symbol and address.

        Raises:
            InputError: the band names one that is not in it.
        """
        own = {symbol.lower(): edges for symbol, edges in self.assets.items()}
        symbols = [symbol.lower() for symbol, _ in basket]
        if unknown := own.keys() - set(symbols):
            raise InputError(f"policy: trigger: a band is for {min(unknown)}, which is not in the basket")
        return [own.get(symbol, self) for symbol in symbols]


class Calendar(Model):
    """Look for a rebalance once in each period, until one was executed in it."""

    kind: Literal["calendar"] = "calendar"
    every_seconds: Annotated[int, Field(ge=60, le=366 * 86_400)] = Field(
        description="length of a period; seconds, 60 to 366 days"
    )
    offset_seconds: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="when the first period since 1970 began; seconds, 0 to below every_seconds (a Monday 00:00 UTC is"
        " 345600)",
    )

    @model_validator(mode="after")
    def _offset_is_within_a_period(self) -> Self:
        if self.offset_seconds >= self.every_seconds:
            raise ValueError(
                f"offset_seconds is {self.offset_seconds}, it must be below every_seconds, {self.every_seconds}"
            )
        return self


class VolatilityBand(Model):
    """A band as wide as cost and variance make it: what a trade costs against what waiting does (docs/triggers.md)."""

    kind: Literal["volatility_band"] = "volatility_band"
    forecast: Forecast = Field(default=Ewma(), description="of the variances")
    cost: Annotated[Fraction, Field(gt=0, lt=Decimal("0.5"))] = Field(
        default=Decimal("0.003"),
        description="what pools take of each dollar traded; fraction, above 0 to below 0.5. Gas comes on top, as it is",
    )
    min_width: Width = Field(
        default=Decimal("0.002"), description="no narrower than this on either side; fraction of NAV, 0 to below 1"
    )
    max_width: Annotated[Width, Field(gt=0)] = Field(
        default=Decimal("0.2"), description="no wider than this on either side; fraction of NAV, above 0 to below 1"
    )
    max_relative: Annotated[Fraction, Field(gt=0)] = Field(
        default=Decimal("0.5"), description="nor than this part of the target, unless min_width is; above 0"
    )

    @model_validator(mode="after")
    def _least_is_below_most(self) -> Self:
        if self.min_width > self.max_width:
            raise ValueError(f"min_width is {self.min_width}, it must not be above max_width, {self.max_width}")
        return self


Probability = Annotated[Number, Field(gt=0, lt=1)]


class DriftForecast(Model):
    """Look for a rebalance when it is likely that some asset will be outside the model's width one interval on.

    While too few prices are known it is a band of that width.
    """

    kind: Literal["forecast"] = "forecast"
    model: DriftModel = Field(
        description="what `keeper train --kind forecast` wrote: a file, relative to the policy's, or inline"
    )
    threshold: Probability = Field(
        default=0.5, description="fires when the probability is above this; above 0 to below 1"
    )


class Part(Model):
    """One part of a score: ``weight`` times what it measures over ``scale``."""

    weight: Number = Field(default=1.0, description="of it in the sum; any number, below 0 it speaks against")
    scale: Annotated[Number, Field(gt=0)] = Field(
        description="what counts as one, in the unit of what it measures; above 0"
    )


class VolatilityPart(Part):
    """The volatility of the basket at its targets, a year's standard deviation."""

    forecast: Forecast = Field(default=Ewma(), description="of the covariances")


class ProbabilityPart(Model):
    """The probability of a drift beyond the model's width one interval on."""

    weight: Number = Field(default=1.0, description="of it in the sum; any number")
    model: DriftModel = Field(description="as for the trigger forecast")


class Parts(Model):
    """What a score can be made of."""

    drift: Part | None = Field(default=None, description="sum of |w - t|; scale as a fraction of NAV")
    deviation: Part | None = Field(default=None, description="greatest |w - t|; scale as a fraction of NAV")
    age: Part | None = Field(
        default=None, description="time since the last batch, or since remembering began; scale in seconds"
    )
    gas: Part | None = Field(default=None, description="price of a unit of gas; scale in wei")
    volatility: VolatilityPart | None = Field(
        default=None, description="volatility of the basket at its targets; scale as a year's standard deviation"
    )
    probability: ProbabilityPart | None = Field(default=None, description="probability of a wide drift, 0 to 1")

    @model_validator(mode="after")
    def _has_a_part(self) -> Self:
        if not self.present:
            raise ValueError(f"a score needs at least one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def present(self) -> dict[str, Part | ProbabilityPart]:
        """The parts that are given, by name."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: part for name, part in parts.items() if part is not None}


class Score(Model):
    """Look for a rebalance when a weighted sum of several measures is high enough."""

    kind: Literal["score"] = "score"
    threshold: Annotated[Number, Field(gt=0)] = Field(
        default=1.0, description="fires when the sum reaches this; above 0"
    )
    parts: Parts = Field(description="what is summed, each by name: {weight, scale}")


class AnyOf(Model):
    """Look for a rebalance when one of several triggers does."""

    kind: Literal["any"] = "any"
    of: Annotated[tuple[Trigger, ...], Field(min_length=1, strict=False)] = Field(description="triggers, one or more")


class AllOf(Model):
    """Look for a rebalance when all of several triggers do."""

    kind: Literal["all"] = "all"
    of: Annotated[tuple[Trigger, ...], Field(min_length=1, strict=False)] = Field(description="triggers, one or more")


Trigger = Annotated[
    Always | Band | VolatilityBand | Calendar | DriftForecast | Score | AnyOf | AllOf, Field(discriminator="kind")
]

AnyOf.model_rebuild()
AllOf.model_rebuild()


def leaves(trigger: Trigger) -> Iterator[Trigger]:
    """All triggers that are no combination of others."""
    if isinstance(trigger, AnyOf | AllOf):
        for part in trigger.of:
            yield from leaves(part)
    else:
        yield trigger
