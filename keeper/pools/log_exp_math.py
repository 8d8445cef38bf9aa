"""Powers of 18-digit fixed-point numbers, equal to Balancer's ``LogExpMath`` and ``FixedPoint`` to the last digit.

``x**y = exp(y * ln(x))``. Logarithm and exponential split their argument into the powers of two that it holds, whose
exponentials are tabulated, and a rest for a short series. Divisions drop what is behind the last digit, also below
zero, as the EVM's do.
"""

from decimal import Decimal, localcontext
from functools import lru_cache

from keeper.units import WAD, mul_div_up

_E20 = 10**20
_E36 = 10**36

_MAX_BASE = 2**255
_MAX_EXPONENT = 2**254 // _E20
_MIN_LOG, _MAX_LOG = -41 * WAD, 130 * WAD
_NEAR_ONE = WAD // 10
"""Closer to one than this, the logarithm is taken with 36 digits."""

_POW_ERROR = 10_000
"""Bound of a power's relative error, WAD; `pow_up` adds it."""


def _exponentials() -> dict[Decimal, Decimal]:
    """``exp(2**k)`` for k from 7 down to -4 as the contract has them: with 21 significant digits."""
    with localcontext(prec=21):
        return {(x := Decimal(2) ** k): x.exp() for k in range(7, -5, -1)}


_TABLE = _exponentials()
_LARGE = [(int(x * WAD), int(e)) for x, e in _TABLE.items() if x >= 64]
"""128 and 64 in WAD, with their exponentials in whole numbers."""
_SMALL = [(int(x * _E20), int(e * _E20)) for x, e in _TABLE.items() if x < 64]
"""32 to 1/16 with their exponentials, all with 20 digits."""


def _quotient(a: int, b: int) -> int:
    """``a / b`` towards zero."""
    return a // b if (a < 0) == (b < 0) else -(-a // b)


def _ln(x: int) -> int:
    """Natural logarithm of a positive WAD number, WAD."""
    if x < WAD:
        return -_ln(WAD * WAD // x)
    total = 0
    for log, exponential in _LARGE:
        if x >= exponential * WAD:
            x //= exponential
            total += log
    total, x = total * 100, x * 100
    for log, exponential in _SMALL:
        if x >= exponential:
            x = x * _E20 // exponential
            total += log
    return (total + _ln_series(x, _E20, 11)) // 100


def _ln_series(x: int, one: int, last: int) -> int:
    """``2 * (z + z**3/3 + ... + z**last/last)`` with ``z = (x - 1) / (x + 1)``: the logarithm of x near 1."""
    z = _quotient((x - one) * one, x + one)
    square = z * z // one
    total = power = z
    for k in range(3, last + 1, 2):
        power = _quotient(power * square, one)
        total += _quotient(power, k)
    return 2 * total


def _exp(x: int) -> int:
    """Exponential of a WAD number, WAD."""
    if x < 0:
        return WAD * WAD // _exp(-x)
    factor = 1
    for log, exponential in _LARGE:
        if x >= log:
            x -= log
            factor = exponential
            break  # the greatest argument, 130, holds only one of the two
    x *= 100
    product = _E20
    for log, exponential in _SMALL[:8]:  # down to 1/4; the series takes the rest
        if x >= log:
            x -= log
            product = product * exponential // _E20
    total, term = _E20 + x, x
    for k in range(2, 13):
        term = term * x // _E20 // k
        total += term
    return product * total // _E20 * factor // 100


@lru_cache(maxsize=2**10)
def power(x: int, y: int) -> int:
    """``x**y``, both WAD and not negative, with a relative error below one in 10**14.

    Raises:
        ValueError: an argument or the result is out of the contract's bounds.
    """
    if y == 0:
        return WAD
    if x == 0:
        return 0
    if x >= _MAX_BASE or y >= _MAX_EXPONENT:
        raise ValueError(f"{x} to the power of {y} is out of bounds")
    if abs(x - WAD) < _NEAR_ONE:
        log36 = _ln_series(x * WAD, _E36, 15)
        whole = _quotient(log36, WAD)
        log = whole * y + _quotient((log36 - whole * WAD) * y, WAD)
    else:
        log = _ln(x) * y
    log = _quotient(log, WAD)
    if not _MIN_LOG <= log <= _MAX_LOG:
        raise ValueError(f"{x} to the power of {y} is out of bounds")
    return _exp(log)


def power_up(x: int, y: int, *, shortcuts: bool = True) -> int:
    """``x**y`` rounded up by the greatest error that `power` can have.

    Args:
        x: base, WAD.
        y: exponent, WAD.
        shortcuts: multiply for the exponents 1, 2 and 4, as all pools but the oldest do.
    """
    if shortcuts and y in (WAD, 2 * WAD, 4 * WAD):
        for _ in range((y // WAD).bit_length() - 1):
            x = mul_div_up(x, x, WAD)
        return x
    raw = power(x, y)
    return raw + mul_div_up(raw, _POW_ERROR, WAD) + 1
