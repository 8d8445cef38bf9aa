"""`decide`: from the facts and the policy to a decision, with nothing else in between."""

from dataclasses import dataclass, replace

from keeper.domain import Buy, Decision, Estimate, InputError, Limits, Policy, Sell, Snapshot
from keeper.domain import Certificate as PrintedCertificate
from keeper.policy.breakers import dear_gas, diverging_price, stale_price
from keeper.policy.filters import LeftOut, admit
from keeper.policy.guard import Basket, Violation, check_drift, check_outcome, tightened
from keeper.policy.lag import gains
from keeper.policy.triggers import quiet
from keeper.routing import Certificate, Plan, Problem, optimise
from keeper.units import (
    WAD,
    mul_div,
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
_TIGHTER = tuple(1e-6 * 4**k for k in range(8))
"""Parts of the limits that are left unused in turn, should rounding carry a plan across one."""


@dataclass(frozen=True, eq=False)
class Considered:
    """A decision with what led to it, for people: the plan (of a hold: the best one found) and the pools left out."""

    decision: Decision
    plan: Plan | None
    left_out: tuple[LeftOut, ...]


def decide(snapshot: Snapshot, policy: Policy) -> Decision:
    """Hold or rebalance, and why. A pure function: the same facts and policy give the same decision.

    With limits in the snapshot every plan passes the vault's guard with room to spare (``policy.headroom_share``).

    Raises:
        InputError: gas has a price but the native token has none, or the policy's covariance does not fit the basket.
    """
    return consider(snapshot, policy).decision


def consider(snapshot: Snapshot, policy: Policy) -> Considered:
    """As `decide`, with what led to the decision."""
    gas_price = _gas_price(snapshot, policy)
    if gas_price > 0 and snapshot.native_price == 0:
        raise InputError("native_price is 0, so gas cannot be costed: give it, or set gas_price_wei to 0 in the policy")
    if snapshot.nav == 0:
        return _at_once(snapshot, "the vault holds nothing of value")
    if refusal := stale_price(snapshot, policy) or diverging_price(snapshot, policy):
        return _at_once(snapshot, refusal, refused=True)
    if reason := quiet(snapshot, policy) or _nothing_to_do(snapshot, policy):
        return _at_once(snapshot, reason)
    if refusal := dear_gas(gas_price, policy):
        return _at_once(snapshot, refusal, refused=True)

    problem, left_out = problem_of(snapshot, policy)
    plan, violation = _within_limits(problem)
    without_gas = _without_gas(plan) if violation is None and not plan.swaps else None
    if without_gas is not None and without_gas.objective > problem.hold:
        plan = without_gas
    notes = _notes(plan, left_out)
    if reason := _why_not(plan, violation, without_gas):
        decision = _hold(snapshot, reason + notes, certificate=_printed(_held(plan)))
    else:
        decision = _rebalance(plan, policy, notes)
    return Considered(decision, plan, left_out)


def problem_of(snapshot: Snapshot, policy: Policy) -> tuple[Problem, tuple[LeftOut, ...]]:
    """What the router is asked, and the pools that the policy's filters leave out."""
    pools, left_out = admit(snapshot, policy)
    problem = Problem(
        snapshot=snapshot,
        pools=pools,
        tracking_penalty=policy.tracking_penalty,
        gas_units=policy.gas_units,
        gas_price=_gas_price(snapshot, policy),
        limits=_tight(snapshot, policy),
        covariance=None if policy.covariance is None else policy.covariance.of(snapshot),
        gains=gains(snapshot, policy),
    )
    return problem, left_out


def _gas_price(snapshot: Snapshot, policy: Policy) -> int:
    return snapshot.block.gas_price if policy.gas_price_wei is None else policy.gas_price_wei


def _at_once(snapshot: Snapshot, reason: str, *, refused: bool = False) -> Considered:
    return Considered(_hold(snapshot, reason, refused=refused), None, ())


def _within_limits(problem: Problem) -> tuple[Plan, Violation | None]:
    """The best plan, and the limit that it would break, if any."""
    best, limits, violation = optimise(problem), problem.limits, None
    plan = best
    if limits is None:
        return plan, None
    basket = Basket.of(problem.snapshot)
    for less in (0.0, *_TIGHTER):
        if less:
            plan = _judged_by(problem, optimise(replace(problem, limits=_scaled(limits, 1 - less))), best.certificate)
        if not plan.swaps:
            return plan, None
        after = [balance + change for balance, change in zip(basket.balances, plan.changes, strict=True)]
        violation = check_outcome(basket, basket.measure(after), limits)
        if violation is None:
            break
    return plan, violation


def _judged_by(problem: Problem, plan: Plan, certificate: Certificate | None) -> Plan:
    """The same plan as one for ``problem``, whose optimum ``certificate`` bounds."""
    plan = replace(plan, problem=problem)
    if certificate is not None:
        bound = max(certificate.bound, plan.worth)
        certificate = replace(certificate, objective=plan.worth, bound=bound)
    return replace(plan, certificate=certificate)


def _without_gas(held: Plan) -> Plan | None:
    """The best plan where gas is free, judged with its gas; None if there is none.

    The search for pools that are worth their gas is not exhaustive and may have missed one that pays.
    """
    problem = held.problem
    if problem.gas_price == 0:
        return None
    plan, violation = _within_limits(replace(problem, gas_price=0))
    if violation is not None or not plan.swaps:
        return None
    return _judged_by(problem, plan, held.certificate)


def _scaled(limits: Limits, part: float) -> Limits:
    less = ("max_slippage", "max_batch_loss", "loss_headroom", "turnover_headroom")
    values = {name: int(getattr(limits, name) * part) for name in less}
    return limits.model_copy(update=values | {"min_progress": int(limits.min_progress / part) + 1})


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


def _why_not(plan: Plan, violation: Violation | None, without_gas: Plan | None) -> str | None:
    """Why the best plan is not to be carried out; None if it is. ``without_gas`` explains a plan without swaps."""
    problem = plan.problem
    hold = problem.hold
    if violation is not None:
        return f"no plan stays within the vault's limits: of the best one, {violation.message}"
    if not plan.swaps:
        if len(problem.unreached) == len(problem.snapshot.vault.assets):
            return "no trade towards the targets is possible"
        if problem.limits is not None and (violation := _forbidden(problem, problem.limits)) is not None:
            return f"no plan stays within the vault's limits: of the best one without them, {violation.message}"
        if without_gas is None:
            return (
                "rebalancing does not pay: the pools take more for any trade than it takes off a tracking penalty of"
                f" {_usd(-hold)}"
            )
        plan = without_gas
    if plan.objective > hold:
        return None
    return (
        f"rebalancing does not pay: the best plan takes {_usd(-hold - plan.tracking)} off a tracking penalty of"
        f" {_usd(-hold)} and costs {_usd(to_float(plan.cost) + plan.gas_usd)} (trading {usd(plan.cost)}, gas"
        f" {_usd(plan.gas_usd)}): {_usd(hold - plan.objective)} too much"
    )


def _forbidden(problem: Problem, limits: Limits) -> Violation | None:
    """The limit that forbids what would be best without limits; None if nothing would be."""
    free = optimise(replace(problem, limits=None))
    if free.worth <= problem.hold:
        return None
    basket = Basket.of(problem.snapshot)
    after = [balance + change for balance, change in zip(basket.balances, free.changes, strict=True)]
    return check_outcome(basket, basket.measure(after), limits)


def _held(plan: Plan) -> Plan:
    """The certificate of doing nothing instead."""
    certificate = plan.certificate
    if certificate is None:
        return plan
    hold = plan.problem.hold
    return replace(plan, certificate=replace(certificate, objective=hold, bound=max(certificate.bound, hold)))


def _printed(plan: Plan) -> PrintedCertificate | None:
    certificate = plan.certificate
    if certificate is None:
        return None
    return PrintedCertificate(
        objective_usd=certificate.objective,
        upper_bound_usd=certificate.bound,
        gap_usd=certificate.gap,
        dual=certificate.dual,
    )


def _notes(plan: Plan, left_out: tuple[LeftOut, ...]) -> str:
    symbols = sorted(map(plan.problem.snapshot.symbol, plan.problem.unreached))
    notes = f"; no route for {', '.join(symbols)}" if symbols else ""
    if plan.dropped:
        notes += f"; pools whose trades would need tokens before they come in: {len(plan.dropped)}"
    if plan.certificate is not None and plan.certificate.sated:
        notes += "; tracking_penalty is so large that value beyond the targets counts as a loss: none is thrown away"
    for why in dict.fromkeys(entry.why for entry in left_out):
        notes += f"; pools left out {why}: {sum(entry.why == why for entry in left_out)}"
    if any(getattr(pool, "tick_range", None) is not None for pool in plan.problem.pools):
        notes += "; the bound holds within the ticks that were read"
    return notes


def _rebalance(plan: Plan, policy: Policy, notes: str) -> Decision:
    snapshot = plan.problem.snapshot
    basket = Basket.of(snapshot)
    gap_after = sum(map(abs, plan.excess))
    estimate = Estimate(
        nav_usd=to_float(basket.nav),
        cost_usd=to_float(plan.cost),
        gas_usd=plan.gas_usd,
        gas_units=plan.gas_units,
        drift_before=basket.gap / basket.nav,
        drift_after=gap_after / basket.nav,
    )
    sent = plan.sent or {}
    sells = tuple(
        Sell(token=asset.token, amount=sent[asset.token]) for asset in snapshot.vault.assets if sent.get(asset.token)
    )
    return Decision(
        action="rebalance",
        reason=(
            f"drift goes from {percent(basket.drift)} to {percent(gap_after * WAD // basket.nav)}, which takes"
            f" {_usd(-plan.problem.hold - plan.tracking)} off a"
            f" tracking penalty of {_usd(-plan.problem.hold)} and costs"
            f" {_usd(to_float(plan.cost) + plan.gas_usd)} (trading {usd(plan.cost)}, gas {_usd(plan.gas_usd)}){notes}"
        ),
        swaps=plan.swaps,
        sells=sells,
        buys=_buys(plan, policy, {sell.token: sell.amount for sell in sells}),
        estimate=estimate,
        certificate=_printed(plan),
    )


def _buys(plan: Plan, policy: Policy, sent: dict[str, int]) -> tuple[Buy, ...]:
    """What comes back to the vault, with minima: simulated less slippage, or what the oracle demands if that is more.

    What was sent as working capital comes back too, so a token may be sold and bought; its net change counts. The
    oracle's demand is one part of everything that comes back: as much of it as is needed so that a batch which meets
    every minimum also passes the vault's value-for-value test.
    """
    snapshot = plan.problem.snapshot
    limits = snapshot.vault.limits
    sums = [0, 0, 0]  # USD WAD: bought and sold on balance, and what comes back of what is sold
    back: list[tuple[str, int, int]] = []
    for asset, change in zip(snapshot.vault.assets, plan.changes, strict=True):
        price, decimals = asset.price, snapshot.token[asset.token].decimals
        returned = min(sent.get(asset.token, 0), sent.get(asset.token, 0) + change)
        if change > 0:
            sums[0] += value_of(change, price, decimals)
        else:
            sums[1] += value_of_up(-change, price, decimals)
            sums[2] += value_of_up(returned, price, decimals)
        back.append((asset.token, returned, change))
    bought, sold, coming = sums
    part, whole = WAD - to_wad(policy.slippage), WAD
    if limits is not None and sold:
        fair = WAD - limits.max_slippage
        # At the part f of all that comes back the test is f bought >= fair (sold + (1 - f) coming), here with a wei of
        # rounding on each side of each asset. Where even all of it falls short there is nothing left to give.
        owed = mul_div_up(sold + coming, fair, WAD) + 2 * len(back)
        most = bought + mul_div(coming, fair, WAD)
        if owed * whole > part * most:
            part, whole = min(owed, most), most
    return tuple(
        Buy(token=token, amount=returned + max(change, 0), min_amount=_least(returned, change, part, whole))
        for token, returned, change in back
        if returned + max(change, 0)
    )


def _least(returned: int, change: int, part: int, whole: int) -> int:
    """The least raw amount that must come back. What is bought on balance is on top of all that was sent."""
    return returned + mul_div_up(change, part, whole) if change > 0 else mul_div_up(returned, part, whole)


def _hold(
    snapshot: Snapshot, reason: str, *, refused: bool = False, certificate: PrintedCertificate | None = None
) -> Decision:
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
        certificate=certificate,
        refused=refused,
    )


def _usd(dollars: float) -> str:
    return usd(round(dollars * WAD))
