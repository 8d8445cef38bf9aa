"""The simulation against the chain: what it says of 200 steps happens there, to the wei.

The simulator starts from what the lens reads and runs by itself. Then every swap of its market, every answer of its
feeds and every batch of its keeper is sent to the real contracts, block by block, at the simulated times.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from stage import KEEPER, LIMITS, OWNER, STRANGER, Stage

from keeper.backtest import Setup, Step, simulate
from keeper.backtest.curator import Curation, Curator
from keeper.chain.bindings import interface, view
from keeper.chain.lens import Lens, Reading
from keeper.devnet import FACTORIES, FEEDS, Devnet
from keeper.devnet.tables import LIQUIDITY, OPERATOR
from keeper.devnet.world import transact
from keeper.domain import Policy, Snapshot
from keeper.domain.limits import LimitsConfig
from keeper.loop import Keeper
from keeper.market.gas import ConstantGas
from keeper.market.paths import Asset, PricePath
from keeper.market.venues import Flow, Frictions
from keeper.policy.targets import Fixed, least_glide
from keeper.pools import ConcentratedPool, UniswapV2Pool
from keeper.submit.program import build_order
from keeper.units import WAD

STEPS = 200
STEP = 60
LOOK_EVERY = 20
"""Steps between two readings of everything; the vault's balances are read at every batch."""
NEVER = 2**40 - 1

SWAPPED_PAIR = keccak(text="Swap(address,uint256,uint256,uint256,uint256,address)").hex()
SWAPPED_POOL = keccak(text="Swap(address,address,int256,int256,uint160,uint128,int24)").hex()


