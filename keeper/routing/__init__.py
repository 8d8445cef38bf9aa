"""From how far to go to which swaps: the best single path for each match, simulated exactly."""

from keeper.routing.paths import Market, Path, best_path
from keeper.routing.plan import Plan, Problem, plan_move

__all__ = ["Market", "Path", "Plan", "Problem", "best_path", "plan_move"]
