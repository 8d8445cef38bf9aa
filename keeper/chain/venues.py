"""Where pools are looked for: a pool is admitted by the factory that made it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from keeper.chain.fields import Address, Strict

BALANCER_VAULT: Final = "0xBA12222222228d8Ba445958a75a0704d566BF2C8"
"""The same on every chain."""


class UniswapV2Venue(Strict):
    """Uniswap V2 or a fork of it. The fee in millionths is the fork's, for no pair can be asked."""

    kind: Literal["uniswap_v2"]
    factory: Address
    fee_pips: int = Field(default=3000, ge=0, lt=1_000_000)


class UniswapV3Venue(Strict):
    """Uniswap V3 or a fork of it. `fees` are the tiers to look for, in millionths."""

    kind: Literal["uniswap_v3"]
    factory: Address
    fees: tuple[Annotated[int, Field(ge=0, lt=1_000_000)], ...] = Field(default=(100, 500, 3000, 10000), min_length=1)


Venue = Annotated[UniswapV2Venue | UniswapV3Venue, Field(discriminator="kind")]
