"""When to trade and how far: `decide` is the one decision function, live, dry or simulated.

`remember` and `executed` keep the past that it may use.
"""

from keeper.policy.decide import Considered, consider, decide
from keeper.policy.memory import executed, remember
from keeper.policy.verify import Verdict, verify

__all__ = ["Considered", "Verdict", "consider", "decide", "executed", "remember", "verify"]
