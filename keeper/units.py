"""Units of the whole project: WAD fractions, raw token amounts, USD in WAD, and directed rounding.

Money is a plain ``int`` everywhere. The annotated types below say what such an int means and how it is spelt in a file:
integers that can pass 2**53 are decimal strings there, because many JSON readers would round them.
"""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo

WAD = 10**18
"""One, as a fixed-point fraction; one US dollar, as a value."""

BPS = 10_000
"""Basis points in one."""

_MAX_UINT256 = 2**256 - 1
_JSON_EXACT = 2**53


def mul_div(a: int, b: int, c: int) -> int:
    """``a * b / c`` rounded down, without intermediate loss."""
    return a * b // c


def mul_div_up(a: int, b: int, c: int) -> int:
    """``a * b / c`` rounded up, without intermediate loss."""
    return -(-(a * b) // c)


def value_of(amount: int, price: int, decimals: int) -> int:
    """Value in USD WAD of a raw token ``amount`` at ``price`` (USD WAD for one whole token), rounded down."""
    return mul_div(amount, price, 10**decimals)


def value_of_up(amount: int, price: int, decimals: int) -> int:
    """As `value_of`, rounded up."""
    return mul_div_up(amount, price, 10**decimals)


def amount_of(value: int, price: int, decimals: int) -> int:
    """Raw token amount that is worth ``value`` USD WAD, rounded down."""
    return mul_div(value, 10**decimals, price)


def amount_of_up(value: int, price: int, decimals: int) -> int:
    """As `amount_of`, rounded up."""
    return mul_div_up(value, 10**decimals, price)


def to_wad(fraction: Decimal) -> int:
    """A decimal fraction as WAD, rounded down to 18 places."""
    return int(fraction.scaleb(18))


def to_float(wad: int) -> float:
    """A WAD number as a float, for estimates and scores only."""
    return wad / WAD


def format_units(raw: int, decimals: int) -> str:
    """A raw token amount in whole tokens, exact, without trailing zeros: ``format_units(1_500_000, 6) == "1.5"``."""
    whole, part = divmod(abs(raw), 10**decimals)
    digits = f"{part:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{'-' if raw < 0 else ''}{whole}{'.' + digits if digits else ''}"


def usd(wad: int) -> str:
    """A value in USD WAD for people: ``usd(-12_345 * 10**17) == "-$1,234.50"``; below a cent, four digits."""
    value = abs(wad) / WAD
    text = f"{value:,.2f}" if value == 0 or value >= 0.01 else f"{value:.4g}"
    return f"{'-' if wad < 0 else ''}${text}"


def percent(wad: int) -> str:
    """A WAD fraction for people: ``percent(5 * 10**16) == "5%"``."""
    return f"{wad * 100 / WAD:.4g}%"


def _whole_number(value: object, info: ValidationInfo) -> object:
    """Read a decimal string as an int; a bare JSON number only where no JSON reader could have rounded it."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 78):
            raise ValueError(f'must be a whole number as a decimal string, got "{value[:90]}"')
        return int(value)
    if info.mode == "json" and isinstance(value, int) and abs(value) > _JSON_EXACT:
        raise ValueError(f"write it as a decimal string: a bare {value} can lose digits on its way")
    return value


def _decimal(value: object) -> object:
    """Read a fraction as it is spelt, so that 0.005 is not 0.005000000000000000104."""
    if isinstance(value, bool):
        raise ValueError("must be a number, got a boolean")  # noqa: TRY004  pydantic reports ValueError only
    if isinstance(value, int | float):
        return Decimal(str(value))
    if isinstance(value, str):
        try:
            return Decimal(value)
        except ArithmeticError:
            raise ValueError(f'must be a number, got "{value[:90]}"') from None
    return value


def _number(value: object) -> object:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f'must be a number, got "{value}"') from None


_AsString = PlainSerializer(str, return_type=str, when_used="json")

Int = Annotated[int, BeforeValidator(_whole_number), _AsString, Field(ge=-(2**255), lt=2**255)]
"""A signed integer that a file spells as a decimal string."""

Uint = Annotated[int, BeforeValidator(_whole_number), _AsString, Field(ge=0, le=_MAX_UINT256)]
"""An unsigned integer (raw token amount, wei, or USD WAD) that a file spells as a decimal string."""

Wad = Uint
"""A fraction or a USD value in WAD, spelt as a decimal string of the integer."""

Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
"""A finite float; a string too, since YAML 1.1 takes 1e-3 for one."""

Fraction = Annotated[Decimal, BeforeValidator(_decimal), _AsString, Field(ge=0, allow_inf_nan=False)]
"""A fraction as people write it in a policy: 0.05 is five percent; a number or a string."""
