"""What the keeper is told: when to trade, how far, and when to refuse."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from keeper.domain.basket import Basket
from keeper.domain.errors import InputError, explain
from keeper.domain.forecast import Ewma, FittedModel, Forecast, returns_needed
from keeper.domain.stress import Fall, Stress
from keeper.domain.trigger import Band, Calendar, DriftForecast, Score, Trigger, VolatilityBand, leaves
from keeper.pools.base import Model
from keeper.units import Fraction, Number, Uint

Gas = Annotated[int, Field(ge=0)]


class GasUnits(Model):
    """Units of gas that a rebalance burns at most, as expected: ``base`` once, then one entry per swap by kind of pool.

    From `make bench-gas` (`benchmarks/gas.json`), rounded up. ``base`` and the swap on a V2 pair cover every rebalance
    measured there with feeds behind a proxy; a swap on another kind of pool is that plus what the executor takes more
    for the dearest one of its kind. What one more asset costs is in its swap: assets that are only priced come on top.
    Curve's is an estimate: no pool of it stands on the offline mainnet.
    """

    base: Gas = Field(default=90_000, description="order, prices, guard and transfers")
    uniswap_v2: Gas = Field(default=76_000, description="one swap on a Uniswap V2 pair")
    uniswap_v3: Gas = Field(default=92_000, description="one swap on a Uniswap V3 pool")
    uniswap_v4: Gas = Field(default=110_000, description="one swap on a Uniswap V4 pool")
    balancer_weighted: Gas = Field(default=104_000, description="one swap on a Balancer weighted pool")
    balancer_stable: Gas = Field(default=150_000, description="one swap on a Balancer stable pool")
    curve_stableswap: Gas = Field(default=121_000, description="one swap on a Curve StableSwap pool")

    def of(self, kind: str) -> int:
        """Units for one swap on a pool of this kind."""
        units: int = getattr(self, kind)
        return units


# A list in a YAML file has come as a list, which is no tuple where conversions are refused.
_Row = Annotated[tuple[Number, ...], Field(strict=False)]


_LEAST_EIGENVALUE = 1e-7
"""What every eigenvalue of a covariance is raised to, as a part of the matrix's greatest entry."""


class Covariance(Model):
    """A covariance matrix of the basket, relative to that of the typical asset: the identity changes nothing."""

    tokens: tuple[str, ...] = Field(
        strict=False, description="addresses or symbols of all assets, in the order of the matrix"
    )
    matrix: tuple[_Row, ...] = Field(strict=False, description="symmetric, no negative eigenvalue")

    @model_validator(mode="after")
    def _is_a_covariance(self) -> Self:
        size = len(self.tokens)
        if len(self.matrix) != size or any(len(row) != size for row in self.matrix):
            raise ValueError(f"the matrix must be {size} by {size}, one row and column for each token")
        names = [name.lower() for name in self.tokens]
        if twice := [name for name in self.tokens if names.count(name.lower()) > 1]:
            raise ValueError(f"tokens: {twice[0]} is listed twice")
        matrix = np.array(self.matrix)
        scale = float(np.abs(matrix).max(initial=0))
        if not np.allclose(matrix, matrix.T, atol=1e-12 * scale):
            raise ValueError("the matrix is not symmetric")
        least = float(np.linalg.eigvalsh(matrix).min(initial=0))
        if least < -1e-9 * scale or scale == 0:
            raise ValueError(f"the matrix is no covariance: its least eigenvalue is {least:.4g}")
        return self

    def of(self, basket: Basket) -> NDArray[np.float64]:
        """The matrix by index of a basket (symbol and address of each asset), shape (assets, assets).

        Raises:
            InputError: an asset is not listed.
        """
        place = {name.lower(): k for k, name in enumerate(self.tokens)}
        order = []
        for symbol, token in basket:
            k = place.get(token.lower(), place.get(symbol.lower()))
            if k is None:
                raise InputError(f"policy: covariance does not list {symbol}: add it to tokens")
            order.append(k)
        matrix: NDArray[np.float64] = np.array(self.matrix)[np.ix_(order, order)]
        # What has no variance at all would leave the solver without a unique answer.
        missing = _LEAST_EIGENVALUE * float(np.abs(matrix).max()) - float(np.linalg.eigvalsh(matrix).min())
        return matrix + np.eye(len(order)) * max(missing, 0.0)