@pytest.fixture
def stage(devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("KEEPER_KEY", KEEPER.private_key)
    stage = Stage(devnet, tmp_path)
    stage.configure(
        venues=[{"kind": kind, "factory": FACTORIES[kind]} for kind in ("uniswap_v2", "uniswap_v3")],
    )
    return stage


def lens_of(stage: Stage) -> Lens:
    keeper: Keeper = stage.keeper
    return keeper.lens


def limits_of(reading: Reading) -> LimitsConfig:
    """The vault's limits, as a setup spells them."""
    limits = reading.vault.limits._asdict()
    seconds = {name: limits.pop(name) for name in ("window", "cooldown")}
    return LimitsConfig(**seconds, **{name: Decimal(value) / WAD for name, value in limits.items()})


def wild(devnet: Devnet, start: Snapshot, seed: int) -> PricePath:
    """A path from where the feeds stand, so wild that there is something to rebalance every few minutes."""
    feeds = devnet.prices()
    symbols = tuple(start.symbol(asset.token) for asset in start.vault.assets)
    return PricePath(
        symbols=symbols,
        assets={
            symbol: Asset(price=float(feeds[symbol]), volatility=0.05 if symbol == "USDC" else 6.0)
            for symbol in symbols
        },
        seed=seed,
        steps=STEPS + 1,
        step=STEP,
        start=start.block.timestamp + STEP,
        correlation=0.3,
    )


class Replay:
    """Sends to the chain what the simulation says has happened."""

    def __init__(self, stage: Stage, start: Snapshot) -> None:
        self.stage, self.endpoint = stage, stage.endpoint
        self.pools = {pool.name: pool for pool in start.pools}
        self.symbols = [start.symbol(asset.token) for asset in start.vault.assets]
        self.basket = [asset.token for asset in start.vault.assets]

    def block(self, step: Step, batch: bytes | None, change: bytes | None = None) -> dict[str, Any] | None:
        """One block at the step's time: the market, a change of the vault, the batch; returns the batch's receipt."""
        self.endpoint.request("evm_setAutomine", False)
        self._send(OPERATOR, LIQUIDITY, interface("DevLiquidity").encode("move", *self._market(step)), tip=3)
        if change is not None:
            self._send(STRANGER.address, self.stage.deployment.vault, change, tip=2)
        batch_hash = None
        if batch is not None:
            call = interface("IndexVault").encode("rebalance", batch)
            batch_hash = self._send(KEEPER.address, self.stage.deployment.vault, call, tip=1)
        self.endpoint.request("evm_setNextBlockTimestamp", step.time)
        self.endpoint.request("evm_mine")
        self.endpoint.request("evm_setAutomine", True)
        header = self.endpoint.header()
        assert header.timestamp == step.time
        if batch_hash is None:
            return None
        receipt: dict[str, Any] = self.endpoint.request("eth_getTransactionReceipt", batch_hash)
        assert int(receipt["transactionIndex"], 16) == (1 if change is None else 2)
        return receipt

    def _send(self, sender: str, to: str, data: bytes, *, tip: int) -> str:
        call = {"from": sender, "to": to, "data": "0x" + data.hex(), "gas": hex(10_000_000)}
        fees = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(tip * 10**9)}
        sent: str = self.endpoint.request("eth_sendTransaction", call | fees)
        return sent

    def _market(self, step: Step) -> tuple[list[Any], ...]:
        answers = [
            (FEEDS[symbol].address, asset.price // 10**10)
            for symbol, asset in zip(self.symbols, step.snapshot.vault.assets, strict=True)
            if asset.price_updated_at == step.time
        ]
        pairs, pools = [], []
        for flow in step.flows:
            if isinstance(self.pools[flow.pool], UniswapV2Pool):
                pairs.append((flow.pool, flow.zero_for_one, flow.amount_in))
            else:
                pools.append((flow.pool, self._paid(flow), flow.zero_for_one, flow.sqrt_price_x96))
        return answers, pairs, pools, [], []

    def _paid(self, flow: Flow) -> str:
        return self.pools[flow.pool].tokens[0 if flow.zero_for_one else 1]

    def balances(self) -> tuple[int, ...]:
        held = view(self.endpoint, "IndexVault", self.stage.deployment.vault, "balances", block="latest")
        return tuple(held)

    def swaps(self, receipt: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
        """The swaps of a receipt: pool, and what it paid in token0 and token1, below zero for what it took."""
        for log in receipt["logs"]:
            topic, data = log["topics"][0].removeprefix("0x"), bytes.fromhex(log["data"][2:])
            if topic == SWAPPED_PAIR:
                in0, in1, out0, out1 = decode(["uint256"] * 4, data)
                yield log["address"].lower(), out0 - in0, out1 - in1
            elif topic == SWAPPED_POOL:
                amount0, amount1, *_ = decode(["int256", "int256", "uint160", "uint128", "int24"], data)
                yield log["address"].lower(), -amount0, -amount1

    def simulated(self, step: Step) -> Iterator[tuple[str, int, int]]:
        assert step.executed is not None
        for swap in step.executed.swaps:
            amounts = (-swap.amount_in, swap.amount_out)
            zero_for_one = swap.token_in == self.pools[swap.pool].tokens[0]
            yield swap.pool.lower(), *(amounts if zero_for_one else amounts[::-1])


def facts(snapshot: Snapshot) -> dict[str, Any]:
    """All that the simulation and the lens must agree on, by name; which ticks the lens reads depends on the price."""
    limits = snapshot.vault.limits
    assert limits is not None
    return {
        "time": snapshot.block.timestamp,
        "native price": snapshot.native_price,
        "nonce": snapshot.vault.nonce,
        "supply": snapshot.vault.total_supply,
        **limits.model_dump(),
        **{asset.token: asset.model_dump() for asset in snapshot.vault.assets},
        **{
            pool.name: (pool.sqrt_price_x96, pool.tick, pool.liquidity)
            if isinstance(pool, ConcentratedPool)
            else (pool.reserve0, pool.reserve1)
            for pool in snapshot.pools
        },
    }


def differences(found: Snapshot, simulated: Snapshot) -> dict[str, Any]:
    """What the chain has, and what the simulation, where they differ."""
    chain, here = facts(found), facts(simulated)
    return {name: (chain.get(name), here.get(name)) for name in chain | here if chain.get(name) != here.get(name)}


POLICY = Policy.model_validate(
    {"trigger": {"kind": "band", "absolute": 0.01}, "tracking_penalty": 0.5, "slippage": 0.005}
)


def setup_of(reading: Reading, start: Snapshot, **changes: Any) -> Setup:
    """The vault that was read, among pools whose liquidity stays where it is."""
    return Setup(
        basket={start.symbol(asset.token): Decimal(asset.target_weight) / WAD for asset in start.vault.assets},
        frictions=Frictions(reanchor=False),
        limits=limits_of(reading),
        gas=ConstantGas(base_fee_wei=10**7, priority_fee_wei=10**6),
        **changes,
    )


@pytest.mark.chain
def test_200_steps_on_the_chain_are_those_of_the_simulation_to_the_wei(stage: Stage, devnet: Devnet) -> None:
    devnet.mine(seconds=LIMITS["window"])
    devnet.refresh_feeds()
    reading = lens_of(stage).read(stage.endpoint)
    start = reading.snapshot()
    replay = Replay(stage, start)
    executed = reverted = 0
    before: Step | None = None
    path = wild(devnet, start, seed=7)
    for index, step in enumerate(simulate(setup_of(reading, start), path, POLICY, start=start)):
        batch = None
        if step.executed is not None:
            assert before is not None
            batch = order_of(before, replay, reading)
        receipt = replay.block(step, batch)
        if step.executed is not None:
            assert receipt is not None
            fine = int(receipt["status"], 16) == 1
            assert fine == (step.executed.failed is None), step.executed
            assert list(replay.swaps(receipt)) == list(replay.simulated(step))
            assert replay.balances() == step.balances
            executed, reverted = executed + fine, reverted + (not fine)
        if index % LOOK_EVERY == 0 or index == STEPS:
            assert differences(lens_of(stage).read(stage.endpoint).snapshot(), step.snapshot) == {}
        before = step
    assert executed >= 5
    assert reverted >= 3  # late batches in a wild market: what the simulation calls a revert is one


def order_of(step: Step, replay: Replay, reading: Reading) -> bytes:
    """What the keeper sends for the decision of a step."""
    assert step.decision is not None
    order = build_order(step.snapshot, step.decision, basket=replay.basket, epoch=reading.vault.epoch, deadline=NEVER)
    return order.encode()


@pytest.mark.chain
def test_a_change_of_targets_and_its_glide_are_those_of_the_chain_and_no_order_survives_it(
    stage: Stage, devnet: Devnet
) -> None:
    """The curator's proposal of the first row leaves the timelock while an order is under way."""
    rows, admin = 120, interface("VaultAdmin")
    vault = stage.deployment.vault
    start = lens_of(stage).read(stage.endpoint).snapshot()
    before, tokens = start.targets, [asset.token for asset in start.vault.assets]
    moved = (before[0] + WAD // 10, before[1] - WAD // 10, *before[2:])
    change = interface("IVaultChanges").encode("setTargets", tokens, moved, least_glide(moved, before))
    transact(stage.endpoint, vault, admin.encode("submit", change), sender=OWNER.address)
    devnet.mine(seconds=view(stage.endpoint, "VaultAdmin", vault, "timelock", block="latest"))
    devnet.refresh_feeds()
    reading = lens_of(stage).read(stage.endpoint)
    start = reading.snapshot()
    symbols = tuple(map(start.symbol, tokens))
    method = Fixed(weights={symbol: Decimal(weight) / WAD for symbol, weight in zip(symbols, moved, strict=True)})
    replay = Replay(stage, start)
    setup = setup_of(reading, start, latency_steps=2)
    path = wild(devnet, start, seed=7)
    steps = enumerate(simulate(setup, path, POLICY, start=start))
    decided = (k for k, step in steps if step.decision and step.decision.swaps)
    accepted = 1 + next(k for k in decided if k >= 15)
    curator = Curator(Curation(method=method, timelock_seconds=accepted * STEP), symbols, start.targets)
    pending: Step | None = None
    died = after = 0
    for index, step in zip(range(rows), simulate(setup, path, POLICY, start=start, targets=curator), strict=False):
        batch = None if step.executed is None or pending is None else order_of(pending, replay, reading)
        receipt = replay.block(step, batch, admin.encode("accept", change) if index == accepted else None)
        if step.executed is not None:
            assert receipt is not None
            assert (int(receipt["status"], 16) == 1) == (step.executed.failed is None), step.executed
            assert replay.balances() == step.balances
            died += "targets were changed" in (step.executed.failed or "")
            after += step.executed.failed is None and index > accepted
        if step.decision is not None and step.decision.action == "rebalance":
            pending = step
        assert tuple(view(stage.endpoint, "IndexVault", vault, "targets", block="latest")) == step.targets
        if index % LOOK_EVERY == 0:
            assert differences(lens_of(stage).read(stage.endpoint).snapshot(), step.snapshot) == {}
    assert died == 1
    assert after >= 2
