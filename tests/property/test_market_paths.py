"""No row of a path depends on how many rows follow, or on how many are drawn at a time."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keeper.market import PricePath, Window

paths = st.builds(
    PricePath,
    regime=st.sampled_from(["gbm", "jumps", "regimes", "crash"]),
    symbols=st.sampled_from([("A",), ("WBTC", "WETH", "USDC"), ("LINK", "USDC", "A", "B", "C")]),
    seed=st.integers(0, 2**32),
    steps=st.integers(1, 700),
    step=st.sampled_from([60, 3600, 86_400]),
    correlation=st.floats(0, 1),
)


def table(rows):
    return np.array([(time, *prices) for time, prices in rows])


@given(paths, st.integers(1, 700))
def test_a_longer_path_begins_with_the_shorter_one(path, steps):
    other = path.model_copy(update={"steps": steps})
    common = min(path.steps, steps)
    assert (table(path)[:common] == table(other)[:common]).all()


@given(paths, st.integers(1, 64))
def test_how_much_is_drawn_at_a_time_changes_nothing(path, block):
    assert (table(path) == table(path._rows(block))).all()


@given(paths)
def test_every_price_is_finite_and_above_zero_at_even_times(path):
    rows = table(path)
    assert len(rows) == path.steps
    assert np.isfinite(rows).all()
    assert (rows[:, 1:] > 0).all()
    assert all(after - before == path.step for before, after in pairwise(rows[:, 0]))


@given(paths, st.integers(0, 400), st.integers(1, 400))
def test_a_window_is_a_part_of_the_whole(path, first, count):
    rows = table(path)
    start, stop = path.start + first * path.step, path.start + (first + count) * path.step
    cut = table(Window(path, start, stop)).reshape(-1, rows.shape[1])
    assert (cut == rows[first : first + count]).all()
