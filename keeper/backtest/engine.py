"""The engine: a market moves row by row, the keeper's own `decide` looks at it, and its batches meet the pools later.

One step: prices, feeds and pools move; a batch that is due meets the pools as they stand now; then the keeper decides
on a snapshot of the result. Nothing that happens in a step depends on a later row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keeper.backtest.curator import Curator
from keeper.backtest.setup import DOLLARS, Setup, addresses
from keeper.domain import (
    AssetState,
    Block,
    Decision,
    InputError,
    Limits,
    Past,
    Policy,
    Snapshot,
    Swap,
    Token,
    VaultState,
    check_basket,
)
from keeper.domain.limits import VaultLimits
from keeper.market.feeds import ANSWER, Feeds, Path, Way, answer_of
from keeper.market.gas import GasFile, GasMeter
from keeper.market.source import Prices
from keeper.market.venues import Flow, TradingPool, Venues, open_pool
from keeper.policy import decide as keeper_decide
from keeper.policy import executed, remember
from keeper.policy.costs import split
from keeper.policy.guard import Basket, check_drift, check_outcome
from keeper.policy.tally import Tally
from keeper.pools import SwapError
from keeper.pools.base import unchecked
from keeper.routing.steps import Ran, plan_steps, run_steps
from keeper.units import WAD, amount_of, to_float

Floats = NDArray[np.float64]
Decide = Callable[[Snapshot, Policy], Decision]

_VAULT = f"0x{0xBA11A57:040x}"
_WAD_PER_ANSWER = WAD // ANSWER


@dataclass(frozen=True, slots=True)
class Costs:
    """What a batch cost, USD.

    ``off_oracle + fees + impact`` is what the vault lost by the oracle's prices, as in `keeper.policy.costs`;
    ``shortfall`` what it lost by the market's. Gas is on top of both, and paid by the keeper.
    """

    off_oracle: float
    fees: float
    impact: float
    gas: float
    shortfall: float


@dataclass(frozen=True, slots=True)
class Fill:
    """What became of a batch: its swaps as they went, the value that changed hands (both legs, market prices), its
    costs; or, in ``failed``, why it was reverted: then it only cost gas. Times in unix seconds."""

    swaps: tuple[Swap, ...]
    turnover_usd: float
    costs: Costs
    decided_at: int
    at: int
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Where everything stands at the end of a step; by index of the basket where it has several numbers.

    Attributes:
        time: unix seconds.
        prices: the market's, USD for one whole token.
        oracle: what the feeds say, in the same unit.
        nav_usd: what the basket is worth on the market.
        balances: raw units.
        weights: parts of `nav_usd`.
        drift: sum of |weight - target|.
        targets: WAD.
        snapshot: what the keeper saw.
        decision: what it decided; None while a batch is under way.
        executed: the batch that was due, if one was.
        hold_value_usd: what the first basket would be worth, never traded.
        ideal_value_usd: what it would be worth, brought back to its targets at every step for nothing.
        arbitrage_trades: pools that arbitrageurs traded back to the edge of their fee band.
        flows: every swap of the market, in order.
        gas_price_wei: base fee and priority fee.
    """

    time: int
    prices: Floats
    oracle: Floats
    nav_usd: float
    balances: tuple[int, ...]
    weights: Floats
    drift: float
    targets: tuple[int, ...]
    snapshot: Snapshot
    decision: Decision | None
    executed: Fill | None
    hold_value_usd: float
    ideal_value_usd: float
    arbitrage_trades: int
    flows: tuple[Flow, ...]
    gas_price_wei: int


class Disturbance:
    """What a stress test does to the world, by overriding one or both of these."""

    def before_market(self, index: int, world: World) -> None:
        """Before the market moves to row ``index``, 1 and up."""

    def before_batch(self, index: int, world: World) -> None:
        """Before the batch that is due at row ``index`` meets the pools."""


class Targets(Protocol):
    """Where the vault's targets stand, as `keeper.backtest.curator.Curator` moves them."""

    def look(self, time: int, prices: Floats) -> bool:
        """Takes in a row, each in its turn (USD by index of the basket); whether the vault takes other targets now."""

    def at(self, time: int) -> tuple[int, ...]:
        """Target weights at a time after the last row, WAD by index of the basket."""


