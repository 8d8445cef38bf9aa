"""Whether a plan stands the scenarios that the policy names. Money in integers, rounded against the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from keeper.domain import Decision, Policy, Snapshot
from keeper.domain.stress import DearGas, Fall, OracleError, Sandwich, Scenario, ThinPools
from keeper.policy.guard import Basket, Outcome
from keeper.pools import BasePool, SwapError
from keeper.units import WAD, mul_div, mul_div_up, percent, to_wad, usd


def broken(snapshot: Snapshot, policy: Policy, decision: Decision) -> str | None:
    """The first of the policy's scenarios in which a rebalance would lose more than it may; None if it stands them all.

    Raises:
        InputError: a scenario names an asset that is not in the basket.
    """
    if policy.stress is None:
        return None
    for scenario in policy.stress.before_trade:
        lost, words = _lost(scenario, snapshot, policy, decision)
        most = to_wad(scenario.max_loss)
        part = mul_div_up(lost, WAD, snapshot.nav)
        if part > most:
            return (
                f"stress: {words} the batch would lose {usd(lost)}, {percent(part)} of NAV,"
                f" at most {percent(most)} is allowed"
            )
    return None


def _lost(scenario: Scenario, snapshot: Snapshot, policy: Policy, decision: Decision) -> tuple[int, str]:
    """What the batch loses in a scenario, USD WAD, and the scenario in words."""
    match scenario:
        case OracleError():
            return _wrong(scenario, snapshot, decision)
        case Fall():
            return _fallen(scenario, snapshot, decision)
        case Sandwich():
            minima = {buy.token: buy.min_amount for buy in decision.buys}
            return snapshot.nav - _measure(snapshot, decision, minima).nav, "if others take all that its minima leave"
        case ThinPools():
            return _thin(scenario, snapshot, policy, decision)
        case DearGas():
            price = _gas_price(snapshot, policy)
            dear = mul_div_up(price, round(scenario.times * WAD), WAD)
            if policy.max_gas_price_wei is not None:
                dear = min(dear, max(policy.max_gas_price_wei, price))
            return _gas(snapshot, decision, dear), f"with gas at {dear} wei"


def _wrong(scenario: OracleError, snapshot: Snapshot, decision: Decision) -> tuple[int, str]:
    """As the theorem has it (docs/threat-model.md): [loss + delta * turnover] / (1 - delta), of NAV."""
    delta = to_wad(scenario.delta)
    outcome = _measure(snapshot, decision, _simulated(decision))
    lost = snapshot.nav - outcome.nav + mul_div_up(outcome.sold + outcome.bought, delta, WAD)
    return mul_div_up(lost, WAD, WAD - delta), f"with oracle prices wrong by {percent(delta)}"


def _fallen(scenario: Fall, snapshot: Snapshot, decision: Decision) -> tuple[int, str]:
    named = scenario.token(snapshot.names)
    cost = snapshot.nav - _measure(snapshot, decision, _simulated(decision)).nav
    bought = {
        token: mul_div_up(change, snapshot.asset[token].price, 10 ** snapshot.token[token].decimals)
        for token, change in _changes(decision, _simulated(decision)).items()
        if change > 0 and (named is None or token == named)
    }
    token = max(bought, key=lambda token: bought[token], default=None)
    if token is None:
        return 0, "with what it does not buy"
    fall = to_wad(scenario.fall)
    return cost + mul_div_up(bought[token], fall, WAD), f"if {snapshot.symbol(token)} then falls by {percent(fall)}"


def _thin(scenario: ThinPools, snapshot: Snapshot, policy: Policy, decision: Decision) -> tuple[int, str]:
    """Every pool is homogeneous: with a part of its liquidity it pays that part of what it pays whole for so much more.

    A minimum that is not met makes the batch fail, and then gas is all that it costs.
    """
    left = WAD - to_wad(scenario.gone)
    words = f"with {percent(WAD - left)} of the pools' liquidity gone"
    gas = _gas(snapshot, decision, _gas_price(snapshot, policy))
    pools: dict[str, BasePool] = {pool.name: pool for pool in snapshot.pools}
    here = Counter({sell.token: sell.amount for sell in decision.sells})
    try:
        for swap in decision.swaps:
            amount = min(swap.amount_in, here[swap.token_in])
            whole, pools[swap.pool] = pools[swap.pool].swap(swap.token_in, swap.token_out, mul_div(amount, WAD, left))
            here[swap.token_in] -= amount
            here[swap.token_out] += mul_div(whole, left, WAD)
    except SwapError:
        return gas, words
    if any(here[buy.token] < buy.min_amount for buy in decision.buys):
        return gas, words
    return snapshot.nav - _measure(snapshot, decision, here).nav + gas, words


def _gas_price(snapshot: Snapshot, policy: Policy) -> int:
    return snapshot.block.gas_price if policy.gas_price_wei is None else policy.gas_price_wei


def _gas(snapshot: Snapshot, decision: Decision, price: int) -> int:
    """What the batch's gas costs at so many wei a unit, USD WAD."""
    return mul_div_up(decision.estimate.gas_units * price, snapshot.native_price, WAD)


def _simulated(decision: Decision) -> dict[str, int]:
    return {buy.token: buy.amount for buy in decision.buys}


def _changes(decision: Decision, back: Mapping[str, int]) -> Counter[str]:
    """Net change of each token if just ``back`` comes back, raw units."""
    changes = Counter(back)
    changes.subtract({sell.token: sell.amount for sell in decision.sells})
    return changes


def _measure(snapshot: Snapshot, decision: Decision, back: Mapping[str, int]) -> Outcome:
    """The batch as the vault would value it if just ``back`` comes back."""
    basket, changes = Basket.of(snapshot), _changes(decision, back)
    return basket.measure([asset.balance + changes[asset.token] for asset in snapshot.vault.assets])
