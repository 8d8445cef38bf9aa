"""A small run of the simulation's benchmark: it measures what it says, and memory stays constant."""

import json

import pytest

from benchmarks.backtest import GROWTH_AIM, LENGTHS, main


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "backtest.json"
    main(["--quick", "--json", str(file)])
    return json.loads(file.read_text())


def test_it_measures_eight_assets_and_24_pools(result):
    assert result["setup"] == {"assets": 8, "pools": 24}


def test_steps_are_timed_at_every_length_and_longer_ones_move_more_pools(result):
    moved = [row["pools_traded_a_step"] for row in result["quiet"]]
    assert len(moved) == len(LENGTHS)
    assert moved == sorted(moved)
    assert all(row["steps_a_second"]["least"] > 0 for row in result["quiet"])


def test_batches_that_are_timed_trade(result):
    assert all(row["swaps_a_batch"] >= 1 and row["batches_a_second"]["least"] > 0 for row in result["trades"])


def test_steps_that_held_count_in_the_rate_over_all_steps(result):
    free, dear = result["trades"]
    assert free["part_of_steps"] == 1
    assert dear["part_of_steps"] < 1
    assert 0 < dear["batches_a_second_with_holds"]["most"] < dear["batches_a_second"]["most"]


def test_ten_times_the_steps_take_no_more_memory(result):
    assert result["memory"]["steps"] == [1_000, 10_000]
    assert result["memory"]["ratio"] < GROWTH_AIM
