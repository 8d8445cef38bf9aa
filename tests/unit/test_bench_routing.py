"""A small run of the routing benchmark: it measures everything, and nothing beats the router."""

import json

import pytest

from benchmarks.peers.paths import Exchange
from benchmarks.routing import baskets, orders
from benchmarks.routing.__main__ import main


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    main(["--quick", "--json", str(folder / "routing.json"), "--plot", str(folder / "routing.svg")])
    return folder


@pytest.fixture(scope="module")
def result(files):
    return json.loads((files / "routing.json").read_text())


def test_the_solver_is_timed_on_every_mix_cold_and_warm(result):
    assert {row["mix"] for row in result["solver"]} == {"V2", "V3", "mixed"}
    assert all(row["cold_ms"]["least"] > 0 < row["warm_ms"]["least"] for row in result["solver"] + result["growth"])
    assert all(row["curves_used"]["least"] > 0 for row in result["solver"])


def test_decisions_that_are_timed_trade(result):
    assert all(row["swaps"]["least"] > 0 for row in result["decide"])


def test_the_plot_shows_each_mix_and_the_growth_with_tokens(files):
    drawn = (files / "routing.svg").read_text()
    # Two axes; a line and its spread for each of the mixes and for the tokens, and the aim.
    assert drawn.count('id="axes_') == 2
    assert drawn.count('id="FillBetweenPolyCollection_') == 4


def test_general_solvers_reach_our_objective_and_no_more(result):
    for row in result["convex"]:
        assert abs(row["ours_gap_bp"]["most"]) < 1e-9
        assert row["clarabel"]["behind_bp"]["least"] > -1e-3
        assert row["clarabel"]["behind_bp"]["most"] < 0.1


@pytest.mark.skipif(not orders.installed(), reason="needs the peer that `make bench-routing` installs")
def test_no_order_buys_less_than_uniswaps_router_gets(result):
    assert {row["hop_usd"] for row in result["orders"]} == {0.0, 5.0}
    assert all(row["never_worse"] and row["orders"] > 0 for row in result["orders"])


@pytest.mark.skipif(orders.installed(), reason="the peer is installed")
def test_without_the_peer_there_is_no_comparison_of_orders(result):
    assert result["orders"] is None


@pytest.mark.parametrize("way", ["single", "split"])
def test_no_rebalance_costs_more_than_one_pair_at_a_time(result, way):
    assert {row["hop_usd"] for row in result["baskets"]} == {0.0, 5.0}
    assert all(row[way]["never_better"] and row["rebalances"] > 0 for row in result["baskets"])


def test_matching_spends_every_sale_and_gives_each_purchase_its_share():
    sold, bought = {"a": 600, "b": 400}, {"c": 450, "d": 180, "e": 270}
    matched = baskets.matched(sold, bought, dict.fromkeys("abcde", 1.0))
    assert matched == [
        Exchange("a", "c", 500),
        Exchange("a", "d", 100),
        Exchange("b", "d", 100),
        Exchange("b", "e", 300),
    ]
