"""The limits of a vault as people write them: bounded as the contract bounds them."""

import re
from decimal import Decimal

import pytest
from pydantic import ValidationError

from keeper.backtest import load_setup
from keeper.chain.artifacts import ROOT
from keeper.domain import InputError
from keeper.domain.limits import LimitsConfig

FRACTIONS = (
    ("max_slippage", "0", "0.05"),
    ("max_batch_loss", "0", "0.05"),
    ("loss_budget", "0", "0.1"),
    ("turnover_budget", "0.001", "10"),  # the least that min_progress leaves possible
    ("dead_band", "0", "0.5"),
    ("min_progress", "0.000001", "0.1"),
    ("dust", "0", "0.0001"),
)
SECONDS = (("window", 3600, 90 * 86_400), ("cooldown", 12, 30 * 86_400))
UNITS = {"minutes": 60, "hours": 3600, "days": 86_400, "": 1}


@pytest.mark.parametrize(("name", "least", "most"), FRACTIONS)
def test_a_fraction_is_taken_at_its_bounds_and_not_beyond(name, least, most):
    for value in (least, most):
        assert getattr(LimitsConfig(**{name: Decimal(value)}), name) == Decimal(value)
    for value in (Decimal(least) - Decimal("1e-9"), Decimal(most) + Decimal("1e-9")):
        with pytest.raises(ValidationError):
            LimitsConfig(**{name: value})


@pytest.mark.parametrize(("name", "least", "most"), SECONDS)
def test_seconds_are_taken_at_their_bounds_and_not_beyond(name, least, most):
    for value in (least, most):
        assert getattr(LimitsConfig(**{name: value}), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ValidationError):
            LimitsConfig(**{name: value})


def test_the_bounds_are_the_contracts():
    source = (ROOT / "contracts" / "libraries" / "LimitsLib.sol").read_text()
    constants = {}
    for name, number, unit in re.findall(r"constant (\w+) = ([\d.e]+) ?(\w*);", source):
        constants[name] = Decimal(number) * UNITS[unit]
    found = {}
    for field, least, most in re.findall(r"within\(\"(\w+)\", l\.\w+, (\w+), (\w+)\);", source):
        snake = re.sub(r"(?=[A-Z])", "_", field).lower()
        found[snake] = (constants.get(least, Decimal(0)), constants[most])
    assert len(found) == len(LimitsConfig.model_fields)
    for name, least, most in FRACTIONS:
        lowest = Decimal(0) if name == "turnover_budget" else Decimal(least)
        assert found[name] == (lowest * 10**18, Decimal(most) * 10**18)
    for name, low, high in SECONDS:
        assert found[name] == (low, high)


def test_a_bound_is_told_as_a_number():
    with pytest.raises(InputError) as raised:
        load_setup("limits: {max_slippage: 0.5}")
    assert str(raised.value) == "setup: limits.max_slippage: Input should be less than or equal to 0.05"


def test_a_turnover_that_no_batch_could_keep_to_is_one_line():
    with pytest.raises(InputError) as raised:
        load_setup("limits: {turnover_budget: 0.0005}")
    assert str(raised.value) == (
        "setup: limits: turnover_budget is 0.0005, and each batch must make progress of 0.001 (min_progress), which"
        " takes as much turnover at least: no batch could ever pass"
    )
