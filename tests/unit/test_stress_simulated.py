"""Simulated bad days: prices, feeds, gas and liquidity go wrong when they should and are mended again."""

import json
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest

from keeper.backtest import Setup
from keeper.cli import main
from keeper.domain import Policy
from keeper.market.paths import PricePath
from keeper.market.venues import Venue
from keeper.stress import simulated
from keeper.stress.simulated import SCENARIOS, _crash, _depeg, _Shocked, _slide, _Watch, play

BASKET = {"WETH": Decimal("0.5"), "WBTC": Decimal("0.3"), "USDC": Decimal("0.2")}
SETUP = Setup(
    basket=BASKET,
    depth=tuple(Venue(kind="uniswap_v2", tokens=pair, usd=2e7) for pair in (("WETH", "USDC"), ("WETH", "WBTC"))),
)
POLICY = Policy.model_validate({"trigger": {"kind": "band", "absolute": 0.01}, "tracking_penalty": 0.5})
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
HIT = simulated._HIT


class World:
    """What a scenario may touch."""

    def __init__(self) -> None:
        self.gas = SimpleNamespace(factor=1)
        self.feeds = SimpleNamespace(frozen=np.zeros(3, dtype=bool), bias=np.ones(3))
        self.scaled: list[float] = []
        self.venues = SimpleNamespace(scale=self.scaled.append)


def lived(name):
    """The world before, during and after."""
    watch, world = _Watch(SETUP, BY_NAME[name], 0.05), World()
    seen = []
    for index in (HIT - 1, HIT, HIT + BY_NAME[name].lasting - 1, HIT + BY_NAME[name].lasting):
        watch.before_market(index, world)  # type: ignore[arg-type]  # all that it touches
        seen.append((world.gas.factor, world.feeds.frozen.tolist(), world.feeds.bias.tolist(), list(world.scaled)))
    return seen


def test_gas_is_dear_while_it_lasts():
    assert [gas for gas, *_ in lived("gas times 100")] == [1, 100, 100, 1]


def test_the_feed_of_the_heaviest_volatile_asset_is_frozen_while_it_lasts():
    assert [frozen for _, frozen, *_ in lived("feed frozen")] == [
        [False] * 3,
        [True, False, False],
        [True, False, False],
        [False] * 3,
    ]


def test_the_same_feed_is_wrong_by_delta_while_it_lasts():
    assert [bias for *_, bias, _ in lived("feed wrong")] == [[1, 1, 1], [1.05, 1, 1], [1.05, 1, 1], [1, 1, 1]]


def test_liquidity_goes_and_comes_back():
    assert lived("liquidity -95%")[-1][-1] == [0.05, 1.0]
    assert lived("calm")[-1][-1] == []


def test_a_crash_falls_by_two_fifths_and_comes_back_to_nine_tenths():
    course = [_crash(row, "WETH") for row in range(60)]
    assert min(course) == pytest.approx(0.6)
    assert course.index(min(course)) == 3
    assert course[-1] == pytest.approx(0.9)
    assert {_crash(row, "USDC") for row in range(60)} == {1.0}


def test_a_depeg_halves_the_stable_coin_only_and_heals():
    course = [_depeg(row, "USDC") for row in range(400)]
    assert min(course) == 0.5
    assert course[-1] == 1.0
    assert {_depeg(row, "WETH") for row in range(400)} == {1.0}


def test_prices_are_shocked_from_the_second_day_on_and_not_before():
    path = PricePath(symbols=("WETH", "USDC"), steps=HIT + 5, step=600)
    plain, shocked = [row for _, row in path], [row for _, row in _Shocked(path, _crash)]
    assert all((a == b).all() for a, b in zip(plain[:HIT], shocked, strict=False))
    ratios = [b[0] / a[0] for a, b in zip(plain[HIT:], shocked[HIT:], strict=True)]
    assert ratios == pytest.approx([_crash(row, "WETH") for row in range(1, 6)])


def test_a_scenario_is_lived_again_to_the_cent(monkeypatch):
    monkeypatch.setattr(simulated, "_STEPS", HIT + 150)
    first, again = (play(SETUP, POLICY, "depeg", Decimal("0.05"), 2) for _ in range(2))
    assert first == again
    assert first.trades >= 1
    assert first.held
    assert first.seconds == 149 * simulated.STEP


def test_what_the_policy_refuses_is_told(monkeypatch):
    monkeypatch.setattr(simulated, "_STEPS", HIT + 80)
    careful = POLICY.model_copy(update={"max_price_age": 3 * 3600})
    result = play(SETUP, careful, "feed frozen", Decimal("0.05"), 2)
    (told,) = (event for event in result.events if "the price of WETH is" in event.what)
    assert told.who == "policy"
    assert told.at > 2 * 3600


def test_the_command_simulates_without_a_chain(monkeypatch, capsys):
    monkeypatch.setattr(simulated, "_STEPS", HIT + 20)
    with pytest.raises(SystemExit) as exited:
        main(["stress", "--where", "simulation", "--scenario", "calm", "--scenario", "many at once", "--json"])
    printed, said = capsys.readouterr()
    assert not exited.value.code
    report = json.loads(printed)
    assert [(r["scenario"], r["where"]) for r in report["results"]] == [
        ("calm", "simulation"),
        ("many at once", "simulation"),
    ]
    assert said.splitlines()[-1] == "· simulation 2 of 2: many at once"


@pytest.mark.parametrize(
    ("shape", "row", "part"),
    [
        (_crash, 0, 1.0),
        (_crash, 1, 1 - 0.4 / 3),
        (_crash, 3, 0.6),
        (_crash, 39, 0.9),
        (_crash, 500, 0.9),
        (_slide, 0, 1.0),
        (_slide, 72, 1 - 1 / 6),
        (_slide, 144, 2 / 3),
        (_slide, 500, 2 / 3),
    ],
)
def test_a_price_goes_its_way_and_stays(shape, row, part):
    assert shape(row, "WETH") == pytest.approx(part)
    assert shape(row, "USDC") == 1.0
