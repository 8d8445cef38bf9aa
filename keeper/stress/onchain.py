"""The scenarios that only the real contracts can answer for, on the embedded chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from keeper.chain import bindings
from keeper.chain.lens import Reading
from keeper.devnet.world import transact
from keeper.domain import Decision, Snapshot
from keeper.loop import facts_for_trade, plan
from keeper.policy import decide, remember
from keeper.policy.guard import Outcome
from keeper.pools import SwapError
from keeper.routing.steps import Amount, Recipient, Step
from keeper.stress.arena import ACCOMPLICE, THIEF, Arena, Scene
from keeper.stress.result import Check, Result
from keeper.stress.scripts import Cast, Moment, depeg, everything, frozen_feed, swings, unseen_depeg, wrong_feed
from keeper.submit.program import encode_program
from keeper.units import WAD, mul_div_up, to_float

_Script = Callable[[Cast], Iterator[Moment]]


class Scenario(NamedTuple):
    """Which day it is, and whether the live keeper acts in it or whoever stole its key."""

    name: str
    script: _Script
    stolen: bool
    needs_stable: bool = False


SCENARIOS = (
    Scenario("feed frozen", frozen_feed, stolen=False),
    Scenario("feed frozen, key stolen", frozen_feed, stolen=True),
    Scenario("feed wrong", wrong_feed, stolen=False),
    Scenario("feed wrong, key stolen", wrong_feed, stolen=True),
    Scenario("depeg", depeg, stolen=False, needs_stable=True),
    Scenario("depeg that the feed does not see, key stolen", unseen_depeg, stolen=True, needs_stable=True),
    Scenario("key stolen", swings, stolen=True),
    Scenario("many at once, key stolen", everything, stolen=True),
)
SANDWICH = "pools moved around our block"
NAMES = (*(scenario.name for scenario in SCENARIOS), SANDWICH)


def play(arena: Arena, name: str, delta: Decimal, seed: int) -> Result:
    """One scenario by its name. ``delta`` is by how much a wrong feed is wrong, a fraction below 1.

    Raises KeyError for a name that is not in `NAMES`.
    """
    cast = arena.cast(delta, seed)
    if name == SANDWICH:
        return _sandwich(arena, cast)
    scenario = {scenario.name: scenario for scenario in SCENARIOS}[name]
    if scenario.needs_stable and cast.stable is None:
        return _nothing(arena, name, "the basket has no stable coin")
    with arena.scene() as scene:
        before = None
        for moment in scenario.script(cast):
            scene.pass_on(moment, pools=not scenario.stolen)
            before = scene.drift() if before is None else before
            if scenario.stolen:
                scene.steal()
            else:
                scene.live()
        return _result(scene, name, before or 0.0)


def _result(scene: Scene, name: str, before: float, extra: tuple[Check, ...] = (), note: str = "") -> Result:
    ledger = scene.ledger
    return Result(
        scenario=name,
        where="chain",
        seconds=scene.now,
        nav=to_float(ledger.nav if ledger.nav is not None else scene.at_true_prices(scene.keeper.read()).nav),
        loss=to_float(ledger.loss),
        gas=scene.gas,
        drift_before=before,
        drift_after=scene.drift(),
        trades=ledger.trades,
        events=tuple(ledger.events),
        checks=(*ledger.checks(scene.arena.bound), *extra),
        delta=to_float(ledger.delta),
        note=note,
    )


def _nothing(arena: Arena, name: str, why: str) -> Result:
    with arena.scene() as scene:
        scene.true = dict(arena.cast(Decimal(0), 0).start)
        return _result(scene, name, scene.drift(), note=f"not played: {why}")


# Pools moved around our block


class _Attack(NamedTuple):
    """A sandwich: what is swapped before our batch, and what that brought, back after it."""

    front: tuple[Step, ...]
    back: tuple[Step, ...]


_DOUBLINGS, _HALVINGS = 14, 10
_OVERBID, _UNDERBID = 100 * 10**9, 1
"""Priority fees around ours, wei per gas."""


def _sandwich(arena: Arena, cast: Cast) -> Result:
    """Somebody sees our batch, trades before it in its own pools and direction, and back after it, in one block.

    The attack is the largest one that our batch survives: a larger one makes it revert, and takes nothing.
    """
    with arena.scene() as scene:
        scene.pass_on(Moment(3_600, *[cast.at({cast.victim: Decimal("1.25")})] * 2))
        before = scene.drift()
        reading = scene.keeper.read()
        policy = scene.keeper.config.policy
        facts = facts_for_trade(reading)
        facts = facts.model_copy(update={"past": remember(None, facts, policy)})
        decision = decide(facts, policy)
        if decision.action == "hold":
            return _result(scene, SANDWICH, before, note=f"the keeper holds: {decision.reason}")
        size = _largest(scene, reading, facts, decision)
        attack = _attack(reading, decision, size)
        taken = _in_one_block(scene, reading, attack)
        minima = {buy.token: buy.min_amount for buy in decision.buys}
        planned = _measure(reading, decision, {buy.token: buy.amount for buy in decision.buys})
        exposed = max(planned.nav - _measure(reading, decision, minima).nav, 0)
        beyond = max(scene.ledger.loss - (reading.priced.nav - planned.nav), 0)
        return _result(
            scene,
            SANDWICH,
            before,
            (
                Check(
                    "lost beyond the plan, against its minima",
                    mul_div_up(exposed, WAD, reading.priced.nav),
                    mul_div_up(beyond, WAD, reading.priced.nav),
                ),
            ),
            note=f"the largest attack that the batch survives puts in {size:.4g} times as much as the batch, and ends"
            f" ${abs(taken):,.2f} {'richer' if taken >= 0 else 'poorer'}, gas aside",
        )


def _largest(scene: Scene, reading: Reading, facts: Snapshot, decision: Decision) -> float:
    """The greatest attack, in times of our batch, that our batch survives."""
    order = plan(reading, facts, decision, 3_600).encode()

    def survives(size: float) -> bool:
        with scene.devnet.isolated():
            front = _attack(reading, decision, size).front
            _give(scene, front)
            for to, data in _calls(reading, front):
                transact(scene.endpoint, to, data, sender=THIEF.address)
            return scene.send(order) is not None

    low, high = 0.0, 1.0
    for _ in range(_DOUBLINGS):
        if not survives(high):
            break
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if survives(middle) else (low, middle)
    return low


def _attack(reading: Reading, decision: Decision, size: float) -> _Attack:
    """Our swaps, `size` times as large, before us, and what they bring sold again after us."""
    pools = {pool.name: pool for pool in reading.pools}
    amounts: Counter[tuple[str, str, str]] = Counter()
    for swap in decision.swaps:
        amounts[swap.pool, swap.token_in, swap.token_out] += int(swap.amount_in * size)
    front, back = [], []
    for (name, token_in, token_out), amount in amounts.items():
        pool = pools[name]
        try:
            amount_out, _ = pool.swap(token_in, token_out, amount)
        except SwapError:  # more than is known of the pool, or nothing
            continue
        front.append(Step(pool, token_in, token_out, Amount.EXACT, amount, Recipient.CALLER))
        back.append(Step(pool, token_out, token_in, Amount.EXACT, amount_out, Recipient.CALLER))
    return _Attack(tuple(front), tuple(back))


def _give(scene: Scene, steps: Sequence[Step], to: str = THIEF.address) -> None:
    """The attacker's capital."""
    for step in steps:
        scene.devnet.deal(step.token_in, to, step.amount)


