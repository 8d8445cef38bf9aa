"""When to look for a rebalance."""

from collections.abc import Mapping
from typing import NamedTuple

from keeper.domain import AllOf, Always, AnyOf, Band, Calendar, Edges, InputError, Policy, Snapshot, Trigger
from keeper.units import WAD, mul_div, percent, to_wad


class Signal(NamedTuple):
    """Whether a trigger fires. ``why`` names what is missing, or what made it fire."""

    fires: bool
    why: str = ""


_FIRES = Signal(True)


def quiet(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why the policy's trigger has not fired; None if it has. NAV must not be zero."""
    signal = signal_of(policy.trigger, snapshot, policy)
    return None if signal.fires else signal.why


def signal_of(trigger: Trigger, snapshot: Snapshot, policy: Policy) -> Signal:
    """What a trigger says at a snapshot whose NAV is not zero.

    Raises:
        InputError: it names an asset that is not in the basket.
    """
    match trigger:
        case Always():
            return _FIRES
        case Band():
            return _band(trigger, snapshot)
        case Calendar():
            return _calendar(trigger, snapshot)
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
    rooms = [
        (room, i) for i, width in enumerate(widths(band, snapshot)) if width is not None
        for room in (width - _distance(snapshot, i),)
    ]  # fmt: skip
    room, i = min(rooms)
    if room < 0:
        return _FIRES
    asset, edges = (
        snapshot.vault.assets[i],
        _edges(band, _by_symbol(band), snapshot.symbol(snapshot.vault.assets[i].token)),
    )
    missing = mul_div(room, 1, snapshot.nav)
    return Signal(
        False,
        f"no asset is outside its band: {snapshot.symbol(asset.token)} is nearest to its edge"
        f" ({_described(edges)}), {percent(mul_div(snapshot.values[i], WAD, snapshot.nav))} against"
        f" {percent(asset.target_weight)}: {percent(missing)} of NAV is missing",
    )


def widths(band: Band, snapshot: Snapshot) -> list[int | None]:
    """How far each asset may be from its target, times NAV times WAD, exact; None for one without a band.

    Raises:
        InputError: the band names an asset that is not in the basket.
    """
    own = _by_symbol(band)
    if own:
        symbols = {snapshot.symbol(asset.token).lower() for asset in snapshot.vault.assets}
        if unknown := own.keys() - symbols:
            raise InputError(f"policy: trigger: a band is for {min(unknown)}, which is not in the basket")
    nav, found = snapshot.nav, []
    for i, asset in enumerate(snapshot.vault.assets):
        edges = _edges(band, own, snapshot.symbol(asset.token)) if own else band
        either = []
        if edges.absolute is not None:
            either.append(to_wad(edges.absolute) * nav)
        if edges.relative is not None:
            either.append(mul_div(to_wad(edges.relative) * snapshot.targets[i], nav, WAD))
        found.append(min(either, default=None))
    return found


def _distance(snapshot: Snapshot, i: int) -> int:
    """``|w - t|`` of asset i times NAV times WAD, exact."""
    return abs(snapshot.values[i] * WAD - snapshot.targets[i] * snapshot.nav)


def _by_symbol(band: Band) -> Mapping[str, Edges]:
    return {symbol.lower(): edges for symbol, edges in band.assets.items()}


def _edges(band: Band, own: Mapping[str, Edges], symbol: str) -> Edges:
    return own.get(symbol.lower(), band)


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
