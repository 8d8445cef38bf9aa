"""The nouns of the keeper: what it knows, what it is told, what it decides."""

from keeper.domain.decision import Buy, Certificate, Decision, Estimate, Sell, Swap
from keeper.domain.errors import InputError
from keeper.domain.forecast import DriftModel, Ewma, Garch, GarchModel, Har, HarModel
from keeper.domain.parse import load_decision, load_policy, load_snapshot
from keeper.domain.past import Closes, Past, Programme
from keeper.domain.policy import Benefit, Covariance, GasUnits, Memory, Once, Policy, Risk, Twap
from keeper.domain.snapshot import AssetState, Block, Limits, Snapshot, Token, VaultState
from keeper.domain.trigger import (
    AllOf,
    Always,
    AnyOf,
    Band,
    Calendar,
    DriftForecast,
    Edges,
    Score,
    Trigger,
    VolatilityBand,
)

__all__ = [
    "AllOf",
    "Always",
    "AnyOf",
    "AssetState",
    "Band",
    "Benefit",
    "Block",
    "Buy",
    "Calendar",
    "Certificate",
    "Closes",
    "Covariance",
    "Decision",
    "DriftForecast",
    "DriftModel",
    "Edges",
    "Estimate",
    "Ewma",
    "Garch",
    "GarchModel",
    "GasUnits",
    "Har",
    "HarModel",
    "InputError",
    "Limits",
    "Memory",
    "Once",
    "Past",
    "Policy",
    "Programme",
    "Risk",
    "Score",
    "Sell",
    "Snapshot",
    "Swap",
    "Token",
    "Trigger",
    "Twap",
    "VaultState",
    "VolatilityBand",
    "load_decision",
    "load_policy",
    "load_snapshot",
]
