"""What can go wrong between a decision and its receipt."""

from __future__ import annotations


class SendError(Exception):
    """A transaction was not sent, not mined, or did not do what it should. The message is one line."""


class SimulationError(SendError):
    """The batch could not be carried out at the very block it was planned for. Nothing was sent."""


class JournalError(SendError):
    """The database refused. What was not written down is not sent."""


class InTheWay(SendError):  # noqa: N818  a state of affairs, not a fault
    """The batch of another vault is on its way through the same pools. Nothing was written down, nothing signed."""


class LostLease(SendError):  # noqa: N818  a state of affairs, not a fault
    """Another keeper reigns. This one may watch, and neither write nor send."""
