"""The nouns of the keeper: what it knows, what it is told, what it decides."""

from keeper.domain.decision import Buy, Certificate, Decision, Estimate, Sell, Swap
from keeper.domain.errors import InputError
from keeper.domain.parse import load_decision, load_policy, load_snapshot
from keeper.domain.policy import Always, Band, Covariance, GasUnits, Policy, Trigger
from keeper.domain.snapshot import AssetState, Block, Limits, Snapshot, Token, VaultState

__all__ = [
    "Always",
    "AssetState",
    "Band",
    "Block",
    "Buy",
    "Certificate",
    "Covariance",
    "Decision",
    "Estimate",
    "GasUnits",
    "InputError",
    "Limits",
    "Policy",
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
