"""`decide`: from the facts and the policy to a decision, with nothing else in between."""

from dataclasses import dataclass, replace

from keeper.domain import (
    Benefit,
    Buy,
    Decision,
    Estimate,
    InputError,
    Limits,
    Policy,
    Programme,
    Sell,
    Snapshot,
    Twap,
)
from keeper.domain import Certificate as PrintedCertificate
from keeper.policy.benefit import Balance, does_not_pay, dollars, more_drift
from keeper.policy.breakers import dear_gas, diverging_price, stale_price
from keeper.policy.extent import aimed, part_of, towards
from keeper.policy.filters import LeftOut, admit
from keeper.policy.guard import Basket, Violation, check_drift, check_outcome, tightened
from keeper.policy.lag import gains
from keeper.policy.penalty import Penalty, penalty_of
from keeper.policy.schedule import advanced, begun, most_slices, slices_for, under_way
from keeper.policy.stress import broken
from keeper.policy.triggers import Signal, signal_of
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
_PLAIN_BENEFIT = Benefit()
_TRIALS = 12
"""How often more of the limits is kept back, should rounding carry a plan across one."""
_RETURNS = 6
"""And how often less, once it is more than enough."""
_CLOSE = 2e-7
"""What may be lost by that without looking further, as a part of NAV."""
_HAIR = 1e-11
"""The least that is kept back then, as a part of NAV."""


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
    signal, programme = _called(snapshot, policy)
    if not signal.fires:
        return _at_once(snapshot, signal.why)
    if reason := _nothing_to_do(snapshot, policy):
        return _at_once(snapshot, reason)
    if refusal := dear_gas(gas_price, policy):
        return _at_once(snapshot, refusal, refused=True)

    course = _course(snapshot, policy, programme)
    notes = _notes(course.plan, course.left_out) + course.note + (f"; {signal.why}" if signal.why else "")
    if course.why_not and programme is not None:
        left = programme.deadline - snapshot.block.timestamp
        notes += f"; slice {programme.done + 1} of {programme.slices} is given up in {left} s"
    if course.why_not:
        decision = _hold(snapshot, course.why_not + notes, certificate=_printed(_held(course.plan)))
    else:
        decision = _rebalance(course, policy, notes)
        if refusal := broken(snapshot, policy, decision):
            decision = _hold(snapshot, refusal + notes, refused=True, certificate=_printed(_held(course.plan)))
    return Considered(decision, course.plan, course.left_out)


def problem_of(snapshot: Snapshot, policy: Policy) -> tuple[Problem, tuple[LeftOut, ...]]:
    """What the router is asked, and the pools that the policy's filters leave out."""
    problem, left_out, _ = _own_problem(snapshot, policy)
    if isinstance(policy.schedule, Twap):
        # What a slice is a part of has to be found first.
        course = _course(snapshot, policy, under_way(snapshot.past, snapshot, policy))
        return course.plan.problem, left_out
    return aimed(problem, policy), left_out


def _own_problem(snapshot: Snapshot, policy: Policy) -> tuple[Problem, tuple[LeftOut, ...], Penalty]:
    """The problem by which the policy judges a plan, wherever that plan is to lead."""
    pools, left_out = admit(snapshot, policy)
    penalty = penalty_of(snapshot, policy)
    problem = Problem(
        snapshot=snapshot,
        pools=pools,
        tracking_penalty=penalty.kappa,
        gas_units=policy.gas_units,
        gas_price=_gas_price(snapshot, policy),
        limits=_tight(snapshot, policy),
        covariance=penalty.covariance,
        gains=gains(snapshot, policy),
    )
    return problem, left_out, penalty


def _called(snapshot: Snapshot, policy: Policy) -> tuple[Signal, Programme | None]:
    """Whether there is a reason to look for a rebalance: a slice that is due, or else the policy's trigger."""
    programme = under_way(snapshot.past, snapshot, policy)
    if programme is None:
        return signal_of(policy.trigger, snapshot, policy), None
    number = f"slice {programme.done + 1} of {programme.slices}"
    left = programme.next_at - snapshot.block.timestamp
    return (Signal(True) if left <= 0 else Signal(False, f"{number} is due in {left} s")), programme


@dataclass(frozen=True, eq=False)
class _Course:
    """What is to be carried out now, or why nothing is.

    ``plan`` is the router's own, with the certificate of what it was asked; ``judged`` is the same by the policy's
    problem. ``programme`` is what is left after it.
    """

    plan: Plan
    judged: Plan
    left_out: tuple[LeftOut, ...]
    note: str
    why_not: str | None = None
    programme: Programme | None = None


