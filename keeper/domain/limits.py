"""The limits that a vault is deployed with, as people write them and as the contract holds them."""

from decimal import Decimal
from typing import NamedTuple

from keeper.pools.base import Model
from keeper.units import Fraction, to_wad


class VaultLimits(NamedTuple):
    """The vault's limits as the contract holds them: fractions in WAD, times in seconds."""

    max_slippage: int
    max_batch_loss: int
    loss_budget: int
    turnover_budget: int
    dead_band: int
    min_progress: int
    dust: int
    window: int
    cooldown: int


class LimitsConfig(Model):
    """The vault's limits. Fractions, and seconds; the contract refuses what is looser than its own hard bounds."""

    max_slippage: Fraction = Decimal("0.01")
    max_batch_loss: Fraction = Decimal("0.005")
    loss_budget: Fraction = Decimal("0.01")
    turnover_budget: Fraction = Decimal("1")
    dead_band: Fraction = Decimal("0.005")
    min_progress: Fraction = Decimal("0.001")
    dust: Fraction = Decimal("0.0001")
    window: int = 7 * 24 * 3600
    cooldown: int = 600

    def encoded(self) -> VaultLimits:
        """As the contract holds them."""
        fractions = (
            self.max_slippage,
            self.max_batch_loss,
            self.loss_budget,
            self.turnover_budget,
            self.dead_band,
            self.min_progress,
            self.dust,
        )
        return VaultLimits._make((*map(to_wad, fractions), self.window, self.cooldown))
