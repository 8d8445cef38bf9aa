"""Uniswap V4 pools with a static fee and without hooks: all of them live in one contract, told apart by their id.

``Pool.swap`` rounds where V3 rounds. What differs is on its surface: a balance change must fit int128, and the fee has
a part for the protocol, which V4 adds to the liquidity providers' where V3 splits one fee.
"""

from typing import Literal, Self

from keeper.pools.base import PoolId, SwapError, Swapped
from keeper.pools.concentrated import ConcentratedPool

_MAX_AMOUNT = 2**127 - 1


class UniswapV4Pool(ConcentratedPool):
    """A pool whose swaps equal those of ``PoolManager`` to the wei.

    ``address`` is the PoolManager and ``id`` the hash of the pool's key. ``fee_pips`` is the whole fee, the protocol's
    part included. A pool of native ether lists WETH in its place, so token0 may be the greater address.
    """

    kind: Literal["uniswap_v4"] = "uniswap_v4"
    id: PoolId

    @property
    def name(self) -> str:
        """What a swap calls this pool: its id as the file spells it."""
        return self.id

    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        if amount_in > _MAX_AMOUNT:
            raise SwapError(f"pool {self.name}: {amount_in} does not fit int128")
        amount_out, after = super().swap(token_in, token_out, amount_in)
        if amount_out > _MAX_AMOUNT:
            raise SwapError(f"pool {self.name}: {amount_out} does not fit int128")
        return Swapped(amount_out, after)
