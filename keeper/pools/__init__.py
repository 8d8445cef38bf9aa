"""Pools: exact integer swaps, float marginal prices, and the form in which a snapshot file holds them.

One module per kind. A new kind subclasses `BasePool` or `TwoTokenPool` with its own ``kind`` and joins the `Pool` union
below.
"""

from typing import Annotated

from pydantic import Field

from keeper.pools.base import BasePool, SwapError, Swapped, TwoTokenPool
from keeper.pools.uniswap_v2 import UniswapV2Pool
from keeper.pools.uniswap_v3 import Tick, UniswapV3Pool

Pool = Annotated[UniswapV2Pool | UniswapV3Pool, Field(discriminator="kind")]
"""Any pool, told apart by its ``kind``."""

__all__ = ["BasePool", "Pool", "SwapError", "Swapped", "Tick", "TwoTokenPool", "UniswapV2Pool", "UniswapV3Pool"]