class Memory(Model):
    """How much of the past is kept for forecasts: oracle prices at an even interval."""

    interval_seconds: Annotated[int, Field(ge=60, le=30 * 86_400)] = Field(
        default=86_400, description="time between two prices; seconds, 60 to 30 days"
    )
    samples: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=90, description="how many prices of each asset are kept; 2 to 1000"
    )


class Risk(Model):
    """The tracking penalty from what it stands for: risk aversion times expected variance times time to the next trade.

    The variance is the mean of the assets', weighted by the targets.
    """

    risk_aversion: Annotated[Number, Field(gt=0, le=1000)] = Field(
        description="how many dollars of cost a dollar squared of variance is worth, relative to NAV; above 0 to 1000"
    )
    horizon_seconds: Annotated[int, Field(ge=60)] | None = Field(
        default=None,
        exclude_if=lambda horizon: horizon is None,
        description="time to the next trade; seconds, 60 or more. If absent, that of the calendar, or what an asset"
        " is expected to take from its target to the edge of its band",
    )
    forecast: Forecast = Field(default=Ewma(), description="of the variances")


class Benefit(Model):
    """What a trade must bring to be made."""

    min_ratio: Annotated[Number, Field(gt=0, le=1000)] = Field(
        default=1.0,
        description="least tracking penalty taken off over what it costs: trading, gas and mev_allowance;"
        " above 0 to 1000",
    )
    mev_allowance: Annotated[Fraction, Field(lt=1)] = Field(
        default=Decimal(0),
        description="part of the value sold that others may take from the batch; fraction, 0 to below 1",
    )


class Once(Model):
    """Everything in one batch."""

    kind: Literal["once"] = "once"


class Twap(Model):
    """In slices of the same size, one for each interval: the pools refill between them."""

    kind: Literal["twap"] = "twap"
    slices: Annotated[int, Field(ge=2, le=100)] | Literal["auto"] = Field(
        default="auto",
        description="how many, 2 to 100; auto: as many as cost least, by refill, gas and the risk of waiting",
    )
    interval_seconds: Annotated[int, Field(ge=12, le=7 * 86_400)] = Field(
        description="time from one slice to the next; seconds, 12 to 7 days"
    )
    refill_half_life_seconds: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="time in which half of what a slice has moved a pool is back; seconds, above 0. Only with auto",
    )
    max_slices: Annotated[int, Field(ge=2, le=100)] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="no more than this; 2 to 100, 12 if absent. Only with auto",
    )
    deadline_seconds: int | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="what is not done so long after the first slice was decided is given up; seconds, no less than all"
        " slices take; twice that if absent",
    )

    @model_validator(mode="after")
    def _says_how_many(self) -> Self:
        if self.slices == "auto":
            if self.refill_half_life_seconds is None:
                raise ValueError("slices: auto needs refill_half_life_seconds")
        elif self.refill_half_life_seconds is not None or self.max_slices is not None:
            raise ValueError(f"slices is {self.slices}: refill_half_life_seconds and max_slices go with auto")
        longest = (self.most - 1) * self.interval_seconds
        if self.deadline_seconds is not None and self.deadline_seconds < longest:
            raise ValueError(f"deadline_seconds is {self.deadline_seconds}, and {self.most} slices take {longest} s")
        return self

    @property
    def most(self) -> int:
        """The most slices that there can be."""
        return (self.max_slices or 12) if self.slices == "auto" else self.slices


def _number_or_risk(value: Any) -> Any:
    """One of the two, so that what is wrong with it is said of that one only."""
    adapter: TypeAdapter[Any] = _RISK if isinstance(value, dict | Risk) else _PENALTY
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def _matrix_or_forecast(value: Any) -> Any:
    if value is None or value == "forecast":
        return value
    try:
        return _COVARIANCE.validate_python(value)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