def simulate(
    setup: Setup,
    prices: Prices,
    policy: Policy,
    decide: Decide = keeper_decide,
    *,
    start: Snapshot | None = None,
    disturbance: Disturbance | None = None,
    targets: Targets | None = None,
) -> Iterator[Step]:
    """One step for each row of ``prices``, as it comes; memory does not grow with their number.

    With ``start``, pools, vault and feeds begin as in that snapshot, and the setup gives the rest: its basket must be
    the snapshot's, and where the snapshot has limits, its limits are those. ``targets`` take the place of the setup's
    curator.

    Raises:
        InputError: a token has no price, or the policy or the start does not fit the setup.
    """
    check_basket(policy, setup.names if start is None else start.names)
    columns = _columns(setup, prices)
    rows = iter(prices)
    if targets is None and setup.curation is not None:
        targets = Curator(setup.curation, tuple(setup.basket), setup.targets)
    _check_latency(setup, prices)
    return _run(
        setup, columns, rows, policy, decide, start=start, disturbance=disturbance or Disturbance(), targets=targets
    )


def check_rows(setup: Setup, prices: Prices) -> None:
    """Raises `InputError` if `simulate` could not run two steps on these prices, or on some row of the gas file."""
    _columns(setup, prices)
    _check_latency(setup, prices)
    if len(rows := list(islice(prices, 2))) < 2:
        raise InputError(
            f"a backtest needs two rows of prices at least, there are {len(rows)}: widen its window, or give more days"
        )
    if isinstance(setup.gas, GasFile):
        deque(setup.gas, maxlen=0)


def _check_latency(setup: Setup, prices: Prices) -> None:
    if setup.latency_seconds is not None and setup.latency_seconds >= prices.step:
        raise InputError(
            f"latency_seconds is {setup.latency_seconds}, which must be shorter than the {prices.step} s"
            " between prices: give latency_steps instead"
        )


def _columns(setup: Setup, prices: Prices) -> list[int]:
    """The column of each token's price; -1 where it is a dollar."""
    place = {symbol: k for k, symbol in enumerate(prices.symbols)}
    columns = []
    for symbol in setup.symbols:
        if symbol not in place and symbol not in DOLLARS:
            raise InputError(
                f"there are no prices of {symbol}: the setup's basket, pools and gas need {', '.join(setup.symbols)},"
                f" the prices have {', '.join(prices.symbols)}"
            )
        columns.append(place.get(symbol, -1))
    return columns


@dataclass(frozen=True, slots=True)
class _Standing:
    """Targets that stay."""

    weights: tuple[int, ...]

    def look(self, time: int, prices: Floats) -> bool:
        del time, prices
        return False

    def at(self, time: int) -> tuple[int, ...]:
        del time
        return self.weights


@dataclass(frozen=True, slots=True)
class Order:
    """A batch under way."""

    decision: Decision
    snapshot: Snapshot
    due: int


