"""The limits that a vault is deployed with, as people write them and as the contract holds them."""

from decimal import Decimal
from typing import Annotated, NamedTuple, Self

from pydantic import Field, model_validator

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
    """The vault's limits: fractions, and seconds. The bounds are the contract's own (``LimitsLib``)."""

    max_slippage: Annotated[Fraction, Field(le=Decimal("0.05"))] = Decimal("0.01")
    max_batch_loss: Annotated[Fraction, Field(le=Decimal("0.05"))] = Decimal("0.005")
    loss_budget: Annotated[Fraction, Field(le=Decimal("0.1"))] = Decimal("0.01")
    turnover_budget: Annotated[Fraction, Field(le=Decimal(10))] = Decimal("1")
    dead_band: Annotated[Fraction, Field(le=Decimal("0.5"))] = Decimal("0.005")
    min_progress: Annotated[Fraction, Field(ge=Decimal("0.000001"), le=Decimal("0.1"))] = Decimal("0.001")
    dust: Annotated[Fraction, Field(le=Decimal("0.0001"))] = Decimal("0.0001")
    window: Annotated[int, Field(ge=3600, le=90 * 86_400)] = 7 * 24 * 3600
    cooldown: Annotated[int, Field(ge=12, le=30 * 86_400)] = 600

    @model_validator(mode="after")
    def _let_something_pass(self) -> Self:
        if self.turnover_budget < self.min_progress:
            raise ValueError(
                f"turnover_budget is {self.turnover_budget}, and each batch must make progress of {self.min_progress}"
                " (min_progress), which takes as much turnover at least: no batch could ever pass"
            )
        return self

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
