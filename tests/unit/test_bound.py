"""The published bound, by the numbers that docs/threat-model.md works out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.policy.bound import Bound
from keeper.units import WAD

WEEK = 7 * 86_400
EXAMPLE = Bound(loss_budget=WAD // 100, turnover_budget=4 * WAD // 10, window=WEEK)


def test_the_oracle_form_is_the_budget_and_what_drains_meanwhile():
    assert EXAMPLE.losses(0) == WAD // 100
    assert EXAMPLE.losses(WEEK) == 2 * WAD // 100


@pytest.mark.parametrize(
    ("span", "delta", "percent"),
    [(0, 0.005, 1.21), (WEEK, 0.005, 2.41), (0, 0.5, 42), (WEEK, 0.5, 84)],
)
def test_the_market_form_gives_the_examples_of_the_threat_model(span, delta, percent):
    assert EXAMPLE.shortfalls(span, int(delta * WAD)) / WAD * 100 == pytest.approx(percent, abs=0.005)


def test_a_market_that_is_off_by_everything_has_no_bound():
    with pytest.raises(ValueError, match="no bound"):
        EXAMPLE.shortfalls(0, WAD)


@given(st.integers(0, WAD // 10), st.integers(0, 10 * WAD), st.integers(3600, 90 * 86_400), st.integers(0, 10**8))
def test_an_oracle_that_is_right_makes_both_forms_the_same(loss, turnover, window, span):
    bound = Bound(loss, turnover, window)
    assert bound.shortfalls(span, 0) == bound.losses(span)
    assert bound.losses(span) * window >= loss * (window + span)
