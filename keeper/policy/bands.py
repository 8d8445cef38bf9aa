"""How wide the band around each target is, and where its edge lies."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.domain import AllOf, AnyOf, Band, Edges, Policy, Snapshot, Trigger, VolatilityBand
from keeper.policy.forecasts import outlook
from keeper.policy.risk import rates, targets_of
from keeper.units import WAD, mul_div, to_float, to_wad

_STEPS = 60
"""Of Newton's method, at most; it needs about six."""
_SWAPS = 2
"""Whose gas counts as what a trade costs whatever its size."""

Widths = list[int | None]
"""How far each asset may be from its target: USD WAD times WAD, exact, by index; None for one without a band."""


def half_widths(trigger: Trigger, snapshot: Snapshot, policy: Policy) -> Widths:
    """The bands of a trigger, rounded down: the narrowest of any, the widest of all; of what has no band, none.

    Raises:
        InputError: a band names an asset that is not in the basket, or a model does not know one.
    """
    match trigger:
        case Band():
            return band_widths(trigger, snapshot)
        case VolatilityBand():
            return volatility_widths(trigger, snapshot, policy)
        case AnyOf() | AllOf():
            each = [half_widths(part, snapshot, policy) for part in trigger.of]
            choose = min if isinstance(trigger, AnyOf) else max
            return [
                choose((width for width in widths if width is not None), default=None)
                for widths in zip(*each, strict=True)
            ]
        case _:
            return [None] * len(snapshot.vault.assets)


def band_widths(band: Band, snapshot: Snapshot) -> Widths:
    """As `half_widths`, of a band with fixed edges."""
    nav = snapshot.nav
    found: Widths = []
    for edges, target in zip(edges_of(band, snapshot), snapshot.targets, strict=True):
        either = []
        if edges.absolute is not None:
            either.append(to_wad(edges.absolute) * nav)
        if edges.relative is not None:
            either.append(mul_div(to_wad(edges.relative) * target, nav, WAD))
        found.append(min(either, default=None))
    return found


def edges_of(band: Band, snapshot: Snapshot) -> Sequence[Edges]:
    """The edges of each asset's band. Raises `InputError` if the band names an asset that is not in the basket."""
    return band.edges(snapshot.names) if band.assets else [band] * len(snapshot.vault.assets)


def volatility_widths(band: VolatilityBand, snapshot: Snapshot, policy: Policy) -> Widths:
    """As `half_widths`, of a band whose width follows from cost and variance (docs/triggers.md derives it)."""
    targets = targets_of(snapshot)
    spread = outlook(snapshot, band.forecast).drift_variances(targets)
    cost, fixed = float(band.cost), _gas_usd(snapshot, policy) / to_float(snapshot.nav)
    least, most, relative = float(band.min_width), float(band.max_width), float(band.max_relative)
    found: Widths = []
    for target, variance, rate in zip(targets.tolist(), spread.tolist(), rates(snapshot, policy).tolist(), strict=True):
        width = optimal_width(rate, variance, cost, fixed, inner=_inner(policy, rate, cost))
        width = max(min(width, most, relative * target), least)
        found.append(int(width * WAD) * snapshot.nav)
    return found


def optimal_width(rate: float, variance: float, cost: float, fixed: float, inner: float | None) -> float:
    """The half-width b at which waiting and trading cost least, as a fraction of NAV.

    A weight of ``variance`` per second wanders from ``inner`` (where a trade leaves it; None: at the edge) to b. A
    distance x costs ``rate x**2 / 2`` per second, a trade ``cost`` for each unit of weight and ``fixed`` as a whole,
    all over NAV. From the mean time to the edge, ``(b**2 - inner**2) / variance``, the cost per second is

        rate (b**2 + inner**2) / 12 + variance (cost / (b + inner) + fixed / (b**2 - inner**2)),

    and in the limit of trades that leave it at the edge ``rate b**2 / 6 + variance cost / (2 b)``, whose least is at
    the cube root of ``3 cost variance / (2 rate)``.
    """
    if variance <= 0 or rate <= 0:
        return 1.0
    if inner is None:
        return float((1.5 * cost * variance / rate) ** (1 / 3))
    if fixed == 0 and rate * inner**3 >= 1.5 * variance * cost:
        return inner  # nearer than that no trade pays, however small
    proportional = float((6 * cost * variance / rate) ** (1 / 3))
    constant = float((12 * fixed * variance / rate) ** 0.25)
    b = inner + proportional + constant  # not below the least: see the derivation
    for _ in range(_STEPS):
        gap = b * b - inner * inner
        slope = rate * b / 6 - variance * (cost / (b + inner) ** 2 + 2 * b * fixed / gap**2)
        bend = rate / 6 + variance * (2 * cost / (b + inner) ** 3 + 2 * fixed * (3 * b * b + inner * inner) / gap**3)
        # The slope is concave, so a step never lands beyond its root, but may land before the inner edge.
        following = max(b - slope / bend, (b + inner) / 2)
        if abs(following - b) <= 1e-9 * b:
            return following
        b = following
    return b


def _inner(policy: Policy, rate: float, cost: float) -> float | None:
    """Where a trade of the policy leaves a weight: at its edge (None), its target, or where a dollar pays no more."""
    if policy.extent == "edge":
        return None
    if policy.extent == "target":
        return 0.0
    horizon = policy.horizon_seconds or getattr(policy.tracking_penalty, "horizon_seconds", None)
    return 0.0 if horizon is None else cost / (rate * horizon)


def _gas_usd(snapshot: Snapshot, policy: Policy) -> float:
    price = snapshot.block.gas_price if policy.gas_price_wei is None else policy.gas_price_wei
    units = policy.gas_units.base + _SWAPS * policy.gas_units.uniswap_v3
    return to_float(units * price) * to_float(snapshot.native_price)


def edge_values(snapshot: Snapshot, widths: Widths) -> tuple[int, ...]:
    """The nearest values to those held at which every asset is inside its band, USD WAD by index of the basket.

    None is further from its target than it is, or on the other side of it; their sum is NAV but for rounding. They are
    the projection of what is held: each asset moves by the same amount, as far as its own bounds let it.
    """
    bounds = []
    for value, target, width in zip(snapshot.values, snapshot.targets, widths, strict=True):
        aim = mul_div(snapshot.nav, target, WAD)
        if value > aim:
            bounds.append((value, aim, value if width is None else min(value, aim + width // WAD)))
        else:
            bounds.append((value, value if width is None else max(value, aim - width // WAD), aim))

    def shifted(shift: int) -> tuple[int, ...]:
        return tuple(min(max(value + shift, low), high) for value, low, high in bounds)

    low, high = -snapshot.nav, snapshot.nav
    while high - low > 1:
        middle = (low + high) // 2
        if sum(shifted(middle)) > snapshot.nav:
            high = middle
        else:
            low = middle
    return shifted(low)
