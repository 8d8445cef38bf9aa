"""`decide`: from the facts and the policy to a decision, with nothing else in between."""

from keeper.domain import Buy, Decision, Estimate, InputError, Limits, Policy, Sell, Snapshot
from keeper.policy.breakers import dear_gas, stale_price
from keeper.policy.filters import deep_pools
from keeper.policy.guard import Basket, check_drift, tightened
from keeper.policy.sizing import Sized, best_size
from keeper.policy.triggers import quiet
from keeper.routing import Market, Plan, Problem
from keeper.units import (
    WAD,
    amount_of_up,
    mul_div_up,
    percent,
    to_float,
    to_wad,
    usd,
    value_of,
    value_of_up,
)

_NEGLIGIBLE = 10**9
"""A gap below NAV over this is rounding."""


def decide(snapshot: Snapshot, policy: Policy) -> Decision:
    """Hold or rebalance, and why. A pure function: the same facts and policy give the same decision.

    With limits in the snapshot every plan passes the vault's guard with room to spare (``policy.headroom_share``).

    Raises:
        InputError: gas has a price but the native token has none.
    """
    gas_price = snapshot.block.gas_price if policy.gas_price_wei is None else policy.gas_price_wei
    if gas_price > 0 and snapshot.native_price == 0:
        raise InputError("native_price is 0, so gas cannot be costed: give it, or set gas_price_wei to 0 in the policy")
    if snapshot.nav == 0:
        return _hold(snapshot, "the vault holds nothing of value")
    if refusal := stale_price(snapshot, policy):
        return _hold(snapshot, refusal, refused=True)
    if reason := quiet(snapshot, policy) or _nothing_to_do(snapshot, policy):
        return _hold(snapshot, reason)
    if refusal := dear_gas(gas_price, policy):
        return _hold(snapshot, refusal, refused=True)

    pools = deep_pools(snapshot, policy)
    problem = Problem(
        snapshot=snapshot,
        market=Market.of(pools),
        tracking_penalty=policy.tracking_penalty,
        gas_units=policy.gas_units,
        gas_price=gas_price,
        max_hops=policy.max_hops,
    )
    sized = best_size(problem, _tight(snapshot, policy))
    notes = _notes(sized.plan, len(snapshot.pools) - len(pools))
    if reason := _why_not(sized):
        return _hold(snapshot, reason + notes)
    return _rebalance(sized, policy, notes)


def _tight(snapshot: Snapshot, policy: Policy) -> Limits | None:
    limits = snapshot.vault.limits
    return None if limits is None else tightened(limits, policy.headroom_share)


def _nothing_to_do(snapshot: Snapshot, policy: Policy) -> str | None:
    """Why no trade at all can be right, whatever the pools say."""
    basket = Basket.of(snapshot)
    if basket.gap * _NEGLIGIBLE <= basket.nav:
        return "every asset is on its target"
    limits = _tight(snapshot, policy)
    if limits is None:
        return None
    if violation := check_drift(basket, limits):
        return violation.message
    if limits.turnover_headroom < max(limits.min_progress, 1):
        return (
            f"the vault's turnover budget is used up: what may be used of it now is {percent(limits.turnover_headroom)}"
            f" of NAV, and a rebalance must move at least {percent(limits.min_progress)}"
        )
    return None


def _why_not(sized: Sized) -> str | None:
    """Why the best plan is not to be carried out; None if it is."""
    plan = sized.plan
    if not plan.swaps:
        return "no trade towards the targets is possible"
    if sized.violation is not None:
        return (
            f"no plan stays within the vault's limits: {percent(sized.fraction)} of the way, {sized.violation.message}"
        )
    hold = Plan(plan.problem, plan.problem.market)
    if plan.objective > hold.objective:
        return None
    return (
        f"rebalancing does not pay: going {percent(sized.fraction)} of the way takes"
        f" {_usd(hold.tracking - plan.tracking)} off a tracking penalty of {_usd(hold.tracking)} and costs"
        f" {_usd(to_float(plan.cost) + plan.gas_usd)} (trading {usd(plan.cost)}, gas {_usd(plan.gas_usd)})"
    )