@dataclass(eq=False)
class World:
    """The market, the oracle and the vault, as they stand. Tokens have places: the basket first, in order."""

    setup: Setup
    symbols: tuple[str, ...]
    tokens: tuple[Token, ...]
    venues: Venues
    feeds: Feeds
    gas: GasMeter
    path: Path
    time: int
    prices: Floats
    balances: list[int]
    targets: tuple[int, ...]
    limits: VaultLimits | None
    tally: Tally
    nonce: int
    supply: int
    vault: str
    chain_id: int
    number: int
    native: int
    fees: tuple[int, int] = (0, 0)
    _assets: list[AssetState] = field(default_factory=list)
    _stale: set[int] = field(default_factory=set)
    _free: Limits | None = None

    def __post_init__(self) -> None:
        self.fees = self.gas.at(self.time)
        self._stale = set(range(len(self.balances)))
        self._assets = [None] * len(self.balances)  # type: ignore[list-item]  # all of them are stale
        self.decimals = tuple(token.decimals for token in self.tokens[: len(self.balances)])

    def move(self, time: int, prices: Floats) -> list[Flow]:
        """Market, feeds and pools go to the next row; returns what the market did to the pools."""
        self.fees = self.gas.at(time)
        self._go(self.path.to(time, np.log(prices)))
        self.prices = prices
        return self.venues.settle()

    def move_part(self, at: int, time: int, prices: Floats) -> list[Flow]:
        """As `move`, as far as a moment before the next row."""
        self.fees = self.gas.at(at)
        self._go(self.path.through(at, time, np.log(prices)))
        self.prices = np.exp(self.path.log_prices)
        return self.venues.settle()

    def _go(self, way: Way) -> None:
        ends = way.times[way.ends]
        gas_usd = self.gas_usd(self.setup.frictions.arbitrage_gas_units)
        self.venues.move(np.diff(ends, prepend=self.time), way.log_prices[way.ends], gas_usd)
        self._stale.update(place for place in self.feeds.look(way) if place < len(self.balances))
        self.time = int(ends[-1])
        self.number += 1

    def gas_usd(self, units: int) -> float:
        """What so many units of gas cost now, at the market's price of the native token."""
        return units * sum(self.fees) / 1e18 * float(self.prices[self.native])

    def glide(self, targets: tuple[int, ...]) -> None:
        """The vault's target weights go to these, WAD."""
        if targets != self.targets:
            self.targets = targets
            self._stale = set(range(len(self.balances)))

    def ask(self, curator: Targets) -> None:
        """The curator sees a row. No order made before survives a change of targets, and the vault has to cool down."""
        changed = curator.look(self.time, self.prices[: len(self.balances)])
        self.glide(curator.at(self.time))
        if changed:
            self.nonce += 1
            if self.limits is not None:
                self.tally = self.tally.drained(self.limits, self.time)

    def bounds(self) -> Limits | None:
        """What the vault lets one batch do now."""
        if self.limits is None:
            return None
        drained = self.tally.drained(self.limits, self.time)
        if drained.loss_level or drained.turnover_level:
            return self.tally.limits(self.limits, self.time)
        if self._free is None:
            self._free = self.tally.limits(self.limits, self.time)
        return self._free

    def snapshot(self, past: Past | None) -> Snapshot:
        """What the keeper would read now, with what it remembers."""
        for place in self._stale:
            asset = {
                "token": self.tokens[place].address,
                "balance": self.balances[place],
                "target_weight": self.targets[place],
                "price": self.feeds.prices[place],
                "price_updated_at": self.feeds.updated_at[place],
            }
            self._assets[place] = unchecked(AssetState, asset)
        self._stale.clear()
        block = {
            "number": self.number,
            "hash": f"0x{self.number:064x}",
            "timestamp": self.time,
            "base_fee_per_gas": self.fees[0],
            "priority_fee_per_gas": self.fees[1],
        }
        vault = {
            "address": self.vault,
            "nonce": self.nonce,
            "total_supply": self.supply,
            "assets": tuple(self._assets),
            "limits": self.bounds(),
        }
        facts = {
            "version": 1,
            "chain_id": self.chain_id,
            "block": unchecked(Block, block),
            "native_price": self.feeds.prices[self.native],
            "tokens": self.tokens,
            "vault": unchecked(VaultState, vault),
            "pools": self.venues.all,
            "past": past,
        }
        return unchecked(Snapshot, facts)

    def basket(self) -> Basket:
        """The basket as the vault's guard values it now."""
        count = len(self.balances)
        return Basket(tuple(self.balances), self.decimals, tuple(self.feeds.prices[:count]), self.targets)

    def execute(self, order: Order) -> Fill:
        """The batch meets the pools as they stand, as the chain would have it: all of it, or nothing but its gas."""
        decision = order.decision
        gas = self.gas_usd(decision.estimate.gas_units)
        planned_at, now = order.snapshot.block.timestamp, self.time

        def reverted(why: str) -> Fill:
            return Fill((), 0.0, Costs(0.0, 0.0, 0.0, gas, 0.0), planned_at, now, why)

        if order.snapshot.vault.nonce != self.nonce:
            return reverted("the vault's targets were changed after the order was made, whose nonce is used up")
        before, limits = self.basket(), self.bounds()
        if limits is not None and (violation := check_drift(before, limits)):
            return reverted(violation.message)
        sells = {sell.token: sell.amount for sell in decision.sells}
        steps, recipients = plan_steps(decision.swaps, {pool.name: pool for pool in order.snapshot.pools}, sells)
        standing: Mapping[str, TradingPool] = {pool.name: pool for pool in self.venues.all}
        try:
            ran = run_steps(steps, recipients, standing, sells)
        except SwapError as error:
            return reverted(str(error))
        for buy in decision.buys:
            if ran.back.get(buy.token, 0) < buy.min_amount:
                symbol = order.snapshot.symbol(buy.token)
                return reverted(f"{symbol}: {ran.back.get(buy.token, 0)} came back, at least {buy.min_amount} must")
        basket = self.tokens[: len(self.balances)]
        change = [ran.back.get(token.address, 0) - sells.get(token.address, 0) for token in basket]
        after = [balance + more for balance, more in zip(self.balances, change, strict=True)]
        outcome = before.measure(after)
        if self.limits is not None and limits is not None:
            if violation := check_outcome(before, outcome, limits):
                return reverted(violation.message)
            self.tally = self.tally.after(before.nav, outcome, self.limits, now)
        return self._booked(order, ran, change, standing=standing, gas=gas)

    def _booked(
        self, order: Order, ran: Ran, change: list[int], *, standing: Mapping[str, TradingPool], gas: float
    ) -> Fill:
        """Takes in what a batch that stands has done."""
        oracle = {
            token.address: to_float(price) / 10**token.decimals
            for token, price in zip(self.tokens, self.feeds.prices, strict=True)
        }
        off_oracle, fees, impact = split(ran.swaps, standing, oracle)
        worth = [
            more / 10**decimals * price
            for more, decimals, price in zip(change, self.decimals, self.prices.tolist(), strict=False)
        ]
        self.balances[:] = [balance + more for balance, more in zip(self.balances, change, strict=True)]
        self.nonce += 1
        self._stale.update(range(len(change)))
        for name, pool in ran.pools.items():
            if pool is not standing[name]:
                self.venues.put(pool)  # type: ignore[arg-type]  # a swap leaves a pool of the same kind
        costs = Costs(off_oracle, fees, impact, gas, -sum(worth))
        return Fill(ran.swaps, sum(map(abs, worth)), costs, order.snapshot.block.timestamp, self.time)