def _calls(reading: Reading, steps: Sequence[Step]) -> list[tuple[str, bytes]]:
    """What the attacker sends, and to whom: he pays the executor, which serves anyone, and has it swap."""
    if not steps:
        return []
    executor = reading.vault.executor
    payments = [(step.token_in, bindings.ERC20.encode("transfer", executor, step.amount)) for step in steps]
    return [*payments, (executor, bindings.interface("SwapExecutor").encode("execute", encode_program(steps)))]


def _in_one_block(scene: Scene, reading: Reading, attack: _Attack) -> float:
    """Our live keeper sends, the attacker bids more before us and less after us, and one block takes it all.

    What the attacker gains, USD at true prices. He has two accounts, since one account's transactions stay together:
    the second one sells out of its own stock what the first one buys.
    """
    _give(scene, attack.front)
    _give(scene, attack.back, ACCOMPLICE.address)
    purse = _purse(scene, reading)
    devnet = scene.devnet
    devnet.rpc("evm_setAutomine", False)
    try:
        for to, data in _calls(reading, attack.front):
            _offer(scene, THIEF.address, to, data, _OVERBID)
        scene.submit()
        for to, data in _calls(reading, attack.back):
            _offer(scene, ACCOMPLICE.address, to, data, _UNDERBID)
        devnet.mine()
    finally:
        # Taking the chain back does not empty the pool.
        devnet.rpc("anvil_dropAllTransactions")
        devnet.rpc("evm_setAutomine", True)
    scene.collect(reading)
    after = _purse(scene, reading)
    return sum((after[token] - purse[token]) * scene.unit_price(token) for token in after)


def _offer(scene: Scene, sender: str, to: str, data: bytes, tip: int) -> None:
    """Puts a transaction of the attacker's into the mempool."""
    call = {
        "from": sender,
        "to": to,
        "data": f"0x{data.hex()}",
        "gas": hex(3_000_000),
        # The node orders by this, not by what is paid in the end.
        "maxFeePerGas": hex(2 * scene.endpoint.header().base_fee_per_gas + tip),
        "maxPriorityFeePerGas": hex(tip),
    }
    scene.endpoint.request("eth_sendTransaction", call)


def _purse(scene: Scene, reading: Reading) -> dict[str, int]:
    """What the attacker holds in both accounts, raw units by token."""
    return {
        facts.token.address: sum(
            bindings.view(scene.endpoint, bindings.ERC20, facts.token.address, "balanceOf", account, block="latest")
            for account in (THIEF.address, ACCOMPLICE.address)
        )
        for facts in reading.tokens
    }


def _measure(reading: Reading, decision: Decision, back: Mapping[str, int]) -> Outcome:
    """The batch as the guard would value it if just `back` came back."""
    change = Counter(back)
    change.subtract({sell.token: sell.amount for sell in decision.sells})
    basket = reading.priced
    return basket.measure(
        [balance + change[facts.token.address] for balance, facts in zip(basket.balances, reading.basket, strict=True)]
    )