def _notes(plan: Plan, left_out: int) -> str:
    symbols = sorted(map(plan.problem.snapshot.symbol, plan.without_path))
    unreached = f"; no route for {', '.join(symbols)}" if symbols else ""
    return unreached + (f"; pools left out below the liquidity floor: {left_out}" if left_out else "")


def _rebalance(sized: Sized, policy: Policy, notes: str) -> Decision:
    plan = sized.plan
    snapshot = plan.problem.snapshot
    basket = Basket.of(snapshot)
    gap_after = sum(abs(plan.excess(asset.token)) for asset in snapshot.vault.assets)
    estimate = Estimate(
        nav_usd=to_float(basket.nav),
        cost_usd=to_float(plan.cost),
        gas_usd=plan.gas_usd,
        gas_units=plan.gas_units,
        drift_before=basket.gap / basket.nav,
        drift_after=gap_after / basket.nav,
    )
    changes = [(asset.token, plan.changes.get(asset.token, 0)) for asset in snapshot.vault.assets]
    sells = tuple(Sell(token=token, amount=-change) for token, change in changes if change < 0)
    return Decision(
        action="rebalance",
        reason=(
            f"going {percent(sized.fraction)} of the way to the targets takes drift from"
            f" {percent(basket.drift)} to {percent(gap_after * WAD // basket.nav)} and costs"
            f" {_usd(to_float(plan.cost) + plan.gas_usd)} (trading {usd(plan.cost)}, gas {_usd(plan.gas_usd)}){notes}"
        ),
        swaps=plan.swaps,
        sells=sells,
        buys=_buys(snapshot, policy, sells, [(token, change) for token, change in changes if change > 0]),
        estimate=estimate,
        certificate=None,
    )


def _buys(
    snapshot: Snapshot, policy: Policy, sells: tuple[Sell, ...], bought: list[tuple[str, int]]
) -> tuple[Buy, ...]:
    """Bought amounts with their minima: the simulation less slippage, or what the oracle demands if that is more.

    The oracle's floor splits ``(1 - max_slippage) * sold`` over the bought assets by value, so that a batch which meets
    every minimum also passes the vault's value-for-value test.
    """
    limits = snapshot.vault.limits
    prices = {token: (snapshot.asset[token].price, snapshot.token[token].decimals) for token in snapshot.asset}
    sold_value = sum(value_of_up(sell.amount, *prices[sell.token]) for sell in sells)
    values = [value_of(amount, *prices[token]) for token, amount in bought]
    owed = 0 if limits is None else mul_div_up(sold_value, WAD - limits.max_slippage, WAD)
    kept = WAD - to_wad(policy.slippage)
    return tuple(
        Buy(
            token=token,
            amount=amount,
            min_amount=max(
                mul_div_up(amount, kept, WAD),
                amount_of_up(mul_div_up(owed, value, sum(values)), *prices[token]) if owed else 0,
            ),
        )
        for (token, amount), value in zip(bought, values, strict=True)
    )


def _hold(snapshot: Snapshot, reason: str, *, refused: bool = False) -> Decision:
    basket = Basket.of(snapshot)
    drift = basket.gap / basket.nav if basket.nav else 0.0
    estimate = Estimate(
        nav_usd=to_float(basket.nav), cost_usd=0.0, gas_usd=0.0, gas_units=0, drift_before=drift, drift_after=drift
    )
    return Decision(
        action="hold",
        reason=reason,
        swaps=(),
        sells=(),
        buys=(),
        estimate=estimate,
        certificate=None,
        refused=refused,
    )


def _usd(dollars: float) -> str:
    return usd(round(dollars * WAD))
