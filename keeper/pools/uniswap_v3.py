"""Uniswap V3 pools: one contract for each."""

from typing import Annotated, Literal

from pydantic import Field

from keeper.pools.concentrated import ConcentratedPool


class UniswapV3Pool(ConcentratedPool):
    """A pool whose swaps equal those of ``UniswapV3Pool`` to the wei."""

    kind: Literal["uniswap_v3"] = "uniswap_v3"
    tick_spacing: Annotated[int, Field(gt=0, lt=16384)]