def open_world(setup: Setup, time: int, prices: Floats) -> World:
    """The world of a setup at its first row; ``prices`` in USD, by place of the setup's tokens."""
    symbols = setup.symbols
    by_symbol = addresses(symbols)
    tokens = tuple(
        Token(address=by_symbol[symbol], symbol=symbol, decimals=setup.decimals_of(symbol)) for symbol in symbols
    )
    log_prices = np.log(prices)
    flow_seed, path_seed, phase_seed = np.random.SeedSequence(setup.seed).spawn(3)
    feeds = Feeds.opened([setup.feed_of(symbol) for symbol in symbols], time, log_prices, phase_seed)
    listed = {token.symbol: (token.address, token.decimals) for token in tokens}
    usd = dict(zip(symbols, prices.tolist(), strict=True))
    pools = [open_pool(venue, number, listed, usd) for number, venue in enumerate(setup.venues)]
    venues = Venues(
        pools,
        {token.address: (place, token.decimals) for place, token in enumerate(tokens)},
        log_prices,
        frictions=setup.frictions,
        seed=flow_seed,
        venues=setup.venues,
    )
    targets = setup.targets
    capital = round(setup.capital_usd * 100) * WAD // 100
    limits = None if setup.limits is None else setup.limits.encoded()
    return World(
        setup=setup,
        symbols=symbols,
        tokens=tokens,
        venues=venues,
        feeds=feeds,
        gas=GasMeter(setup.gas),
        path=Path(time, log_prices, path_seed),
        time=time,
        prices=prices,
        balances=[
            amount_of(capital * target // WAD, price, token.decimals)
            for target, price, token in zip(targets, feeds.prices, tokens, strict=False)
        ],
        targets=targets,
        limits=limits,
        tally=Tally(time - (0 if limits is None else limits.cooldown)),
        nonce=0,
        supply=capital,
        vault=_VAULT,
        chain_id=1,
        number=1,
        native=symbols.index(setup.native),
    )


def resume_world(setup: Setup, start: Snapshot, prices: Floats) -> World:
    """The world of a snapshot; ``prices`` in USD, by place of the setup's tokens, are the market's at that moment."""
    symbols = setup.symbols
    by_symbol = {token.symbol: token for token in start.tokens}
    missing = [symbol for symbol in symbols if symbol not in by_symbol]
    basket = tuple(start.symbol(asset.token) for asset in start.vault.assets)
    if missing or basket != tuple(setup.basket):
        raise InputError(
            f"the snapshot's basket is {', '.join(basket)}, the setup's is {', '.join(setup.basket)}"
            + (f"; the snapshot does not list {', '.join(missing)}" if missing else "")
        )
    tokens = tuple(by_symbol[symbol] for symbol in symbols)
    places = {token.address: (place, token.decimals) for place, token in enumerate(tokens)}
    for pool in start.pools:
        if not isinstance(pool, TradingPool) or any(token not in places for token in pool.tokens):
            raise InputError(f"pool {pool.name} of the snapshot cannot be simulated: leave it out")
    time = start.block.timestamp
    log_prices = np.log(prices)
    flow_seed, path_seed, _ = np.random.SeedSequence(setup.seed).spawn(3)
    priced = {asset.token: asset for asset in start.vault.assets}
    terms = [setup.feed_of(symbol) for symbol in symbols]
    known = [priced.get(token.address) for token in tokens]
    feeds = Feeds(
        terms,
        [
            answer_of(log_price) if asset is None else asset.price // _WAD_PER_ANSWER
            for asset, log_price in zip(known, log_prices.tolist(), strict=True)
        ],
        [time if asset is None else asset.price_updated_at for asset in known],
    )
    pools = [pool for pool in start.pools if isinstance(pool, TradingPool)]
    limits = None if setup.limits is None else setup.limits.encoded()
    return World(
        setup=setup,
        symbols=symbols,
        tokens=tokens,
        venues=Venues(pools, places, log_prices, frictions=setup.frictions, seed=flow_seed),
        feeds=feeds,
        gas=GasMeter(setup.gas),
        path=Path(time, log_prices, path_seed),
        time=time,
        prices=prices,
        balances=[asset.balance for asset in start.vault.assets],
        targets=start.targets,
        limits=limits,
        tally=_tally_of(start, limits),
        nonce=start.vault.nonce,
        supply=start.vault.total_supply,
        vault=start.vault.address,
        chain_id=start.chain_id,
        number=start.block.number,
        native=symbols.index(setup.native),
    )


def _tally_of(start: Snapshot, limits: VaultLimits | None) -> Tally:
    """The vault's tally as its headroom tells it; where that is full, the cooldown is taken to be over."""
    now, left = start.block.timestamp, start.vault.limits
    if limits is None:
        return Tally(now)
    if left is None:
        return Tally(now - limits.cooldown)
    loss, turnover = limits.loss_budget - left.loss_headroom, limits.turnover_budget - left.turnover_headroom
    if loss < 0 or turnover < 0:
        raise InputError("the snapshot's headroom is above the setup's budgets: give the setup the vault's limits")
    return Tally(now, loss, turnover) if loss or turnover else Tally(now - limits.cooldown)


def _run(
    setup: Setup,
    columns: list[int],
    rows: Iterator[tuple[int, Floats]],
    policy: Policy,
    decide: Decide,
    *,
    start: Snapshot | None,
    disturbance: Disturbance,
    targets: Targets | None,
) -> Iterator[Step]:
    take = np.array(columns)
    dollars = take < 0

    def market(row: Floats) -> Floats:
        prices: Floats = row[take]
        if dollars.any():
            prices[dollars] = 1.0
        return prices

    first = next(rows, None)
    if first is None:
        return
    time, row = first
    prices = market(row)
    world = open_world(setup, time, prices) if start is None else resume_world(setup, start, prices)
    flows = world.move(time, prices) if time > world.time else []
    curator = _Standing(world.targets) if targets is None else targets
    books = _Books(world)
    past: Past | None = None
    order: Order | None = None
    pause = setup.latency_seconds
    for index in count():
        filled = None
        if index:
            following = next(rows, None)
            if following is None:
                return
            time, prices = following[0], market(following[1])
            disturbance.before_market(index, world)
            flows = []
            if pause is not None:
                # Whether or not a batch is under way, so that the market is the same for every policy.
                flows = world.move_part(world.time + pause, time, prices)
                world.glide(curator.at(world.time))
                if order is not None:
                    disturbance.before_batch(index, world)
                    filled, past = _carry_out(world, order, past)
                    order = None
            flows = [*flows, *world.move(time, prices)]
            books.market(world)
        world.ask(curator)
        if order is not None and index >= order.due:
            disturbance.before_batch(index, world)
            filled, past = _carry_out(world, order, past)
            order = None
        snapshot = world.snapshot(past)
        before, past = past, remember(past, snapshot, policy)
        if past is not before:
            snapshot = snapshot.model_copy(update={"past": past})
        decision = decide(snapshot, policy) if order is None else None
        if decision is not None and decision.action == "rebalance" and _ready(world):
            order = Order(decision, snapshot, index + (setup.latency_steps if pause is None else 1))
            if order.due == index:
                disturbance.before_batch(index, world)
                filled, past = _carry_out(world, order, past)
                order = None
        yield books.step(world, snapshot, decision, filled, tuple(flows))


def _carry_out(world: World, order: Order, past: Past | None) -> tuple[Fill, Past | None]:
    """What becomes of a batch, and of what the keeper remembers."""
    fill = world.execute(order)
    if fill.failed is None and past is not None:
        past = executed(past, order.decision, fill.at)
    return fill, past


def _ready(world: World) -> bool:
    """Whether the vault is not cooling down; the keeper does not send what it would refuse."""
    return world.limits is None or world.time >= world.tally.ready_at(world.limits)


class _Books:
    """What the basket is worth, and would be if it were never traded, or at every step for nothing."""

    def __init__(self, world: World) -> None:
        self._units = np.array([10.0**decimals for decimals in world.decimals])
        self._count = len(world.balances)
        self._held = self._amounts(world)
        self._before = world.prices[: self._count]
        self._ideal = float(self._held @ self._before)

    def _amounts(self, world: World) -> Floats:
        amounts: Floats = np.array([float(balance) for balance in world.balances]) / self._units
        return amounts

    def market(self, world: World) -> None:
        """Takes in that the market has moved."""
        now = world.prices[: self._count]
        weights = np.array(world.targets, dtype=np.float64) / WAD
        self._ideal *= float(weights @ (now / self._before)) / float(weights.sum())
        self._before = now

    def step(
        self,
        world: World,
        snapshot: Snapshot,
        decision: Decision | None,
        filled: Fill | None,
        flows: tuple[Flow, ...],
    ) -> Step:
        """The record of a step that is over."""
        prices = world.prices[: self._count]
        values = self._amounts(world) * prices
        nav = float(values.sum())
        weights = values / nav
        return Step(
            time=world.time,
            prices=prices,
            oracle=np.array(world.feeds.answers[: self._count]) / ANSWER,
            nav_usd=nav,
            balances=tuple(world.balances),
            weights=weights,
            drift=float(np.abs(weights - np.array(world.targets, dtype=np.float64) / WAD).sum()),
            targets=world.targets,
            snapshot=snapshot,
            decision=decision,
            executed=filled,
            hold_value_usd=float(self._held @ prices),
            ideal_value_usd=self._ideal,
            arbitrage_trades=sum(flow.arbitrage for flow in flows),
            flows=flows,
            gas_price_wei=sum(world.fees),
        )
