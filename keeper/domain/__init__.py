"""The nouns of the keeper: what it knows, what it is told, what it decides."""

from keeper.domain.decision import Buy, Certificate, Decision, Estimate, Sell, Swap
from keeper.domain.errors import InputError
from keeper.domain.parse import load_decision, load_policy, load_snapshot
from keeper.domain.past import Closes, Past, Programme
from keeper.domain.policy import Covariance, GasUnits, Memory, Policy
from keeper.domain.snapshot import AssetState, Block, Limits, Snapshot, Token, VaultState
from keeper.domain.trigger import AllOf, Always, AnyOf, Band, Calendar, Edges, Trigger

__all__ = [
    "AllOf",
    "Always",
    "AnyOf",
    "AssetState",
    "Band",
    "Block",
    "Buy",
    "Calendar",
    "Certificate",
    "Closes",
    "Covariance",
    "Decision",
    "Edges",
    "Estimate",
    "GasUnits",
    "InputError",
    "Limits",
    "Memory",
    "Past",
    "Policy",
    "Programme",
    "Sell",
    "Snapshot",
    "Swap",
    "Token",
    "Trigger",
    "VaultState",
    "load_decision",
    "load_policy",
    "load_snapshot",
]
