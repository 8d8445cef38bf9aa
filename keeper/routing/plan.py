"""A rebalance that goes a given part of the way to the targets, one best path per sold and bought asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from keeper.domain import GasUnits, Snapshot, Swap
from keeper.routing.paths import Market, Path, best_path
from keeper.units import WAD, amount_of, mul_div, to_float, value_of, value_of_up

_RESIDUE = 10**6
"""A match below this part of the whole move is what rounding left over, not worth a swap."""


@dataclass(frozen=True)
class Problem:
    """What to optimise: oracle value gained, less ``tracking_penalty / (2 NAV)`` times squared distance, less gas.

    ``gas_price`` is in wei per unit of gas. NAV must not be zero.
    """

    snapshot: Snapshot
    market: Market
    tracking_penalty: float
    gas_units: GasUnits
    gas_price: int
    max_hops: int

    @cached_property
    def excess(self) -> Mapping[str, int]:
        """Value above the target (negative: below) in USD WAD by asset, both rounded down."""
        snapshot = self.snapshot
        return {
            asset.token: value - mul_div(snapshot.nav, asset.target_weight, WAD)
            for asset, value in zip(snapshot.vault.assets, snapshot.values, strict=True)
        }

    def gas_usd(self, units: int) -> float:
        """What ``units`` of gas cost, USD."""
        return to_float(units * self.gas_price) * to_float(self.snapshot.native_price)

    def penalty(self, distance: int) -> float:
        """What it costs that an asset is ``distance`` (USD WAD) away from its target, USD."""
        return self.tracking_penalty * to_float(distance) ** 2 / (2 * to_float(self.snapshot.nav))

    def price(self, token: str) -> tuple[int, int]:
        """Price and decimals of an asset, as `value_of` and `amount_of` take them."""
        return self.snapshot.asset[token].price, self.snapshot.token[token].decimals


@dataclass(frozen=True)
class Plan:
    """Swaps in execution order and the net change of each asset they trade, raw units.

    A swap spends what the vault sent out or what the swap before it returned, so the sold amounts are all that the
    swaps need, and what is neither sold nor bought nets to zero.
    """

    problem: Problem
    market: Market
    swaps: tuple[Swap, ...] = ()
    changes: Mapping[str, int] = field(default_factory=dict)
    swap_gas: int = 0
    without_path: frozenset[str] = frozenset()

    @property
    def gas_units(self) -> int:
        """Units of gas for the whole batch; none without swaps."""
        return self.problem.gas_units.base + self.swap_gas if self.swaps else 0

    @property
    def gas_usd(self) -> float:
        """What the batch's gas costs, USD."""
        return self.problem.gas_usd(self.gas_units)

    @cached_property
    def cost(self) -> int:
        """Oracle value lost, USD WAD."""
        return -sum(self.change_in_value(token) for token in self.changes)

    @cached_property
    def tracking(self) -> float:
        """Tracking penalty after the plan, USD."""
        return sum(self.problem.penalty(self.excess(token)) for token in self.problem.excess)

    @property
    def objective(self) -> float:
        """What the plan is worth, USD."""
        return -to_float(self.cost) - self.tracking - self.gas_usd

    def change_in_value(self, token: str) -> int:
        """Net change of an asset, USD WAD; sold value is rounded up and bought value down."""
        change = self.changes.get(token, 0)
        price = self.problem.price(token)
        return value_of(change, *price) if change > 0 else -value_of_up(-change, *price)

    def excess(self, token: str) -> int:
        """Value above the target after the plan, USD WAD; negative below it."""
        return self.problem.excess[token] + self.change_in_value(token)

    def after(self, path: Path) -> Plan:
        """This plan with one more path."""
        first, last = path.swaps[0], path.swaps[-1]
        changes = dict(self.changes)
        changes[first.token_in] = changes.get(first.token_in, 0) - first.amount_in
        changes[last.token_out] = changes.get(last.token_out, 0) + last.amount_out
        return Plan(
            problem=self.problem,
            market=self.market.after(path),
            swaps=self.swaps + path.swaps,
            changes=changes,
            swap_gas=self.swap_gas + path.gas_units,
            without_path=self.without_path,
        )


def plan_move(problem: Problem, fraction: int, *, only_what_pays: bool) -> Plan:
    """Plan to go ``fraction`` (WAD) of the way to the targets.

    Sold assets are matched to bought ones by value, the largest possible match first. Each match takes the best path
    through the pools as the matches before it have left them. No asset passes its target.

    Args:
        problem: basket, pools, and what things cost.
        fraction: above 0, at most WAD.
        only_what_pays: leave out a match that costs more than it takes off the tracking penalty.
    """
    plan = Plan(problem, problem.market)
    left = {token: mul_div(abs(excess), fraction, WAD) for token, excess in problem.excess.items()}
    untried = [(s, b) for s, over in problem.excess.items() if over > 0 for b, o in problem.excess.items() if o < 0]
    residue = sum(left.values()) // _RESIDUE
    unreached: set[str] = set()
    while untried:
        sold, bought = match = max(untried, key=lambda match: min(left[match[0]], left[match[1]]))
        value = min(left[sold], left[bought])
        if value <= residue:
            break
        untried.remove(match)
        path = _path_within_target(plan, sold, bought, value)
        if path is None:
            unreached.update(match)
            continue
        longer = plan.after(path)
        if only_what_pays and not _pays(plan, longer):
            continue
        plan = longer
        left[sold] -= value
        left[bought] -= value
    return replace(plan, without_path=frozenset(unreached - plan.changes.keys()))


def _pays(plan: Plan, longer: Plan) -> bool:
    """Whether the longer plan is worth more, the gas of a batch as such aside."""
    base = plan.problem.gas_usd(plan.problem.gas_units.base)
    return longer.objective + base > plan.objective + (base if plan.swaps else 0)


def _path_within_target(plan: Plan, sold: str, bought: str, value: int) -> Path | None:
    """The best path that sells ``value`` (USD WAD), or as much of it as does not carry the bought asset past target."""
    amount_in = amount_of(value, *plan.problem.price(sold))
    room = amount_of(-plan.excess(bought), *plan.problem.price(bought))
    path = _path(plan, sold, bought, amount_in)
    if path is None or path.amount_out <= room:
        return path
    # Pools pay more than the oracle says, so sell less. Output rises with input: bisect, to one part in 2**40.
    fitting, enough, too_much = None, 0, amount_in
    while too_much - enough > max(1, amount_in >> 40):
        middle = (enough + too_much) // 2
        path = _path(plan, sold, bought, middle)
        if path is not None and path.amount_out > room:
            too_much = middle
        else:
            enough, fitting = middle, path
    return fitting


def _path(plan: Plan, sold: str, bought: str, amount_in: int) -> Path | None:
    problem = plan.problem

    def worth(amount_out: int, gas_units: int) -> float:
        return to_float(value_of(amount_out, *problem.price(bought))) - problem.gas_usd(gas_units)

    return best_path(
        plan.market,
        sold,
        bought,
        amount_in,
        max_hops=problem.max_hops,
        gas_of=problem.gas_units.of,
        worth=worth,
    )
