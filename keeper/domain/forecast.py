"""Forecasts that a policy can name, and the files of fitted models that they rest on (`keeper train` writes them)."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from keeper.domain.basket import Basket
from keeper.domain.errors import InputError
from keeper.pools.base import Model
from keeper.units import Number

VERSION = 1
"""Of the model files that this version of Ballast reads and writes."""

FEATURES = {
    "har": ("mean", "last", "week", "month"),
    "garch": ("omega", "alpha", "beta"),
    "drift": ("intercept", "deviation", "distance", "variance_ratio"),
}
"""What the columns of a model's coefficients are, by kind; `keeper.policy.forecasts` has their meaning."""

WEEK, MONTH = 7, 30
"""Intervals over which the slower variances of a HAR model are taken."""

_Row = Annotated[tuple[Number, ...], Field(strict=False)]
_Names = Annotated[tuple[str, ...], Field(min_length=1, strict=False)]


class Training(Model):
    """What a model was fitted on: days (ISO 8601, the second not included) and rows of prices."""

    since: str
    until: str
    rows: Annotated[int, Field(gt=0)]


class FittedModel(Model):
    """What every model file says first.

    ``validation`` are scores on what the fit had not seen, walking forward (docs/triggers.md says which).
    """

    version: int
    interval_seconds: Annotated[int, Field(ge=60)] = Field(description="seconds between the prices it was fitted on")
    trained: Training
    symbols: _Names
    features: _Names
    validation: dict[str, Number]

    @field_validator("version")
    @classmethod
    def _is_of_this_version(cls, version: int) -> int:
        if version != VERSION:
            raise ValueError(f"the model is of version {version}, this one reads version {VERSION}: train it again")
        return version

    def places(self, basket: Basket) -> list[int]:
        """Where each asset of a basket (symbol and address) stands in the model, by its symbol.

        Raises:
            InputError: the model does not know one.
        """
        place = {symbol.lower(): k for k, symbol in enumerate(self.symbols)}
        symbols = [symbol for symbol, _ in basket]
        if missing := [symbol for symbol in symbols if symbol.lower() not in place]:
            raise InputError(
                f"policy: the model was trained for {', '.join(self.symbols)} and does not know {', '.join(missing)}:"
                " train one for this basket"
            )
        return [place[symbol.lower()] for symbol in symbols]

    def _check_features(self, kind: str) -> None:
        if self.features != FEATURES[kind]:
            raise ValueError(f"the features of a {kind} model are {', '.join(FEATURES[kind])}: train it again")

    def _check_rows(self, rows: tuple[tuple[float, ...], ...]) -> None:
        if len(rows) != len(self.symbols) or any(len(row) != len(self.features) for row in rows):
            raise ValueError("coefficients must have one row for each symbol and one number for each feature")


class HarModel(FittedModel):
    """Heterogeneous autoregression of squared returns (Corsi 2009), each relative to the asset's own mean."""

    kind: Literal["har"] = "har"
    coefficients: tuple[_Row, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._check_features(self.kind)
        self._check_rows(self.coefficients)
        return self


class GarchModel(FittedModel):
    """GARCH(1,1) (Bollerslev 1986) of log returns with mean zero; omega is a squared return for one interval."""

    kind: Literal["garch"] = "garch"
    coefficients: tuple[_Row, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._check_features(self.kind)
        self._check_rows(self.coefficients)
        for symbol, (omega, alpha, beta) in zip(self.symbols, self.coefficients, strict=True):
            if not (omega > 0 and alpha >= 0 and beta >= 0 and alpha + beta < 1):
                raise ValueError(f"the variance of {symbol} has no mean: omega > 0, alpha + beta < 1 are needed")
        return self


class _Forecast(Model):
    fallback_volatility: Annotated[Number, Field(gt=0, le=10)] = Field(
        default=0.7,
        description="standard deviation of a year's log return assumed of an asset with fewer prices than are needed;"
        " fraction, above 0 to 10",
    )


class Ewma(_Forecast):
    """Exponentially weighted squared returns: the weight falls by ``decay`` with each interval."""

    kind: Literal["ewma"] = "ewma"
    decay: Annotated[Number, Field(gt=0, lt=1)] = Field(
        default=0.94, description="weight of a squared return over that of the one after it; above 0 to below 1"
    )
    min_returns: Annotated[int, Field(ge=2, le=999)] = Field(
        default=20, description="returns that must be known of an asset; 2 to 999"
    )


class Har(_Forecast):
    """A HAR model."""

    kind: Literal["har"] = "har"
    model: HarModel = Field(
        description="what `keeper train --kind har` wrote: a file, relative to the policy's, or inline"
    )


class Garch(_Forecast):
    """A GARCH(1,1) model."""

    kind: Literal["garch"] = "garch"
    model: GarchModel = Field(
        description="what `keeper train --kind garch` wrote: a file, relative to the policy's, or inline"
    )


class DriftModel(FittedModel):
    """Logistic regression of whether an asset will be further than ``width`` from its target one interval on.

    ``coefficients`` are of the features as they are. The variance that the features need comes from ``variance``.
    """

    kind: Literal["drift"] = "drift"
    width: Annotated[Number, Field(gt=0, lt=1)] = Field(description="fraction of NAV")
    coefficients: _Row
    variance: HarModel

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._check_features(self.kind)
        if len(self.coefficients) != len(self.features):
            raise ValueError("coefficients must have one number for each feature")
        if self.variance.symbols != self.symbols or self.variance.interval_seconds != self.interval_seconds:
            raise ValueError("its model of variance is of other symbols, or of another interval")
        return self

    @cached_property
    def forecast(self) -> Har:
        """Of the variances that its features need."""
        return Har(model=self.variance)


Forecast = Annotated[Ewma | Har | Garch, Field(discriminator="kind")]


def returns_needed(forecast: Forecast) -> int:
    """How many returns of an asset a forecast needs; with fewer it assumes the fallback volatility."""
    return forecast.min_returns if isinstance(forecast, Ewma) else MONTH


def inlined(data: Any, read: Any) -> Any:
    """Policy data in which every ``model: NAME`` is what ``read(NAME)`` gives."""
    if isinstance(data, dict):
        return {
            key: read(value) if key == "model" and isinstance(value, str) else inlined(value, read)
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [inlined(value, read) for value in data]
    return data
