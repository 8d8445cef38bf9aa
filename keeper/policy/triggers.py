"""When to look for a rebalance."""

from keeper.domain import Band, Policy, Snapshot
from keeper.units import WAD, mul_div, percent, to_wad


def quiet(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why the policy's trigger has not fired; None if it has. NAV must not be zero."""
    if not isinstance(policy.trigger, Band):
        return None
    if any(_outside(policy.trigger, snapshot, i) for i in range(len(snapshot.values))):
        return None
    i = max(range(len(snapshot.values)), key=lambda i: _distance(snapshot, i))
    asset = snapshot.vault.assets[i]
    return (
        f"no asset is outside its band ({_width(policy.trigger)}): {snapshot.symbol(asset.token)} is furthest from its"
        f" target, {percent(mul_div(snapshot.values[i], WAD, snapshot.nav))} against {percent(asset.target_weight)}"
    )


def _distance(snapshot: Snapshot, i: int) -> int:
    """``|w - t|`` of asset i times NAV times WAD, exact."""
    return abs(snapshot.values[i] * WAD - snapshot.targets[i] * snapshot.nav)


def _outside(band: Band, snapshot: Snapshot, i: int) -> bool:
    distance = _distance(snapshot, i)
    if band.absolute is not None and distance > to_wad(band.absolute) * snapshot.nav:
        return True
    return band.relative is not None and distance * WAD > to_wad(band.relative) * snapshot.targets[i] * snapshot.nav


def _width(band: Band) -> str:
    absolute = [] if band.absolute is None else [f"{percent(to_wad(band.absolute))} of NAV"]
    relative = [] if band.relative is None else [f"{percent(to_wad(band.relative))} of the target"]
    return " or ".join(absolute + relative)
