"""`stress.before_trade`: a plan that loses more in a scenario than it may is held, with scenario and number."""

from decimal import Decimal
from fractions import Fraction

import pytest
from builders import LINK, UNI, USDC, WBTC, WETH, policy, snapshot, v2_pool, v3_pool
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain import InputError, load_policy
from keeper.policy import decide
from keeper.policy.bound import Bound
from keeper.policy.stress import broken
from keeper.units import WAD

FACTS = snapshot(
    {USDC: (0.20, 0.30), WETH: (0.45, 0.35), WBTC: (0.35, 0.35)},
    (v2_pool(1, USDC, WETH, 4_000_000), v3_pool(2, WETH, WBTC, 20_000_000)),
)
FREE = decide(FACTS, policy())
NAV = FACTS.nav
SOLD = sum(sell.amount for sell in FREE.sells if sell.token == WETH.address) * WETH.price // 10**18
BOUGHT = sum(buy.amount for buy in FREE.buys if buy.token == USDC.address) * USDC.price // 10**6


def stressed(**scenario):
    return policy(stress={"before_trade": [scenario]})


def verdict(max_loss, **scenario):
    return broken(FACTS, stressed(**scenario, max_loss=max_loss), FREE)


def loss_of(**scenario):
    """The fraction of NAV at which a scenario turns, by bisection."""
    low, high = Fraction(0), Fraction(1)
    for _ in range(40):
        middle = (low + high) / 2
        spelt = f"{float(middle):.18f}"
        if verdict(spelt, **scenario):
            low = middle
        else:
            high = middle
    return float(high)


def test_the_plan_sells_weth_for_usdc():
    assert FREE.action == "rebalance"
    assert BOUGHT < SOLD < NAV // 8


def test_a_batch_that_gains_breaks_no_scenario():
    twice = [{"amount": 2 * buy.amount, "min_amount": 2 * buy.amount} for buy in FREE.buys]
    buys = tuple(buy.model_copy(update=more) for buy, more in zip(FREE.buys, twice, strict=True))
    gaining = FREE.model_copy(update={"buys": buys})
    for scenario in ({"kind": "oracle_error", "delta": "0.001"}, {"kind": "sandwich"}):
        assert broken(FACTS, stressed(**scenario, max_loss="0.000000000000000001"), gaining) is None


def test_without_scenarios_a_plan_is_sent():
    assert broken(FACTS, policy(), FREE) is None


def test_a_wrong_oracle_costs_what_the_theorem_says():
    loss = (NAV - (NAV - SOLD + BOUGHT)) / NAV
    expected = (loss + 0.02 * (SOLD + BOUGHT) / NAV) / 0.98
    assert loss_of(kind="oracle_error", delta="0.02") == pytest.approx(expected, rel=1e-6)
    assert Bound(int(loss * WAD), int((SOLD + BOUGHT) / NAV * WAD), 3600).shortfalls(
        0, WAD // 50
    ) / WAD == pytest.approx(expected, rel=1e-6)


def test_a_fall_costs_its_part_of_what_was_bought():
    expected = (SOLD - BOUGHT + BOUGHT * 0.5) / NAV
    assert loss_of(kind="fall", fall="0.5") == pytest.approx(expected, rel=1e-6)
    assert loss_of(kind="fall", fall="0.5", asset="usdc") == pytest.approx(expected, rel=1e-6)
    # What is sold may fall as it likes.
    assert verdict("0.000000001", kind="fall", fall="0.5", asset="WETH") is None


def test_a_fall_of_what_the_vault_does_not_hold_is_a_mistake_in_the_policy():
    with pytest.raises(InputError, match="stress names DOGE"):
        verdict("0.1", kind="fall", fall="0.5", asset="DOGE")


def test_a_sandwich_takes_what_the_minima_leave():
    least = sum(buy.min_amount for buy in FREE.buys if buy.token == USDC.address) * USDC.price // 10**6
    assert loss_of(kind="sandwich") == pytest.approx((SOLD - least) / NAV, rel=1e-6)


def test_in_thin_pools_the_minima_turn_a_loss_into_a_failed_batch():
    # Impact of a hundred times as much breaks the minima: nothing but gas is lost, and that is free here.
    assert loss_of(kind="thin_pools", gone="0.99") == pytest.approx(0, abs=1e-9)


