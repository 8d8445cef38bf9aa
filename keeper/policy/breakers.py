"""When to refuse although there may be something to do."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from keeper.domain import Policy, Snapshot
from keeper.policy.lag import pool_prices
from keeper.pools.base import Model
from keeper.units import WAD, Fraction, Uint, format_units, mul_div, percent, to_wad, usd

DAY = 86_400


class Breakers(Model):
    """What stops a keeper that goes on: limits over several batches, off where absent."""

    max_price_jump: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None, description="refuse if an oracle price moved by more since the tick before; fraction, above 0"
    )
    max_excess_loss: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None,
        description="refuse if the last batch lost more NAV than simulated, by this fraction of NAV; until `resume`",
    )
    max_transactions_per_day: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="refuse after so many batches in 24 hours"
    )
    max_turnover_per_day: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None, description="refuse after turning over this fraction of NAV in 24 hours, both legs counted"
    )
    max_failures_in_a_row: Annotated[int, Field(gt=0)] | None = Field(
        default=3, description="refuse after so many batches that were not executed; until `resume`"
    )
    max_futile_in_a_row: Annotated[int, Field(gt=0)] | None = Field(
        default=2, description="refuse after so many executed batches that did not reduce drift; until `resume`"
    )
    min_signer_balance_wei: Uint | None = Field(
        default=None, description="refuse if the signer holds less of the native token"
    )


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of the past. Values in USD WAD, turnover in WAD of NAV; ``resumed``: a person has looked at it since."""

    at: int
    resumed: bool
    executed: bool
    drift_fell: bool
    nav: int
    cost: int
    predicted_cost: int
    turnover: int


@dataclass(frozen=True, slots=True)
class History:
    """Closed batches, oldest first; the snapshot of the tick before; the signer's balance, wei."""

    batches: tuple[Batch, ...]
    previous: Snapshot | None
    balance: int | None


def tripped(history: History, snapshot: Snapshot, breakers: Breakers) -> str | None:
    """The first breaker that forbids a trade, in one line with its numbers; None if none does."""
    return (
        _price_jump(history, snapshot, breakers)
        or _excess_loss(history, breakers)
        or _too_much_today(history, snapshot.block.timestamp, breakers)
        or _in_a_row(history, breakers)
        or _poor(history, breakers)
    )


def _price_jump(history: History, snapshot: Snapshot, breakers: Breakers) -> str | None:
    if breakers.max_price_jump is None or history.previous is None:
        return None
    before = {asset.token: asset.price for asset in history.previous.vault.assets}
    for asset in snapshot.vault.assets:
        old = before.get(asset.token, asset.price)
        if abs(asset.price - old) * WAD > to_wad(breakers.max_price_jump) * old:
            return (
                f"the price of {snapshot.symbol(asset.token)} went from {usd(old)} to {usd(asset.price)} in one tick,"
                f" at most {percent(to_wad(breakers.max_price_jump))} is allowed"
            )
    return None


def _excess_loss(history: History, breakers: Breakers) -> str | None:
    if breakers.max_excess_loss is None:
        return None
    executed = [batch for batch in history.batches if batch.executed and not batch.resumed]
    if not executed or executed[-1].nav == 0:
        return None
    last = executed[-1]
    excess = mul_div(last.cost - last.predicted_cost, WAD, last.nav)
    if excess <= to_wad(breakers.max_excess_loss):
        return None
    return (
        f"the last batch cost {usd(last.cost)}, {usd(last.predicted_cost)} was simulated: {percent(excess)} of NAV"
        f" more, at most {percent(to_wad(breakers.max_excess_loss))} is allowed; `keeper resume` when you know why"
    )


def _too_much_today(history: History, now: int, breakers: Breakers) -> str | None:
    today = [batch for batch in history.batches if batch.at > now - DAY]
    if breakers.max_transactions_per_day is not None and len(today) >= breakers.max_transactions_per_day:
        return f"{len(today)} batches in 24 hours, at most {breakers.max_transactions_per_day} are allowed"
    turned = sum(batch.turnover for batch in today if batch.executed)
    if breakers.max_turnover_per_day is not None and turned >= to_wad(breakers.max_turnover_per_day):
        return (
            f"{percent(turned)} of NAV turned over in 24 hours,"
            f" at most {percent(to_wad(breakers.max_turnover_per_day))} is allowed"
        )
    return None


def _in_a_row(history: History, breakers: Breakers) -> str | None:
    failures = futile = 0
    for batch in reversed(history.batches):
        if batch.resumed or batch.executed:
            break
        failures += 1
    for batch in reversed([batch for batch in history.batches if batch.executed]):
        if batch.resumed or batch.drift_fell:
            break
        futile += 1
    if breakers.max_failures_in_a_row is not None and failures >= breakers.max_failures_in_a_row:
        return f"{failures} batches in a row were not executed: see `keeper history`, then `keeper resume`"
    if breakers.max_futile_in_a_row is not None and futile >= breakers.max_futile_in_a_row:
        return f"{futile} batches in a row did not reduce drift: see `keeper history`, then `keeper resume`"
    return None


def _poor(history: History, breakers: Breakers) -> str | None:
    least = breakers.min_signer_balance_wei
    if least is None or history.balance is None or history.balance >= least:
        return None
    return (
        f"the signer holds {format_units(history.balance, 18)} of the native token, less than"
        f" {format_units(least, 18)}: send it some"
    )


def stale_price(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why the oracle prices are not to be relied on; None if they are."""
    if policy.max_price_age is None:
        return None
    for asset in snapshot.vault.assets:
        age = snapshot.block.timestamp - asset.price_updated_at
        if age > policy.max_price_age:
            symbol = snapshot.symbol(asset.token)
            return f"the price of {symbol} is {age} s old, at most {policy.max_price_age} s is allowed"
    return None


def diverging_price(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why oracle and pools disagree too much to trade; None if they do not."""
    if policy.max_oracle_divergence is None:
        return None
    for token, ratio in pool_prices(snapshot).items():
        if abs(ratio - 1) > policy.max_oracle_divergence:
            return (
                f"the pools price {snapshot.symbol(token)} {ratio - 1:+.2%} off the oracle,"
                f" at most {percent(to_wad(policy.max_oracle_divergence))} is allowed"
            )
    return None


def dear_gas(gas_price: int, policy: Policy) -> str | None:
    """Why gas is too dear to trade; None if it is not."""
    if policy.max_gas_price_wei is None or gas_price <= policy.max_gas_price_wei:
        return None
    return f"gas costs {gas_price} wei, at most {policy.max_gas_price_wei} wei is allowed"
