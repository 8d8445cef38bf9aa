"""How far to go: the part of the way to the targets that is worth most and that the vault will let stand."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from keeper.domain import Limits
from keeper.policy.guard import Basket, Violation, check_outcome
from keeper.routing import Plan, Problem, plan_move
from keeper.units import WAD, mul_div

_COARSE = 12
_HALVINGS = 6
_REFINEMENTS = 14
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Sized:
    """A plan, the part of the way that it was asked to go (WAD), and the limit that it would break, if any."""

    plan: Plan
    fraction: int
    violation: Violation | None

    @property
    def score(self) -> float:
        """What the plan is worth, USD; minus infinity if it does nothing or cannot stand."""
        return -inf if self.violation is not None or not self.plan.swaps else self.plan.objective


def best_size(problem: Problem, limits: Limits | None) -> Sized:
    """The plan that is worth most within ``limits``; if none can stand, one that tells why.

    A grid first, because the best paths and with them the objective may jump; then a golden-section search around the
    best point of the grid. Every plan is simulated exactly and judged by the guard.
    """
    basket = Basket.of(problem.snapshot)
    tried: dict[int, Sized] = {}

    def score(fraction: int) -> float:
        if fraction not in tried:
            tried[fraction] = _sized(problem, basket, limits, fraction)
        return tried[fraction].score

    grid = _grid(_furthest(basket, limits))
    best = max(grid, key=score)
    if score(best) == -inf:
        return _most_telling([tried[fraction] for fraction in grid])
    place = grid.index(best)
    _refine(score, grid[place - 1] if place else 0, grid[min(place + 1, len(grid) - 1)])
    return max(tried.values(), key=lambda sized: (sized.score, -sized.fraction))


def net_changes(plan: Plan) -> list[int]:
    """Net change of every asset, raw units, by index of the basket."""
    return [plan.changes.get(asset.token, 0) for asset in plan.problem.snapshot.vault.assets]


def _sized(problem: Problem, basket: Basket, limits: Limits | None, fraction: int) -> Sized:
    plan = plan_move(problem, fraction, only_what_pays=True)
    if not plan.swaps:
        # Nothing pays. The numbers of the move that does not are what the hold is explained with.
        plan = plan_move(problem, fraction, only_what_pays=False)
    violation = None
    if limits is not None:
        after = [balance + change for balance, change in zip(basket.balances, net_changes(plan), strict=True)]
        violation = check_outcome(basket, basket.measure(after), limits)
    return Sized(plan, fraction, violation)


def _furthest(basket: Basket, limits: Limits | None) -> int:
    """The largest part of the way that the turnover headroom can cover, WAD; the gap is what a full move turns over."""
    if limits is None:
        return WAD
    return max(1, min(WAD, mul_div(limits.turnover_headroom, basket.nav, basket.gap)))


def _grid(furthest: int) -> list[int]:
    even = [furthest * k // _COARSE for k in range(1, _COARSE + 1)]
    small = [furthest // (_COARSE << k) for k in range(1, _HALVINGS + 1)]
    return sorted({*even, *small} - {0})


def _refine(score: Callable[[int], float], lower: int, upper: int) -> None:
    left, right = upper - int(_GOLDEN * (upper - lower)), lower + int(_GOLDEN * (upper - lower))
    for _ in range(_REFINEMENTS):
        if score(left) >= score(right):
            upper, right = right, left
            left = upper - int(_GOLDEN * (upper - lower))
        else:
            lower, left = left, right
            right = lower + int(_GOLDEN * (upper - lower))


def _most_telling(failures: list[Sized]) -> Sized:
    """The smallest move that fails for another reason than being small, else the smallest."""
    for sized in failures:
        if sized.plan.swaps and sized.violation is not None and sized.violation.error != "TooLittleProgress":
            return sized
    return failures[0]
