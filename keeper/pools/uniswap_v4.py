"""Uniswap V4 pools with a static fee and without hooks: all of them live in one contract, told apart by their id.

``Pool.swap`` rounds where V3 rounds. What differs is on its surface: a balance change must fit int128, and the fee has
a part for the protocol, which V4 adds to the liquidity providers' where V3 splits one fee.
"""

from typing import Literal, Self

from keeper.pools.base import PIPS, PoolId, SwapError
from keeper.pools.concentrated import ConcentratedPool

_MAX_AMOUNT = 2**127 - 1


def swap_fee(lp_fee_pips: int, protocol_fee_pips: int) -> int:
    """The whole fee of a swap in millionths: the protocol's, then the providers' on what is left, rounded up."""
    return protocol_fee_pips + lp_fee_pips - protocol_fee_pips * lp_fee_pips // PIPS


class UniswapV4Pool(ConcentratedPool):
    """A pool whose swaps equal those of ``PoolManager`` to the wei.

    ``address`` is the PoolManager and ``id`` the hash of the pool's key. ``fee_pips`` is the whole fee (`swap_fee`), so
    a pool whose protocol fee depends on the direction cannot be told here. A pool of native ether lists WETH in its
    place, so token0 may be the greater address.
    """

    kind: Literal["uniswap_v4"] = "uniswap_v4"
    id: PoolId

    @property
    def name(self) -> str:
        """What a swap calls this pool: its id as the file spells it."""
        return self.id

    def swap_exact(self, zero_for_one: bool, amount_specified: int, sqrt_price_limit_x96: int) -> tuple[int, int, Self]:
        amount0, amount1, after = super().swap_exact(zero_for_one, amount_specified, sqrt_price_limit_x96)
        for amount in (amount0, amount1):
            if abs(amount) > _MAX_AMOUNT:
                raise SwapError(f"pool {self.name}: {amount} does not fit int128")
        return amount0, amount1, after
