"""Balancer V2 stable pools: ``ComposableStablePool``, whose own token is not among ``tokens``.

Formula: ``StableMath._calcOutGivenIn`` with the fee taken from the input first. Older stable pools round their
invariant otherwise and are not of this kind.
"""

from typing import Literal, Self

from pydantic import Field

from keeper.pools.base import PoolId, SwapError, Swapped
from keeper.pools.stableswap import MAX_ROUNDS, RatedHolding, StableSwapPool
from keeper.units import WAD, mul_div, mul_div_up


class BalancerStablePool(StableSwapPool):
    """A pool whose swaps equal those of ``ComposableStablePool`` through the Vault to the wei."""

    kind: Literal["balancer_stable"] = "balancer_stable"
    id: PoolId
    holdings: tuple[RatedHolding, ...] = Field(alias="tokens", min_length=2, max_length=5)

    @property
    def name(self) -> str:
        """What a swap calls this pool: its id as the file spells it."""
        return self.id

    def swap(self, token_in: str, token_out: str, amount_in: int) -> Swapped[Self]:
        place_in, place_out = self._places(token_in, token_out, amount_in)
        balances = self._scaled()
        invariant = self._invariant(balances)
        before = balances[place_out]
        taken = amount_in - mul_div_up(amount_in, self.fee, WAD)
        balances[place_in] += mul_div(taken, self.holdings[place_in].rate, WAD)
        paid = before - self._balance(balances, place_out, invariant) - 1
        amount_out = mul_div(max(paid, 0), WAD, self.holdings[place_out].rate)
        if amount_out == 0:
            raise SwapError(f"pool {self.name}: {amount_in} is too small to buy anything")
        return Swapped(amount_out, self._after(place_in, amount_in, place_out, amount_out))

    def _balance(self, balances: list[int], place: int, invariant: int) -> int:
        """The scaled balance at ``place`` that gives ``invariant`` with the others, rounded up."""
        n, precision = len(balances), self.a_precision
        ann = self.amplification * n
        product = balances[0] * n
        for balance in balances[1:]:
            product = product * balance * n // invariant
        if product == 0:
            raise SwapError(f"pool {self.name}: its balances are too far apart")
        square = invariant * invariant
        # The balance asked for is part of the product, and is multiplied out again.
        c = mul_div_up(square, 1, ann * product) * precision * balances[place]
        b = sum(balances) - balances[place] + invariant // ann * precision
        balance = mul_div_up(square + c, 1, invariant + b)
        for _ in range(MAX_ROUNDS):
            before = balance
            balance = mul_div_up(balance * balance + c, 1, 2 * balance + b - invariant)
            if abs(balance - before) <= 1:
                return balance
        raise SwapError(f"pool {self.name}: its balance after the swap does not converge")

    @property
    def _kept_of_input(self) -> float:
        return 1 - self.fee_fraction

    @property
    def _paid_of_output(self) -> float:
        return 1.0
