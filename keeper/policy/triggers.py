"""When to look for a rebalance."""

from __future__ import annotations

from typing import NamedTuple

from keeper.domain import (
    AllOf,
    Always,
    AnyOf,
    Band,
    Calendar,
    DriftForecast,
    Edges,
    Policy,
    Score,
    Snapshot,
    Trigger,
    VolatilityBand,
)
from keeper.policy.bands import Widths, band_widths, edges_of, volatility_widths
from keeper.policy.forecasts import drift_outlook, outlook, volatility
from keeper.policy.guard import Basket
from keeper.policy.risk import targets_of
from keeper.units import WAD, percent, to_wad


class Signal(NamedTuple):
    """Whether a trigger fires.

    ``why`` names what is missing; where it fires, what made it, unless that is plain from the basket.
    """

    fires: bool
    why: str = ""


_FIRES = Signal(True)


def quiet(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why the policy's trigger has not fired; None if it has. NAV must not be zero."""
    signal = signal_of(policy.trigger, snapshot, policy)
    return None if signal.fires else signal.why


def signal_of(trigger: Trigger, snapshot: Snapshot, policy: Policy) -> Signal:  # noqa: PLR0911  one for each kind
    """What a trigger says at a snapshot whose NAV is not zero.

    Raises:
        InputError: it names an asset that is not in the basket, or its model does not know one that is.
    """
    match trigger:
        case Always():
            return _FIRES
        case Band():
            return _band(trigger, snapshot)
        case VolatilityBand():
            return _volatility_band(trigger, snapshot, policy)
        case Calendar():
            return _calendar(trigger, snapshot)
        case DriftForecast():
            return _forecast(trigger, snapshot)
        case Score():
            return _score(trigger, snapshot, policy)
        case AnyOf():
            return _any([signal_of(part, snapshot, policy) for part in trigger.of])
        case AllOf():
            return _all([signal_of(part, snapshot, policy) for part in trigger.of])


def _any(signals: list[Signal]) -> Signal:
    fired = [signal for signal in signals if signal.fires]
    return Signal(bool(fired), _joined(fired or signals))


def _all(signals: list[Signal]) -> Signal:
    quiet = [signal for signal in signals if not signal.fires]
    return Signal(not quiet, _joined(quiet or signals))


def _joined(signals: list[Signal]) -> str:
    return "; ".join(signal.why for signal in signals if signal.why)


# Bands


def _band(band: Band, snapshot: Snapshot) -> Signal:
    room, i = _nearest(band_widths(band, snapshot), snapshot)
    if room < 0:
        return _FIRES
    return Signal(False, _inside(snapshot, i, room, _described(edges_of(band, snapshot)[i])))


def _volatility_band(band: VolatilityBand, snapshot: Snapshot, policy: Policy) -> Signal:
    widths = volatility_widths(band, snapshot, policy)
    room, i = _nearest(widths, snapshot)
    width = (widths[i] or 0) // snapshot.nav
    assumed = outlook(snapshot, band.forecast).note(band.forecast)
    if room < 0:
        symbol = snapshot.symbol(snapshot.vault.assets[i].token)
        return Signal(True, f"{symbol} is outside a band of {percent(width)} of NAV{assumed}")
    return Signal(False, _inside(snapshot, i, room, f"{percent(width)} of NAV") + assumed)


def _nearest(widths: Widths, snapshot: Snapshot) -> tuple[int, int]:
    """What is missing until the first asset is at its edge (negative: beyond), as `Widths`; and which asset."""
    nav, values, targets = snapshot.nav, snapshot.values, snapshot.targets
    return min(
        (width - abs(values[i] * WAD - targets[i] * nav), i) for i, width in enumerate(widths) if width is not None
    )


def _inside(snapshot: Snapshot, i: int, room: int, width: str) -> str:
    asset, nav = snapshot.vault.assets[i], snapshot.nav
    return (
        f"no asset is outside its band: {snapshot.symbol(asset.token)} is nearest to its edge ({width}),"
        f" {percent(snapshot.values[i] * WAD // nav)} against {percent(asset.target_weight)}:"
        f" {percent(room // nav)} of NAV is missing"
    )


def _described(edges: Edges) -> str:
    absolute = [] if edges.absolute is None else [f"{percent(to_wad(edges.absolute))} of NAV"]
    relative = [] if edges.relative is None else [f"{percent(to_wad(edges.relative))} of the target"]
    return " or ".join(absolute + relative)


# Time


def _calendar(calendar: Calendar, snapshot: Snapshot) -> Signal:
    past, now = snapshot.past, snapshot.block.timestamp
    if past is None:
        return Signal(True, "nothing is known of earlier batches, so the calendar is due")
    last = past.since if past.rebalanced_at is None else past.rebalanced_at
    period = (now - calendar.offset_seconds) // calendar.every_seconds
    if (last - calendar.offset_seconds) // calendar.every_seconds < period:
        return _FIRES
    left = (period + 1) * calendar.every_seconds + calendar.offset_seconds - now
    return Signal(False, f"the calendar is due again in {left} s")


# Forecasts and scores


def _forecast(trigger: DriftForecast, snapshot: Snapshot) -> Signal:
    model = trigger.model
    probability = drift_outlook(snapshot, model)
    width = percent(int(model.width * WAD))
    if probability is None:
        few = "too few prices are known for a forecast"
        room, i = _nearest([int(model.width * WAD) * snapshot.nav] * len(snapshot.values), snapshot)
        if room < 0:
            return Signal(True, f"{few}, and an asset is more than {width} of NAV from its target")
        return Signal(False, f"{few}: {_inside(snapshot, i, room, f'{width} of NAV')}")
    said = f"the probability of a drift beyond {width} of NAV within {model.interval_seconds} s is {probability:.3f}"
    if probability > trigger.threshold:
        return Signal(True, said)
    return Signal(False, f"{said}: {trigger.threshold - probability:.3f} is missing")


def _score(score: Score, snapshot: Snapshot, policy: Policy) -> Signal:
    parts, notes, total = [], "", 0.0
    for name, part in score.parts.present.items():
        measured, note = _measured(name, score, snapshot, policy)
        value = part.weight * measured
        total += value
        parts.append(f"{name} {value:.3f}")
        notes += note
    said = f"the score is {total:.3f} ({', '.join(parts)})"
    if total >= score.threshold:
        return Signal(True, said + notes)
    return Signal(False, f"{said}: {score.threshold - total:.3f} is missing{notes}")


def _measured(name: str, score: Score, snapshot: Snapshot, policy: Policy) -> tuple[float, str]:
    """A part of a score before its weight, in its scale; and what was assumed for it."""
    parts = score.parts
    if parts.probability is not None and name == "probability":
        probability = drift_outlook(snapshot, parts.probability.model)
        if probability is None:
            return 0.0, "; too few prices are known for a forecast, which counts as 0"
        return probability, ""
    if parts.volatility is not None and name == "volatility":
        forecast = parts.volatility.forecast
        expected, targets = outlook(snapshot, forecast), targets_of(snapshot)
        value = volatility(float(targets @ expected.covariance @ targets))
        return value / parts.volatility.scale, expected.note(forecast)
    part = getattr(parts, name)
    return _plain(name, snapshot, policy) / float(part.scale), ""


def _plain(name: str, snapshot: Snapshot, policy: Policy) -> float:
    """What a part of a score measures, in its own unit."""
    if name == "drift":
        return Basket.of(snapshot).drift / WAD
    if name == "deviation":
        room, _ = _nearest([0] * len(snapshot.values), snapshot)
        return -room / (snapshot.nav * WAD)
    if name == "gas":
        return float(snapshot.block.gas_price if policy.gas_price_wei is None else policy.gas_price_wei)
    past = snapshot.past
    if past is None:
        return 0.0
    return float(snapshot.block.timestamp - (past.since if past.rebalanced_at is None else past.rebalanced_at))