def _course(snapshot: Snapshot, policy: Policy, programme: Programme | None) -> _Course:
    problem, left_out, penalty = _own_problem(snapshot, policy)
    question = aimed(problem, policy)
    plan, violation = _within_limits(question)
    without_gas = _without_gas(plan) if violation is None and not plan.swaps else None
    if without_gas is not None and (question is not problem or without_gas.objective > problem.hold):
        plan = without_gas
    own = question is problem
    why_not = _why_not(plan, violation, without_gas) if own else _impossible(plan, violation, problem)
    judged = replace(plan, problem=problem)
    if why_not is None and (not own or policy.benefit != _PLAIN_BENEFIT):
        # What lies beyond an edge grows by more than the drift does.
        drift = None if policy.extent == "edge" else Basket.of(snapshot).drift
        why_not = does_not_pay(judged, policy.benefit, drift)
    course = _Course(plan, judged, left_out, penalty.note, why_not)
    if why_not is not None or not isinstance(policy.schedule, Twap):
        return course
    return _sliced(course, policy.schedule, policy, penalty, programme)


def _sliced(course: _Course, twap: Twap, policy: Policy, penalty: Penalty, programme: Programme | None) -> _Course:
    """One slice of a course that pays as a whole."""
    whole = course.judged
    snapshot = whole.problem.snapshot
    drift_after = mul_div(sum(map(abs, whole.excess)), WAD, snapshot.nav)
    if programme is None:
        balance = Balance.of(whole, policy.benefit)
        most = most_slices(snapshot, drift_after)
        slices = slices_for(twap, balance, penalty.horizon, most)
        if slices == 1:
            why = (
                ": each of more would make less progress than the vault demands" if most == 1 else ", which costs least"
            )
            return replace(course, note=f"{course.note}; in one batch{why}")
        number, left = 1, slices
    else:
        slices, number = programme.slices, programme.done + 1
        left = slices - programme.done
    after = begun(twap, snapshot, drift_after, slices) if programme is None else advanced(programme)
    note = f"{course.note}; slice {number} of {slices}"
    if left == 1:
        return replace(course, note=note)
    plan, violation = _within_limits(part_of(whole.problem, whole, left))
    why_not = _impossible(plan, violation, whole.problem)
    return _Course(plan, replace(plan, problem=whole.problem), course.left_out, note, why_not, after)


def _gas_price(snapshot: Snapshot, policy: Policy) -> int:
    return snapshot.block.gas_price if policy.gas_price_wei is None else policy.gas_price_wei


def _at_once(snapshot: Snapshot, reason: str, *, refused: bool = False) -> Considered:
    return Considered(_hold(snapshot, reason, refused=refused), None, ())


def _within_limits(problem: Problem) -> tuple[Plan, Violation | None]:
    """The best plan, and the limit that it would break, if any.

    Where rounding carries it across one, so much is kept back of each limit as that takes. It is another amount each
    time, and where a limit is narrow, a cent too much of it may be worth a hundred dollars.
    """
    first, limits = optimise(problem), problem.limits
    if limits is None or (violation := _violation(first, limits)) is None:
        return first, None

    def with_reserve(reserve: float) -> tuple[Plan, Violation | None]:
        plan = _judged_by(problem, optimise(problem.but(reserve=reserve)), first.certificate)
        return plan, _violation(plan, limits)

    plan, reserve, too_little = first, 0.0, 0.0
    for trial in range(_TRIALS):
        too_little = reserve
        reserve += 2**trial * max(plan.overrun, _HAIR * problem.nav_usd)
        plan, broken = with_reserve(reserve)
        if broken is None:
            break
    else:
        return first, violation
    best, enough = plan, reserve
    for _ in range(_RETURNS):
        if first.worth - best.worth <= _CLOSE * problem.nav_usd:
            break
        reserve = (too_little + enough) / 2
        plan, broken = with_reserve(reserve)
        if broken is None:
            best, enough = max(best, plan, key=lambda plan: plan.worth), reserve
        else:
            too_little = reserve
    # What was found may be to do nothing, because the limits leave less than rounding loses.
    return (best, None) if best.swaps else (first, violation)


