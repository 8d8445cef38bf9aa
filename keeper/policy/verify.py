"""Whether a plan does what it says: simulated again, and its bound recomputed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from keeper.domain import Decision, Policy, Snapshot
from keeper.policy.decide import problem_of
from keeper.policy.guard import Basket, check_drift, check_outcome
from keeper.pools import BasePool, SwapError
from keeper.routing import Plan
from keeper.routing.verify import upper_bound

_TOLERANCE = 1e-6
"""How far printed figures may be off, as a part of NAV: they are floats, and bounds are found to within rounding."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a plan, in one line each, and its figures as recomputed, USD.

    ``bound`` is None for a plan without certificate.
    """

    problems: tuple[str, ...]
    objective: float
    bound: float | None

    @property
    def gap(self) -> float | None:
        """How much better another plan could be at most, USD."""
        return None if self.bound is None else max(self.bound - self.objective, 0.0)


def verify(snapshot: Snapshot, policy: Policy, decision: Decision) -> Verdict:
    """Check ``decision`` against the facts that it was made from. NAV must not be zero."""
    problem, _ = problem_of(snapshot, policy)
    problems = [*_resimulate(snapshot, decision), *_judge(snapshot, decision)]
    change = _net(decision)
    plan = Plan(problem, decision.swaps, {sell.token: sell.amount for sell in decision.sells}, change)
    objective = plan.worth
    bound = None
    if (certificate := decision.certificate) is not None:
        try:
            bound = upper_bound(problem, certificate.dual)
        except ValueError as error:
            problems.append(str(error))
        else:
            slack = _TOLERANCE * problem.nav_usd
            if bound > certificate.upper_bound_usd + slack:
                problems.append(
                    f"the dual prices bound every plan by ${bound:,.6f}, not ${certificate.upper_bound_usd:,.6f}"
                )
            if abs(objective - certificate.objective_usd) > slack:
                problems.append(f"the plan is worth ${objective:,.6f}, it claims ${certificate.objective_usd:,.6f}")
            if objective > bound + slack:
                problems.append(f"the plan is worth ${objective:,.6f}, above its own bound ${bound:,.6f}")
    return Verdict(tuple(problems), objective, bound)


def _net(decision: Decision) -> Counter[str]:
    change: Counter[str] = Counter()
    change.subtract({sell.token: sell.amount for sell in decision.sells})
    change.update({buy.token: buy.amount for buy in decision.buys})
    return change


def _resimulate(snapshot: Snapshot, decision: Decision) -> list[str]:
    """What the swaps do differently from what they say."""
    problems = []
    pools: dict[str, BasePool] = {pool.name: pool for pool in snapshot.pools}
    here: Counter[str] = Counter()
    for sell in decision.sells:
        asset = snapshot.asset.get(sell.token)
        if asset is None or sell.amount > asset.balance:
            held = 0 if asset is None else asset.balance
            problems.append(f"sells {sell.amount} of {sell.token}, the vault holds {held}")
        here[sell.token] += sell.amount
    for number, swap in enumerate(decision.swaps, 1):
        if here[swap.token_in] < swap.amount_in:
            problems.append(f"swap {number} spends {swap.amount_in} of {swap.token_in}, {here[swap.token_in]} is there")
        pool = pools.get(swap.pool)
        if pool is None:
            problems.append(f"swap {number} is in pool {swap.pool}, which the snapshot does not have")
            break
        try:
            amount_out, pools[swap.pool] = pool.swap(swap.token_in, swap.token_out, swap.amount_in)
        except SwapError as error:
            problems.append(f"swap {number} fails: {error}")
            break
        if amount_out != swap.amount_out:
            problems.append(f"swap {number} pays {amount_out}, the plan says {swap.amount_out}")
        here[swap.token_in] -= swap.amount_in
        here[swap.token_out] += amount_out
    else:
        bought = Counter({buy.token: buy.amount for buy in decision.buys})
        wrong = sorted(token for token in snapshot.asset if here[token] != bought[token])
        problems += [f"{here[token]} of {token} comes back, the plan says {bought[token]}" for token in wrong]
    return problems


def _judge(snapshot: Snapshot, decision: Decision) -> list[str]:
    """What the vault would object to."""
    limits = snapshot.vault.limits
    if limits is None or decision.action == "hold":
        return []
    basket, change = Basket.of(snapshot), _net(decision)
    after = [asset.balance + change[asset.token] for asset in snapshot.vault.assets]
    violation = check_drift(basket, limits) or check_outcome(basket, basket.measure(after), limits)
    return [] if violation is None else [f"the vault would revert with {violation.error}: {violation.message}"]
