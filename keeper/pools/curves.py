"""What the solver sees of a pool: how one pair of its tokens trades, in floats.

There are few shapes, and most kinds of pool share one. All numbers are for raw units; ``kept`` is the part of the input
that is left after the fee.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class ConstantProduct(NamedTuple):
    """x y = liquidity**2; ``sqrt_price`` is the square root of b per a."""

    liquidity: float
    sqrt_price: float
    kept: float


class Stretch(NamedTuple):
    """Constant liquidity up to a square root of the price."""

    end: float
    liquidity: float


class Concentrated(NamedTuple):
    """A constant product whose liquidity changes with the price; it trades no further than the last stretch."""

    sqrt_price: float
    kept: float
    down: tuple[Stretch, ...]
    up: tuple[Stretch, ...]


class Weighted(NamedTuple):
    """a**weight_a b**weight_b is constant; at most ``most`` times the balance may come in at once."""

    balance_a: float
    balance_b: float
    weight_a: float
    weight_b: float
    kept: float
    most: float


class Stable(NamedTuple):
    """The StableSwap invariant D.

    ``scale_a`` and ``scale_b`` turn raw units into normalised ones; balances are normalised. ``share`` is D / (A n),
    ``others`` the sum of the balances of the other tokens, ``product`` is D**(n + 1) / (n**n A n) over their product.
    ``paid`` is the part of the output that is paid out.
    """

    balance_a: float
    balance_b: float
    scale_a: float
    scale_b: float
    kept: float
    paid: float
    invariant: float
    share: float
    others: float
    product: float


Curve: TypeAlias = ConstantProduct | Concentrated | Weighted | Stable