def _violation(plan: Plan, limits: Limits) -> Violation | None:
    """The limit that a plan would break, if any."""
    if not plan.swaps:
        return None
    basket = Basket.of(plan.problem.snapshot)
    after = [balance + change for balance, change in zip(basket.balances, plan.changes, strict=True)]
    return check_outcome(basket, basket.measure(after), limits)


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
    plan, violation = _within_limits(problem.but(gas_price=0))
    if violation is not None or not plan.swaps:
        return None
    return _judged_by(problem, plan, held.certificate)


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
    if reason := _impossible(plan, violation, problem, without_gas):
        return reason
    if not plan.swaps:
        assert without_gas is not None  # noqa: S101  else there is such a reason
        plan = without_gas
    hold = problem.hold
    if plan.objective > hold:
        return None
    needed = _drift_needed(problem, _whole_way(problem))
    return (
        f"rebalancing does not pay: the best plan takes {dollars(-hold - plan.tracking)} off a tracking penalty of"
        f" {dollars(-hold)} and costs {dollars(to_float(plan.cost) + plan.gas_usd)} (trading {usd(plan.cost)}, gas"
        f" {dollars(plan.gas_usd)}): {dollars(hold - plan.objective)} too much{needed}"
    )


def _impossible(plan: Plan, violation: Violation | None, own: Problem, without_gas: Plan | None = None) -> str | None:
    """Why there is no plan, even where gas is free; None if there is one then. ``own`` is the policy's problem."""
    problem = plan.problem
    if violation is not None:
        return f"no plan stays within the vault's limits: of the best one, {violation.message}"
    if plan.swaps:
        return None
    if len(problem.unreached) == len(problem.snapshot.vault.assets):
        return "no trade towards the targets is possible"
    if problem.limits is not None and (violation := _forbidden(problem, problem.limits)) is not None:
        return f"no plan stays within the vault's limits: of the best one without them, {violation.message}"
    if problem.aims == problem.snapshot.values:
        return "every asset is inside its band: there is nothing to trade"
    return _nothing_pays(plan, own) if without_gas is None else None


def _nothing_pays(plan: Plan, own: Problem) -> str:
    """Why there is no plan although none is forbidden."""
    if plan.dropped:
        return "no trade that pays can be started with what the vault holds"
    too_much = "rebalancing does not pay: the pools take more for any trade than it takes off a tracking penalty of"
    whole = _whole_way(own)
    if whole is None:
        return f"{too_much} {dollars(-own.hold)}: no way leads to the targets"
    missing = f": all the way, {dollars(whole.cost - whole.taken)} is missing" if whole.cost > whole.taken else ""
    return f"{too_much} {dollars(-own.hold)}{missing}{_drift_needed(own, whole)}"


def _whole_way(problem: Problem) -> Balance | None:
    """What going all the way would bring and cost, whether the vault and the gas allow it or not; None if no way is."""
    snapshot = problem.snapshot
    way = towards(problem, tuple(mul_div(snapshot.nav, target, WAD) for target in snapshot.targets))
    plan = optimise(way.but(thorough=False))
    if not plan.swaps:
        plan = optimise(way.but(thorough=False, limits=None, gas_price=0))
    return Balance.of(replace(plan, problem=problem), _PLAIN_BENEFIT) if plan.swaps else None


def _drift_needed(problem: Problem, whole: Balance | None) -> str:
    """What drift would make some trade pay, by what it costs to go all the way; empty if there is no telling."""
    return "" if whole is None else more_drift(whole.scale_that_moves(), Basket.of(problem.snapshot).drift)


def _forbidden(problem: Problem, limits: Limits) -> Violation | None:
    """The limit that forbids what would be best without limits; None if nothing would be."""
    free = optimise(problem.but(limits=None))
    return _violation(free, limits) if free.worth > problem.hold else None


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
    if plan.certificate is not None and plan.certificate.unwanted > _CLOSE * plan.problem.nav_usd:
        notes += (
            f"; tracking_penalty is so large that value beyond the targets counts as a loss:"
            f" {dollars(plan.certificate.unwanted)} of the gap is for being rid of more of it than the pools take"
        )
    for why in dict.fromkeys(entry.why for entry in left_out):
        notes += f"; pools left out {why}: {sum(entry.why == why for entry in left_out)}"
    if any(getattr(pool, "tick_range", None) is not None for pool in plan.problem.pools):
        notes += "; the bound holds within the ticks that were read"
    return notes


def _rebalance(course: _Course, policy: Policy, notes: str) -> Decision:
    plan, snapshot = course.judged, course.judged.problem.snapshot
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
            f" {dollars(-plan.problem.hold - plan.tracking)} off a"
            f" tracking penalty of {dollars(-plan.problem.hold)} and costs"
            f" {dollars(to_float(plan.cost) + plan.gas_usd)} (trading {usd(plan.cost)}, gas"
            f" {dollars(plan.gas_usd)}){notes}"
        ),
        swaps=plan.swaps,
        sells=sells,
        buys=_buys(plan, policy, {sell.token: sell.amount for sell in sells}),
        estimate=estimate,
        certificate=_printed(course.plan),
        programme=course.programme,
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
