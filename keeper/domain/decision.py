"""What was decided, and why. The JSON form is what ``keeper plan --json`` prints."""

from typing import Literal

from pydantic import Field

from keeper.domain.past import Programme
from keeper.pools.base import Model
from keeper.units import Uint


class Swap(Model):
    """One exact-input swap, raw units. ``pool`` is the pool's id where it has one, else its address."""

    pool: str
    token_in: str
    token_out: str
    amount_in: Uint
    amount_out: Uint


class Sell(Model):
    """Raw units of an asset that the vault sends out before the first swap."""

    token: str
    amount: Uint


class Buy(Model):
    """Raw units of an asset that come back by simulation, and the least that the vault must accept."""

    token: str
    amount: Uint
    min_amount: Uint


class Estimate(Model):
    """What the plan is expected to do, for people and for records. Drift is the sum of |weight - target|."""

    nav_usd: float
    cost_usd: float
    gas_usd: float
    gas_units: int
    drift_before: float
    drift_after: float


class Certificate(Model):
    """How far from the optimum the plan can be, USD; ``dual`` is each token's shadow price over its oracle price."""

    objective_usd: float
    upper_bound_usd: float
    gap_usd: float
    dual: dict[str, float]


class Decision(Model):
    """Hold, or rebalance with these swaps in this order. ``refused`` marks a hold that a breaker forced.

    ``programme`` is what is left to do in further batches once this one is executed; None if nothing is.
    """

    action: Literal["rebalance", "hold"]
    reason: str
    swaps: tuple[Swap, ...]
    sells: tuple[Sell, ...]
    buys: tuple[Buy, ...]
    estimate: Estimate
    certificate: Certificate | None
    programme: Programme | None = Field(default=None, exclude_if=lambda programme: programme is None)
    refused: bool = Field(default=False, exclude=True)

    @property
    def pools(self) -> frozenset[str]:
        """What the swaps go through, by name."""
        return frozenset(swap.pool for swap in self.swaps)
