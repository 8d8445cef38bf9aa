"""A whole basket through all venues at once: what the plan says is what the chain does."""

import json
from collections import Counter
from decimal import Decimal

import pytest
from stage import OWNER, Stage
from theatre import theatre_at

from keeper.chain.bindings import ERC20
from keeper.devnet import FACTORIES, TOKENS, Devnet
from keeper.devnet.tables import POOL_MANAGER
from keeper.submit.deployer import AssetConfig
from keeper.submit.journal import State

NAV = Decimal(12_000_000)
HELD = {"WETH": 20, "USDC": 14, "USDT": 6, "DAI": 4, "WBTC": 36, "LINK": 6, "UNI": 4, "AAVE": 10}
TARGETS = {"WETH": 30, "USDC": 5, "USDT": 15, "DAI": 10, "WBTC": 20, "LINK": 8, "UNI": 8, "AAVE": 4}
"""Percent of NAV."""


def assets() -> tuple[AssetConfig, ...]:
    return tuple(
        AssetConfig(
            token=token.address,
            feed=token.feed,
            heartbeat=90_000,
            min_price=token.price / 10,
            max_price=token.price * 10,
            weight=Decimal(TARGETS[symbol]) / 100,
            amount=round(NAV * HELD[symbol] / 100 / token.price, 6),
        )
        for symbol, token in TOKENS.items()
    )


@pytest.fixture
def stage(devnet: Devnet, tmp_path, monkeypatch) -> Stage:
    """A vault of eight assets far off its targets, and a keeper that looks at every venue and counts no gas."""
    monkeypatch.setenv("KEEPER_KEY", Stage.key)
    for symbol, asset in zip(TOKENS, assets(), strict=True):
        devnet.deal(asset.token, OWNER.address, int(asset.amount.scaleb(TOKENS[symbol].decimals)))
    stage = Stage(devnet, tmp_path, assets=assets())
    ids = [str(pool.id) for pool in devnet.pools() if pool.kind.startswith("balancer")]
    makers = [
        {"address": FACTORIES[kind], "makes": kind.removeprefix("balancer_")}
        for kind in FACTORIES
        if "balancer" in kind
    ]
    stage.configure(
        venues=[
            {"kind": "uniswap_v2", "factory": FACTORIES["uniswap_v2"]},
            {"kind": "uniswap_v3", "factory": FACTORIES["uniswap_v3"]},
            {"kind": "uniswap_v4", "manager": POOL_MANAGER},
            {"kind": "balancer_v2", "factories": makers, "pools": ids},
        ],
        policy={"trigger": {"kind": "always"}, "tracking_penalty": 0.5, "gas_price_wei": "0"},
    )
    return stage


def test_eight_assets_through_a_dozen_pools_in_one_transaction_move_as_predicted_to_the_wei(stage):
    vault = stage.deployment.vault

    def held() -> dict[str, int]:
        call = {"to": "", "data": "0x" + ERC20.encode("balanceOf", vault).hex()}
        return {
            token.address: int(stage.devnet.rpc("eth_call", call | {"to": token.address}, "latest"), 16)
            for token in TOKENS.values()
        }

    before = held()
    with theatre_at(stage) as theatre:
        sent = theatre.tick()
        assert sent.status == "sent", sent.reason
        theatre.settle()
        intent = theatre.intents()[0]
        assert intent.state == State.DONE
        (attempt,) = intent.attempts
        decision = theatre.service.journal.decision_of(intent)
    batch = stage.batches()[0]
    assert batch["transaction"] == attempt.hash

    kinds = {(pool.id or pool.address).lower(): pool.kind for pool in stage.devnet.pools()}
    used = {swap.pool.lower() for swap in decision.swaps}
    assert len(used) >= 12
    assert len({kinds[name] for name in used}) >= 4
    predicted = Counter({buy.token: buy.amount for buy in decision.buys})
    predicted.subtract({sell.token: sell.amount for sell in decision.sells})
    assert len([token for token, change in predicted.items() if change]) == 8
    after = held()
    assert {token: after[token] - before[token] for token in before} == dict(predicted)

    # And the journal has both, amounts and costs.
    outcome = intent.outcome
    amounts = {token: str(change) for token, change in predicted.items()}
    assert json.loads(outcome.realised) == json.loads(intent.predicted) == amounts
    assert (outcome.nav_before - outcome.nav_after) == intent.predicted_cost