def test_in_thin_pools_a_batch_without_minima_loses():
    loose = policy(slippage="0.9999")
    facts = snapshot(
        {USDC: (0.20, 0.30), WETH: (0.45, 0.35), WBTC: (0.35, 0.35)}, (v2_pool(1, USDC, WETH, 4_000_000),), limits=None
    )
    plan = decide(facts, loose)
    thin = policy(
        slippage="0.9999", stress={"before_trade": [{"kind": "thin_pools", "gone": "0.95", "max_loss": "0.01"}]}
    )
    reason = broken(facts, thin, plan)
    assert reason is not None
    assert "95% of the pools' liquidity gone" in reason
    # Exactly what pools of a twentieth of the depth would have paid.
    (swap,) = plan.swaps
    thinner = v2_pool(1, USDC, WETH, 4_000_000 / 20)
    paid, _ = thinner.swap(swap.token_in, swap.token_out, swap.amount_in)
    lost = (swap.amount_in * WETH.price // 10**18 - paid * USDC.price // 10**6) / facts.nav
    for sign, held in ((1.0001, False), (0.9999, True)):
        limit = {"kind": "thin_pools", "gone": "0.95", "max_loss": f"{lost * sign:.12f}"}
        assert bool(broken(facts, policy(stress={"before_trade": [limit]}), plan)) is held


def test_dear_gas_counts_up_to_the_ceiling():
    gas = {"gas_price_wei": str(10**10), "gas_units": {"base": 10**6, "uniswap_v2": 0, "uniswap_v3": 0}}
    plan = decide(FACTS, policy(**gas))
    assert plan.action == "rebalance"
    scenario = {"kind": "dear_gas", "times": 100, "max_loss": "0.001"}
    # A million units at 1,000 gwei and $2,500 are $2,500: 0.25% of NAV.
    reason = broken(FACTS, policy(**gas, stress={"before_trade": [scenario]}), plan)
    assert reason is not None
    assert "$2,500.00, 0.25% of NAV" in reason
    ceiling = policy(**gas, max_gas_price_wei=str(2 * 10**10), stress={"before_trade": [scenario]})
    assert broken(FACTS, ceiling, plan) is None


def test_decide_holds_what_does_not_stand_and_names_scenario_and_number():
    held = decide(FACTS, stressed(kind="oracle_error", delta="0.02", max_loss="0.001"))
    assert (held.action, held.refused, held.swaps) == ("hold", True, ())
    assert "stress: with oracle prices wrong by 2% the batch would lose $" in held.reason
    assert "at most 0.1% is allowed" in held.reason
    assert held.certificate is not None
    assert held.certificate.upper_bound_usd >= held.certificate.objective_usd


def test_decide_sends_what_stands():
    assert decide(FACTS, stressed(kind="oracle_error", delta="0.02", max_loss="0.05")) == FREE


def test_every_scenario_must_stand():
    both = policy(
        stress={
            "before_trade": [
                {"kind": "oracle_error", "delta": "0.02", "max_loss": "0.5"},
                {"kind": "fall", "fall": "0.5", "max_loss": "0.01"},
            ]
        }
    )
    assert "if USDC then falls by 50%" in decide(FACTS, both).reason


@given(
    st.tuples(st.integers(5, 60), st.integers(5, 60), st.integers(5, 60)),
    st.integers(1, 40),
    st.integers(-1, 1),
    st.integers(-1, 1),
)
def test_no_price_within_delta_costs_more_than_the_scenario_says(weights, percent, up, other):
    """At any prices inside the band the loss over true NAV is within what the oracle scenario allows for."""
    total = sum(weights)
    parts = [round(w / total, 2) for w in weights[:2]]
    basket = {LINK: (parts[0], 0.4), UNI: (parts[1], 0.3), WETH: (1 - sum(parts), 0.3)}
    facts = snapshot(basket, (v2_pool(3, LINK, WETH, 9e6), v2_pool(4, UNI, WETH, 9e6), v2_pool(5, LINK, UNI, 5e6)))
    plan = decide(facts, policy())
    if plan.action == "hold":
        return
    delta = Fraction(percent, 100)
    change = {buy.token: buy.amount for buy in plan.buys}
    for sell in plan.sells:
        change[sell.token] = change.get(sell.token, 0) - sell.amount
    true = {
        coin.address: Fraction(coin.price) * (1 + delta * sign)
        for coin, sign in zip((LINK, UNI, WETH), (up, other, -up), strict=True)
    }
    lost = -sum(Fraction(amount, 10**18) * true[token] for token, amount in change.items())
    nav = sum(Fraction(asset.balance, 10**18) * true[asset.token] for asset in facts.vault.assets)
    share = max(lost / nav, Fraction(1, 10**12)) * Fraction(999_999, 1_000_000)
    limit = f"{Decimal(int(share * WAD)).scaleb(-18):f}"
    if Decimal(limit) > 0 and lost > 0:
        scenario = {"kind": "oracle_error", "delta": str(percent / 100), "max_loss": limit}
        assert broken(facts, policy(stress={"before_trade": [scenario]}), plan) is not None


@pytest.mark.parametrize(
    ("scenario", "says"),
    [
        ("{kind: rain, max_loss: 0.1}", "before_trade.0"),
        ("{kind: sandwich}", "max_loss: missing"),
        ("{kind: sandwich, max_loss: 0}", "max_loss"),
        ("{kind: oracle_error, delta: 1, max_loss: 0.1}", "delta"),
        ("{kind: dear_gas, times: 0.5, max_loss: 0.1}", "times"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_its_place(scenario, says):
    text = f"{{trigger: {{kind: always}}, tracking_penalty: 1, stress: {{before_trade: [{scenario}]}}}}"
    with pytest.raises(InputError) as refused:
        load_policy(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_scenario_at_all_is_refused():
    with pytest.raises(InputError, match="before_trade"):
        load_policy("{trigger: {kind: always}, tracking_penalty: 1, stress: {before_trade: []}}")
