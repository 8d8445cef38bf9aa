"""What the keeper is told: when to trade, how far, and when to refuse."""

from decimal import Decimal
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from keeper.domain.errors import InputError
from keeper.domain.snapshot import Snapshot
from keeper.domain.trigger import Trigger
from keeper.pools.base import Model
from keeper.units import Fraction, Number, Uint

Gas = Annotated[int, Field(ge=0)]


class GasUnits(Model):
    """Units of gas that a rebalance is expected to burn: ``base`` once, then one entry per swap by kind of pool.

    Measured (`make bench-gas`) with feeds behind a proxy; what one more asset costs is in its swap.
    """

    base: Gas = Field(default=90_000, description="order, prices, guard and transfers")
    uniswap_v2: Gas = Field(default=70_000, description="one swap on a Uniswap V2 pair")
    uniswap_v3: Gas = Field(default=85_000, description="one swap on a Uniswap V3 pool")
    uniswap_v4: Gas = Field(default=100_000, description="one swap on a Uniswap V4 pool")
    balancer_weighted: Gas = Field(default=100_000, description="one swap on a Balancer weighted pool")
    balancer_stable: Gas = Field(default=145_000, description="one swap on a Balancer stable pool")
    curve_stableswap: Gas = Field(default=115_000, description="one swap on a Curve StableSwap pool")

    def of(self, kind: str) -> int:
        """Units for one swap on a pool of this kind."""
        units: int = getattr(self, kind)
        return units


# A list in a YAML file has come as a list, which is no tuple where conversions are refused.
_Row = Annotated[tuple[Number, ...], Field(strict=False)]


class Covariance(Model):
    """A covariance matrix of the basket, relative to that of the typical asset: the identity changes nothing."""

    tokens: tuple[str, ...] = Field(
        strict=False, description="addresses or symbols of all assets, in the order of the matrix"
    )
    matrix: tuple[_Row, ...] = Field(strict=False, description="symmetric, no negative eigenvalue")

    @model_validator(mode="after")
    def _is_a_covariance(self) -> Self:
        size = len(self.tokens)
        if len(self.matrix) != size or any(len(row) != size for row in self.matrix):
            raise ValueError(f"the matrix must be {size} by {size}, one row and column for each token")
        matrix = np.array(self.matrix)
        scale = float(np.abs(matrix).max(initial=0))
        if not np.allclose(matrix, matrix.T, atol=1e-12 * scale):
            raise ValueError("the matrix is not symmetric")
        least = float(np.linalg.eigvalsh(matrix).min(initial=0))
        if least < -1e-9 * scale or scale == 0:
            raise ValueError(f"the matrix is no covariance: its least eigenvalue is {least:.4g}")
        return self

    def of(self, snapshot: Snapshot) -> NDArray[np.float64]:
        """The matrix by index of the basket, shape (assets, assets).

        Raises:
            InputError: an asset is not listed.
        """
        place = {name.lower(): k for k, name in enumerate(self.tokens)}
        order = []
        for asset in snapshot.vault.assets:
            k = place.get(asset.token.lower(), place.get(snapshot.symbol(asset.token).lower()))
            if k is None:
                raise InputError(f"policy: covariance does not list {snapshot.symbol(asset.token)}: add it to tokens")
            order.append(k)
        matrix: NDArray[np.float64] = np.array(self.matrix)[np.ix_(order, order)]
        # What has no variance at all would leave the solver without a unique answer.
        ridge: NDArray[np.float64] = np.eye(len(order)) * (1e-9 * float(np.abs(matrix).max()))
        return matrix + ridge


class Memory(Model):
    """How much of the past is kept for forecasts: oracle prices at an even interval."""

    interval_seconds: Annotated[int, Field(ge=60, le=30 * 86_400)] = Field(
        default=86_400, description="time between two prices; seconds, 60 to 30 days"
    )
    samples: Annotated[int, Field(ge=2, le=1000)] = Field(
        default=90, description="how many prices of each asset are kept; 2 to 1000"
    )


class Policy(Model):
    """How the keeper decides. Only ``trigger`` and ``tracking_penalty`` must be given."""

    trigger: Trigger = Field(description="when to look for a rebalance")
    tracking_penalty: Annotated[Number, Field(gt=0)] = Field(
        description="what a distance of d USD from the targets costs: this times d**2 / (2 NAV) USD. Dimensionless,"
        " above 0: risk aversion times variance times time to the next trade"
    )
    gas_price_wei: Uint | None = Field(
        default=None,
        exclude_if=lambda price: price is None,
        description="wei per unit of gas, 0 or more; if absent, base fee plus priority fee of the snapshot",
    )
    gas_units: GasUnits = Field(default=GasUnits(), description="units of gas by kind of swap")
    slippage: Annotated[Fraction, Field(lt=1)] = Field(
        default=Decimal("0.005"),
        description="how far below the simulation a bought amount may end; fraction, 0 to below 1",
    )
    headroom_share: Annotated[Fraction, Field(gt=0, le=1)] = Field(
        default=Decimal("0.9"),
        description="the part of each of the vault's limits that a plan may use, since prices move before inclusion;"
        " fraction, above 0 to 1",
    )
    covariance: Covariance | None = Field(
        default=None,
        exclude_if=lambda covariance: covariance is None,
        description="how distances of different assets add up, in place of the identity: two that move together cancel",
    )
    feed_deviation: Annotated[Fraction, Field(gt=0, lt=1)] | None = Field(
        default=None,
        exclude_if=lambda band: band is None,
        description="the feeds' deviation threshold: a disagreement of pools and oracle below it is lag and not gain;"
        " fraction, above 0 to below 1, off if absent",
    )
    max_price_age: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda age: age is None,
        description="breaker: refuse if an oracle price is older, seconds, above 0; off if absent",
    )
    max_oracle_divergence: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda most: most is None,
        description="breaker: refuse if the pools' price of an asset, weighted by depth, is further from the oracle's;"
        " fraction, above 0; off if absent",
    )
    max_gas_price_wei: Uint | None = Field(
        default=None,
        exclude_if=lambda price: price is None,
        description="breaker: refuse if a unit of gas costs more wei; off if absent",
    )
    min_pool_liquidity_usd: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda floor: floor is None,
        description="filter: leave out pools whose priced side is worth less at the current price, USD, above 0;"
        " off if absent",
    )
    oracle_band: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None,
        exclude_if=lambda band: band is None,
        description="filter: leave out pools whose price of two assets is further from the oracle's; fraction, above 0;"
        " off if absent",
    )
    memory: Memory = Field(
        default=Memory(),
        exclude_if=lambda memory: memory == Memory(),
        description="how much of the past is kept for forecasts",
    )
