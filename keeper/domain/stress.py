"""Scenarios that a plan must stand before it is sent, each with what it may lose in it."""

from typing import Annotated, Literal

from pydantic import Field

from keeper.domain.basket import Basket
from keeper.domain.errors import InputError
from keeper.pools.base import Model
from keeper.units import Fraction, Number

Loss = Annotated[Fraction, Field(gt=0, le=1)]

_LOSS = "most that the batch may lose in it; fraction of NAV, above 0 to 1"


class OracleError(Model):
    """The oracle is wrong: whatever is bought is worth ``delta`` less than it says, whatever is sold that much more."""

    kind: Literal["oracle_error"] = "oracle_error"
    delta: Annotated[Fraction, Field(gt=0, lt=1)] = Field(description="of every price; fraction, above 0 to below 1")
    max_loss: Loss = Field(description=_LOSS)


class Fall(Model):
    """What the batch buys falls once it has bought it: a stable coin off its peg, a token that failed."""

    kind: Literal["fall"] = "fall"
    asset: str | None = Field(
        default=None,
        exclude_if=lambda asset: asset is None,
        description="symbol or address; whichever hurts most if absent",
    )
    fall: Annotated[Fraction, Field(gt=0, le=1)] = Field(description="of its price; fraction, above 0 to 1")
    max_loss: Loss = Field(description=_LOSS)

    def token(self, basket: Basket) -> str | None:
        """Address of the asset that is named, None if none is. Raises `InputError` if it is not in the basket."""
        if self.asset is None:
            return None
        wanted = self.asset.lower()
        found = [token for symbol, token in basket if wanted in (symbol.lower(), token.lower())]
        if not found:
            raise InputError(f"policy: stress names {self.asset}, which is not in the basket: correct it")
        return found[0]


class Sandwich(Model):
    """Others take everything that the batch's minima leave them."""

    kind: Literal["sandwich"] = "sandwich"
    max_loss: Loss = Field(description=_LOSS)


class ThinPools(Model):
    """Liquidity leaves between the decision and its block. The batch then fails and has cost its gas, or passes at what
    is left."""

    kind: Literal["thin_pools"] = "thin_pools"
    gone: Annotated[Fraction, Field(gt=0, lt=1)] = Field(description="of every pool; fraction, above 0 to below 1")
    max_loss: Loss = Field(description=_LOSS + ", gas included")


class DearGas(Model):
    """Gas costs more in the batch's block than when it was decided, up to the policy's ceiling."""

    kind: Literal["dear_gas"] = "dear_gas"
    times: Annotated[Number, Field(ge=1)] = Field(description="what it costs over what it did; 1 or more")
    max_loss: Loss = Field(description=_LOSS + ", in gas")


Scenario = Annotated[OracleError | Fall | Sandwich | ThinPools | DearGas, Field(discriminator="kind")]


class Stress(Model):
    """What a plan is put through."""

    before_trade: Annotated[tuple[Scenario, ...], Field(min_length=1, strict=False)] = Field(
        description="a plan that loses more than it may in one of these is not sent"
    )
