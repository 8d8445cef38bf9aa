"""Pools: exact integer swaps, float marginal prices, and the form in which a snapshot file holds them.

One module per kind. A new kind subclasses `TwoTokenPool` or `MultiTokenPool`
with its own ``kind`` and joins the `Pool` union below.
"""

from typing import Annotated

from pydantic import Field

from keeper.pools.balancer_stable import BalancerStablePool
from keeper.pools.balancer_weighted import BalancerWeightedPool, WeightedHolding
from keeper.pools.base import BasePool, SwapError, Swapped, TwoTokenPool
from keeper.pools.concentrated import ConcentratedPool, Tick
from keeper.pools.curve_stableswap import CurveStableSwapPool
from keeper.pools.multi_token import MultiTokenPool
from keeper.pools.stableswap import RatedHolding, StableSwapPool
from keeper.pools.uniswap_v2 import UniswapV2Pool
from keeper.pools.uniswap_v3 import UniswapV3Pool
from keeper.pools.uniswap_v4 import UniswapV4Pool

Pool = Annotated[
    UniswapV2Pool | UniswapV3Pool | UniswapV4Pool | BalancerWeightedPool | BalancerStablePool | CurveStableSwapPool,
    Field(discriminator="kind"),
]
"""Any pool, told apart by its ``kind``."""

__all__ = [
    "BalancerStablePool",
    "BalancerWeightedPool",
    "BasePool",
    "ConcentratedPool",
    "CurveStableSwapPool",
    "MultiTokenPool",
    "Pool",
    "RatedHolding",
    "StableSwapPool",
    "SwapError",
    "Swapped",
    "Tick",
    "TwoTokenPool",
    "UniswapV2Pool",
    "UniswapV3Pool",
    "UniswapV4Pool",
    "WeightedHolding",
]
