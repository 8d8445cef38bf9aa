"""Axes that people can read, and drawings that show what is there."""

import re

import numpy as np
import pytest

from keeper.backtest.charts import Curve, Mark, bars, curves, layers, ticks, times
from keeper.backtest.series import Line

DAY = 86_400
Y2021 = 1_609_459_200


def flat(*values):
    found = np.array(values, dtype=np.float64)
    return Line(found, found, found)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-19.0, 34.0, 6, [-10.0, 0.0, 10.0, 20.0, 30.0]),
        (982_000.0, 1_168_000.0, 6, [1_000_000.0, 1_050_000.0, 1_100_000.0, 1_150_000.0]),
        (0.00012, 0.00031, 4, [0.00015, 0.0002, 0.00025, 0.0003]),
    ],
)
def test_ticks_are_round_numbers_inside_the_range(low, high, most, expected):
    assert ticks(low, high, most) == pytest.approx(expected)


def test_ticks_of_a_logarithmic_axis_are_ones_twos_and_fives():
    assert ticks(8.0, 600.0, 6, logarithmic=True) == [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
    assert ticks(90.0, 165.0, 6, logarithmic=True) == [100.0, 120.0, 140.0, 160.0]  # less than a decade: even ones


@pytest.mark.parametrize(
    ("span", "most", "expected"),
    [
        (30 * DAY, 9, ["7 Jan", "14 Jan", "21 Jan", "28 Jan"]),
        (30 * DAY, 4, ["7 Jan", "21 Jan"]),
        (365 * DAY, 7, ["Jan 2021", "Mar", "May", "Jul", "Sep", "Nov", "2022"]),
        (5 * 365 * DAY, 9, ["2021", "2022", "2023", "2024", "2025"]),
        (6 * 3_600, 4, ["00:00", "03:00", "06:00"]),
        (2 * DAY, 4, ["1 Jan", "2 Jan", "3 Jan"]),
    ],
)
def test_times_are_round_moments(span, most, expected):
    assert [text for _, text in times(Y2021, Y2021 + span, most)] == expected


@pytest.mark.parametrize("days", [0.1, 1, 3, 10, 30, 60, 100, 250, 400, 1_000, 3_000, 10_000])
@pytest.mark.parametrize("most", [4, 9])
def test_there_are_neither_too_few_times_nor_too_many(days, most):
    found = times(Y2021 + 5_000, Y2021 + 5_000 + days * DAY, most)
    assert 1 <= len(found) <= most + 2
    assert all(Y2021 + 5_000 <= at <= Y2021 + 5_000 + days * DAY for at, _ in found)


def test_a_curve_goes_through_the_lowest_and_the_highest_of_every_part():
    line = Line(low=np.array([0.0, 10.0]), high=np.array([0.0, 50.0]), last=np.array([0.0, 20.0]))
    svg = curves(np.array([0.0, 100.0]), [Curve("a", "c0", line)], str, describe="x")
    path = re.search(r'class="line c0" d="([^"]+)"', svg)[1]
    # Down in the drawing is up on the page: first to the 10, which is nearer, then straight up to the 50.
    assert re.fullmatch(r"M62 \d+\.?\d*l888-\d+\.?\d*l0-\d+\.?\d*", path), path


def test_a_phone_gets_fewer_points_but_no_fewer_extremes():
    time = np.arange(480.0)
    values = np.sin(time)
    values[333] = 9.0
    wide, slim = re.findall(
        r'class="line c0" d="([^"]+)"', curves(time, [Curve("a", "c0", flat(*values))], str, describe="x")
    )
    assert slim.count("l") < wide.count("l")
    for path, top in ((wide, 10), (slim, 10)):
        heights = np.cumsum([float(y) for _, y in re.findall(r"[Ml](-?[\d.]+)( ?-?[\d.]+)", path)])
        # The axis has a twenty-fifth of room above the highest.
        assert heights.min() < top + 12


def test_each_drawing_is_there_for_wide_and_slim_pages_and_says_what_it_shows():
    svg = curves(np.array([0.0, 1.0]), [Curve("a", "c0", flat(1, 2))], str, describe='rises & "ends" at 2')
    assert svg.count("<svg") == svg.count('role="img"') == 2
    assert svg.count('aria-label="rises &amp; &quot;ends&quot; at 2"') == 2
    assert 'class="wide"' in svg
    assert 'class="slim"' in svg


def test_a_batch_is_a_shape_with_a_title():
    marks = [
        Mark(0.5, 1.5, "bought", "c0", 1.0, "bought <b>"),
        Mark(0.5, 1.5, "sold", "c0", 0.1, "sold"),
        Mark(0.5, 0.0, "reverted", "", 0.0, "reverted"),
    ]
    svg = curves(np.array([0.0, 1.0]), [Curve("a", "c0", flat(1, 2))], str, marks=marks, describe="x")
    assert svg.count("<title>bought &lt;b&gt;</title>") == 2
    assert svg.count('class="mark sold c0"') == 2
    assert svg.count('class="mark reverted ') == 2


def test_weights_are_stacked_up_to_one_with_the_targets_edges():
    svg = layers(
        np.array([0.0, 1.0]),
        [Curve("a", "c0", flat(0.25, 0.5)), Curve("b", "c1", flat(0.75, 0.5))],
        [flat(0.25, 0.25), flat(0.75, 0.75)],
        describe="x",
    )
    assert svg.count('class="area ') == 4
    assert svg.count('class="aim"') == 2  # the edge between the two, not the one above both
    top, bottom = 10, 320 - 24
    edge = re.search(r'class="aim" d="M62 ([\d.]+)', svg)[1]
    assert float(edge) == pytest.approx(bottom - 0.25 * (bottom - top), abs=0.1)


def test_what_is_below_zero_stands_left_of_it():
    svg = bars([("a", [("c0", 3.0), ("c1", -1.0), ("c2", 1.0)])], str, describe="x")
    found = {
        css: (float(x), float(width))
        for css, x, width in re.findall(r'bar (c\d)" x="([\d.]+)" y="20" width="([\d.]+)"', svg[: svg.index("slim")])
    }
    unit = found["c0"][1] / 3
    assert found["c1"] == pytest.approx((4.0, unit), abs=0.2)
    assert found["c0"][0] == pytest.approx(4.0 + unit, abs=0.2)
    assert found["c2"] == pytest.approx((4.0 + 4 * unit, unit), abs=0.2)
    assert ">3.0</text>" in svg  # the sum


def test_a_quantity_that_never_moves_can_be_drawn():
    assert "NaN" not in curves(np.array([0.0, 1.0]), [Curve("a", "c0", flat(0, 0))], str, zero=True, describe="x")
    assert "nan" not in curves(
        np.array([0.0, 1.0]), [Curve("a", "c0", flat(100, 100))], str, logarithmic=True, describe="x"
    )


@pytest.mark.parametrize("values", [(4.0, 5.0), (-5.0, -4.0)], ids=["above", "below"])
def test_an_axis_that_holds_zero_has_it_where_nothing_is_near(values):
    def drawn(zero):
        line = Curve("name", "c0", flat(*values))
        return curves(np.array([0.0, DAY]), [line], "{:.0f}".format, zero=zero, describe="a line")

    assert ">0<" in drawn(True)
    assert ">0<" not in drawn(False)


def test_pieces_on_both_sides_of_zero_stay_on_the_page():
    svg = bars([("a", [("c0", 1.0), ("c1", -3.0)])], str, describe="x")
    wide = svg[: svg.index("slim")]
    page = float(re.search(r'viewBox="0 0 (\d+)', wide)[1])
    ends = [float(x) + float(width) for x, width in re.findall(r'bar c\d" x="([\d.]+)" y="20" width="([\d.]+)"', wide)]
    assert max(ends) <= page - 60


def test_points_that_fall_together_are_drawn_once():
    many = flat(*([1.0] * 5000 + [2.0]))
    svg = curves(np.linspace(0.0, 1.0, 5001), [Curve("a", "c0", many)], str, describe="x")
    assert "l0 0l" not in svg
