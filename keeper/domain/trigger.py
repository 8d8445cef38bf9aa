"""When to look for a rebalance: the triggers that a policy can name."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from keeper.pools.base import Model
from keeper.units import Fraction

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


class AnyOf(Model):
    """Look for a rebalance when one of several triggers does."""

    kind: Literal["any"] = "any"
    of: Annotated[tuple[Trigger, ...], Field(min_length=1, strict=False)] = Field(description="triggers, one or more")


class AllOf(Model):
    """Look for a rebalance when all of several triggers do."""

    kind: Literal["all"] = "all"
    of: Annotated[tuple[Trigger, ...], Field(min_length=1, strict=False)] = Field(description="triggers, one or more")


Trigger = Annotated[Always | Band | Calendar | AnyOf | AllOf, Field(discriminator="kind")]

AnyOf.model_rebuild()
AllOf.model_rebuild()
