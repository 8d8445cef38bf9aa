"""The scenarios that need a market and no contract: five days of the backtest's engine, disturbed on the second day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from keeper.backtest import Setup, Step, simulate
from keeper.backtest.engine import Disturbance, World
from keeper.domain import Policy
from keeper.market.paths import PricePath
from keeper.market.source import Prices, Row
from keeper.policy.bound import Bound
from keeper.policy.guard import Basket
from keeper.stress.result import Ledger, Result
from keeper.units import WAD, to_float

STEP = 600
"""Seconds between rows."""
_DAY = 86_400 // STEP
_STEPS = 5 * _DAY
_HIT = _DAY
"""The row with which it begins."""
_STABLE = frozenset({"USDC", "USDT", "DAI"})

Factor = Callable[[int, str], float]
"""What the price of a symbol is times what it would be, by row since the scenario began."""


class Scenario(NamedTuple):
    """What happens to prices, and to everything else.

    ``gas`` and ``depth`` are factors for `lasting` rows; ``wrong`` and ``frozen`` are about the victim's feed.
    """

    name: str
    factor: Factor | None = None
    lasting: int = _DAY
    gas: int = 1
    depth: float = 1.0
    wrong: bool = False
    frozen: bool = False
    correlation: float | None = None
    needs_stable: bool = False


def _crash(row: int, symbol: str) -> float:
    """Down by two fifths in half an hour, three quarters of it back within six hours."""
    if symbol in _STABLE:
        return 1.0
    fall = min(row / 3, 1.0)
    back = min(max(row - 3, 0) / 36, 1.0)
    return 1 - 0.4 * fall * (1 - 0.75 * back)


def _depeg(row: int, symbol: str) -> float:
    """A stable coin loses half in six hours, stays there for a day, and comes back in a day."""
    if symbol not in _STABLE:
        return 1.0
    return 1 - 0.5 * min(row / 36, 1.0) * (1 - min(max(row - 180, 0) / 144, 1.0))


def _slide(row: int, symbol: str) -> float:
    """Everything but stable coins slides by a third within a day."""
    return 1.0 if symbol in _STABLE else 1 - min(row / _DAY, 1.0) / 3


def _all(row: int, symbol: str) -> float:
    return _crash(row, symbol) * _depeg(row, symbol)


SCENARIOS = (
    Scenario("calm"),
    Scenario("flash crash and rebound", _crash),
    Scenario("depeg", _depeg, needs_stable=True),
    Scenario("feed frozen", _slide, frozen=True),
    Scenario("feed wrong", _slide, wrong=True),
    Scenario("gas times 100", _slide, gas=100),
    Scenario("liquidity -95%", _slide, depth=0.05),
    Scenario("correlation to one", _slide, correlation=1.0),
    Scenario("many at once", _all, gas=100, depth=0.05, wrong=True, correlation=1.0),
)
NAMES = tuple(scenario.name for scenario in SCENARIOS)


def play(setup: Setup, policy: Policy, name: str, delta: Decimal, seed: int) -> Result:
    """One scenario by its name. ``delta`` is by how much a wrong feed is wrong, a fraction below 1.

    Raises KeyError for a name that is not in `NAMES`, `InputError` if the policy does not fit the basket.
    """
    scenario = {scenario.name: scenario for scenario in SCENARIOS}[name]
    path = PricePath(symbols=tuple(setup.symbols), seed=seed, steps=_STEPS, step=STEP)
    if scenario.correlation is not None:
        path = path.model_copy(update={"correlation": scenario.correlation})
    prices: Prices = path if scenario.factor is None else _Shocked(path, scenario.factor)
    watch = _Watch(setup, scenario, float(delta))
    return watch.result(simulate(setup, prices, policy, disturbance=watch))


@dataclass(frozen=True)
class _Shocked:
    """Prices times a factor from the second day on."""

    prices: PricePath
    factor: Factor

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.prices.symbols

    @property
    def step(self) -> int:
        return self.prices.step

    def __iter__(self) -> Iterator[Row]:
        for index, (time, row) in enumerate(self.prices):
            if index < _HIT:
                yield time, row
            else:
                yield time, row * np.array([self.factor(index - _HIT + 1, symbol) for symbol in self.symbols])


class _Watch(Disturbance):
    """Does to the world what the scenario says, and writes down what the batches do."""

    def __init__(self, setup: Setup, scenario: Scenario, delta: float) -> None:
        self._scenario, self._delta = scenario, delta
        heaviest = sorted(setup.basket, key=lambda symbol: -setup.basket[symbol])
        victim = next((symbol for symbol in heaviest if symbol not in _STABLE), heaviest[0])
        self._victim = setup.symbols.index(victim)
        self._setup = setup
        self._before: tuple[Basket, Basket] | None = None
        self.ledger = Ledger()

    def before_market(self, index: int, world: World) -> None:
        scenario = self._scenario
        if index == _HIT:
            bias = 1 + self._delta * scenario.wrong
            self._disturb(world, scenario.gas, scenario.depth, frozen=scenario.frozen, bias=bias)
        elif index == _HIT + scenario.lasting:
            self._disturb(world, 1, 1.0, frozen=False, bias=1.0)

    def _disturb(self, world: World, gas: int, depth: float, *, frozen: bool, bias: float) -> None:
        world.gas.factor = gas
        world.feeds.frozen[self._victim] = frozen
        world.feeds.bias[self._victim] = bias
        if self._scenario.depth != 1:
            world.venues.scale(depth)

    def before_batch(self, index: int, world: World) -> None:
        del index
        oracle = world.basket()
        true = tuple(round(price * WAD) for price in world.prices[: len(oracle.balances)].tolist())
        self._before = oracle, Basket(oracle.balances, oracle.decimals, true, oracle.weights)

    def result(self, steps: Iterator[Step]) -> Result:
        """Runs it. Only what the keeper does once the scenario has begun counts."""
        drift_before, nav, gas, last = 0.0, 0.0, 0.0, None
        began = None
        for index, step in enumerate(steps):
            last = step
            if index < _HIT:
                continue
            if began is None:
                began, drift_before, nav = step.time, step.drift, step.nav_usd
            gas += self._look(step, step.time - began)
        assert last is not None and began is not None  # noqa: S101, PT018  the market is longer than its calm beginning
        limits = self._setup.limits
        encoded = None if limits is None else limits.encoded()
        checks = (
            ()
            if encoded is None
            else self.ledger.checks(Bound(encoded.loss_budget, encoded.turnover_budget, encoded.window))
        )
        return Result(
            scenario=self._scenario.name,
            where="simulation",
            seconds=last.time - began,
            nav=nav,
            loss=to_float(self.ledger.loss),
            gas=gas,
            drift_before=drift_before,
            drift_after=last.drift,
            trades=self.ledger.trades,
            events=tuple(self.ledger.events),
            checks=checks,
            delta=to_float(self.ledger.delta),
        )

    def _look(self, step: Step, at: int) -> float:
        """Writes down a step; what it cost in gas, USD."""
        if step.decision is not None and step.decision.refused:
            self.ledger.event(at, "policy", step.decision.reason)
        fill = step.executed
        if fill is None or self._before is None:
            return 0.0
        if fill.failed is not None:
            self.ledger.event(at, "vault", f"reverted: {fill.failed}")
        else:
            oracle, true = self._before
            navs = oracle.nav, oracle.measure(step.balances).nav
            self.ledger.batch(at, oracle, true, step.balances, navs)
        return fill.costs.gas
