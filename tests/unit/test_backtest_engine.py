"""The engine: what happens when, what it costs, and that nothing of it depends on what comes later."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice, pairwise
from typing import Any

import numpy as np
import pytest

from keeper.backtest import Fill, Setup, Step, load_setup, simulate
from keeper.backtest.engine import Disturbance, World, _tally_of
from keeper.domain import Decision, InputError, Policy, Snapshot
from keeper.domain.limits import LimitsConfig
from keeper.market import Window
from keeper.market.gas import ConstantGas
from keeper.market.paths import Asset, PricePath
from keeper.market.venues import Frictions, Venue
from keeper.policy import decide
from keeper.policy.tally import Tally
from keeper.pools import BalancerWeightedPool, WeightedHolding
from keeper.units import WAD, to_float, value_of

BASKET = {"WETH": Decimal("0.5"), "WBTC": Decimal("0.3"), "USDC": Decimal("0.2")}
VENUES = (
    Venue(kind="uniswap_v2", tokens=("WETH", "USDC"), usd=20e6),
    Venue(kind="uniswap_v3", tokens=("WETH", "USDC"), fee_pips=500, usd=20e6),
    Venue(kind="uniswap_v3", tokens=("WBTC", "WETH"), fee_pips=3000, usd=20e6),
)
STEP = 300


def setup(**changes: Any) -> Setup:
    fields = {
        "basket": BASKET,
        "depth": VENUES,
        "gas": ConstantGas(base_fee_wei=10**8, priority_fee_wei=0),
        "limits": None,
        **changes,
    }
    return Setup(**fields)


def policy(band: float | None = 0.005, **changes: Any) -> Policy:
    trigger = {"kind": "always"} if band is None else {"kind": "band", "absolute": band}
    return Policy.model_validate({"trigger": trigger, "tracking_penalty": 1.0, "slippage": 0.05} | changes)


def path(steps: int = 40, *, step: int = STEP, seed: int = 2, volatility: float = 3.0) -> PricePath:
    return PricePath(
        symbols=("WETH", "WBTC", "USDC"),
        assets={
            "WETH": Asset(price=2000.0, volatility=volatility),
            "WBTC": Asset(price=30_000.0, volatility=volatility),
            "USDC": Asset(price=1.0, volatility=0.0),
        },
        seed=seed,
        steps=steps,
        step=step,
    )


@dataclass(frozen=True)
class Rows:
    """Prices by hand; what comes after the last row is not there."""

    rows: tuple[tuple[float, float, float], ...]
    step: int = STEP
    symbols: tuple[str, ...] = ("WETH", "WBTC", "USDC")
    first: int = 1_600_000_000

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for k, row in enumerate(self.rows):
            yield self.first + k * self.step, np.array(row)


def jump(*rows: tuple[float, float]) -> Rows:
    return Rows(tuple((weth, wbtc, 1.0) for weth, wbtc in rows))


CALM = (2000.0, 30_000.0)


def seen(step: Step) -> tuple[Any, ...]:
    """All that a step says, comparable."""
    return (
        step.time,
        step.prices.tolist(),
        step.oracle.tolist(),
        step.balances,
        step.decision,
        step.executed,
        step.flows,
        step.snapshot.model_dump(),
    )


# No look-ahead


def test_decisions_on_every_prefix_of_the_data_are_those_on_the_whole():
    whole = [seen(step) for step in simulate(setup(), path(60), policy())]
    assert sum(step[5] is not None for step in whole) >= 3
    for length in range(1, 60):
        assert [seen(step) for step in simulate(setup(), path(length), policy())] == whole[:length]


def test_what_comes_later_changes_nothing_of_what_came_before():
    """Daily rows, so that the way inside a step is drawn too; from row 20 on another market."""
    rows = [row.tolist() for _, row in path(40, step=86_400, volatility=0.8)]
    other = [*rows[:20], *([price * 3 for price in row] for row in rows[20:])]
    one, two = (
        [seen(step) for step in simulate(setup(), Rows(tuple(map(tuple, few)), step=86_400), policy(0.02))]
        for few in (rows, other)
    )
    assert one[:20] == two[:20]
    assert one[20] != two[20]


def test_the_market_is_the_same_for_every_policy_until_it_trades():
    lazy = [step.flows for step in simulate(setup(latency_seconds=24), path(30), policy(0.9))]
    busy = list(simulate(setup(latency_seconds=24), path(30), policy(0.002)))
    first = next(k for k, step in enumerate(busy) if step.executed is not None)
    assert first > 0
    assert [step.flows for step in busy[:first]] == lazy[:first]


# When a batch meets the pools


@pytest.mark.parametrize("latency", [0, 1, 3])
def test_a_batch_meets_the_pools_so_many_steps_after_its_decision(latency):
    steps = list(simulate(setup(latency_steps=latency), jump(CALM, *[(2400.0, 30_000.0)] * 6), policy()))
    decided = next(k for k, step in enumerate(steps) if step.decision and step.decision.action == "rebalance")
    done = next(k for k, step in enumerate(steps) if step.executed)
    assert (decided, done) == (1, 1 + latency)
    assert [step.decision for step in steps[2 : 1 + latency]] == [None] * max(latency - 1, 0)


def test_by_default_an_order_fills_at_the_next_step():
    assert Setup().latency_steps == 1
    assert Setup().latency_seconds is None


def test_a_latency_in_seconds_puts_the_batch_between_two_rows():
    steps = list(simulate(setup(latency_seconds=24), jump(CALM, *[(2400.0, 30_000.0)] * 3), policy()))
    fill = steps[2].executed
    assert fill is not None
    assert (fill.decided_at, fill.at) == (steps[1].time, steps[1].time + 24)


def test_a_batch_is_simulated_on_the_pools_as_they_are_when_it_arrives():
    """The price of what it buys rises meanwhile, so it gets less than was planned."""
    late = list(simulate(setup(), jump(CALM, (2400.0, 30_000.0), (2400.0, 30_300.0)), policy()))[2]
    assert late.executed is not None
    assert late.executed.failed is None
    before = list(simulate(setup(latency_steps=0), jump(CALM, (2400.0, 30_000.0)), policy()))[1]
    assert before.executed is not None
    assert late.balances[1] < before.balances[1]


def test_a_missed_minimum_is_a_batch_that_fails_and_pays_its_gas():
    steps = list(
        simulate(setup(), jump(CALM, (2400.0, 30_000.0), (2400.0, 33_000.0)), policy(slippage=0.005, band=0.02))
    )
    failed = steps[2].executed
    assert failed is not None
    assert failed.failed is not None
    assert "came back, at least" in failed.failed
    assert failed.swaps == ()
    assert failed.costs.gas > 0
    assert failed.turnover_usd == 0
    assert steps[2].balances == steps[0].balances


def test_only_one_batch_is_under_way_at_a_time():
    steps = list(simulate(setup(latency_steps=4), path(60), policy(0.001)))
    decided = [k for k, step in enumerate(steps) if step.decision and step.decision.action == "rebalance"]
    assert len(decided) >= 3
    assert all(later - earlier >= 4 for earlier, later in pairwise(decided))


# The vault's limits


def limited(**changes: Any) -> LimitsConfig:
    return LimitsConfig.model_validate({"dead_band": 0.001, "min_progress": 0.0001, "cooldown": 12} | changes)


def test_what_the_vault_would_refuse_then_is_a_failed_batch():
    """The drift that the batch was made for is gone when it arrives."""
    rows = jump(CALM, (2100.0, 30_000.0), CALM)
    steps = list(simulate(setup(limits=limited(dead_band=0.01)), rows, policy(0.005)))
    assert steps[2].executed is not None
    assert "dead band" in str(steps[2].executed.failed)


def test_what_the_vaults_guard_would_refuse_then_is_a_failed_batch_though_it_meets_its_minima():
    class Dearer(Disturbance):
        """The feed says that what is sold is worth 6% more, just before the batch."""

        def before_batch(self, index: int, world: World) -> None:
            world.feeds.prices[0] = world.feeds.prices[0] * 106 // 100

    rows = jump(CALM, *[(2200.0, 30_000.0)] * 2)
    steps = list(simulate(setup(limits=limited()), rows, policy(), disturbance=Dearer()))
    assert steps[2].executed is not None
    assert "maximum slippage" in str(steps[2].executed.failed)
    assert steps[2].balances == steps[1].balances
    assert list(simulate(setup(limits=limited()), rows, policy()))[2].executed.failed is None


def test_the_keeper_waits_until_the_vault_has_cooled_down():
    limits = limited(cooldown=4 * STEP, turnover_budget=10)
    steps = list(simulate(setup(limits=limits), path(60, volatility=6.0), policy(0.001)))
    done = [step.time for step in steps if step.executed and step.executed.failed is None]
    assert len(done) >= 3
    assert all(later - earlier >= 4 * STEP for earlier, later in pairwise(done))


def test_budgets_drain_and_what_they_have_taken_is_headroom_no_more():
    limits = limited(turnover_budget=0.5, window=100 * STEP)
    steps = list(simulate(setup(limits=limits), jump(CALM, *[(2400.0, 30_000.0)] * 60), policy()))
    k = next(k for k, step in enumerate(steps) if step.executed)
    just, later = (steps[place].snapshot.vault.limits for place in (k, k + 10))
    assert just is not None
    assert later is not None
    turned = steps[k].executed.turnover_usd / steps[k].nav_usd  # type: ignore[union-attr]
    assert (WAD // 2 - just.turnover_headroom) / WAD == pytest.approx(turned, rel=0.02)
    assert later.turnover_headroom - just.turnover_headroom == pytest.approx(WAD // 20, rel=1e-6)


# What it costs, and what it is measured against


def first_fill(steps: list[Step]) -> tuple[Step, Step, Fill]:
    k = next(k for k, step in enumerate(steps) if step.executed and step.executed.failed is None)
    fill = steps[k].executed
    assert fill is not None
    return steps[k - 1], steps[k], fill


def test_the_costs_of_a_batch_sum_to_what_the_oracle_saw_it_lose():
    before, after, fill = first_fill(list(simulate(setup(), path(), policy())))
    lost = sum(
        value_of(old - new, asset.price, decimals) if old > new else -value_of(new - old, asset.price, decimals)
        for old, new, asset, decimals in zip(
            before.balances, after.balances, after.snapshot.vault.assets, (18, 8, 6), strict=True
        )
    )
    split = fill.costs.off_oracle + fill.costs.fees + fill.costs.impact
    assert split == pytest.approx(to_float(lost), abs=1e-6)
    assert fill.costs.fees > 0
    assert fill.costs.impact > 0


def test_the_shortfall_is_what_the_market_saw_it_lose_and_gas_comes_on_top():
    before, after, fill = first_fill(list(simulate(setup(), path(), policy())))
    worth = [float(np.dot(np.array(step.balances) / [1e18, 1e8, 1e6], after.prices)) for step in (before, after)]
    assert worth[1] == pytest.approx(after.nav_usd, rel=1e-12)
    assert fill.costs.shortfall == pytest.approx(worth[0] - worth[1], abs=1e-6)
    decision = before.decision
    assert decision is not None
    assert fill.costs.gas == pytest.approx(decision.estimate.gas_units * 0.1e-9 * after.prices[0])


def test_holding_is_worth_the_first_basket_and_the_ideal_is_rebalanced_for_nothing():
    steps = list(simulate(setup(), jump(CALM, (4000.0, 30_000.0), (2000.0, 30_000.0)), policy(0.9)))
    assert steps[0].nav_usd == pytest.approx(1e6, rel=1e-6)
    assert [step.hold_value_usd for step in steps] == pytest.approx([1e6, 1.5e6, 1e6], rel=1e-6)
    assert [step.ideal_value_usd for step in steps] == pytest.approx([1e6, 1.5e6, 1.125e6], rel=1e-6)
    assert steps[2].drift == pytest.approx(0, abs=1e-6)
    assert steps[1].drift == pytest.approx((2 / 3 - 0.5) + (0.3 - 0.2) + (0.2 - 2 / 15), abs=1e-5)


def test_the_oracle_lags_behind_the_market():
    steps = list(simulate(setup(), path(200, step=60), policy(0.9)))
    off = np.array([step.oracle[:2] / step.prices[:2] - 1 for step in steps])
    assert np.abs(off).max() <= 0.005
    assert (np.abs(off) > 0.001).mean() > 0.3


# The way it runs


def test_memory_does_not_grow_with_the_number_of_steps():
    def held(steps: int) -> int:
        """Bytes alive at the last step."""
        # What compiled code takes is seen here, and what it gives back is not.
        compiled = (tracemalloc.Filter(False, "*/routing/solver.py"), tracemalloc.Filter(False, "*/market/feeds.py"))
        calls = count()
        quiet = decide(next(simulate(setup(), path(1), policy(0.9))).snapshot, policy(0.9))

        def now_and_then(snapshot: Snapshot, policy: Policy) -> Decision:
            # Pydantic keeps the last 16,384 texts of reasons: memory that has a bound, but is not full here.
            return quiet if next(calls) % 50 else decide(snapshot, policy)

        tracemalloc.start()
        alive = 0
        for index, _ in enumerate(simulate(setup(), path(steps), policy(0.01), now_and_then), start=1):
            if index == steps:
                gc.collect()
                alive = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(compiled).traces)
        tracemalloc.stop()
        return alive

    held(1500)  # fills what is loaded once, and caches of bounded size: the other runs take the same way
    assert held(1500) < held(150) + 30_000  # twenty bytes a step would be too many


def test_steps_come_one_by_one():
    steps = simulate(setup(), path(10**9), policy(0.5))
    assert [step.time for step in islice(steps, 3)] == [1_577_836_800 + k * STEP for k in range(3)]


def test_the_simulation_calls_the_very_decide_that_is_given_with_facts_as_a_keeper_reads_them():
    read: list[Snapshot] = []

    def watched(snapshot: Snapshot, policy: Policy) -> Any:
        read.append(snapshot)
        return decide(snapshot, policy)

    list(simulate(setup(limits=limited()), path(30), policy(), decide=watched))
    # Built without checks, for speed: they would have passed, and nothing is left out.
    for snapshot in read:
        assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_the_past_is_remembered_as_a_keeper_remembers_it():
    policy_ = policy(0.02, memory={"interval_seconds": 3600, "samples": 5})
    steps = list(simulate(setup(), path(200), policy_))
    past = steps[-1].snapshot.past
    assert past is not None
    assert [len(closes.prices) for closes in past.closes] == [5, 5, 5]
    done = [step.executed.at for step in steps if step.executed and step.executed.failed is None]
    assert past.rebalanced_at == done[-1]


HALF = (WAD // 4, WAD // 4, WAD // 2)


class Change:
    """A vault that is given other targets at a row, to which it glides in so many seconds."""

    def __init__(self, row: int, glide: int = 1) -> None:
        self.before, self.start, self.length = setup().targets, Rows.first + row * STEP, glide

    def look(self, time: int, prices: np.ndarray) -> bool:
        return time == self.start

    def at(self, time: int) -> tuple[int, ...]:
        gone = min(max(time - self.start, 0), self.length)
        return tuple(
            (old * (self.length - gone) + new * gone) // self.length for old, new in zip(self.before, HALF, strict=True)
        )


def test_targets_can_change_on_the_way():
    steps = list(simulate(setup(), jump(*[CALM] * 5), policy(), targets=Change(row=1)))
    assert [step.targets[2] for step in steps] == [WAD // 5, WAD // 5, WAD // 2, WAD // 2, WAD // 2]
    assert steps[3].executed is not None
    assert steps[3].weights[2] > 0.45


def test_no_order_survives_a_change_of_targets():
    """An order of row 1 is due at row 3; at row 2, or in the block of row 3, the vault takes other targets."""
    rows = jump(CALM, *[(2200.0, 30_000.0)] * 5)
    fills = {
        row: list(simulate(setup(latency_steps=2), rows, policy(), targets=Change(row, glide=10**6)))[3].executed
        for row in (1, 2, 3)
    }
    assert fills[1].failed is None  # decided after it
    for row in (2, 3):
        assert fills[row].failed == "the vault's targets were changed after the order was made, whose nonce is used up"
        assert (fills[row].swaps, fills[row].costs.gas > 0) == ((), True)


def test_an_order_under_way_survives_a_glide_that_goes_on():
    rows = jump(CALM, *[(2200.0, 30_000.0)] * 3)
    steps = list(simulate(setup(), rows, policy(), targets=Change(row=0, glide=10**6)))
    assert steps[1].targets != steps[2].targets
    assert steps[2].executed.failed is None


def test_a_batch_between_two_rows_is_judged_by_the_targets_of_its_moment():
    """They were to go on, and have turned back until it arrives: it would lead away from them."""

    class There(Change):
        def at(self, time: int) -> tuple[int, ...]:
            return self.before if (time - Rows.first) % STEP else HALF

    facts = setup(latency_seconds=24, limits=LimitsConfig(dead_band=Decimal("0.001")))
    rows = jump(*[CALM] * 3)
    fill = list(simulate(facts, rows, policy(), targets=There(row=9)))[1].executed
    assert fill.failed == "drift 0% is not above the dead band 0.1%"


def test_the_vault_cools_down_after_a_change_of_targets():
    facts = setup(limits=LimitsConfig(cooldown=2 * STEP))
    rows = jump(CALM, *[(2200.0, 30_000.0)] * 6)
    for change, executed in ((9, 2), (0, 3), (1, 4)):
        steps = simulate(facts, rows, policy(), targets=Change(change, glide=10**6))
        assert [k for k, step in enumerate(steps) if step.executed] == [executed]


class Frozen(Disturbance):
    """Freezes every feed at row 1."""

    def before_market(self, index: int, world: World) -> None:
        world.feeds.frozen[:] = True


class Manipulated(Disturbance):
    """Somebody trades just before our batch, in a pool that it goes through."""

    def before_batch(self, index: int, world: World) -> None:
        pool = world.venues.pools[2]
        world.venues.put(pool.swap(pool.token0, pool.token1, 10**20).pool)


def test_a_stress_test_can_freeze_feeds_and_manipulate_pools():
    rows = jump(CALM, *[(2400.0, 30_000.0)] * 3)
    frozen = list(simulate(setup(), rows, policy(), disturbance=Frozen()))
    assert [step.oracle.tolist() for step in frozen] == [[2000.0, 30_000.0, 1.0]] * 4
    fair, cheated = (
        next(step.executed for step in simulate(setup(), rows, policy(), disturbance=by) if step.executed)
        for by in (None, Manipulated())
    )
    assert fair != cheated


# A beginning that was read elsewhere


def test_a_run_goes_on_from_a_snapshot():
    steps = list(simulate(setup(), path(20), policy()))
    start = steps[-1].snapshot
    rest = Rows((tuple(steps[-1].prices.tolist()),), first=start.block.timestamp + STEP)
    first = next(simulate(setup(frictions=Frictions(reanchor=False)), rest, policy(0.9), start=start))
    assert first.balances == steps[-1].balances
    assert first.snapshot.vault.nonce == start.vault.nonce
    assert [pool.name for pool in first.snapshot.pools] == [pool.name for pool in start.pools]


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (lambda: simulate(setup(), Rows((), symbols=("WETH", "USDC")), policy()), "there are no prices of WBTC"),
        (lambda: simulate(setup(latency_seconds=STEP), path(), policy()), "must be shorter than the 300 s"),
        (
            lambda: list(
                simulate(
                    setup(basket={"WETH": Decimal("0.5"), "USDC": Decimal("0.5")}),
                    path(),
                    policy(),
                    start=next(simulate(setup(), path(), policy())).snapshot,
                )
            ),
            "the snapshot's basket is WETH, WBTC, USDC",
        ),
        (lambda: load_setup("basket: {WETH: 0.5, USDC: 0.4}"), "the targets sum to 0.9, they must sum to 1"),
        (lambda: load_setup("depths: []"), "depths: unknown field"),
        (lambda: load_setup("{"), "it is not YAML"),
        (lambda: load_setup("latency_steps: -1"), "latency_steps"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(run: Callable[[], object], why: str):
    with pytest.raises(InputError, match=why) as error:
        run()
    assert "\n" not in str(error.value)


def test_a_setup_reads_back_what_it_writes():
    whole = setup(limits=limited(), latency_seconds=12)
    assert load_setup(whole.model_dump_json()) == whole
    assert load_setup("{}") == Setup()


def begun(**vault: Any) -> Snapshot:
    """A snapshot to begin with, with changes to its vault."""
    first = next(simulate(setup(limits=limited()), path(), policy())).snapshot
    return first.model_copy(update={"vault": first.vault.model_copy(update=vault)})


def test_a_run_goes_on_with_the_budgets_as_far_as_they_were_used():
    full = limited().encoded()
    left = Tally(0, full.loss_budget // 2, full.turnover_budget // 4).limits(full, 0)
    start = begun(limits=left)
    rows = Rows(((*CALM, 1.0),), first=start.block.timestamp)
    first = next(simulate(setup(limits=limited()), rows, policy(0.9), start=start))
    assert first.snapshot.vault.limits == left


def test_a_beginning_with_more_headroom_than_the_setup_has_budget_is_refused():
    loose = limited(turnover_budget=2).encoded()
    start = begun(limits=Tally(0).limits(loose, 0))
    with pytest.raises(InputError, match="headroom is above the setup's budgets"):
        list(simulate(setup(limits=limited()), path(), policy(), start=start))


def test_a_beginning_with_a_pool_of_a_kind_that_is_not_simulated_is_refused():
    start = begun()
    tokens = start.pools[0].tokens
    balancer = BalancerWeightedPool(
        address=f"0x{7:040x}",
        id=f"0x{7:064x}",
        swap_fee=WAD // 1000,
        tokens=tuple(WeightedHolding(token=token, balance=10**20, weight=WAD // 2) for token in tokens),
    )
    with pytest.raises(InputError, match=f"pool {balancer.id} of the snapshot cannot be simulated"):
        list(simulate(setup(), path(), policy(), start=start.model_copy(update={"pools": (balancer,)})))


def test_depth_that_the_simulation_did_not_place_cannot_be_taken_away():
    class Drained(Disturbance):
        def before_market(self, index: int, world: World) -> None:
            world.venues.scale(0.05)

    with pytest.raises(InputError, match="the depth of these pools is not known"):
        list(simulate(setup(), path(), policy(), start=begun(), disturbance=Drained()))


def test_of_no_rows_nothing_is_simulated():
    assert list(simulate(setup(), Window(path(), start=10**12), policy())) == []


def test_a_vault_of_which_nothing_is_known_has_cooled_down():
    start = next(simulate(setup(limits=None), path(), policy(0.9))).snapshot
    limits = limited().encoded()
    tally = _tally_of(start, limits)
    assert (tally.loss_level, tally.turnover_level) == (0, 0)
    assert tally.ready_at(limits) == start.block.timestamp