_COVARIANCE: TypeAdapter[Covariance] = TypeAdapter(Covariance)
_RISK: TypeAdapter[Risk] = TypeAdapter(Risk)
_PENALTY: TypeAdapter[float] = TypeAdapter(Annotated[Number, Field(gt=0, strict=True)])


class Policy(Model):
    """How the keeper decides. Only ``trigger`` and ``tracking_penalty`` must be given."""

    trigger: Trigger = Field(description="when to look for a rebalance")
    tracking_penalty: Annotated[float | Risk, BeforeValidator(_number_or_risk)] = Field(
        description="what a distance of d USD from the targets costs: this times d**2 / (2 NAV) USD. Dimensionless,"
        " above 0: risk aversion times variance times time to the next trade; or {risk_aversion, horizon_seconds,"
        " forecast}, from which it follows"
    )
    horizon_seconds: Annotated[int, Field(ge=60)] | None = Field(
        default=None,
        exclude_if=lambda horizon: horizon is None,
        description="the time to the next trade that a number as tracking_penalty stands for; seconds, 60 or more."
        " Needed by volatility_band and by slices: auto, and by nothing else",
    )
    extent: Literal["optimum", "target", "edge"] = Field(
        default="optimum",
        exclude_if=lambda extent: extent == "optimum",
        description="how far to go: as far as another dollar pays; to the target; or to the edge of the trigger's band."
        " To the last two only if it pays as a whole",
    )
    benefit: Benefit = Field(
        default=Benefit(),
        exclude_if=lambda benefit: benefit == Benefit(),
        description="what a trade must bring to be made",
    )
    schedule: Annotated[Once | Twap, Field(discriminator="kind")] = Field(
        default=Once(),
        exclude_if=lambda schedule: isinstance(schedule, Once),
        description="in how many batches",
    )
    gas_price_wei: Uint | None = Field(
        default=None,
        exclude_if=lambda price: price is None,
        description="wei per unit of gas, 0 or more; if absent, base fee plus priority fee of the snapshot",
    )
    gas_units: GasUnits = Field(default=GasUnits(), description="units of gas by kind of swap")
    slippage: Annotated[Fraction, Field(lt=1)] = Field(
        default=Decimal("0.005"),
        description="how far below the simulation a bought amount may end; fraction, 0 to below 1",
    )
    headroom_share: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=Decimal("0.9"),
        description="the part of each of the vault's limits that a plan may use, since prices move before inclusion;"
        " fraction, above 0 to 1",
    )
    covariance: Annotated[Covariance | Literal["forecast"] | None, BeforeValidator(_matrix_or_forecast)] = Field(
        default=None,
        exclude_if=lambda covariance: covariance is None,
        description="how distances of different assets add up, in place of the identity: two that move together cancel."
        " {tokens, matrix}, or forecast: what tracking_penalty's forecast expects, or EWMA where that is a number",
    )
    feed_deviation: Annotated[Fraction, Field(gt=0, lt=1)] | None = Field(
        default=None,
        exclude_if=lambda band: band is None,
        description="the feeds' deviation threshold: a disagreement of pools and oracle below it is lag and not gain;"
        " fraction, above 0 to below 1, off if absent",
    )
    max_price_age: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda age: age is None,
        description="breaker: refuse if an oracle price is older, seconds, above 0; off if absent",
    )
    max_oracle_divergence: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda most: most is None,
        description="breaker: refuse if the pools' price of an asset, weighted by depth, is further from the oracle's;"
        " fraction, above 0; off if absent",
    )
    max_gas_price_wei: Uint | None = Field(
        default=None,
        exclude_if=lambda price: price is None,
        description="breaker: refuse if a unit of gas costs more wei; off if absent",
    )
    min_pool_liquidity_usd: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda floor: floor is None,
        description="filter: leave out pools whose priced side is worth less at the current price, USD, above 0;"
        " off if absent",
    )
    oracle_band: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda band: band is None,
        description="filter: leave out pools whose price of two assets is further from the oracle's; fraction, above 0;"
        " off if absent",
    )
    stress: Stress | None = Field(
        default=None,
        exclude_if=lambda stress: stress is None,
        description="breaker: scenarios that a plan must stand; off if absent",
    )
    memory: Memory = Field(
        default=Memory(),
        exclude_if=lambda memory: memory == Memory(),
        description="how much of the past is kept for forecasts",
    )

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        triggers = list(leaves(self.trigger))
        banded = any(isinstance(trigger, Band | VolatilityBand) for trigger in triggers)
        if self.extent == "edge" and not banded:
            raise ValueError("extent: edge needs a band or a volatility_band in the trigger")
        self._check_horizon(triggers, banded)
        for model in models(self):
            if model.interval_seconds != self.memory.interval_seconds:
                raise ValueError(
                    f"a model was trained on prices every {model.interval_seconds} s, and memory.interval_seconds is"
                    f" {self.memory.interval_seconds}: they must be the same"
                )
        needed = max((returns_needed(forecast) for forecast in forecasts(self)), default=0)
        if needed >= self.memory.samples:
            raise ValueError(
                f"memory.samples is {self.memory.samples}, and a forecast needs {needed + 1} prices of an asset: raise"
                " it"
            )
        price, ceiling = self.gas_price_wei, self.max_gas_price_wei
        if price is not None and ceiling is not None and price > ceiling:
            raise ValueError(
                f"max_gas_price_wei is {ceiling}, below the {price} that gas_price_wei says gas costs: nothing would"
                " ever be traded"
            )
        return self

    def _check_horizon(self, triggers: list[Trigger], banded: bool) -> None:
        risk, given = self.tracking_penalty, self.horizon_seconds is not None
        if isinstance(risk, Risk):
            if given:
                raise ValueError("horizon_seconds: goes inside tracking_penalty, beside risk_aversion")
            if risk.horizon_seconds is None and not (banded or any(isinstance(t, Calendar) for t in triggers)):
                raise ValueError(
                    "tracking_penalty: horizon_seconds is missing: without a band or a calendar in the trigger the"
                    " time to the next trade cannot be estimated"
                )
            return
        by: list[str] = [trigger.kind for trigger in triggers if isinstance(trigger, VolatilityBand)]
        by += ["slices: auto"] if isinstance(self.schedule, Twap) and self.schedule.slices == "auto" else []
        if by and not given:
            raise ValueError(f"horizon_seconds: missing: {by[0]} needs to know for what time tracking_penalty stands")
        if given and not by:
            raise ValueError("horizon_seconds: nothing in this policy uses it: leave it out")


