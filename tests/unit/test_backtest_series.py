"""What a chart gets of a run, whatever its length."""

import numpy as np
import pytest
from simulated import made_fill, made_step

from keeper.backtest.record import Record
from keeper.backtest.series import read_run

SYMBOLS = ("WETH", "USDC")


def read(tmp_path, steps, **limits):
    path = tmp_path / "steps.parquet"
    with Record(path, SYMBOLS) as record:
        for step in steps:
            record.add(step)
    return read_run(path, SYMBOLS, **limits)


def test_every_row_is_its_own_part_where_there_is_room(tmp_path):
    run = read(tmp_path, [made_step(60 * k, 100.0 + k, ideal_value_usd=100.0, drift=0.01 * k) for k in range(5)])
    assert run.time.tolist() == [0, 60, 120, 180, 240]
    assert run.value.low.tolist() == run.value.high.tolist() == run.value.last.tolist() == [100, 101, 102, 103, 104]
    assert run.lead.last == pytest.approx([0, 100, 200, 300, 400])  # 1% is 100 bp
    assert run.drift.last == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])


def test_no_extreme_is_lost_across_parts_and_row_groups(tmp_path):
    values = 100.0 + np.random.default_rng(3).normal(0, 1, 10_000)
    values[7_777] = 500.0
    run = read(tmp_path, [made_step(60 * k, value) for k, value in enumerate(values)], room=100)
    parts = values.reshape(100, 100)
    assert run.value.low.tolist() == parts.min(1).tolist()
    assert run.value.high.tolist() == parts.max(1).tolist()
    assert run.value.last.tolist() == parts[:, -1].tolist()
    assert run.value.high.max() == 500.0


def test_gas_is_taken_off_from_its_batch_on(tmp_path):
    steps = [made_step(60 * k, 100.0, executed=made_fill(gas=2.0) if k in (1, 4_500) else None) for k in range(5_000)]
    run = read(tmp_path, steps, room=5_000)
    assert run.value.last[[0, 1, 4_499, 4_500, 4_999]].tolist() == [100, 98, 98, 96, 96]
    assert (run.hold.last == 100).all()


def test_what_a_batch_bought_is_what_changed_at_the_prices_then(tmp_path):
    prices = np.array([100.0, 1.0])
    steps = [
        made_step(0, 1_000.0, prices=prices),
        made_step(60, 1_100.0, prices=prices * [1.2, 1.0], weights=np.array([6 / 11, 5 / 11])),
        made_step(
            120, 1_098.0, prices=prices * [1.2, 1.0], weights=np.array([549 / 1_098, 549 / 1_098]),
            executed=made_fill(turnover=100.0, fees=1.0, impact=0.25, shortfall=2.0, gas=3.0),
        ),
        made_step(180, 1_098.0, prices=prices, executed=made_fill(failed="no", gas=1.0)),
    ]  # fmt: skip
    first, second = read(tmp_path, steps).batches
    assert first.bought == pytest.approx((-51.0, 49.0))
    assert (first.time, first.turnover, first.gas, first.fees, first.impact, first.off_market) == (
        120, 100.0, 3.0, 1.0, 0.25, 0.75,
    )  # fmt: skip
    assert first.index == pytest.approx((120.0, 100.0))
    assert (second.failed, second.bought) == ("no", ())


def test_only_the_largest_batches_are_kept_in_order_of_time(tmp_path):
    sizes = [5.0, 50.0, 1.0, 40.0, 30.0]
    steps = [made_step(60 * k, 100.0, executed=made_fill(turnover=size)) for k, size in enumerate(sizes)]
    assert [batch.turnover for batch in read(tmp_path, steps, marks=3).batches] == [50.0, 40.0, 30.0]
