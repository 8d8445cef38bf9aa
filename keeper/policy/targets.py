"""Target weights for the curator to propose: pure functions of past closes, and of nothing that comes later.

Estimates and optimisation are skfolio's (`keeper.policy.allocation`); what is here makes weights that a vault accepts
of the outcome.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from keeper.domain.errors import InputError, explain
from keeper.pools.base import Model
from keeper.units import WAD, Fraction, Number, mul_div_up, to_wad

Floats = NDArray[np.float64]

DAY = 86_400
"""Seconds between the closes that an estimate is made of."""

GLIDE_PER_WAD = 7 * DAY
"""Seconds that a glide takes at least for every one of change, summed over the assets; as `VaultBase` has it."""
MAX_GLIDE = 365 * DAY


class Fixed(Model):
    """The weights given."""

    kind: Literal["fixed"] = "fixed"
    weights: dict[str, Fraction] = Field(description="by symbol; they sum to 1 exactly")

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = sum(self.weights.values())
        if total != 1:
            raise ValueError(f"the weights sum to {total}, not to 1")
        return self


class Equal(Model):
    """The same weight for every asset."""

    kind: Literal["equal"] = "equal"


class CapWeighted(Model):
    """By market capitalisation: supply times the last close, none above ``max_weight``.

    What is cut off an asset goes to the others in proportion, again and again until none is above the cap.
    """

    kind: Literal["cap_weighted"] = "cap_weighted"
    supply: dict[str, Annotated[Number, Field(gt=0, le=1e30)]] = Field(
        description="whole tokens by symbol, above 0 to 10^30"
    )
    max_weight: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=Decimal(1), description="of any asset; fraction, above 0 to 1"
    )


class _Estimated(Model):
    days: Annotated[int, Field(ge=3)] = Field(
        default=90, description="daily returns that the estimate is made of, 3 or more: two always agree, or oppose"
    )


class InverseVolatility(_Estimated):
    """In proportion to one over the deviation of daily returns."""

    kind: Literal["inverse_volatility"] = "inverse_volatility"


class RiskParity(_Estimated):
    """Every asset contributes the same variance: wᵢ(Σw)ᵢ alike, with correlations shrunk by Ledoit and Wolf (2004).

    Maillard, Roncalli and Teïletche (2010), The properties of equally weighted risk contribution portfolios.
    """

    kind: Literal["risk_parity"] = "risk_parity"


class MeanVariance(_Estimated):
    """The weights that maximise m'w - a/2 w'Sw, or with no ``risk_aversion`` a those of least variance.

    Correlations in S are shrunk by Ledoit and Wolf (2004), means m by James and Stein (Jorion, 1986): plain means of
    three months say next to nothing.
    """

    kind: Literal["mean_variance"] = "mean_variance"
    risk_aversion: Annotated[Number, Field(gt=0, le=1e6)] | None = Field(
        default=None,
        description="a, dimensionless, above 0 to a million; absent: least variance, and no mean is estimated",
    )
    min_weight: Annotated[Fraction, Field(lt=1)] = Field(default=Decimal(0), description="of any asset; fraction")
    max_weight: Annotated[Fraction, Field(gt=0, le=1)] = Field(default=Decimal(1), description="of any asset; fraction")


_Split = Fixed | Equal | CapWeighted | InverseVolatility | RiskParity | MeanVariance


class Cppi(Model):
    """Constant proportion portfolio insurance: ``multiplier`` times the cushion above the floor is at risk.

    With value V (1 at the start) and floor F, the risky assets have min(1, m max(0, 1 - F/V)) together, split as ``of``
    splits them; ``safe`` has the rest. Black and Jones (1987), Simplifying portfolio insurance.
    """

    kind: Literal["cppi"] = "cppi"
    safe: str = Field(description="symbol of the asset that does not fall, as a stable coin")
    floor: Annotated[Fraction, Field(gt=0, lt=1)] = Field(
        default=Decimal("0.8"),
        description="part of the value at the start that is to be kept; fraction, above 0 to below 1",
    )
    multiplier: Annotated[Number, Field(gt=0)] = Field(
        default=4.0,
        description="how much is at risk for a dollar of cushion; a fall by 1/multiplier at once breaks the floor",
    )
    of: Annotated[_Split, Field(discriminator="kind")] = Field(
        default=Equal(), description="how the risky assets share what is at risk"
    )


Method = Annotated[_Split | Cppi, Field(discriminator="kind")]

_METHOD: TypeAdapter[Method] = TypeAdapter(Method)
KINDS = ("fixed", "equal", "cap_weighted", "inverse_volatility", "risk_parity", "mean_variance", "cppi")


def load_method(found: Mapping[str, Any]) -> Method:
    """A method of what a file says.

    Raises:
        InputError: a field is missing, unknown or out of bounds.
    """
    try:
        return _METHOD.validate_python(dict(found))
    except ValidationError as error:
        raise InputError(f"targets: {explain(error)}") from None


def closes_needed(method: Method) -> int:
    """How many daily closes, the last one included, `propose` has to be given."""
    if isinstance(method, Cppi):
        return closes_needed(method.of)
    return method.days + 1 if isinstance(method, _Estimated) else 1


def propose(method: Method, symbols: Sequence[str], closes: Floats, value: float = 1.0) -> tuple[int, ...]:
    """Target weights by place of the symbol: WAD, sum exactly 1e18.

    Args:
        method: how.
        symbols: of the basket.
        closes: USD, shape (days, symbols), a day apart, oldest first; at least `closes_needed`.
        value: of a share now, over what it was when the floor was set; for CPPI.

    Raises:
        InputError: the method does not fit the symbols, or there is too little history for it.
    """
    needed = closes_needed(method)
    if len(closes) < needed:
        raise InputError(
            f"{method.kind} needs {needed} daily closes, there are {len(closes)}: give more, or lower days"
        )
    if isinstance(method, Fixed):
        _by_symbol(method.kind, "weights", method.weights, symbols)
        return _whole([to_wad(method.weights[symbol]) for symbol in symbols])
    return to_wads(_weights(method, tuple(symbols), closes[len(closes) - needed :], value))


def least_glide(weights: Sequence[int], *starts: Sequence[int]) -> int:
    """Seconds that a glide to ``weights`` must take, from whichever of ``starts`` is furthest (WAD).

    Rounded up as the vault does.
    """
    changes = [sum(abs(to - now) for to, now in zip(weights, start, strict=True)) for start in starts]
    return mul_div_up(max(changes), GLIDE_PER_WAD, WAD)


def to_wads(weights: Floats) -> tuple[int, ...]:
    """Weights (0 or more, of any scale) as WAD to nine places: nobody estimates them better."""
    return _whole([round(float(weight) * 10**9) * 10**9 for weight in weights / weights.sum()])


def _whole(wads: list[int]) -> tuple[int, ...]:
    """The same with the largest moved by what is missing to exactly one."""
    wads[wads.index(max(wads))] += WAD - sum(wads)
    return tuple(wads)


def capped(weights: Floats, most: float) -> Floats:
    """``weights`` (sum 1) with none above ``most``, the excess going to those below in proportion to their weights."""
    out = weights.copy()
    fixed = np.zeros(len(out), dtype=bool)
    while ((out > most * (1 + 1e-12)) & ~fixed).any():
        fixed |= out > most * (1 + 1e-12)
        out[fixed] = most
        out[~fixed] = weights[~fixed] / weights[~fixed].sum() * (1 - most * fixed.sum())
    return out


def _weights(method: Method, symbols: tuple[str, ...], closes: Floats, value: float) -> Floats:
    match method:
        case Fixed():
            return _by_symbol(method.kind, "weights", method.weights, symbols)
        case Equal():
            return np.full(len(symbols), 1 / len(symbols))
        case CapWeighted():
            if method.max_weight * len(symbols) < 1:
                raise InputError(
                    f"no weight above {method.max_weight} is impossible with {len(symbols)} assets: raise max_weight"
                )
            sizes = _by_symbol(method.kind, "supply", method.supply, symbols) * closes[-1]
            return capped(sizes / sizes.sum(), float(method.max_weight))
        case Cppi():
            return _insured(method, symbols, closes, value)
        case _:
            return _estimated(method, symbols, np.diff(closes, axis=0) / closes[:-1])


def _by_symbol(kind: str, name: str, given: Mapping[str, Any], symbols: Sequence[str]) -> Floats:
    if set(given) != set(symbols):
        lacking = [symbol for symbol in symbols if symbol not in given] or sorted(set(given) - set(symbols))
        what = "does not name" if set(symbols) - set(given) else "names more than the basket has:"
        raise InputError(f"targets: {name} of {kind} {what} {', '.join(lacking)}")
    return np.array([float(given[symbol]) for symbol in symbols])


def _insured(method: Cppi, symbols: tuple[str, ...], closes: Floats, value: float) -> Floats:
    if method.safe not in symbols:
        raise InputError(f"targets: the safe asset {method.safe} of cppi is not in the basket: {', '.join(symbols)}")
    if len(symbols) < 2:
        raise InputError("targets: cppi needs an asset beside the safe one")
    if not value > 0:
        raise InputError(f"targets: the value {value} of a share over its start must be above 0")
    safe = symbols.index(method.safe)
    risky = [k for k in range(len(symbols)) if k != safe]
    exposure = min(1.0, method.multiplier * max(0.0, 1 - float(method.floor) / value))
    weights = np.empty(len(symbols))
    weights[safe] = 1 - exposure
    weights[risky] = exposure * _weights(method.of, tuple(symbols[k] for k in risky), closes[:, risky], value)
    return weights


def _estimated(
    method: InverseVolatility | RiskParity | MeanVariance, symbols: tuple[str, ...], returns: Floats
) -> Floats:
    still = next((symbol for symbol, moves in zip(symbols, returns.T, strict=True) if not moves.any()), None)
    if still is not None:
        raise InputError(f"targets: {still} did not move in {len(returns)} days: {method.kind} has no answer for it")
    from keeper.policy import allocation  # noqa: PLC0415 - skfolio takes a second to import, three methods need it

    match method:
        case InverseVolatility():
            return allocation.by_volatility(returns)
        case RiskParity():
            return allocation.risk_parity(returns)
        case MeanVariance():
            low, high = float(method.min_weight), float(method.max_weight)
            if low * len(symbols) > 1 or high * len(symbols) < 1:
                raise InputError(
                    f"targets: weights from {low:g} to {high:g} cannot sum to 1 with {len(symbols)} assets"
                )
            if method.risk_aversion is not None and len(returns) <= len(symbols):
                raise InputError(
                    f"targets: {len(returns)} days are too few to estimate the means of {len(symbols)} assets: give"
                    f" more days than assets, or leave risk_aversion out"
                )
            return allocation.mean_variance(returns, method.risk_aversion, low, high)