def forecasts(policy: Policy) -> Iterator[Forecast]:
    """All forecasts of variance that a policy rests on."""
    if isinstance(policy.tracking_penalty, Risk):
        yield policy.tracking_penalty.forecast
    elif policy.covariance == "forecast":
        yield Ewma()
    for trigger in leaves(policy.trigger):
        if isinstance(trigger, VolatilityBand):
            yield trigger.forecast
        elif isinstance(trigger, DriftForecast):
            yield trigger.model.forecast
        elif isinstance(trigger, Score):
            if trigger.parts.volatility is not None:
                yield trigger.parts.volatility.forecast
            if trigger.parts.probability is not None:
                yield trigger.parts.probability.model.forecast


def models(policy: Policy) -> Iterator[FittedModel]:
    """All fitted models that a policy rests on."""
    for forecast in forecasts(policy):
        if not isinstance(forecast, Ewma):
            yield forecast.model


def check_basket(policy: Policy, basket: Basket) -> None:
    """Raises `InputError` if a policy names assets, or has models of them, and those are not the basket's.

    `keeper.policy.decide` says the same, at the first snapshot at which it matters.
    """
    for demand in _demands(policy):
        demand(basket)


def names_assets(policy: Policy) -> bool:
    """Whether there is anything for `check_basket` to check."""
    return any(True for _ in _demands(policy))


def _demands(policy: Policy) -> Iterator[Callable[[Basket], object]]:
    for model in models(policy):
        yield model.places
    for trigger in leaves(policy.trigger):
        if isinstance(trigger, Band) and trigger.assets:
            yield trigger.edges
    if isinstance(policy.covariance, Covariance):
        yield policy.covariance.of
    for scenario in () if policy.stress is None else policy.stress.before_trade:
        if isinstance(scenario, Fall) and scenario.asset is not None:
            yield scenario.token
