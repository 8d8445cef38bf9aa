"""When to trade and how far: `decide` is the one decision function, live, dry or simulated."""

from keeper.policy.decide import decide

__all__ = ["decide"]
