from decimal import Decimal

import pytest
from pydantic import TypeAdapter, ValidationError

from keeper.units import (
    WAD,
    Fraction,
    Uint,
    amount_of,
    amount_of_up,
    format_units,
    mul_div,
    mul_div_up,
    percent,
    to_wad,
    usd,
    value_of,
    value_of_up,
)


def test_mul_div_rounds_down_and_mul_div_up_rounds_up():
    assert (mul_div(7, 3, 2), mul_div_up(7, 3, 2)) == (10, 11)
    assert mul_div(8, 3, 2) == mul_div_up(8, 3, 2) == 12


def test_the_product_may_pass_256_bits():
    assert mul_div(2**255, 2**255, 2**255) == 2**255


def test_a_value_is_rounded_in_the_direction_of_its_name():
    price = 60_000 * WAD + 1
    assert value_of(1, price, 8) == 600_000_000_000_000
    assert value_of_up(1, price, 8) == 600_000_000_000_001


def test_an_amount_is_rounded_in_the_direction_of_its_name():
    assert amount_of(WAD, 3 * WAD, 6) == 333_333
    assert amount_of_up(WAD, 3 * WAD, 6) == 333_334


def test_a_fraction_becomes_wad_exactly():
    assert to_wad(Decimal("0.005")) == 5 * 10**15


@pytest.mark.parametrize(
    ("raw", "decimals", "text"),
    [(1_500_000, 6, "1.5"), (-1, 18, "-0.000000000000000001"), (42, 0, "42"), (10**18, 18, "1"), (0, 6, "0")],
)
def test_raw_amounts_are_shown_exactly(raw, decimals, text):
    assert format_units(raw, decimals) == text


@pytest.mark.parametrize(
    ("wad", "text"),
    [
        (-123_456 * WAD // 100, "-$1,234.56"),
        (0, "$0.00"),
        (WAD // 10_000, "$0.0001"),
        (10**9 * WAD, "$1,000,000,000.00"),
    ],
)
def test_dollars_are_shown_to_the_cent_and_less_where_there_is_less(wad, text):
    assert usd(wad) == text


def test_fractions_are_shown_in_percent():
    assert percent(WAD // 20) == "5%"


@pytest.mark.parametrize("text", ['"1e18"', '" 1"', '"+1"', '"1_000"', '"0x10"', '"1.0"', '""', '"-1"', "1.0", "true"])
def test_only_a_plain_decimal_string_is_an_unsigned_integer(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Uint).validate_json(text, strict=True)


def test_a_bare_json_number_is_refused_where_a_reader_could_have_rounded_it():
    assert TypeAdapter(Uint).validate_json(str(2**53)) == 2**53
    with pytest.raises(ValidationError, match="write it as a decimal string"):
        TypeAdapter(Uint).validate_json(str(2**53 + 1))


def test_an_integer_beyond_256_bits_is_refused():
    assert TypeAdapter(Uint).validate_python(2**256 - 1) == 2**256 - 1
    with pytest.raises(ValidationError):
        TypeAdapter(Uint).validate_python(2**256)


@pytest.mark.parametrize("spelt", [0.005, "0.005", "5e-3"])
def test_a_fraction_is_what_was_written_not_its_nearest_float(spelt):
    assert TypeAdapter(Fraction).validate_python(spelt) == Decimal("0.005")


@pytest.mark.parametrize("spelt", ["nan", float("inf"), -0.1, "5%", True])
def test_a_fraction_is_a_finite_number_of_at_least_zero(spelt):
    with pytest.raises(ValidationError):
        TypeAdapter(Fraction).validate_python(spelt)
