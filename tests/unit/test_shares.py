"""When a share's checkpoint should be moved."""

from dataclasses import replace

import pytest

from keeper.chain.shares import DAY, Share
from keeper.units import WAD

SHARE = Share(
    token="0x" + "11" * 20,
    rate=WAD,
    checkpoint=WAD,
    moved_at=0,
    max_above=WAD // 50,
    max_below=WAD // 100,
    max_drift_per_day=WAD // 100,
)


def at(rate: float) -> Share:
    return replace(SHARE, rate=int(rate * WAD))


@pytest.mark.parametrize(("rate", "used"), [(1.0, 0), (1.01, WAD // 2), (1.02, WAD), (0.995, WAD // 2), (0.99, WAD)])
def test_the_corridor_has_a_width_on_either_side(rate, used):
    assert at(rate).used == pytest.approx(used, abs=1000)


def test_a_checkpoint_goes_no_faster_than_time():
    assert at(1.02).reached(DAY // 2) == WAD + WAD // 200
    assert at(0.98).reached(DAY // 2) == WAD - WAD // 200


def test_a_checkpoint_never_leaves_its_corridor_at_once():
    assert at(1.5).reached(100 * DAY) == WAD + WAD // 50
    assert at(0.5).reached(100 * DAY) == WAD - WAD // 100


def test_a_checkpoint_stops_at_the_rate():
    assert at(1.003).reached(DAY) == int(1.003 * WAD)


def test_it_is_due_once_half_of_the_corridor_is_used():
    assert not at(1.0099).due(DAY)
    assert at(1.0101).due(DAY)
    assert not at(0.9951).due(DAY)
    assert at(0.9949).due(DAY)


def test_it_is_not_due_before_a_call_gives_back_a_tenth_of_the_corridor():
    # A tenth of 2% takes a fifth of a day at 1% a day.
    assert not at(1.02).due(DAY // 5 - 1)
    assert at(1.02).due(DAY // 5)


def test_it_says_what_to_do_where_it_is_due():
    assert at(1.005).describe(DAY) == f"{SHARE.token} uses 25% of its corridor, checkpoint not due"
    due = "due: `ape run checkpoint --live`"
    assert at(1.015).describe(DAY) == f"{SHARE.token} uses 75% of its corridor, checkpoint {due}"


def test_a_rate_beyond_its_corridor_is_due():
    assert at(1.5).used > WAD
    assert at(1.5).due(DAY)
