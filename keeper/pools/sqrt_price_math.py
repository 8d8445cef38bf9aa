"""One step of a concentrated-liquidity swap inside one range of constant liquidity (Uniswap V3 ``SwapMath``).

Integers and roundings are those of the contract: what the pool takes is rounded up, what it pays is rounded down, and
the price moves so that the pool never loses by it.
"""

from typing import NamedTuple

from keeper.pools.base import PIPS
from keeper.units import mul_div, mul_div_up

_UINT256 = 2**256


class Step(NamedTuple):
    """Price reached and raw amounts; ``amount_in`` is without ``fee``."""

    sqrt_price: int
    amount_in: int
    amount_out: int
    fee: int


def amount0_delta(sqrt_a: int, sqrt_b: int, liquidity: int) -> int:
    """Token0 between two prices, ``L * (1/lower - 1/upper)``, rounded down."""
    lower, upper = (sqrt_a, sqrt_b) if sqrt_a < sqrt_b else (sqrt_b, sqrt_a)
    return (liquidity << 96) * (upper - lower) // upper // lower


def amount0_delta_up(sqrt_a: int, sqrt_b: int, liquidity: int) -> int:
    """As `amount0_delta`, each of the two divisions rounded up."""
    lower, upper = (sqrt_a, sqrt_b) if sqrt_a < sqrt_b else (sqrt_b, sqrt_a)
    return -(-mul_div_up(liquidity << 96, upper - lower, upper) // lower)


def amount1_delta(sqrt_a: int, sqrt_b: int, liquidity: int) -> int:
    """Token1 between two prices, ``L * (upper - lower)``, rounded down."""
    return liquidity * abs(sqrt_a - sqrt_b) >> 96


def amount1_delta_up(sqrt_a: int, sqrt_b: int, liquidity: int) -> int:
    """As `amount1_delta`, rounded up."""
    return -(-liquidity * abs(sqrt_a - sqrt_b) >> 96)


def _price_after_input(sqrt_price: int, liquidity: int, amount: int, zero_for_one: bool) -> int:
    if not zero_for_one:
        return sqrt_price + (amount << 96) // liquidity
    if amount == 0:
        return sqrt_price
    numerator, product = liquidity << 96, amount * sqrt_price
    if product < _UINT256 and numerator + product < _UINT256:
        return mul_div_up(numerator, sqrt_price, numerator + product)
    # Where 256 bits do not hold the product the contract takes a less precise formula.
    return -(-numerator // (numerator // sqrt_price + amount))


def _price_after_output(sqrt_price: int, liquidity: int, amount: int, zero_for_one: bool) -> int:
    if zero_for_one:
        return sqrt_price + (-(amount << 96) // liquidity)
    if amount == 0:
        return sqrt_price
    numerator = liquidity << 96
    return mul_div_up(numerator, sqrt_price, numerator - amount * sqrt_price)


def swap_step(sqrt_price: int, target: int, liquidity: int, remaining: int, fee_pips: int) -> Step:
    """Swap towards ``target`` until it is reached or ``remaining`` is used up.

    Args:
        sqrt_price: price at the start.
        target: price to stop at; below the start when token0 is sold.
        liquidity: liquidity between the two.
        remaining: raw units; positive to spend, negative to obtain.
        fee_pips: fee on the input, millionths.
    """
    zero_for_one, exact_input = sqrt_price >= target, remaining >= 0
    delta_in, delta_out = (amount0_delta_up, amount1_delta) if zero_for_one else (amount1_delta_up, amount0_delta)
    reached = target
    if exact_input:
        after_fee = mul_div(remaining, PIPS - fee_pips, PIPS)
        if after_fee < delta_in(target, sqrt_price, liquidity):
            reached = _price_after_input(sqrt_price, liquidity, after_fee, zero_for_one)
    elif -remaining < delta_out(target, sqrt_price, liquidity):
        reached = _price_after_output(sqrt_price, liquidity, -remaining, zero_for_one)
    amount_in, amount_out = delta_in(reached, sqrt_price, liquidity), delta_out(reached, sqrt_price, liquidity)
    if exact_input and reached != target:
        # Short of the target all that the move leaves over is fee, rounding dust included.
        return Step(reached, amount_in, amount_out, remaining - amount_in)
    fee = mul_div_up(amount_in, fee_pips, PIPS - fee_pips)
    return Step(reached, amount_in, amount_out if exact_input else min(amount_out, -remaining), fee)
