"""When to trade and how far: `decide` is the one decision function, live, dry or simulated."""

from keeper.policy.decide import Considered, consider, decide
from keeper.policy.verify import Verdict, verify

__all__ = ["Considered", "Verdict", "consider", "decide", "verify"]
