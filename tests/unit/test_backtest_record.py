# ruff: noqa: S106  token_in is no password
"""The Parquet file of a run."""

import json
import tracemalloc

import numpy as np
import pytest
from pyarrow import parquet
from simulated import made_fill, made_step

from keeper.backtest.record import Record
from keeper.domain import Decision, Estimate, InputError, Swap

SYMBOLS = ("WETH", "USDC")
ESTIMATE = Estimate(nav_usd=1, cost_usd=0, gas_usd=0, gas_units=0, drift_before=0, drift_after=0)


def held(reason, refused=False):
    return Decision(
        action="hold", reason=reason, swaps=(), sells=(), buys=(), estimate=ESTIMATE, certificate=None, refused=refused
    )


def write(path, steps):
    with Record(path, SYMBOLS) as record:
        for step in steps:
            record.add(step)
    return parquet.read_table(path)


def test_a_row_says_what_a_step_was(tmp_path):
    swap = Swap(pool="0x1", token_in="0xa", token_out="0xb", amount_in=2**70, amount_out=5)
    fill = made_fill(turnover=40.0, fees=1.0, gas=2.0)
    fill = type(fill)((swap,), fill.turnover_usd, fill.costs, 540, 660)
    steps = [
        made_step(600, 100.0, decision=held("quiet", refused=True), weights=np.array([0.6, 0.4]), drift=0.2),
        made_step(660, 101.0, executed=fill, balances=(2**90, 7), hold_value_usd=99.0),
        made_step(720, 102.0, executed=made_fill(gas=1.0, failed="too little came back")),
    ]
    first, second, third = write(tmp_path / "steps.parquet", steps).to_pylist()
    assert (first["time"], first["nav_usd"], first["action"], first["reason"], first["refused"]) == (
        600, 100.0, "hold", "quiet", True,
    )  # fmt: skip
    assert (first["weight_WETH"], first["target_USDC"], first["price_WETH"], first["drift"]) == (0.6, 0.5, 2_000.0, 0.2)
    assert first["outcome"] is first["fees_usd"] is first["swaps"] is None
    assert (second["outcome"], second["decided_at"], second["fees_usd"], second["action"]) == (
        "executed",
        540,
        1.0,
        None,
    )
    assert second["balance_WETH"] == str(2**90)
    assert second["hold_usd"] == 99.0
    assert json.loads(second["swaps"]) == [
        {"pool": "0x1", "token_in": "0xa", "token_out": "0xb", "amount_in": str(2**70), "amount_out": "5"}
    ]
    assert (third["outcome"], third["failed"], third["gas_usd"]) == ("reverted", "too little came back", 1.0)


def test_all_steps_are_written_in_row_groups(tmp_path):
    path = tmp_path / "steps.parquet"
    table = write(path, (made_step(60 * k, 100.0) for k in range(9_000)))
    assert table["time"].to_pylist() == [60 * k for k in range(9_000)]
    assert parquet.ParquetFile(path).num_row_groups == 3


def test_a_run_that_fails_leaves_no_file(tmp_path):
    def steps():
        yield made_step(0, 100.0)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        write(tmp_path / "steps.parquet", steps())
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "steps.parquet"
    with Record(path, SYMBOLS) as record:
        record.add(made_step(0, 100.0))
        assert not path.exists()
    assert path.exists()


def test_a_place_that_cannot_be_written_to_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*steps\.parquet"):
        Record(tmp_path / "none" / "steps.parquet", SYMBOLS)


def test_memory_does_not_grow_with_the_steps(tmp_path):
    def peak(count):
        tracemalloc.start()
        try:
            with Record(tmp_path / "steps.parquet", SYMBOLS) as record:
                for k in range(count):
                    record.add(made_step(60 * k, 100.0))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)
    assert peak(30_000) < 1.2 * peak(6_000)
